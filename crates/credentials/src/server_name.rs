//! The two names of one server: with the default port, and without a port. Users write either, and URLs leave the port out.

use oci::Host;

/// The port of a host that names none.
const HTTPS_PORT: u16 = 443;
/// The port of a host that is reached without TLS.
const HTTP_PORT: u16 = 80;

/// The other name of the server at a host; none for a host with another port. A host without a port is never taken
/// for the one at port 80, since that may be another server.
pub(crate) fn other_name(host: &Host) -> Option<Host> {
    let text = match host.port() {
        None => format!("{host}:{HTTPS_PORT}"),
        Some(HTTPS_PORT | HTTP_PORT) => host.as_str().rsplit_once(':')?.0.to_owned(),
        Some(_) => return None,
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_default_port_is_left_out() {
        for (host, other) in [
            ("reg.example", Some("reg.example:443")),
            ("reg.example:443", Some("reg.example")),
            ("reg.example:80", Some("reg.example")),
            ("reg.example:5000", None),
            ("[::1]", Some("[::1]:443")),
            ("[::1]:443", Some("[::1]")),
        ] {
            let found = other_name(&host.parse().expect(host));
            assert_eq!(found.as_ref().map(Host::as_str), other, "{host}");
        }
    }
}
