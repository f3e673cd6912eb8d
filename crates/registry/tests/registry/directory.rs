//! What a directory adds: content outlives the process, and damage does not pass for content.

use std::{fs, path::Path};

use http::{Method, StatusCode};
use oci::Digest;
use registry::Storage;
use testkit::fixture;

use crate::peer::{Peer, header, refusal, refused};

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

#[tokio::test]
async fn content_outlives_the_registry() {
    let directory = tempfile::tempdir().expect("a directory");
    let image = fixture::index(1, 2, 2);
    let peer = Peer::on(directory.path()).await;
    peer.push("a/b", "v1", &image).await;
    let session = peer.start("a/b").await;
    peer.ask(Method::PATCH, &session, &[], "under way").await;
    peer.stop().await;

    let peer = Peer::on(directory.path()).await;
    assert_eq!(peer.get("/v2/a/b/manifests/v1").await.body(), &image.bytes);
    for manifest in image.manifests() {
        for blob in &manifest.blobs {
            let path = format!("/v2/a/b/blobs/{}", blob.descriptor.digest);
            assert_eq!(peer.get(&path).await.body(), &blob.bytes);
        }
    }
    // The session too goes on where it stood.
    assert_eq!(header(&peer.get(&session).await, "range"), "0-8");
    let bytes = b"under way, and done";
    let path = format!("{session}?digest={}", Digest::sha256(bytes));
    let put = peer.ask(Method::PUT, &path, &[("content-range", "9-18")], ", and done").await;
    assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
    let path = format!("/v2/a/b/blobs/{}", Digest::sha256(bytes));
    assert_eq!(peer.get(&path).await.body(), &bytes[..]);
    assert!(names(&directory.path().join("uploads")).is_empty());
}

#[tokio::test]
async fn what_a_killed_registry_left_under_way_is_cleared() {
    let directory = tempfile::tempdir().expect("a directory");
    let staging = directory.path().join("staging");
    fs::create_dir_all(&staging).expect("it is made");
    fs::write(staging.join("half a blob"), "half").expect("it is written");
    let peer = Peer::on(directory.path()).await;
    assert!(names(&staging).is_empty());
    // Nothing stays there after pushes, good or bad, and cancelled sessions.
    peer.push("a", "v1", &fixture::image(1, 1)).await;
    let wrong = format!("/v2/a/blobs/uploads/?digest={}", Digest::sha256(b"asked"));
    assert_eq!(peer.ask(Method::POST, &wrong, &[], "other").await.status(), 400);
    assert!(names(&staging).is_empty());
    let uploads = directory.path().join("uploads");
    let session = peer.start("a").await;
    assert_eq!(names(&uploads).len(), 2, "its bytes, and whose it is");
    assert_eq!(peer.ask(Method::DELETE, &session, &[], "").await.status(), 204);
    assert!(names(&uploads).is_empty());
}

#[tokio::test]
async fn a_directory_has_one_registry_at_a_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Storage::directory(directory.path()).expect("it is free");
    let second = Storage::directory(directory.path()).expect_err("it is taken");
    assert!(second.is_in_use(), "{second}");
    drop(first);
    Storage::directory(directory.path()).expect("it is free again");
    let file = directory.path().join("file");
    fs::write(&file, "").expect("it is written");
    let not_a_directory = Storage::directory(&file).expect_err("it is a file");
    assert!(!not_a_directory.is_in_use(), "{not_a_directory}");
}

#[tokio::test]
async fn a_mounted_blob_is_stored_once() {
    use std::os::unix::fs::MetadataExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    let digest = peer.push_blob("a", b"x").await;
    let mount = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
    assert_eq!(peer.ask(Method::POST, &mount, &[], "").await.status(), StatusCode::CREATED);
    let file = |repository: &str| {
        let path = format!("repositories/{repository}/_blobs/{digest}");
        fs::metadata(directory.path().join(path)).expect("it is there").ino()
    };
    assert_eq!(file("a"), file("b"));
}

#[tokio::test]
async fn damaged_files_are_said_to_be_the_registrys_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    let image = fixture::image(1, 1);
    peer.push("a", "v1", &image).await;
    let repository = directory.path().join("repositories/a");
    let manifest = repository.join("_manifests").join(image.digest().to_string());
    for (file, path) in [
        (manifest, format!("/v2/a/manifests/{}", image.digest())),
        (repository.join("_tags/v1"), "/v2/a/manifests/v1".into()),
    ] {
        fs::write(&file, "x").expect("it is written");
        let answer = peer.get(&path).await;
        assert_eq!(refusal(&answer), refused(500, "UNKNOWN"));
        let text = String::from_utf8_lossy(answer.body());
        assert!(!text.contains(&*directory.path().to_string_lossy()), "{text}");
    }
    // It can be written anew, and deleted.
    assert_eq!(peer.push_manifest("a", "v1", &image).await.status(), StatusCode::CREATED);
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &image.bytes);
    fs::write(repository.join("_tags/v1"), "x").expect("it is written");
    for status in [202, 404] {
        let deleted = peer.ask(Method::DELETE, "/v2/a/manifests/v1", &[], "").await;
        assert_eq!(deleted.status(), status);
    }
}
