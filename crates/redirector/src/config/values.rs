//! The small grammars of the configuration: durations, URLs, networks, names. Pure functions from
//! text to value, each with a reason in words when it refuses.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use cloud_ranges::Format;
use oci::{Host, Repository};
use url::{ParseError, Url};

use super::{IndexKind, RangesFrom};
use crate::base_url::{BaseUrl, BaseUrlError};

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    http_server::parse_address(text).map_err(|error| error.to_string())
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_error| format!("`{text}` is not a port; write a number from 0 to 65535"))
}

pub(super) fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("it is empty; write a directory, or `null` for none".into());
    }
    Ok(text.into())
}

/// A whole number of YAML 1.2: in decimal digits, with `0x` or with `0o`. Digits may be grouped, as in `1_000_000`.
pub(super) fn integer(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    let (radix, digits) = match digits.split_at_checked(2) {
        Some(("0x", hexadecimal)) => (16, hexadecimal),
        Some(("0o", octal)) => (8, octal),
        // An octal number of YAML 1.1, which would be read as another number.
        Some((leading, _)) if leading.starts_with('0') => return None,
        _ => (10, digits.as_str()),
    };
    let is_digits = digits.chars().all(|digit| digit.is_digit(radix));
    if is_digits { u32::from_str_radix(digits, radix).ok() } else { None }
}

/// A URL that a client is sent to as it is.
pub(super) fn page(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| not_a_url(text, error))?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || has_user {
        return Err(format!("`{text}` must be an http or https URL without a user"));
    }
    Ok(url)
}

fn not_a_url(text: &str, error: ParseError) -> String {
    match error {
        ParseError::RelativeUrlWithoutBase => format!("`{text}` is not a URL; begin with https://"),
        error => format!("`{text}` is not a URL: {error}; correct it"),
    }
}

pub(super) fn base(text: &str) -> Result<BaseUrl, String> {
    text.parse().map_err(|error| match error {
        BaseUrlError::Syntax(error) => not_a_url(text, error),
        error => format!("`{text}`: {error}"),
    })
}

pub(super) fn endpoint(text: &str) -> Result<BaseUrl, String> {
    let base = base(text)?;
    if base.has_path() {
        return Err(format!(
            "`{text}` has a path: an endpoint is scheme, host and port; the prefix of repositories belongs in `path`"
        ));
    }
    Ok(base)
}

pub(super) fn repository(text: &str) -> Result<Repository, String> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}

pub(super) fn cloud(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.starts_with('.') || !text.chars().all(allowed) {
        return Err(format!(
            "`{text}` is not the name of a cloud; use letters, digits, `.`, `_` and `-`"
        ));
    }
    Ok(text.into())
}

pub(super) fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|error: cloud_ranges::FormatError| error.to_string())
}

pub(super) fn ranges_from(text: &str) -> Result<RangesFrom, String> {
    if !text.contains("://") {
        return match text {
            "" => Err("it is empty; write a path or an https URL".into()),
            path => Ok(RangesFrom::Path(path.into())),
        };
    }
    let url = page(text)?;
    let is_loopback = url
        .host_str()
        .and_then(|host| host.parse::<Host>().ok())
        .is_some_and(|host| host.is_loopback());
    if url.scheme() != "https" && !is_loopback {
        return Err(format!("`{text}` must be https: the list decides where clients are sent"));
    }
    Ok(RangesFrom::Url(url))
}

pub(super) fn store_name(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("`{text}` must be a name without white space"));
    }
    Ok(text.into())
}

pub(super) fn blob_prefix(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.chars().all(allowed);
    let segments = text.strip_suffix('/');
    if text.is_empty() || segments.is_some_and(|segments| segments.split('/').all(is_segment)) {
        return Ok(text.into());
    }
    Err(format!("`{text}` is not a prefix; write `containers/images/`, with a `/` at its end only"))
}

pub(super) fn index(text: &str) -> Result<IndexKind, String> {
    match text {
        "none" => Ok(IndexKind::None),
        _ => Err(format!("`{text}` is not supported; the only value is `none`")),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    wording::parse_duration(text).map_err(|error| format!("`{text}` is {error}"))
}

/// Clients give up before they have waited this long for a redirect.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(timeout) if timeout.is_zero() || timeout > MAX_TIMEOUT => {
            Err(format!("`{text}` must be more than 0s and at most 60s"))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_from_paths_or_https() {
        for path in ["ip-ranges.json", "/a/b", "./x"] {
            assert_eq!(ranges_from(path), Ok(RangesFrom::Path(path.into())));
        }
        for url in ["https://a.example/b?c", "http://127.0.0.1:1/x", "http://[::1]:1/x"] {
            assert!(matches!(ranges_from(url), Ok(RangesFrom::Url(_))), "{url}");
        }
        for bad in ["", "http://a.example/b", "file:///etc/passwd", "ftp://a/b", "https://u:p@a/b"]
        {
            assert!(ranges_from(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn blob_prefixes_are_plain_and_end_with_a_slash() {
        for good in ["", "containers/images/", "a/", "a.b/c-d_e/"] {
            assert_eq!(blob_prefix(good), Ok(good.to_owned()));
        }
        for bad in ["a", "/", "/a/", "a//", "a/../b/", "./", "a b/", "a%2f/", "a?/", "é/"] {
            assert!(blob_prefix(bad).is_err(), "{bad:?}");
        }
    }
}
