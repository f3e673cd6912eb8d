//! Requests about a whole registry.

use http::Method;
use oci::{Host, Repository};

use crate::{
    Error, RegistryClient, RepositoryClient, RequestFault,
    api::listing::{ListingPages, NAMES, NameList, NamesMember, PAGE_SIZE},
    auth::RequiredAccess,
    exchange::request::Request,
};

impl RegistryClient {
    /// Whether a registry responds. Any response but a server error (5xx) counts, also a challenge for which there are no
    /// credentials, since a repository may have credentials of its own.
    ///
    /// # Errors
    /// When it is unreachable, or responds with a server error.
    pub async fn ping(&self, host: &Host) -> Result<(), Error> {
        let url = self.endpoint(host, &Method::GET, "")?;
        match self.send(Request::new(Method::GET, url, RequiredAccess::registry(host))).await {
            Ok(_) => Ok(()),
            Err(error) => match error.fault() {
                RequestFault::Status { status, .. } if !status.is_server_error() => Ok(()),
                RequestFault::NotFollowed { .. }
                | RequestFault::RedirectedNotFound { .. }
                | RequestFault::Credentials { .. } => Ok(()),
                RequestFault::Token { cause } if !cause.is_unreachable() => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// The names of all repositories of a registry, in its order.
    ///
    /// # Errors
    /// Also when the registry does not offer this, as many public ones do not, or when there is no
    /// end of pages.
    pub async fn catalog(&self, host: &Host) -> Result<NameList<Repository>, Error> {
        let url = self.endpoint(host, &Method::GET, &format!("_catalog?n={PAGE_SIZE}"))?;
        let first = Request::new(Method::GET, url, RequiredAccess::catalog(host));
        ListingPages::begin(self, first, NAMES).await?.names(NamesMember::Repositories).await
    }

    /// A repository at a registry. Sends no request yet.
    #[must_use]
    pub fn repository(&self, host: &Host, name: &Repository) -> RepositoryClient {
        RepositoryClient::new(self.clone(), host.clone(), host.repository(name))
    }
}
