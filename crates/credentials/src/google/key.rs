//! A service account's key, and the assertion that it signs: an account and a scope, valid for an hour.
//!
//! Source: RFC 7523; <https://developers.google.com/identity/protocols/oauth2/service-account>.

use std::{fmt, sync::Arc, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    sign::SigningKey,
};
use serde_json::json;
use url::Url;

use super::SCOPE;
use crate::{FileProblem, Secret};

/// How long an assertion holds, in seconds: the longest that Google takes.
const LIFETIME: u64 = 3600;

/// The key of a service account.
pub(crate) struct ServiceKey {
    pub(crate) email: String,
    id: Option<String>,
    key: Arc<dyn SigningKey>,
    /// Where the assertion is exchanged for a token.
    pub(crate) token_uri: Url,
}

impl ServiceKey {
    pub(crate) fn new(
        email: String,
        id: Option<String>,
        pem: &str,
        token_uri: Url,
    ) -> Result<Self, FileProblem> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok();
        let der = der.ok_or_else(|| FileProblem::new("`private_key` is not a key in PEM"))?;
        let key = any_supported_type(&der).ok();
        let key = key.filter(|key| key.choose_scheme(&[SCHEME]).is_some()).ok_or_else(|| {
            FileProblem::new("`private_key` is not an RSA key of 2048 to 8192 bits")
        })?;
        Ok(Self { email, id, key, token_uri })
    }

    /// The assertion, signed; none when the system gives no randomness, or the key does not fit itself.
    pub(crate) fn assertion(&self, now: SystemTime) -> Option<Secret> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.token_uri.as_str(),
            "iat": now, "exp": now + LIFETIME,
        });
        let encoded = |value: serde_json::Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.key.choose_scheme(&[SCHEME])?.sign(signed.as_bytes()).ok()?;
        Some(Secret::from(format!("{signed}.{}", BASE64.encode(signature))))
    }
}

/// RS256, as RFC 7518 calls it.
const SCHEME: SignatureScheme = SignatureScheme::RSA_PKCS1_SHA256;

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceKey").field("email", &self.email).finish_non_exhaustive()
    }
}

/// A key for tests.
#[cfg(test)]
pub(crate) const TEST_KEY: &str = include_str!("../../tests/credentials/test-key.pem");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Signed by `openssl dgst -sha256 -sign`: this kind of signature is always the same.
    const BY_OPENSSL: &str = "wkH6VoKUmlb8fEtoDRdskCh5LoqOU7q6-g75G_au0T9Z4rIRihUDjgkSXfU_T7kze34dIOE7lKZbxJQeaSz39IaBAJ-3pXuRlRE8m5g-W-BJ7bRY3UqnFOx5ebEGWJIYlUEDavTVBm0b6CvahztSRkWGB4ztZM-u25V6oZTEYJJ29bYdV0re7N2RsSjCTFm9B6q3DwTJ9F4odpWAqwjHv0ELCSnN44bRvfbw7UEmO1ooijioUatFZCd7QoI8DHRRPEBy49vPdbmmUh0EKx1u1cfSW6sS20FMx-8yZ8KUkew0FzSfkv7NM1WTIB_6REk4OFHAT9ilYujGubF8k_5uIA";

    #[test]
    fn the_signature_is_the_one_that_openssl_makes() {
        let url = "https://oauth2.googleapis.com/token".parse().expect("a URL");
        let key = ServiceKey::new("me@p.example".to_owned(), Some("7".to_owned()), TEST_KEY, url);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let assertion = key.expect("a key").assertion(now).expect("it signs");
        let parts: Vec<_> = assertion.expose().split('.').collect();
        let decode = |part| String::from_utf8(BASE64.decode(part).expect("base64")).expect("JSON");
        assert_eq!(decode(parts[0]), r#"{"alg":"RS256","kid":"7","typ":"JWT"}"#);
        assert_eq!(
            decode(parts[1]),
            r#"{"aud":"https://oauth2.googleapis.com/token","exp":1700003600,"iat":1700000000,"iss":"me@p.example","scope":"https://www.googleapis.com/auth/cloud-platform"}"#
        );
        assert_eq!(parts[2], BY_OPENSSL);
    }

    #[test]
    fn other_keys_are_refused() {
        let url: Url = "https://h/".parse().expect("a URL");
        let new = |pem| ServiceKey::new(String::new(), None, pem, url.clone());
        for (pem, problem) in [
            ("", ": `private_key` is not a key in PEM"),
            (
                "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n",
                ": `private_key` is not an RSA key of 2048 to 8192 bits",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQggvhG3uSX3QSuu+sV\n67IruWruH2+RXAB6y0pfm5vOzHqhRANCAAQOSzh2Ux0pOJYrvIqGdmdA4EA0jTAp\nxHc198TQusdIl55yPO7HA9c3iZLUFMpjbhj/yKQO8o5am7cl0JymRZ28\n-----END PRIVATE KEY-----\n",
                ": `private_key` is not an RSA key of 2048 to 8192 bits",
            ),
        ] {
            assert_eq!(new(pem).expect_err("no key").to_string(), problem);
        }
    }
}
