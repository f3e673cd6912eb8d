//! With which credentials a request was sent that a registry refused, for the error of it.
//!
//! A refusal (401, 403) has two causes that look alike: the registry rejects the credentials, or it accepts them and
//! they lack the right. Which it is, the registry says where nothing but the credentials is in question: a 401 to
//! `Basic` credentials refuses these (RFC 9110 §15.5.2), and a realm that refuses a token for a repository gets a request for
//! one without any scope, as `docker login` does.

use credentials::{Credential, first_line};
use http::{Method, StatusCode};
use url::Url;

use crate::{
    Error, RegistryClient, RequestFault,
    auth::{RequiredAccess, Scheme, Scopes, Verification},
    error::login::Login,
    limit::RequestKind,
};

impl RegistryClient {
    /// The same, where it is a refusal with the credentials that the request was sent with.
    pub(crate) async fn with_login<T>(
        &self,
        (target, access): (&Url, Option<&RequiredAccess>),
        done: Result<T, Error>,
    ) -> Result<T, Error> {
        let (Err(error), Some(access)) = (&done, access) else { return done };
        if !error.is_unauthorized() || error.is_elsewhere() {
            return done;
        }
        let login = Box::pin(self.login(target, access, error)).await;
        done.map_err(|error| match login {
            None => error,
            login => error.with_login(login),
        })
    }

    /// With which credentials a request was sent; nothing where the registry required none.
    async fn login(&self, target: &Url, access: &RequiredAccess, error: &Error) -> Option<Login> {
        let scheme = self.authorizer.scheme(target)?;
        let host = access.server(target)?;
        let credentials = &self.authorizer.credentials;
        let Some(found) = credentials.find(&host, access.repository.as_ref()).await.ok()? else {
            let looked_in = credentials.looked_in(&host).into();
            let host = host.as_str().into();
            return Some(Login::Missing { host, looked_in });
        };
        let source = &found.source;
        let (name, accepted) = match &found.credential {
            Credential::Basic { user, .. } => {
                let user = first_line(user);
                let accepted = format!("user `{user}` is logged in (password from {source})");
                (format!("the password of user `{user}`"), accepted)
            }
            Credential::Identity(_) | Credential::IdentityOrBasic { .. } => (
                "the identity token".to_owned(),
                format!("the identity token from {source} is accepted"),
            ),
            Credential::Token(_) => (
                "the registry token".to_owned(),
                format!("the registry token from {source} is accepted"),
            ),
        };
        let instead = source.correction(&host).into();
        let who = format!("{name} from {source} was").into();
        let what = refused(error.method(), access).into();
        let is_refused = error.status() == Some(StatusCode::UNAUTHORIZED);
        let verified = match error.fault() {
            RequestFault::Token { .. } => {
                self.accepts(target, access, &scheme, found.credential).await
            }
            _ if is_refused && scheme.sends(&found.credential) => Verification::Rejected,
            // A token that was given for them shows that they are accepted.
            _ => Verification::Accepted,
        };
        Some(match verified {
            Verification::Accepted => Login::Accepted { who: accepted.into(), what },
            Verification::Rejected => Login::Rejected { who, instead },
            Verification::Unknown => Login::Sent { who },
        })
    }

    /// Whether a realm accepts credentials. One request finds out.
    async fn accepts(
        &self,
        target: &Url,
        access: &RequiredAccess,
        scheme: &Scheme,
        credential: Credential,
    ) -> Verification {
        let memory = &self.authorizer.logins;
        let key = (target.origin().ascii_serialization(), credential.clone());
        if let Some(verified) = memory.of(&key) {
            return verified;
        }
        let access = RequiredAccess { scopes: Scopes::none(), ..access.clone() };
        let verified = self.verify(target, &access, scheme, credential).await;
        if verified != Verification::Unknown {
            memory.note(key, verified);
        }
        verified
    }
}

/// What a refused request wanted to do.
fn refused(method: &Method, access: &RequiredAccess) -> String {
    // Who pushes looks first, with the token for both.
    let pushes = RequestKind::of(method) == RequestKind::Write
        || access.scopes.iter().any(|it| it.ends_with("push"));
    let what = if pushes { "push to" } else { "pull from" };
    access.repository.as_ref().map_or_else(|| "do this".to_owned(), |name| format!("{what} {name}"))
}
