//! `NO_PROXY`: the hosts that are reached without a proxy.

use std::net::IpAddr;

use ipnet::IpNet;

/// The hosts that `NO_PROXY` lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exceptions(Vec<NoProxyEntry>);

#[derive(Clone, Debug)]
struct NoProxyEntry {
    hosts: HostPattern,
    /// The port, where the entry is for one port.
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum HostPattern {
    All,
    Range(IpNet),
    /// The names that end with it, which begins with a dot; and the name after the dot itself.
    NameAndBelow(Box<str>),
    /// Only the names that end with it.
    Below(Box<str>),
}

impl Exceptions {
    /// Entries are separated by commas or spaces.
    pub(crate) fn new(text: &str) -> Self {
        let entries = text.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
        Self(entries.map(NoProxyEntry::new).collect())
    }

    /// Whether the host `name`, in lower case and without brackets, is listed with this port.
    pub(crate) fn has(&self, name: &str, port: u16) -> bool {
        let name = without_root(name);
        self.0.iter().any(|entry| entry.port.is_none_or(|own| own == port) && entry.hosts.has(name))
    }
}

impl NoProxyEntry {
    fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        if let Some(hosts) = HostPattern::of_addresses(&text) {
            return Self { hosts, port: None };
        }
        let with_port = text.rsplit_once(':');
        let with_port = with_port.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = with_port.map_or((&*text, None), |(host, port)| (host, Some(port)));
        let hosts = HostPattern::of_addresses(host).unwrap_or_else(|| HostPattern::of_name(host));
        Self { hosts, port }
    }
}

/// A name without the dot of the root at its end (RFC 1034 §3.1).
fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl HostPattern {
    fn of_addresses(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let address = || bare.parse::<IpAddr>().map(IpNet::from);
        bare.parse::<IpNet>().or_else(|_| address()).ok().map(Self::Range)
    }

    fn of_name(text: &str) -> Self {
        match without_root(text) {
            "*" => Self::All,
            text if text.starts_with("*.") => Self::Below(text[1..].into()),
            text if text.starts_with('.') => Self::Below(text.into()),
            text => Self::NameAndBelow(format!(".{text}").into()),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Range(range) => name.parse::<IpAddr>().is_ok_and(|it| range.contains(&it)),
            Self::Below(suffix) => name.ends_with(&**suffix),
            Self::NameAndBelow(suffix) => name == &suffix[1..] || name.ends_with(&**suffix),
        }
    }
}
