//! The small grammars of the configuration: durations, URLs, networks, names. Pure functions from
//! text to value, each with a reason in words when it refuses.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use cloud_ranges::Format;
use oci::{Host, Repository};
use url::{ParseError, Url};

use super::{Index, RangesFrom};
use crate::base_url::{BaseUrl, BaseUrlError};

/// Units of durations, the longest first, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

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
            "`{text}` has a path: an endpoint is scheme, host and port; the prefix of repositories goes to `path`"
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

pub(super) fn index(text: &str) -> Result<Index, String> {
    match text {
        "none" => Ok(Index::None),
        _ => Err(format!("`{text}` is not supported; the only value is `none`")),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(split);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
    let millis = count.parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    millis.map(Duration::from_millis).ok_or_else(|| {
        format!("`{text}` is not a duration; write a whole number and ms, s, m, h or d, as `60s`")
    })
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

/// The shortest text that [`duration`] reads as this many whole milliseconds.
pub(super) fn duration_text(value: Duration) -> String {
    let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let unit = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
    let (name, unit) = unit.copied().unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed() {
        for (text, millis, printed) in [
            ("1s", 1_000, "1s"),
            ("250ms", 250, "250ms"),
            ("24h", 86_400_000, "1d"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(duration_text(Duration::from_millis(millis)), printed);
        }
        for bad in [
            "",
            "1",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "1S",
            "1w",
            "99999999999999999999s",
            "9999999999999999999d",
        ] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

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
