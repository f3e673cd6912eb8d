//! Tokens: what a realm responds with, and for how long that is valid.
//!
//! Pure but for the cache, which holds one lock for each token, so that many tasks that want the same one
//! request it once.
//!
//! Source: Docker's token authentication specification ("Token Response Fields"); RFC 6749 §5.1.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use credentials::Secret;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Duration, Instant},
};

use super::scope::Scopes;
use crate::Error;

/// How long a token is good that does not say so, as the specification has it.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// No token is kept for longer, whatever it says: a registry's clock or ours may be wrong.
const LONGEST_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// A token is renewed when less than this part of its life is left …
const RENEWED_AT: u32 = 10;
/// … or this much, whichever is less: a long request must not outlive it.
const LONGEST_MARGIN: Duration = Duration::from_secs(60);
/// How long it is kept that a realm gave none: all tasks that wait for it would request it one after the other.
const FAILURE_KEPT: Duration = Duration::from_secs(10);
/// How many tokens are kept: as many repositories as a large promotion touches, at some 2 KiB each.
const MAX_TOKENS: usize = 4096;

/// A token that a realm gave.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    renew_at: Instant,
    /// When half of its life is over.
    half_at: Instant,
}

impl Token {
    /// What a realm's response says, when it came at `now`. None where it holds no token.
    pub(crate) fn read(json: &[u8], now: Instant) -> Result<Option<Self>, serde_json::Error> {
        let response: TokenResponse = serde_json::from_slice(json)?;
        let texts = [response.token, response.access_token];
        let Some(text) = texts.into_iter().flatten().find(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let life = life(response.expires_in.as_ref());
        let margin = (life / RENEWED_AT).min(LONGEST_MARGIN);
        let (renew_at, half_at) = (now + life - margin, now + life / 2);
        Ok(Some(Self { secret: text.into(), renew_at, half_at }))
    }

    pub(crate) fn is_fresh(&self) -> bool {
        Instant::now() < self.renew_at
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("renew_at", &self.renew_at).finish_non_exhaustive()
    }
}

/// Read for what it says only: the rest is ignored. Nobody prints it.
#[derive(Deserialize)]
struct TokenResponse {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<Value>,
}

/// How long a token is good: a number of seconds or the text of one, perhaps with a fraction. What is no time
/// ahead counts as if it was not there: some realms mean by 0 that they do not say.
fn life(expires_in: Option<&Value>) -> Duration {
    let seconds = match expires_in {
        Some(Value::Number(seconds)) => seconds.as_f64(),
        Some(Value::String(seconds)) => seconds.trim().parse().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0);
    seconds.map_or(DEFAULT_LIFE, |seconds| {
        Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_LIFE).min(LONGEST_LIFE)
    })
}

/// What a token is for: two origins never share one, since their credentials may differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey {
    pub(crate) origin: String,
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scopes: Scopes,
}

/// The slot of one token. The task that has its lock requests the token, and the others wait.
pub(crate) type Slot = Arc<AsyncMutex<TokenEntry>>;

/// A token that was given, or why none was.
#[derive(Debug, Default)]
pub(crate) struct TokenEntry {
    pub(crate) token: Option<Token>,
    failed: Option<(Arc<Error>, Instant)>,
    /// Whether a token was forgotten because of a refusal without a challenge.
    was_suspected: bool,
}

impl TokenEntry {
    pub(crate) fn fail(&mut self, error: Arc<Error>) {
        self.failed = Some((error, Instant::now() + FAILURE_KEPT));
    }

    /// Forgets a cached token that a registry refused without a challenge, if that may be because it has expired: the
    /// first one at any age, since registries change their keys; later ones beyond half of their lives, so that what
    /// the user may not do costs one token in that time. Whether another token may be had.
    pub(crate) fn suspect(&mut self, secret: &Secret) -> bool {
        match &self.token {
            // Another request has renewed it meanwhile.
            Some(token) if token.secret != *secret => true,
            Some(token) if self.was_suspected && Instant::now() < token.half_at => false,
            Some(_) | None => {
                self.token = None;
                self.was_suspected = true;
                true
            }
        }
    }

    /// Why there is none, if that is not long ago.
    pub(crate) fn failure(&self) -> Option<Arc<Error>> {
        let (error, until) = self.failed.as_ref()?;
        (Instant::now() < *until).then(|| Arc::clone(error))
    }
}

/// The tokens of a client.
#[derive(Debug, Default)]
pub(crate) struct TokenCache(Mutex<HashMap<TokenKey, Slot>>);

impl TokenCache {
    pub(crate) fn slot(&self, key: TokenKey) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_TOKENS && !slots.contains_key(&key) {
            slots.retain(|_, slot| {
                let in_use = Arc::strong_count(slot) > 1;
                in_use
                    || slot
                        .try_lock()
                        .is_ok_and(|held| held.token.as_ref().is_some_and(Token::is_fresh))
            });
            if slots.len() >= MAX_TOKENS {
                // All are good and none is known to be wanted again.
                slots.clear();
            }
        }
        Arc::clone(slots.entry(key).or_default())
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
            assert!(token.is_fresh(), "{json}");
            tokio::time::advance(second).await;
            assert!(!token.is_fresh(), "{json}");
        }
        let read = |json: &str| Token::read(json.as_bytes(), Instant::now());
        for json in [r"{}", r#"{"token":""}"#, r#"{"token":null}"#] {
            assert!(read(json).expect(json).is_none(), "{json}");
        }
        assert!(read("token").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_tokens_are_kept_than_the_bound() {
        let cache = TokenCache::default();
        let key = |number: usize| TokenKey {
            origin: number.to_string(),
            realm: String::new(),
            service: None,
            scopes: Scopes::none(),
        };
        let held = cache.slot(key(0));
        for number in 0..2 * MAX_TOKENS {
            let token = Token::read(br#"{"token":"t"}"#, Instant::now()).expect("JSON");
            cache.slot(key(number)).lock().await.token = token;
        }
        let kept = cache.0.lock().expect("the cache").len();
        assert!((1..=MAX_TOKENS).contains(&kept), "{kept}");
        drop(held);
    }
}
