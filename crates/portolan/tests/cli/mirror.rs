//! `portolan mirror` and `portolan store serve`.

use std::{fs, path::Path};

use tempfile::TempDir;
use testkit::{Fault, TestRegistry, fixture};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{end_of, portolan, run, signal};

#[tokio::test]
async fn a_mirror_is_made_once_and_the_store_serves_it() {
    let registry = TestRegistry::start().await;
    let image = fixture::index(1, 2, 2);
    registry.load("images/app", "v1", &image).await;
    let directory = TempDir::new().expect("a temporary directory");
    let store = directory.path().join("store");
    let (from, to) = (format!("{}/images", registry.host()), format!("file://{}", store.display()));
    let arguments = ["mirror", "--from", &from, "--to", &to, "--output", "json"];

    let dry = run(&arguments).await.expect(0).json();
    assert_eq!(dry["confirmed"], false);
    assert_eq!(dry["manifests"], 3);
    assert!(!store.exists(), "a dry run makes nothing");

    let confirmed = [&arguments[..], &["--confirm"]].concat();
    let done = run(&confirmed).await.expect(0).json();
    assert_eq!(
        done["manifests"].as_u64().zip(done["blobs"].as_u64()).map(|(a, b)| a + b),
        Some(image.digests().len() as u64)
    );
    let again = run(&confirmed).await.expect(0).json();
    assert_eq!(
        (&again["manifests"], &again["blobs"], &again["bytes"]),
        (&0.into(), &0.into(), &0.into())
    );

    let mut child =
        portolan(&["store", "serve", store.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"])
            .spawn()
            .expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let line = log.next_line().await.expect("UTF-8").expect("it says where it listens");
    let said: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
    let host = said["address"].as_str().expect("an address").parse().expect("a host");
    let path = format!("/containers/images/{}", image.digest());
    let found = testkit::get(&host, &path).await.expect("an answer");
    assert_eq!(found.body(), &image.bytes);
    signal(&child, "TERM").await;
    end_of(child).await.expect(0);
}

#[tokio::test]
async fn what_could_not_be_mirrored_ends_with_1_and_is_named() {
    let registry = TestRegistry::start().await;
    let (bad, good) = (fixture::image(1, 1), fixture::image(2, 1));
    registry.load("images/bad", "v1", &bad).await;
    registry.load("images/good", "v1", &good).await;
    registry
        .fail(Fault::everywhere(&format!("/blobs/{}", bad.blobs[1].descriptor.digest)).corrupt());
    let directory = TempDir::new().expect("a temporary directory");
    let from = format!("{}/images", registry.host());
    let to = format!("file://{}", directory.path().display());
    let ended = run(&["mirror", "--from", &from, "--to", &to, "--confirm"]).await.expect(1);
    assert!(ended.stdout.contains(&bad.blobs[1].descriptor.digest.to_string()), "{}", ended.stdout);
    let has = |digest: &oci::Digest| key(directory.path(), digest).is_file();
    assert!(good.digests().iter().all(has));
    assert!(!has(&bad.digest()) && !has(&bad.blobs[1].descriptor.digest));
    for file in fs::read_dir(directory.path().join("containers/images")).expect("a store").flatten()
    {
        let digest: oci::Digest =
            file.file_name().to_str().expect("UTF-8").parse().expect("a digest");
        assert!(digest.matches(&fs::read(file.path()).expect("a file")));
    }
}

#[tokio::test]
async fn an_unknown_kind_of_store_ends_with_2() {
    let ended = run(&["mirror", "--from", "127.0.0.1:1/x", "--to", "s3://bucket"]).await.expect(2);
    assert!(ended.stderr.contains("file://"), "{}", ended.stderr);
}

fn key(store: &Path, digest: &oci::Digest) -> std::path::PathBuf {
    store.join("containers/images").join(digest.to_string())
}

#[tokio::test]
async fn a_closed_pipe_does_not_hide_that_mirroring_failed() {
    let directory = TempDir::new().expect("a temporary directory");
    let from = format!("{}/x", testkit::TestHost::unreachable());
    let to = format!("file://{}", directory.path().display());
    let mut child = portolan(&["mirror", "--from", &from, "--to", &to]).spawn().expect("it starts");
    drop(child.stdout.take());
    end_of(child).await.expect(1);
}
