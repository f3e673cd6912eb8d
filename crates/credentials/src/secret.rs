//! Text that is never printed.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;

/// A password, a token or a key: prints as `[secret]`, and is read only by [`Secret::expose`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<str>);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text: only for requests to the server that it authenticates to.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// The shortest secret that is hidden in texts: shorter ones are in many words.
const MIN_HIDDEN: usize = 4;

/// What is shown in place of a text with a secret in it.
const LEFT_OUT: &str = "[left out: the server's message held a secret]";

/// The secrets in an `Authorization` header: what follows the scheme, and the password of Basic (RFC 7617 §2).
#[must_use]
pub fn secrets_in(authorization: &HeaderValue) -> Vec<Secret> {
    let Some((_, credentials)) = authorization.to_str().ok().and_then(|it| it.split_once(' '))
    else {
        return Vec::new();
    };
    let decoded = STANDARD.decode(credentials).ok().and_then(|it| String::from_utf8(it).ok());
    let password = decoded.as_deref().and_then(|it| it.split_once(':')).map(|(_, it)| it);
    [Some(credentials), password].into_iter().flatten().map(Secret::from).collect()
}

/// A text of a server, unless one of the secrets that were sent to it is in it: some quote them in their errors. The
/// whole text is left out then, since servers have fixed texts: the rest of one would give away a password that is
/// a word of it.
#[must_use]
pub fn hide(text: &str, secrets: &[Secret]) -> String {
    let mut secrets = secrets.iter().map(Secret::expose).filter(|it| it.len() >= MIN_HIDDEN);
    if secrets.any(|secret| text.contains(secret)) { LEFT_OUT.to_owned() } else { text.to_owned() }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_exposed_only_on_demand() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[secret] Some([secret])");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(secret, Secret::from("hunter2".to_owned()));
        assert_ne!(secret, Secret::new(""));
    }

    #[test]
    fn what_was_sent_is_hidden_where_it_is_quoted() {
        for (header, text, shown) in [
            // `alice:WRONGpw-99`
            ("Basic YWxpY2U6V1JPTkdwdy05OQ==", "bad alice:WRONGpw-99", LEFT_OUT),
            ("Basic YWxpY2U6V1JPTkdwdy05OQ==", "Basic YWxpY2U6V1JPTkdwdy05OQ==", LEFT_OUT),
            ("Bearer TOKENSECRET123", "token Bearer TOKENSECRET123 x", LEFT_OUT),
            // `alice:wrong`: the server's fixed text has that word.
            ("Basic YWxpY2U6d3Jvbmc=", "wrong user name or password", LEFT_OUT),
            (
                "Basic YWxpY2U6b3RoZXI=",
                "wrong user name or password",
                "wrong user name or password",
            ),
            ("Bearer abc", "abc", "abc"),
            ("nonsense", "nonsense", "nonsense"),
        ] {
            assert_eq!(hide(text, &secrets_in(&HeaderValue::from_static(header))), shown);
        }
    }
}
