//! Challenges: which authorization a registry wants.
//!
//! Pure, and total: what cannot be read is no challenge.
//!
//! Source: RFC 9110 §11.3 and §11.6.1 (`WWW-Authenticate`); RFC 6750 §3; Docker's token
//! authentication specification.

use http::{HeaderMap, header::WWW_AUTHENTICATE};

/// One challenge of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme, in lower case.
    pub scheme: String,
    /// The parameters; names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter, by its name in lower case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// All challenges of a response.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(read_challenges).collect()
}

/// The challenges of one `WWW-Authenticate` header.
#[must_use]
pub fn read_challenges(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return challenges;
        }
        // A word before `=` is a parameter; one before anything else begins a challenge.
        if let Some(value) = after.trim_start().strip_prefix('=') {
            let (value, after) = parameter_value(value.trim_start());
            if let Some(challenge) = challenges.last_mut() {
                challenge.parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            let scheme = word.to_ascii_lowercase();
            challenges.push(Challenge { scheme, parameters: Vec::new() });
            rest = after;
        }
    }
}

/// The token (RFC 9110 §5.6.2) at the beginning of `text`, perhaps empty, and what is behind it.
fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

/// A quoted string, without its escapes, or what stands before the next comma or blank; and what is
/// behind it. Some registries do not quote a realm, which is no token.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Vec<String> {
        let shown = |challenge: Challenge| {
            let parameters =
                challenge.parameters.iter().map(|(name, value)| format!("{name}={value}"));
            format!("{}({})", challenge.scheme, parameters.collect::<Vec<_>>().join("|"))
        };
        read_challenges(header).into_iter().map(shown).collect()
    }

    #[test]
    fn challenges_are_read() {
        for (header, challenges) in [
            ("", &[][..]),
            ("Basic", &["basic()"]),
            (r#"Basic realm="a b", charset="UTF-8""#, &["basic(realm=a b|charset=UTF-8)"]),
            (
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                &[
                    "bearer(realm=https://auth.example/token|service=registry.example|scope=repository:a/b:pull,push)",
                ],
            ),
            (r#"BEARER Realm = "a" , SERVICE=b"#, &["bearer(realm=a|service=b)"]),
            (
                "Bearer realm=https://a/b?c=d,service=e",
                &["bearer(realm=https://a/b?c=d|service=e)"],
            ),
            (
                r#"Basic realm="a", Bearer realm="b",error="x""#,
                &["basic(realm=a)", "bearer(realm=b|error=x)"],
            ),
            (r#"Negotiate, Basic realm="\"q\"""#, &["negotiate()", "basic(realm=\"q\")"]),
            (r#"Bearer realm="unclosed"#, &["bearer(realm=unclosed)"]),
            ("realm=\"a\"", &[]),
            (",, ,", &[]),
            ("Bearer realm=", &["bearer(realm=)"]),
        ] {
            assert_eq!(read(header), challenges, "{header}");
        }
    }
}
