//! The flags of every command that sends requests to registries.

use clap::Args;

use super::TlsFiles;

/// How requests to registries are made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry access")]
pub(crate) struct RegistryAccess {
    /// Use plain HTTP for this registry host (repeatable); a loopback host does not need it: its protocol is detected
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<oci::Host>,

    /// Always use TLS for this loopback host (repeatable); all other hosts use TLS in any case
    #[arg(long, value_name = "HOST")]
    pub tls: Vec<oci::Host>,

    #[command(flatten)]
    pub tls_files: TlsFiles,

    /// Allow redirects and token realms of public registries to lead to this private host (a name or address, no
    /// port; repeatable)
    #[arg(long, value_name = "HOST")]
    pub allow_private: Vec<String>,

    /// Impersonate this service account at Google's registries
    #[arg(long, value_name = "EMAIL")]
    pub impersonate_service_account: Option<String>,

    /// Send at most N requests a second to this registry host (repeatable) [default: 80 at Google's]
    #[arg(long, value_name = "HOST=N", value_parser = host_and_rate)]
    pub quota: Vec<(oci::Host, f64)>,
}

impl RegistryAccess {
    /// The flags that name a registry host, each with its host.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = (&'static str, &oci::Host)> {
        let plain_http = self.plain_http.iter().map(|host| ("--plain-http", host));
        let tls = self.tls.iter().map(|host| ("--tls", host));
        plain_http.chain(tls).chain(self.quota.iter().map(|(host, _)| ("--quota", host)))
    }
}

fn host_and_rate(text: &str) -> Result<(oci::Host, f64), String> {
    let wrong = || "write HOST=N, such as registry.example=50".to_owned();
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
    fn hosts_and_rates_are_read() {
        for (text, rate) in [("h:5000=50", 50.0), ("h=0.5/s", 0.5)] {
            let read = host_and_rate(text).expect(text).1;
            assert!((read - rate).abs() < f64::EPSILON, "{text}: {read}");
        }
        for bad in ["h", "h=", "h=0", "h=-1", "h=x", "=1", "h=inf", "h h=1"] {
            assert!(host_and_rate(bad).is_err(), "{bad}");
        }
    }
}
