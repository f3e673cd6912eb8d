//! Authentication and authorization: users with passwords, and rights by repository. Only the check of a password
//! blocks. The two files: `docs/reference/registry.md`, "Users and rights".
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

/// Users and their rights. Passwords and hashes are not printed.
pub struct Access {
    users: Users,
    /// Without rules every user has all rights.
    rules: Option<Rules>,
    /// For each user the digest of a secret of this process and the last valid password, so that bcrypt runs once
    /// and not for each request. At most one entry for each user.
    checked: Mutex<HashMap<User, Digest>>,
    secret: Option<[u8; 32]>,
    checking: Arc<Semaphore>,
    /// Permits of checks in progress, waiting ones included.
    waiting: Budget,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// A file named by a flag: its name for messages, and its content.
#[derive(Clone, Copy, Debug)]
pub struct NamedText<'a> {
    /// The name as given.
    pub name: &'a str,
    /// The content.
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
    /// All problems of both files, each with its position.
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

    /// A rule to add, if no rule grants anything and so every request is denied.
    #[must_use]
    pub fn missing_rule(&self) -> Option<&'static str> {
        self.rules.as_ref().filter(|rules| rules.grant_nothing()).map(|_| rights::MINIMUM)
    }

    /// The user of a request; none without credentials.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        client: ClientAddress,
    ) -> Result<Option<User>, Refusal> {
        let Some(credentials) = headers.get(AUTHORIZATION) else { return Ok(None) };
        let credentials = credentials.to_str().ok().and_then(htpasswd::basic);
        let (name, password) = credentials.ok_or(Refusal::BadCredentials)?;
        // `skopeo --no-creds` and others send empty credentials instead of none.
        if name.is_empty() && password.is_empty() {
            return Ok(None);
        }
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(Refusal::PasswordTooLong);
        }
        let secret = self.secret.ok_or(Refusal::BadCredentials)?;
        let proof = Digest::sha256(&[&secret[..], password.as_bytes()].concat());
        // The time of this lookup reveals only which users have logged in before.
        let known = self.lock().get(&*name).copied();
        if known == Some(proof) {
            return Ok(self.users.name(&name));
        }
        // The user is not authenticated yet, so the check counts for the address.
        let waiting = self.waiting.take(Holder::of(None, client))?;
        let check = self.users.check(&name, password);
        let permit = Arc::clone(&self.checking).acquire_owned().await.ok();
        let check = move || {
            // The permits last as long as the check, even if the request is dropped.
            let _permits = (waiting, permit);
            check()
        };
        let user = tokio::task::spawn_blocking(check).await.unwrap_or_default();
        let user = user.ok_or(Refusal::BadCredentials)?;
        self.lock().insert(Arc::clone(&user), proof);
        Ok(Some(user))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<User, Digest>> {
        // Every change is a single call on the map.
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Random bytes, private to this process. Without a random source every password check fails.
fn secret() -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).is_ok().then_some(secret)
}

/// The client of a request: its user and address, and the rules in force.
#[derive(Debug)]
pub(crate) struct Requester {
    access: Option<Arc<Access>>,
    user: Option<User>,
    client: ClientAddress,
}

impl Requester {
    pub(crate) const fn new(
        access: Option<Arc<Access>>,
        user: Option<User>,
        client: ClientAddress,
    ) -> Self {
        Self { access, user, client }
    }

    /// The holder of the share that the request counts for.
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

    /// Whether it has access to the API at all.
    pub(crate) fn may_enter(&self) -> bool {
        let open =
            |access: &Access| access.rules.as_ref().is_some_and(Rules::include_anonymous_users);
        self.user.is_some() || self.access.as_deref().is_none_or(open)
    }

    /// Whether a login could give it more rights.
    pub(crate) fn could_log_in(&self) -> bool {
        self.access.is_some() && self.user.is_none()
    }

    /// The refusal for lack of a right.
    pub(crate) fn refused(&self, right: Right, repository: &Repository) -> Refusal {
        match &self.user {
            None => Refusal::LogIn,
            Some(user) => {
                Refusal::Denied { user: Arc::clone(user), right, name: repository.clone() }
            }
        }
    }
}
