//! The addresses of host names, by the system; for hosts that a public one named without those that are not public.
//!
//! Not here: which addresses are public (`guard`).

use std::{
    collections::HashSet,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use crate::{
    causes::BoxError,
    guard::{NotPublic, is_public},
    not_resolved::NotResolved,
};

/// Finds the addresses of names.
#[derive(Clone)]
pub(crate) struct Resolver {
    system: GaiResolver,
    /// Only public addresses, but for these names; without it, all addresses.
    only_public_but: Option<Arc<HashSet<String>>>,
}

impl Resolver {
    /// All addresses.
    pub(crate) fn open() -> Self {
        Self { system: GaiResolver::new(), only_public_but: None }
    }

    /// Public addresses. `allowed` are names and addresses, without ports, that may have others.
    pub(crate) fn only_public(allowed: Arc<HashSet<String>>) -> Self {
        Self { only_public_but: Some(allowed), ..Self::open() }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.system.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let may_be_any =
            self.only_public_but.as_ref().is_none_or(|allowed| allowed.contains(name.as_str()));
        let found = self.system.call(name.clone());
        Box::pin(async move {
            let mut found: Vec<SocketAddr> = match found.await {
                Ok(found) => found.collect(),
                // Not of the name, but of this machine, such as too many open files.
                Err(cause) if cause.raw_os_error().is_some() => return Err(cause.into()),
                Err(cause) => return Err(NotResolved::new(name.as_str(), &cause).into()),
            };
            let first = found.first().map(SocketAddr::ip);
            found.retain(|address| may_be_any || is_public(address.ip()));
            match first {
                Some(refused) if found.is_empty() => Err(NotPublic(refused).into()),
                _ => Ok(found.into_iter()),
            }
        })
    }
}
