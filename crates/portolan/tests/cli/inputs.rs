//! Where input files may come from: files, standard input, pipes.

use std::{fs, process::Stdio};

use tempfile::TempDir;
use testkit::{TestRegistry, fixture};
use tokio::{io::AsyncWriteExt as _, process::Child};

use crate::harness::{Ended, end_of, entry, portolan};

/// Runs it with `text` on its standard input.
async fn run_with_input(arguments: &[&str], text: &str) -> Ended {
    let mut child: Child =
        portolan(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(text.as_bytes()).await.expect("it reads");
    drop(input);
    end_of(child).await
}

#[tokio::test]
async fn a_manifest_is_read_from_standard_input_and_from_pipes() {
    let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
    let image = fixture::image(1, 1);
    staging.load("team/app", None, &image).await;
    let manifest = format!(
        "registries:\n- name: \"{}\"\n  src: true\n- name: \"{}\"\nimages:\n{}",
        staging.prefix("team"),
        production.prefix("images"),
        entry("app", &image, &["v1"]),
    );
    for file in ["-", "/dev/stdin", "/dev/fd/0"] {
        let ended = run_with_input(&["promote", "--manifest", file], &manifest).await.expect(0);
        assert!(ended.stdout.contains("v1"), "{file}: {}", ended.stdout);
    }
    let directory = TempDir::new().expect("a temporary directory");
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let child = portolan(&["promote", "--manifest", pipe.to_str().expect("UTF-8")]).spawn();
    let (child, text) = (child.expect("it starts"), manifest.clone());
    let writing = tokio::task::spawn_blocking(move || fs::write(&pipe, text));
    end_of(child).await.expect(0);
    writing.await.expect("no panic").expect("it is written");

    let broken = manifest.replace("src: true", "src: \"true\"");
    let ended = run_with_input(&["promote", "--manifest", "-"], &broken).await.expect(2);
    let says = "standard input:3:8: `src: \"true\"` is text; remove the quotes";
    assert!(ended.stdout.contains(says), "{}{}", ended.stdout, ended.stderr);
    let changed = ["promote", "--manifest", "-", "--changed-since", "HEAD"];
    let ended = run_with_input(&changed, &manifest).await.expect(2);
    assert!(ended.stderr.contains("standard input, which has no git history"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_configuration_is_read_from_standard_input() {
    let check = ["serve", "--check", "--config", "-"];
    let ended = run_with_input(&check, "nonsense: 1\n").await.expect(2);
    assert!(ended.stderr.contains("standard input:1:1"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_file_without_an_end_is_read_within_a_bound() {
    let directory = TempDir::new().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let giant = at("giant");
    let made = fs::File::create(&giant).and_then(|file| file.set_len(17 << 20));
    made.expect("it takes nothing on the disk");
    let registry = |name: &str| format!("{{name: {name}.example/a, service-account: robot}}");
    let registries = format!("[{{name: s.example/a, src: true}}, {}]", registry("d"));
    fs::write(at("m.yaml"), format!("registries: {registries}\nimages: []\n")).expect("a file");
    let manifest = at("m.yaml");
    let promote = ["promote", "--manifest", &manifest];
    let credentials = format!("robot={giant}");
    let says = "it is longer than 16 MiB; name the right file";
    for flags in [
        &["--ca-file", &giant][..],
        &["--client-certificate", &giant, "--client-key", &giant],
        &["--credentials", &credentials],
    ] {
        let child = portolan(&[&promote[..], flags].concat()).spawn().expect("it starts");
        let ended = end_of(child).await.expect(2);
        assert!(ended.stderr.contains(says), "{flags:?}: {}", ended.stderr);
    }
    for file in [&*giant, "/dev/zero"] {
        let child = portolan(&promote).env("SSL_CERT_FILE", file).spawn().expect("it starts");
        let ended = end_of(child).await.expect(2);
        let says = format!("error: the variable SSL_CERT_FILE: {file}: {says}");
        assert!(ended.stderr.contains(&says), "{}", ended.stderr);
    }
    for arguments in
        [["serve", "--check", "--config", &giant], ["registry", "serve", "--htpasswd", &giant]]
    {
        let child = portolan(&arguments).spawn().expect("it starts");
        let ended = end_of(child).await.expect(2);
        assert!(ended.stderr.contains(says), "{arguments:?}: {}", ended.stderr);
    }
}
