//! Tokens: what a realm responds with, for how long that is valid, and what a token is cached for.
//!
//! Not here: the cache (crate `credentials`).
//!
//! Source: Docker's token authentication specification ("Token Response Fields"); RFC 6749 §5.1.

use std::sync::Arc;

use credentials::{CacheEntry, FetchError, Lifetime, Secret, TokenCache};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::scope::Scopes;
use crate::RequestFault;

/// A token that a realm gave.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) lifetime: Lifetime,
}

impl Token {
    /// What a realm's response says, when it came at `now`. None where it holds no token.
    pub(crate) fn read(json: &[u8], now: Instant) -> Result<Option<Self>, serde_json::Error> {
        let response: TokenResponse = serde_json::from_slice(json)?;
        let texts = [response.token, response.access_token];
        let Some(text) = texts.into_iter().flatten().find(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let lifetime = Lifetime::of_token(now, stated_life(response.expires_in.as_ref()));
        Ok(Some(Self { secret: text.into(), lifetime }))
    }
}

/// The members that are used. It is never printed.
#[derive(Deserialize)]
struct TokenResponse {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<Value>,
}

/// How long a token is valid: a number of seconds or the text of one, perhaps with a fraction. A value that is not
/// positive counts as missing: some realms send 0 for an unknown time.
fn stated_life(expires_in: Option<&Value>) -> Option<Duration> {
    let seconds = match expires_in {
        Some(Value::Number(seconds)) => seconds.as_f64(),
        Some(Value::String(seconds)) => seconds.trim().parse().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// What a token is for: two origins never share one, since their credentials may differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey {
    pub(crate) origin: String,
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scopes: Scopes,
}

/// The cached tokens of a client.
pub(crate) type Tokens = TokenCache<TokenKey, Secret, RequestFault>;
/// One cached token.
pub(crate) type TokenEntry = Arc<CacheEntry<Secret, RequestFault>>;

impl FetchError for RequestFault {
    /// Only the failure of a realm is cached: all tasks that wait for its token would request it one after the other.
    fn to_cached(&self) -> Option<Self> {
        match self {
            Self::Token { cause } => Some(Self::Token { cause: Arc::clone(cause) }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_good_for_as_long_as_it_says() {
        let second = Duration::from_secs(1);
        for (json, life) in [
            (r#"{"token":"t"}"#, 54),
            (r#"{"access_token":"t","expires_in":300}"#, 270),
            (r#"{"token":"t","expires_in":3600}"#, 3540),
            (r#"{"token":"t","access_token":"u","expires_in":null,"scope":"x"}"#, 54),
            (r#"{"token":"t","expires_in":999999999999}"#, 12 * 3600 - 60),
            (r#"{"token":"t","expires_in":1e300}"#, 12 * 3600 - 60),
            (r#"{"token":"t","expires_in":"300"}"#, 270),
            (r#"{"token":"t","expires_in":" 300.0 "}"#, 270),
            (r#"{"token":"t","expires_in":300.9}"#, 270),
            (r#"{"token":"t","expires_in":0}"#, 54),
            (r#"{"token":"t","expires_in":-5}"#, 54),
            (r#"{"token":"t","expires_in":"soon"}"#, 54),
            (r#"{"token":"t","expires_in":"NaN"}"#, 54),
            (r#"{"token":"t","expires_in":{}}"#, 54),
        ] {
            let token = Token::read(json.as_bytes(), Instant::now()).expect(json).expect(json);
            assert_eq!(token.secret.expose(), "t");
            tokio::time::advance(second * life - second / 10).await;
            assert!(!token.lifetime.is_over(), "{json}");
            tokio::time::advance(second).await;
            assert!(token.lifetime.is_over(), "{json}");
        }
        let read = |json: &str| Token::read(json.as_bytes(), Instant::now());
        for json in [r"{}", r#"{"token":""}"#, r#"{"token":null}"#] {
            assert!(read(json).expect(json).is_none(), "{json}");
        }
        assert!(read("token").is_err());
    }
}
