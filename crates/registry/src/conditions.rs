//! Conditional requests: what `If-Match` and `If-None-Match` ask of the digest that is there now. An
//! entity tag is a digest in quotes.
//!
//! Source: RFC 9110 §13.1 and §13.2; distribution-spec 1.1 leaves them to registries.

use axum::response::{IntoResponse as _, Response};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ETAG, IF_MATCH, IF_NONE_MATCH, IF_RANGE},
};
use oci::Digest;

use crate::{DOCKER_CONTENT_DIGEST, refusal::Refusal};

/// The entity tag of content with this digest.
pub(crate) fn etag(digest: Digest) -> String {
    format!("\"{digest}\"")
}

/// What tells one content from another, for the answer.
pub(crate) fn validators(digest: Digest) -> [(HeaderName, String); 2] {
    [(ETAG, etag(digest)), (DOCKER_CONTENT_DIGEST, digest.to_string())]
}

/// The answer to who asks for content with this digest, where that need not be sent.
pub(crate) fn instead_of_content(
    headers: &HeaderMap,
    digest: Digest,
) -> Result<Option<Response>, Refusal> {
    match Conditions::of(headers).for_reading(digest) {
        Verdict::Failed => Err(Refusal::Precondition(Some(digest))),
        Verdict::NotModified => {
            Ok(Some((StatusCode::NOT_MODIFIED, validators(digest)).into_response()))
        }
        Verdict::Send => Ok(None),
    }
}

/// What a request makes its effect depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    matches: Option<String>,
    none_matches: Option<String>,
}

/// What the conditions say of content that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Send,
    NotModified,
    Failed,
}

impl Conditions {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self { matches: list(headers, &IF_MATCH), none_matches: list(headers, &IF_NONE_MATCH) }
    }

    /// For reading content with this digest.
    fn for_reading(&self, digest: Digest) -> Verdict {
        if !self.allow_match(Some(digest)) {
            return Verdict::Failed;
        }
        // Weak comparison (§13.1.2).
        if self.none_matches.as_ref().is_some_and(|list| names(list, Some(digest), weakly)) {
            return Verdict::NotModified;
        }
        Verdict::Send
    }

    /// Whether what has this digest now, or is not there, may be written or deleted.
    pub(crate) fn allow_writing(&self, current: Option<Digest>) -> bool {
        let is_known = |list: &String| names(list, current, weakly);
        self.allow_match(current) && !self.none_matches.as_ref().is_some_and(is_known)
    }

    /// Strong comparison (§13.1.1): weak tags match nothing.
    fn allow_match(&self, current: Option<Digest>) -> bool {
        self.matches.as_ref().is_none_or(|list| names(list, current, |tag| tag))
    }
}

/// Whether `If-Range` lets a `Range` count: it is absent or, by strong comparison, names the content.
pub(crate) fn range_counts(headers: &HeaderMap, digest: Digest) -> bool {
    headers.get(IF_RANGE).is_none_or(|validator| validator == etag(digest).as_str())
}

/// All lines of a header that is a list; what is no text can match nothing.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines = headers.get_all(name).iter();
    let lines: Vec<_> = lines.map(HeaderValue::to_str).map(Result::unwrap_or_default).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// Whether a list of entity tags names what is there. A comma may stand within one.
fn names(list: &str, current: Option<Digest>, compared: fn(&str) -> &str) -> bool {
    let Some(current) = current.map(etag) else { return false };
    let mut is_quoted = false;
    let tags = list.split(|sign| {
        is_quoted ^= sign == '"';
        sign == ',' && !is_quoted
    });
    tags.map(|tag| compared(tag.trim())).any(|tag| tag == "*" || tag == current)
}

/// What weak comparison looks at.
fn weakly(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(lines: &[(HeaderName, &str)]) -> Conditions {
        let lines = lines.iter().map(|(name, value)| {
            (name.clone(), HeaderValue::from_str(value).expect("a header's value"))
        });
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        Conditions::of(&headers)
    }

    #[test]
    fn the_table_of_conditions() {
        let [ours, other] = [b"a", b"b"].map(|bytes| Digest::sha256(bytes));
        let tags = [ours, other].map(etag);
        let [ours_tag, other_tag] = &tags;
        let behind = format!("{}W/\"", ours_tag.trim_end_matches('"'));
        let (weak, both) = (format!("W/{ours_tag}"), format!("{other_tag} , {ours_tag}"));
        // Header, value; reading what is there; writing where it is there, and where nothing is.
        for (name, value, reading, over_it, over_nothing) in [
            (IF_MATCH, &**ours_tag, Verdict::Send, true, false),
            (IF_MATCH, &both, Verdict::Send, true, false),
            (IF_MATCH, "*", Verdict::Send, true, false),
            (IF_MATCH, other_tag, Verdict::Failed, false, false),
            (IF_MATCH, &weak, Verdict::Failed, false, false),
            (IF_MATCH, "nonsense", Verdict::Failed, false, false),
            (IF_MATCH, "\"x,*,y\"", Verdict::Failed, false, false),
            (IF_NONE_MATCH, ours_tag, Verdict::NotModified, false, true),
            (IF_NONE_MATCH, &both, Verdict::NotModified, false, true),
            (IF_NONE_MATCH, &weak, Verdict::NotModified, false, true),
            (IF_NONE_MATCH, &behind, Verdict::Send, true, true),
            (IF_NONE_MATCH, "*", Verdict::NotModified, false, true),
            (IF_NONE_MATCH, other_tag, Verdict::Send, true, true),
        ] {
            let asked = conditions(&[(name, value)]);
            assert_eq!(asked.for_reading(ours), reading, "{asked:?}");
            assert_eq!(asked.allow_writing(Some(ours)), over_it, "{asked:?}");
            assert_eq!(asked.allow_writing(None), over_nothing, "{asked:?}");
        }
        let lines = conditions(&[(IF_NONE_MATCH, other_tag), (IF_NONE_MATCH, ours_tag)]);
        assert_eq!(lines.for_reading(ours), Verdict::NotModified, "several lines are one list");
        let both = conditions(&[(IF_MATCH, other_tag), (IF_NONE_MATCH, ours_tag)]);
        assert_eq!(both.for_reading(ours), Verdict::Failed, "`If-Match` comes first");
        assert!(Conditions::default().allow_writing(None));
        assert_eq!(Conditions::default().for_reading(ours), Verdict::Send);
    }
}
