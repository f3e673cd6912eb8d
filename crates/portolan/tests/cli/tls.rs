//! A registry on loopback that speaks TLS, and what is said where the wrong protocol is spoken.

use tempfile::TempDir;
use testkit::{TestRegistry, fixture};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{Thin, entry, portolan, run, write};

#[tokio::test]
async fn a_registry_on_loopback_is_promoted_to_under_tls() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let directory = TempDir::new().expect("a directory");
    let certificate = write(&directory.path().join("certificate.pem"), &made.cert.pem());
    let key = write(&directory.path().join("key.pem"), &made.signing_key.serialize_pem());
    let (certificate, key) = (certificate.to_str().expect("UTF-8"), key.to_str().expect("UTF-8"));
    let serve = ["registry", "serve", "--listen", "127.0.0.1:0", "--storage", "memory"];
    let tls = ["--tls-cert", certificate, "--tls-key", key];
    let mut child = portolan(&[&serve[..], &tls].concat()).spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let host: String = loop {
        let line = log.next_line().await.expect("it can be read").expect("one more event");
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        if let Some(address) = event["address"].as_str() {
            break address.to_owned();
        }
    };
    let staging = TestRegistry::start().await;
    let image = fixture::image(1, 1);
    staging.load("team/app", None, &image).await;
    let to = format!("{host}/images").parse().expect("a prefix");
    let images = entry("app", &image, &["v1"]);
    let thin = Thin::new().project("team", &staging.prefix("team"), &to, &images);
    let promote = ["promote", "--thin-manifest-dir", thin.path(), "--output", "json", "--all"];
    let plain = staging.host().to_string();
    for (flags, outcome, reason) in [
        (&["--confirm"][..], "failed", "TLS failed: "),
        (&["--plain-http", &host], "failed", "this port speaks TLS; leave out --plain-http "),
        (&["--ca-file", certificate, "--tls", &plain], "failed", "this port speaks plain HTTP"),
        (&["--ca-file", certificate, "--confirm"], "copied", ""),
        (&["--ca-file", certificate, "--tls", &host], "present", ""),
    ] {
        let code = i32::from(outcome == "failed");
        let ended = run(&[&promote[..], flags].concat()).await.expect(code);
        let told = &ended.json()["outcomes"][0];
        assert_eq!(told["outcome"], outcome, "{flags:?}: {told:#}");
        let why = told["reason"].as_str().unwrap_or_default();
        assert!(why.contains(reason), "{flags:?}: {why}");
    }
    child.kill().await.expect("it ends");
}
