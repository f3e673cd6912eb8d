//! `--verify-through URL`: a scheme and a host.

/// The name that users pull by: a scheme and a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    pub host: oci::Host,
    pub is_plain: bool,
}

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err("write it with its scheme: https://registry.example".into()),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let host = host
            .parse()
            .map_err(|error| format!("{error}; write no path, such as https://registry.example"))?;
        Ok(Self { host, is_plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_name_is_a_scheme_and_a_host() {
        let url = |text: &str| text.parse::<PublicUrl>();
        assert!(url("http://127.0.0.1:80/").is_ok_and(|it| it.is_plain));
        assert!(url("https://registry.example").is_ok_and(|it| !it.is_plain));
        for bad in ["registry.example", "https://registry.example/v2", "https://", "ftp://a"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
