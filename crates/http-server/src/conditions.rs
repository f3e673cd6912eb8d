//! Conditional requests: `If-Match` and `If-None-Match` compared with the current entity tag. Pure.
//!
//! Source: RFC 9110 §13.1 and §13.2. Dates are not supported: our content has strong entity tags.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{IF_MATCH, IF_NONE_MATCH},
};

/// What a request makes its effect depend on. Entity tags are given with their quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    matches: Option<String>,
    none_matches: Option<String>,
}

/// The result of the conditions for content that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionResult {
    /// Send it.
    Send,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

impl Conditions {
    /// Those of a request.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        Self { matches: list(headers, &IF_MATCH), none_matches: list(headers, &IF_NONE_MATCH) }
    }

    /// For reading what has this entity tag.
    #[must_use]
    pub fn for_reading(&self, etag: &str) -> ConditionResult {
        if !self.allow_match(Some(etag)) {
            return ConditionResult::Failed;
        }
        // Weak comparison (§13.1.2).
        if self.none_matches.as_ref().is_some_and(|list| names(list, Some(etag), weakly)) {
            return ConditionResult::NotModified;
        }
        ConditionResult::Send
    }

    /// Whether what has this entity tag now, or is absent, may be written or deleted.
    #[must_use]
    pub fn allow_writing(&self, current: Option<&str>) -> bool {
        let is_known = |list: &String| names(list, current, weakly);
        self.allow_match(current) && !self.none_matches.as_ref().is_some_and(is_known)
    }

    /// Strong comparison (§13.1.1): weak tags match nothing.
    fn allow_match(&self, current: Option<&str>) -> bool {
        self.matches.as_ref().is_none_or(|list| names(list, current, |tag| tag))
    }
}

/// All lines of a header that is a list; a line that is not text matches nothing.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines = headers.get_all(name).iter();
    let lines: Vec<_> = lines.map(HeaderValue::to_str).map(Result::unwrap_or_default).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// Whether a list of entity tags names the current one. A comma may stand within one.
fn names(list: &str, current: Option<&str>, compared: fn(&str) -> &str) -> bool {
    let Some(current) = current else { return false };
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
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        Conditions::of(&headers)
    }

    #[test]
    fn the_table_of_conditions() {
        let (ours, other) = ("\"sha256:a\"", "\"sha256:b\"");
        let behind = "\"sha256:aW/\"";
        let (weak, both) = (format!("W/{ours}"), format!("{other} , {ours}"));
        // Header, value; result of a read; of a write where the content exists, and where it does not.
        for (name, value, reading, over_it, over_nothing) in [
            (IF_MATCH, ours, ConditionResult::Send, true, false),
            (IF_MATCH, &both, ConditionResult::Send, true, false),
            (IF_MATCH, "*", ConditionResult::Send, true, false),
            (IF_MATCH, other, ConditionResult::Failed, false, false),
            (IF_MATCH, &weak, ConditionResult::Failed, false, false),
            (IF_MATCH, "nonsense", ConditionResult::Failed, false, false),
            (IF_MATCH, "\"x,*,y\"", ConditionResult::Failed, false, false),
            (IF_NONE_MATCH, ours, ConditionResult::NotModified, false, true),
            (IF_NONE_MATCH, &both, ConditionResult::NotModified, false, true),
            (IF_NONE_MATCH, &weak, ConditionResult::NotModified, false, true),
            (IF_NONE_MATCH, behind, ConditionResult::Send, true, true),
            (IF_NONE_MATCH, "*", ConditionResult::NotModified, false, true),
            (IF_NONE_MATCH, other, ConditionResult::Send, true, true),
        ] {
            let conditions = conditions(&[(name, value)]);
            assert_eq!(conditions.for_reading(ours), reading, "{conditions:?}");
            assert_eq!(conditions.allow_writing(Some(ours)), over_it, "{conditions:?}");
            assert_eq!(conditions.allow_writing(None), over_nothing, "{conditions:?}");
        }
        let lines = conditions(&[(IF_NONE_MATCH, other), (IF_NONE_MATCH, ours)]);
        assert_eq!(
            lines.for_reading(ours),
            ConditionResult::NotModified,
            "several lines are one list"
        );
        let both = conditions(&[(IF_MATCH, other), (IF_NONE_MATCH, ours)]);
        assert_eq!(both.for_reading(ours), ConditionResult::Failed, "`If-Match` comes first");
        assert!(Conditions::default().allow_writing(None));
        assert_eq!(Conditions::default().for_reading(ours), ConditionResult::Send);
    }
}
