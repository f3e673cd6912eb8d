//! Why a request is refused before it is looked at. The `Host` of a request (RFC 9112 §3.2): without one, with two, or with what cannot be one, a request is
//! refused before it is looked at, since two readers could take it for two different requests.

use http::{HeaderMap, Version, header::HOST};

/// Why a request is refused with 400 before it is looked at. The text is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// HTTP/1.1 without `Host`.
    #[error("the request has no `Host` header")]
    NoHost,
    /// More than one.
    #[error("the request has more than one `Host` header")]
    SeveralHosts,
    /// What cannot be a host with a port.
    #[error("the request's `Host` header is not a host with an optional port")]
    BadHost,
    /// It came without TLS to a server that speaks TLS only.
    #[error("a plain HTTP request was sent to a TLS port; use https")]
    NotTls,
}

/// Whether a request is refused for its `Host`.
pub(crate) fn check(version: Version, headers: &HeaderMap) -> Result<(), Malformed> {
    let mut hosts = headers.get_all(&HOST).iter();
    match (hosts.next(), hosts.next()) {
        // HTTP/1.0 need not name it, and HTTP/2 has `:authority` for it.
        (None, _) if version != Version::HTTP_11 => Ok(()),
        (None, _) => Err(Malformed::NoHost),
        (Some(_), Some(_)) => Err(Malformed::SeveralHosts),
        (Some(host), None) if host.as_bytes().iter().all(|byte| is_of_a_host(*byte)) => Ok(()),
        (Some(_), None) => Err(Malformed::BadHost),
    }
}

/// Whether this byte may be in a host with a port (RFC 3986 §3.2.2).
const fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
        || matches!(byte, b'*' | b'+' | b',' | b';' | b'=' | b':' | b'[' | b']' | b'%')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_host_and_not_two() {
        for (version, hosts, expected) in [
            (Version::HTTP_11, &["registry.example:443"][..], Ok(())),
            (Version::HTTP_11, &["[2001:db8::1]:443"], Ok(())),
            (Version::HTTP_11, &[""], Ok(())),
            (Version::HTTP_11, &[], Err(Malformed::NoHost)),
            (Version::HTTP_10, &[], Ok(())),
            (Version::HTTP_2, &[], Ok(())),
            (Version::HTTP_11, &["a", "a"], Err(Malformed::SeveralHosts)),
            (Version::HTTP_10, &["a", "b"], Err(Malformed::SeveralHosts)),
            (Version::HTTP_11, &["a b"], Err(Malformed::BadHost)),
            (Version::HTTP_11, &["a/b"], Err(Malformed::BadHost)),
            (Version::HTTP_11, &["u@a"], Err(Malformed::BadHost)),
        ] {
            let mut headers = HeaderMap::new();
            hosts.iter().for_each(|host| {
                headers.append(HOST, HeaderValue::from_static(host));
            });
            assert_eq!(check(version, &headers), expected, "{version:?} {hosts:?}");
        }
    }
}
