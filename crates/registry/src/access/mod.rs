//! Who may do what: users with passwords, and rights by repository. Checking a password blocks; all the
//! rest is a function of values. The two files: `docs/reference/registry.md`, "Users and rights".
//!
//! Source: RFC 7617 (Basic); Apache's htpasswd for the file of users.

mod htpasswd;
mod problem;
mod right;
mod rights;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderMap, header::AUTHORIZATION};
use oci::{Digest, Repository};
use tokio::sync::Semaphore;

pub use self::problem::{AccessError, AccessProblem};
pub(crate) use self::{
    htpasswd::MAX_PASSWORD_BYTES,
    right::{Right, User},
};
use self::{htpasswd::Users, rights::Rules};
use crate::{
    limits::{MAX_PASSWORD_CHECKS, MAX_WAITING_CHECKS},
    refusal::Refusal,
    shares::{Budget, ClientAddress, Holder},
};

/// Users and their rights. Passwords, and what they are checked against, do not print.
pub struct Access {
    users: Users,
    /// Without them every user may do everything.
    rules: Option<Rules>,
    /// For each user a digest of the last right password, with a secret of this process before it: a
    /// password is checked slowly once, and not at each request. One entry a user at most.
    checked: Mutex<HashMap<User, Digest>>,
    secret: Option<[u8; 32]>,
    checking: Arc<Semaphore>,
    /// Those that wait for that are counted too.
    waiting: Budget,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// A file that a flag named: its name for messages, and its content.
#[derive(Clone, Copy, Debug)]
pub struct NamedText<'a> {
    /// As it was named.
    pub name: &'a str,
    /// All of it.
    pub text: &'a str,
}

impl NamedText<'_> {
    /// Without the byte order mark that editors on Windows put at the start of UTF-8.
    fn without_mark(self) -> Self {
        Self { text: self.text.strip_prefix('\u{feff}').unwrap_or(self.text), ..self }
    }
}

impl Access {
    /// Reads a htpasswd file and, if there is one, the YAML of rights.
    ///
    /// # Errors
    /// All that is wrong with either, each with its place.
    pub fn new(
        htpasswd: NamedText<'_>,
        rights: Option<NamedText<'_>>,
    ) -> Result<Self, AccessError> {
        let (htpasswd, rights) = (htpasswd.without_mark(), rights.map(NamedText::without_mark));
        let (users, mut problems) = htpasswd::parse(htpasswd);
        let rules = rights.map(|rights| rights::parse(rights, &users)).transpose();
        let rules = rules.unwrap_or_else(|found| {
            problems.extend(found);
            None
        });
        if !problems.is_empty() {
            return Err(AccessError(problems));
        }
        Ok(Self {
            users,
            rules,
            checked: Mutex::default(),
            secret: secret(),
            checking: Arc::new(Semaphore::new(MAX_PASSWORD_CHECKS)),
            waiting: Budget::new(MAX_WAITING_CHECKS),
        })
    }

    /// What to add to the rights, if no rule grants anything, so that every request is denied.
    #[must_use]
    pub fn missing_rule(&self) -> Option<&'static str> {
        self.rules.as_ref().filter(|rules| rules.grant_nothing()).map(|_| rights::MINIMUM)
    }

    /// Who asks: nobody in particular without credentials.
    pub(crate) async fn visitor(
        &self,
        headers: &HeaderMap,
        client: ClientAddress,
    ) -> Result<Option<User>, Refusal> {
        let Some(credentials) = headers.get(AUTHORIZATION) else { return Ok(None) };
        let credentials = credentials.to_str().ok().and_then(htpasswd::basic);
        let (name, password) = credentials.ok_or(Refusal::BadCredentials)?;
        // `skopeo --no-creds` and others send these where they have none.
        if name.is_empty() && password.is_empty() {
            return Ok(None);
        }
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(Refusal::PasswordTooLong);
        }
        let secret = self.secret.ok_or(Refusal::BadCredentials)?;
        let proof = Digest::sha256(&[&secret[..], password.as_bytes()].concat());
        // Looked up by value, so that the time it takes says nothing but who was here before.
        let known = self.lock().get(&*name).copied();
        if known == Some(proof) {
            return Ok(self.users.name(&name));
        }
        // Whose password it is is not known yet.
        let waiting = self.waiting.take(Holder::of(None, client))?;
        let check = self.users.check(&name, password);
        let permit = Arc::clone(&self.checking).acquire_owned().await.ok();
        let check = move || {
            // They last as long as the work does, whoever waits for it.
            let _permits = (waiting, permit);
            check()
        };
        let user = tokio::task::spawn_blocking(check).await.unwrap_or_default();
        let user = user.ok_or(Refusal::BadCredentials)?;
        self.lock().insert(Arc::clone(&user), proof);
        Ok(Some(user))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<User, Digest>> {
        // Every change is one call on the map.
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that nobody outside this process knows. A system that has none to give fails the first check of
/// a password, and so each.
fn secret() -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).is_ok().then_some(secret)
}

/// Who asks, and under which rules.
#[derive(Debug)]
pub(crate) struct Visitor {
    access: Option<Arc<Access>>,
    user: Option<User>,
    client: ClientAddress,
}

impl Visitor {
    pub(crate) const fn new(
        access: Option<Arc<Access>>,
        user: Option<User>,
        client: ClientAddress,
    ) -> Self {
        Self { access, user, client }
    }

    /// Whose share it takes from.
    pub(crate) fn holder(&self) -> Option<Holder> {
        Holder::of(self.user.as_ref(), self.client)
    }

    pub(crate) fn may(&self, right: Right, repository: &Repository) -> bool {
        match self.access.as_deref() {
            None => true,
            Some(Access { rules: None, .. }) => self.user.is_some(),
            Some(Access { rules: Some(rules), .. }) => {
                rules.grant(self.user.as_deref(), right, repository)
            }
        }
    }

    pub(crate) fn may_pull_everything(&self) -> bool {
        match self.access.as_deref() {
            None => true,
            Some(Access { rules: None, .. }) => self.user.is_some(),
            Some(Access { rules: Some(rules), .. }) => {
                rules.grant_everything(self.user.as_deref(), Right::Pull)
            }
        }
    }

    /// Whether it may look around at all.
    pub(crate) fn may_enter(&self) -> bool {
        let open = |access: &Access| access.rules.as_ref().is_some_and(Rules::are_for_anybody);
        self.user.is_some() || self.access.as_deref().is_none_or(open)
    }

    /// Whether logging in could give it more rights.
    pub(crate) fn could_log_in(&self) -> bool {
        self.access.is_some() && self.user.is_none()
    }

    /// Why it may not do something.
    pub(crate) fn refused(&self, right: Right, repository: &Repository) -> Refusal {
        match &self.user {
            None => Refusal::LogIn,
            Some(user) => {
                Refusal::Denied { user: Arc::clone(user), right, name: repository.clone() }
            }
        }
    }
}
