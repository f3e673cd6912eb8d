//! Which requests go through an HTTP proxy: a function of the URL and of the environment variables that curl, Go and
//! others read. The variables are read by the caller.
//!
//! Not here: connections through a proxy (`connect`, `tunnel`); SOCKS.
//!
//! Source: Go's `golang.org/x/net/http/httpproxy`, for the meaning of `NO_PROXY` and that loopback hosts are never
//! proxied; curl's manual, "Environment", for `ALL_PROXY`; RFC 9110 §11.7.2 (`Proxy-Authorization`), RFC 7617.

mod connect;
mod error;
mod exceptions;
mod tunnel;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::Url;

pub use self::error::{ProxyError, ProxySettingError};
use self::exceptions::Exceptions;
pub(crate) use self::{
    connect::{Proxied, ProxyConnector, ToProxy},
    error::proxy_error,
};
use crate::Authority;

/// The values of the environment variables, in upper or lower case; none where they are unset or empty.
#[derive(Clone, Default)]
pub struct ProxyVariables {
    /// `HTTP_PROXY`.
    pub http: Option<String>,
    /// `HTTPS_PROXY`.
    pub https: Option<String>,
    /// `ALL_PROXY`: for the schemes that have no variable of their own.
    pub all: Option<String>,
    /// `NO_PROXY`.
    pub no: Option<String>,
}

/// The proxies of requests. Default: none.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Exceptions,
}

/// A proxy, and what it requires.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// `http`, or `https` where the proxy itself speaks TLS.
    pub(crate) scheme: &'static str,
    pub(crate) authority: Authority,
    /// The `Proxy-Authorization` of the user information in its URL.
    pub(crate) authorization: Option<HeaderValue>,
    /// The variable that names it.
    pub(crate) variable: &'static str,
}

impl Proxies {
    /// The proxies that these variables name.
    ///
    /// # Errors
    /// When a variable is no URL of an HTTP proxy. The value is not shown: it may hold a password.
    pub fn new(variables: &ProxyVariables) -> Result<Self, ProxySettingError> {
        let of = |own: (&'static str, &Option<String>)| {
            let (variable, value) =
                if own.1.is_some() { own } else { ("ALL_PROXY", &variables.all) };
            value.as_deref().map(|value| Proxy::new(variable, value)).transpose()
        };
        Ok(Self {
            http: of(("HTTP_PROXY", &variables.http))?,
            https: of(("HTTPS_PROXY", &variables.https))?,
            exceptions: Exceptions::new(variables.no.as_deref().unwrap_or_default()),
        })
    }

    /// The proxy of requests to `target`.
    pub(crate) fn of(&self, target: &Uri) -> Option<&Proxy> {
        let is_tls = target.scheme_str() == Some("https");
        let proxy = if is_tls { self.https.as_ref() } else { self.http.as_ref() }?;
        let authority = Authority::new(target.authority()?.as_str());
        let port = authority.port().unwrap_or(if is_tls { 443 } else { 80 });
        let is_direct = authority.is_loopback() || self.exceptions.has(authority.name(), port);
        (!is_direct).then_some(proxy)
    }
}

impl Proxy {
    fn new(variable: &'static str, value: &str) -> Result<Self, ProxySettingError> {
        let text = if value.contains("://") { value.into() } else { format!("http://{value}") };
        let url =
            Url::parse(&text).map_err(|cause| ProxySettingError::NotUrl { variable, cause })?;
        let (scheme, usual_port) = match url.scheme() {
            "http" => ("http", 80),
            "https" => ("https", 443),
            other => return Err(ProxySettingError::Scheme { variable, scheme: other.into() }),
        };
        let host = url.host_str().ok_or(ProxySettingError::NoHost { variable })?;
        let port = url.port().unwrap_or(usual_port);
        let authority = Authority::new(&format!("{host}:{port}"));
        let authorization = authorization(&url);
        Ok(Self { scheme, authority, authorization, variable })
    }
}

/// `Basic` with the user information of the URL, if it has any.
fn authorization(url: &Url) -> Option<HeaderValue> {
    let password = url.password().unwrap_or_default();
    if url.username().is_empty() && password.is_empty() {
        return None;
    }
    let mut plain: Vec<u8> = percent_decode_str(url.username()).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.authority, f)
    }
}

impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyVariables")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(http: Option<&str>, https: Option<&str>, all: Option<&str>, no: &str) -> Proxies {
        let text = |value: Option<&str>| value.map(str::to_owned);
        let (http, https, all, no) = (text(http), text(https), text(all), text(Some(no)));
        Proxies::new(&ProxyVariables { http, https, all, no }).expect("proxies")
    }

    fn of(proxies: &Proxies, url: &str) -> String {
        let proxy = proxies.of(&url.parse().expect(url));
        proxy.map_or("direct".into(), |proxy| proxy.authority.to_string())
    }

    #[test]
    fn the_scheme_of_the_target_selects_the_variable() {
        let both = proxies(Some("a.example:1"), Some("http://b.example"), Some("c.example"), "");
        let all = proxies(None, Some("b.example:2"), Some("http://c.example:3/"), "");
        let tls = proxies(Some("https://a.example"), Some("https://b.example:4"), None, "");
        for (proxies, url, expected) in [
            (&both, "http://h.example/", "a.example:1"),
            (&both, "https://h.example/", "b.example:80"),
            (&all, "http://h.example/", "c.example:3"),
            (&tls, "http://h.example/", "a.example:443"),
            (&tls, "https://h.example/", "b.example:4"),
            (&all, "https://h.example/", "b.example:2"),
            (&both, "http://localhost:5000/", "direct"),
            (&both, "https://127.0.0.9/", "direct"),
            (&both, "https://[::1]:5000/", "direct"),
            (&Proxies::default(), "https://h.example/", "direct"),
        ] {
            assert_eq!(of(proxies, url), expected, "{url}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_suffixes_ports_addresses_and_ranges() {
        for (no, url, is_direct) in [
            ("", "https://h.example/", false),
            ("*", "https://h.example/", true),
            ("h.example", "https://h.example/", true),
            ("H.Example", "https://h.example/", true),
            ("h.example", "https://a.h.example/", true),
            ("h.example", "https://ah.example/", false),
            (".h.example", "https://a.h.example/", true),
            (".h.example", "https://h.example/", false),
            ("*.h.example", "https://a.h.example/", true),
            ("*.h.example", "https://h.example/", false),
            ("h.example.", "https://h.example/", true),
            ("h.example.", "https://a.h.example/", true),
            (".h.example.", "https://a.h.example/", true),
            ("*.h.example.", "https://a.h.example/", true),
            ("h.example.:8443", "https://h.example:8443/", true),
            ("h.example", "https://h.example./", true),
            ("x, h.example ,y", "https://h.example/", true),
            ("x h.example", "https://h.example/", true),
            ("h.example:8443", "https://h.example:8443/", true),
            ("h.example:8443", "https://h.example/", false),
            ("h.example:443", "https://h.example/", true),
            ("h.example:80", "http://h.example/", true),
            ("10.0.0.1", "https://10.0.0.1/", true),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/", true),
            ("10.0.0.1:5000", "https://10.0.0.1/", false),
            ("10.0.0.0/8", "https://10.9.8.7:5000/", true),
            ("10.0.0.0/8", "https://11.0.0.1/", false),
            ("10.0.0.0/8", "https://h.example/", false),
            ("fd00::/8", "https://[fd12::1]/", true),
            ("[fd12::1]:5000", "https://[fd12::1]:5000/", true),
            ("fd12::1", "https://[fd12::1]/", true),
            ("fd12::2", "https://[fd12::1]/", false),
        ] {
            let proxies = proxies(Some("p:1"), Some("p:1"), None, no);
            assert_eq!(of(&proxies, url) == "direct", is_direct, "{no} {url}");
        }
    }

    #[test]
    fn user_information_is_decoded_and_never_printed() {
        let proxies = proxies(Some("http://us%40er:p%3Aw%25@p.example:3128"), None, None, "");
        let proxy = proxies.of(&"http://h.example/".parse().expect("a URL")).expect("a proxy");
        let header = proxy.authorization.as_ref().expect("user information");
        let encoded = header.to_str().expect("text").strip_prefix("Basic ").expect("Basic");
        assert_eq!(STANDARD.decode(encoded).expect("Base64"), b"us@er:p:w%");
        assert_eq!(format!("{proxy:?} {header:?}"), "p.example:3128 Sensitive");
        assert!(!format!("{proxies:?}").contains("us%40er"));
    }

    #[test]
    fn what_is_no_http_proxy_is_an_error_without_the_value() {
        for (value, text) in [
            (
                "socks5://u:hunter2@p:1",
                "the variable HTTP_PROXY names a `socks5` proxy; only `http://` and `https://` are supported",
            ),
            (
                "http://u:hunter2@",
                "the variable HTTP_PROXY is not a URL: empty host; write http://HOST:PORT",
            ),
        ] {
            let http = Some(value.to_owned());
            let error = Proxies::new(&ProxyVariables { http, ..ProxyVariables::default() });
            assert_eq!(error.expect_err(value).to_string(), text);
        }
    }
}
