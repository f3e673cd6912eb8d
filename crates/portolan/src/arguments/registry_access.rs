//! The flags of every command that sends requests to registries.

use std::path::PathBuf;

use clap::Args;

/// How requests to registries are made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry access")]
pub(crate) struct RegistryAccess {
    /// Use plain HTTP for this registry host (repeatable); not needed for loopback hosts
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<oci::Host>,

    /// Trust the certificates in this file (PEM) besides the system's (repeatable)
    #[arg(long, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,

    /// Show this certificate, with its chain (PEM), where a registry asks for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_certificate: Option<PathBuf>,

    /// The key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub client_key: Option<PathBuf>,

    /// Let public registries point to this host (a name or address, no port) although it is private
    /// (repeatable)
    #[arg(long, value_name = "HOST")]
    pub allow_private: Vec<String>,

    /// At Google's registries, act as this service account, by impersonation
    #[arg(long, value_name = "EMAIL")]
    pub impersonate_service_account: Option<String>,

    /// Where a manifest names the service account NAME, act by this file: a Google key, or a docker
    /// config.json (repeatable)
    #[arg(long, value_name = "NAME=FILE", value_parser = name_and_path)]
    pub credentials: Vec<(String, PathBuf)>,

    /// Send this registry host at most N requests a second (repeatable) [default: 80 at Google's]
    #[arg(long, value_name = "HOST=N", value_parser = host_and_rate)]
    pub quota: Vec<(oci::Host, f64)>,
}

fn name_and_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), path.into()))
        }
        _ => Err(
            "it is written NAME=FILE, such as promoter@example.iam.gserviceaccount.com=key.json"
                .to_owned(),
        ),
    }
}

fn host_and_rate(text: &str) -> Result<(oci::Host, f64), String> {
    let wrong = || "it is written HOST=N, such as registry.example=50".to_owned();
    let (host, rate) = text.rsplit_once('=').ok_or_else(wrong)?;
    let rate: f64 = rate.strip_suffix("/s").unwrap_or(rate).parse().ok().ok_or_else(wrong)?;
    if !(rate.is_finite() && rate > 0.0) {
        return Err("the number of requests a second must be above zero".to_owned());
    }
    Ok((host.parse().map_err(|error| format!("{error}"))?, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read() {
        let pair = name_and_path("a@b=c=d");
        assert_eq!(pair, Ok(("a@b".to_owned(), PathBuf::from("c=d"))));
        for bad in ["", "a", "=b", "a="] {
            assert!(name_and_path(bad).is_err(), "{bad}");
        }
        for (text, rate) in [("h:5000=50", 50.0), ("h=0.5/s", 0.5)] {
            let read = host_and_rate(text).expect(text).1;
            assert!((read - rate).abs() < f64::EPSILON, "{text}: {read}");
        }
        for bad in ["h", "h=", "h=0", "h=-1", "h=x", "=1", "h=inf", "h h=1"] {
            assert!(host_and_rate(bad).is_err(), "{bad}");
        }
    }
}
