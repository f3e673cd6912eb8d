//! A registry on loopback that speaks TLS, what is said where the wrong protocol is spoken, and certificates that
//! cannot be used.

use tempfile::TempDir;
use testkit::{TestRegistry, fixture};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{Ended, Thin, entry, portolan, run, signal, write};

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
        let reported = &ended.json()["outcomes"][0];
        assert_eq!(reported["outcome"], outcome, "{flags:?}: {reported:#}");
        let why = reported["reason"].as_str().unwrap_or_default();
        assert!(why.contains(reason), "{flags:?}: {why}");
    }
    child.kill().await.expect("it ends");
}

#[tokio::test]
async fn the_certificate_authorities_of_the_machine_are_read_for_tls_only() {
    let staging = TestRegistry::start().await;
    let image = fixture::image(1, 1);
    staging.load("team/app", None, &image).await;
    for (to, code, is_read) in [
        (staging.prefix("prod"), 0, false),
        ("registry.invalid/images".parse().expect("a prefix"), 1, true),
    ] {
        let thin = Thin::new().project(
            "team",
            &staging.prefix("team"),
            &to,
            &entry("app", &image, &["v1"]),
        );
        let mut promote = portolan(&["promote", "--thin-manifest-dir", thin.path()]);
        promote.env("SSL_CERT_FILE", "missing.pem");
        let ended = Ended::from(promote.output().await.expect("it starts")).expect(code);
        assert_eq!(ended.stderr.contains("root certificates: "), is_read, "{}", ended.stderr);
    }
}

/// Writes a certificate for 127.0.0.1 that is valid in these years, and its key.
fn write_identity(directory: &TempDir, (from, to): (i32, i32)) {
    let mut parameters =
        rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a host name");
    parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(to, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    write(&directory.path().join("c.pem"), &certificate.pem());
    write(&directory.path().join("k.pem"), &key.serialize_pem());
}

#[tokio::test]
async fn a_certificate_out_of_date_is_a_warning_at_start_and_an_expired_one_is_refused_at_sighup() {
    let directory = TempDir::new().expect("a directory");
    write_identity(&directory, (2010, 2020));
    let mut serve = portolan(&["registry", "serve", "--listen", "127.0.0.1:0"]);
    serve.args(["--tls-cert", "c.pem", "--tls-key", "k.pem"]).current_dir(directory.path());
    let mut child = serve.spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    // Waits for an event with this in it.
    let mut logs = async |text: &str| loop {
        let line = log.next_line().await.expect("it can be read").expect("one more event");
        if line.contains(text) {
            break serde_json::from_str::<serde_json::Value>(&line).expect("JSON");
        }
    };
    let warning = logs("c.pem").await;
    assert_eq!(warning["level"], "WARN");
    let said = "the certificate in c.pem expired on Wed, 01 Jan 2020 00:00:00 GMT; clients will \
                reject it: renew it, or correct the clock";
    assert_eq!(warning["message"], said);
    let serving = logs("\"address\"").await;
    let host = serving["address"].as_str().expect("text").to_owned();
    write_identity(&directory, (2010, 4000));
    let present = directory.path().join("present.pem");
    std::fs::copy(directory.path().join("c.pem"), &present).expect("it is copied");
    signal(&child, "HUP").await;
    logs("were read again").await;
    // One that has expired does not replace it.
    write_identity(&directory, (2010, 2021));
    signal(&child, "HUP").await;
    let refused = logs("reload failed").await;
    let said =
        "the certificate in c.pem expired on Fri, 01 Jan 2021 00:00:00 GMT; the old one stays";
    assert_eq!(refused["error"], said);
    let store = format!("file://{}", directory.path().join("store").display());
    let trusted = ["--ca-file", present.to_str().expect("UTF-8"), "--tls", &host];
    let mirror = ["mirror", "--from", &host, "--to", &store];
    let ended = run(&[&mirror[..], &trusted].concat()).await.expect(1);
    assert!(ended.stdout.contains("no repository with tags"), "{}", ended.stdout);
    // One whose time has not come may be right where this clock is not.
    write_identity(&directory, (4000, 4001));
    signal(&child, "HUP").await;
    let warning = logs("c.pem").await;
    let said = "the certificate in c.pem is not valid before Sat, 01 Jan 4000 00:00:00 GMT";
    assert!(warning["message"].as_str().is_some_and(|text| text.starts_with(said)), "{warning}");
    logs("were read again").await;
    child.kill().await.expect("it ends");
}

#[tokio::test]
async fn a_certificate_and_a_key_that_cannot_be_used_are_named_once_and_in_words() {
    let directory = TempDir::new().expect("a directory");
    write_identity(&directory, (2010, 4000));
    std::fs::rename(directory.path().join("c.pem"), directory.path().join("other.pem"))
        .expect("it is renamed");
    std::fs::rename(directory.path().join("k.pem"), directory.path().join("other-key.pem"))
        .expect("it is renamed");
    write_identity(&directory, (2010, 4000));
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mirror = ["mirror", "--from", "127.0.0.1:1", "--to", &format!("file://{}", path("store"))];
    for (certificate, key, server, client) in [
        (
            "c.pem",
            "other-key.pem",
            "other-key.pem is not the key of the first certificate in c.pem",
            "it cannot be used: the key is not that of the first certificate",
        ),
        (
            "k.pem",
            "c.pem",
            "k.pem has no certificate, but a private key; are the two files swapped?",
            "it has no certificate (`-----BEGIN CERTIFICATE-----`)",
        ),
        (
            "c.pem",
            "other.pem",
            "other.pem has no private key, but a certificate; name the file of its private key",
            "the key file has no unencrypted private key",
        ),
    ] {
        let mut serve = portolan(&["registry", "serve", "--listen", "127.0.0.1:0"]);
        serve.args(["--tls-cert", certificate, "--tls-key", key]).current_dir(directory.path());
        let ended = serve.output().await.expect("it starts");
        assert_eq!(ended.status.code(), Some(2));
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(stderr.ends_with(&format!("{server}\n")), "{stderr}");
        let files = [path(certificate), path(key)];
        let files = ["--client-certificate", &files[0], "--client-key", &files[1]];
        let ended = run(&[&mirror[..], &files].concat()).await.expect(2);
        assert!(ended.stderr.ends_with(&format!(": {client}\n")), "{}", ended.stderr);
    }
}
