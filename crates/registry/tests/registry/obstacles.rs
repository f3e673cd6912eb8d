//! A directory that another process writes to as well: whatever has the name of a file or directory of the
//! registry, no request hangs or fails with 500, and nothing outside is read or changed.

use std::{
    fs::{self, File},
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
};

use http::{Method, StatusCode};
use oci::Digest;
use registry::{Registry, RegistrySettings, Storage};
use testkit::fixture;

use super::tempdir;
use crate::{
    directory::{make_fifo, tree},
    peer::{Peer, header, refusal, refused},
};

/// Far more than a manifest may have; on the disk it takes nothing.
const GIANT_BYTES: u64 = 10 << 30;

/// What may have the name of a file.
const NO_FILES: [&str; 6] =
    ["FIFO", "directory", "dangling link", "cyclic link", "link to a device", "socket"];

/// What may have the name of a directory.
const NO_DIRECTORIES: [&str; 6] =
    ["FIFO", "regular file", "dangling link", "cyclic link", "link to a device", "socket"];

fn put(kind: &str, path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).expect("it is ours"),
        Ok(_) => fs::remove_file(path).expect("it is ours"),
        Err(_) => {}
    }
    match kind {
        "FIFO" => make_fifo(path),
        "directory" => fs::create_dir(path).expect("it is made"),
        "regular file" => fs::write(path, "x").expect("it is written"),
        "dangling link" => symlink("absent", path).expect("it is made"),
        "cyclic link" => symlink(path, path).expect("it is made"),
        "link to a device" => symlink("/dev/zero", path).expect("it is made"),
        "giant" => {
            File::create(path).and_then(|file| file.set_len(GIANT_BYTES)).expect("it is made");
        }
        "socket" => {
            // The name of a socket may have 107 bytes, so it is made elsewhere.
            let short = tempdir().expect("a directory");
            let socket = short.path().join("s");
            drop(UnixListener::bind(&socket).expect("it is made"));
            fs::rename(socket, path).expect("it is moved");
        }
        kind => panic!("{kind} is unknown"),
    }
}

/// Neither start waits for a program at the other end, or takes something else for a lock or marker.
#[tokio::test]
async fn a_lock_or_marker_that_is_no_regular_file_is_refused_by_name() {
    for name in ["lock", ".portolan-registry"] {
        for kind in NO_FILES {
            let directory = tempdir().expect("a directory");
            let root = directory.path();
            drop(Storage::directory(root).expect("it is made"));
            put(kind, &root.join(name));
            for opened in [Storage::directory(root), Storage::read_only_directory(root)] {
                let error = opened.expect_err(kind);
                assert!(error.is_obstructed(), "{kind}: {error}");
                let place = root.join(name).display().to_string();
                assert!(error.to_string().contains(&place), "{kind}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_directory_of_the_layout_that_is_none_is_refused_by_name() {
    for name in ["repositories", "staging", "uploads", "blobs", "sizes"] {
        for kind in NO_DIRECTORIES {
            let directory = tempdir().expect("a directory");
            let root = directory.path();
            drop(Storage::directory(root).expect("it is made"));
            put(kind, &root.join(name));
            for opened in [Storage::directory(root), Storage::read_only_directory(root)] {
                let error = opened.expect_err(kind).to_string();
                let place = root.join(name).display().to_string();
                assert!(error.contains(&place) && error.contains("must be a directory"), "{error}");
            }
        }
    }
}

/// It is neither read into memory nor waited for.
#[tokio::test]
async fn a_tag_manifest_or_note_of_gigabytes_is_damage() {
    let directory = tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    let image = fixture::image(1, 1);
    let layer = image.blobs[1].descriptor.digest;
    for file in [
        "repositories/a/_tags/v1".to_owned(),
        format!("repositories/a/_manifests/{}", image.digest()),
    ] {
        peer.push("a", "v1", &image).await;
        put("giant", &directory.path().join(&file));
        let response = peer.get("/v2/a/manifests/v1").await;
        assert_eq!(refusal(&response), refused(404, "MANIFEST_UNKNOWN"), "{file}");
        assert_eq!(peer.push_manifest("a", "v1", &image).await.status(), 201, "{file}");
        assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &image.bytes, "{file}");
    }
    put("giant", &directory.path().join(format!("sizes/{layer}")));
    assert_eq!(peer.status(&format!("/v2/a/blobs/{layer}")).await, StatusCode::OK);
    assert_eq!(peer.push_manifest("a", "v2", &image).await.status(), 201);
}

#[tokio::test]
async fn what_has_the_name_of_a_file_and_is_none_is_absent() {
    let image = fixture::image(1, 1);
    let (manifest, layer) = (image.digest(), image.blobs[1].descriptor.digest);
    let by_digest = format!("/v2/a/manifests/{manifest}");
    let blob = format!("/v2/a/blobs/{layer}");
    for (file, path) in [
        ("_tags/v1".to_owned(), "/v2/a/manifests/v1"),
        (format!("_manifests/{manifest}"), &by_digest),
        (format!("_blobs/{layer}"), &blob),
    ] {
        for kind in NO_FILES {
            let directory = tempdir().expect("a directory");
            let peer = Peer::on(directory.path()).await;
            peer.push("a", "v1", &image).await;
            let place = directory.path().join("repositories/a").join(&file);
            put(kind, &place);
            assert_eq!(peer.status(path).await, 404, "{kind} {file}");
            // A push replaces it, but for a directory, which may hold something.
            let blob = peer
                .ask(
                    Method::POST,
                    &format!("/v2/a/blobs/uploads/?digest={layer}"),
                    &[],
                    image.blobs[1].bytes.clone(),
                )
                .await;
            let put = peer.push_manifest("a", "v1", &image).await;
            match kind {
                "directory" => {
                    let refusals = [blob, put].map(|response| response.status().as_u16());
                    assert!(
                        refusals.contains(&404) && !refusals.contains(&500),
                        "{file}: {refusals:?}"
                    );
                    assert_eq!(
                        peer.ask(Method::DELETE, path, &[], "").await.status(),
                        404,
                        "{file}"
                    );
                    assert!(place.is_dir());
                }
                _ => assert_eq!(
                    (blob.status(), put.status()),
                    (StatusCode::CREATED, StatusCode::CREATED),
                    "{kind} {file}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn a_repository_with_something_else_in_place_of_a_directory_lacks_what_would_be_there() {
    let image = fixture::image(1, 1);
    let manifest = format!("/v2/a/manifests/{}", image.digest());
    let blob = format!("/v2/a/blobs/{}", image.blobs[0].descriptor.digest);
    let referrers = format!("/v2/a/referrers/{}", image.digest());
    let tags = "/v2/a/tags/list";
    for (directory, absent) in [
        ("a", [&*manifest, &blob, tags].as_slice()),
        ("a/_tags", &["/v2/a/manifests/v1"]),
        ("a/_manifests", &[&manifest]),
        ("a/_blobs", &[&blob]),
        ("a/_referrers", &[]),
    ] {
        for kind in NO_DIRECTORIES {
            let root = tempdir().expect("a directory");
            let peer = Peer::on(root.path()).await;
            peer.push("a", "v1", &image).await;
            peer.push("b", "v1", &image).await;
            put(kind, &root.path().join("repositories").join(directory));
            for path in absent {
                assert_eq!(peer.status(path).await, 404, "{kind} {directory}: {path}");
                let deleted = peer.ask(Method::DELETE, path, &[], "").await.status();
                assert!(deleted.is_client_error(), "{kind} {directory}: {path}: {deleted}");
            }
            for path in [&*referrers, "/v2/_catalog", "/v2/b/manifests/v1"] {
                assert_eq!(peer.status(path).await, 200, "{kind} {directory}: {path}");
            }
            if !absent.is_empty() {
                let push =
                    format!("/v2/a/blobs/uploads/?digest={}", image.blobs[0].descriptor.digest);
                let blob = peer.ask(Method::POST, &push, &[], image.blobs[0].bytes.clone()).await;
                let put = peer.push_manifest("a", "v1", &image).await;
                let refusals = [blob, put].map(|response| response.status().as_u16());
                assert!(
                    refusals.contains(&404) && !refusals.contains(&500),
                    "{kind} {directory}: {refusals:?}"
                );
            }
        }
    }
}

/// One that cannot be read hides nothing but itself.
#[tokio::test]
async fn entries_that_are_no_files_are_left_out_of_listings() {
    let directory = tempdir().expect("a directory");
    let storage = Storage::directory(directory.path()).expect("a directory of our own");
    let settings = RegistrySettings { google_listing: true, ..RegistrySettings::default() };
    let peer = Peer::of(Registry::with(storage, settings, None)).await;
    let image = fixture::image(1, 1);
    peer.push("a", "v1", &image).await;
    let repository = directory.path().join("repositories/a");
    let referrers = repository.join(format!("_referrers/{}", image.digest()));
    fs::create_dir_all(&referrers).expect("it is made");
    for (number, kind) in NO_FILES.iter().enumerate() {
        let digest = Digest::sha256(kind.as_bytes()).to_string();
        put(kind, &repository.join(format!("_tags/t{number}")));
        put(kind, &repository.join("_manifests").join(&digest));
        put(kind, &referrers.join(digest));
    }
    let listed = peer.get("/v2/a/tags/list").await;
    let listed: serde_json::Value = serde_json::from_slice(listed.body()).expect("JSON");
    assert_eq!(listed["tags"], serde_json::json!(["v1"]));
    let manifests = listed["manifest"].as_object().expect("an object");
    assert_eq!(manifests.keys().collect::<Vec<_>>(), [&image.digest().to_string()]);
    let referring = peer.get(&format!("/v2/a/referrers/{}", image.digest())).await;
    let referring: serde_json::Value = serde_json::from_slice(referring.body()).expect("JSON");
    assert_eq!(referring["manifests"], serde_json::json!([]));
    let path = format!("/v2/a/manifests/{}", image.digest());
    assert_eq!(peer.ask(Method::DELETE, &path, &[], "").await.status(), 202);
}

/// A repository whose blobs are a link to a directory elsewhere holds nothing.
#[tokio::test]
async fn a_repository_behind_a_link_is_not_in_the_catalogue() {
    let outside = tempdir().expect("a directory");
    fs::write(outside.path().join("blob"), "x").expect("it is written");
    let directory = tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    peer.push("a", "v1", &fixture::image(1, 1)).await;
    let repository = directory.path().join("repositories/b");
    fs::create_dir(&repository).expect("it is made");
    symlink(outside.path(), repository.join("_blobs")).expect("it is made");
    let response = peer.get("/v2/_catalog").await;
    assert_eq!(&response.body()[..], br#"{"repositories":["a"]}"#);
}

#[tokio::test]
async fn an_upload_is_not_written_through_a_link_in_place_of_its_file() {
    let outside = tempdir().expect("a directory");
    let target = outside.path().join("mine");
    fs::write(&target, "mine").expect("it is written");
    let directory = tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    let session = peer.start("a").await;
    let uploads = fs::read_dir(directory.path().join("uploads")).expect("it is there");
    let mut files = uploads.map(|entry| entry.expect("an entry").path());
    let file = files.find(|path| path.extension().is_none()).expect("it is there");
    fs::remove_file(&file).expect("it is there");
    symlink(&target, &file).expect("it is made");
    let response = peer.ask(Method::PATCH, &session, &[], "theirs").await;
    assert_eq!(refusal(&response), refused(500, "UNKNOWN"));
    assert_eq!(fs::read(&target).expect("it is there"), b"mine");
    assert_eq!(header(&peer.get(&session).await, "range"), "0-0");
}

/// Not by root either.
#[tokio::test]
async fn a_leftover_that_cannot_be_removed_does_not_keep_the_registry_from_starting() {
    let directory = tempdir().expect("a directory");
    let root = directory.path();
    let image = fixture::image(1, 1);
    let peer = Peer::on(root).await;
    peer.push("a", "v1", &image).await;
    peer.stop().await;
    let name = "0123456789abcdef0123456789abcdef";
    let digest = Digest::sha256(b"x");
    let leftovers =
        [format!("staging/{name}"), format!("uploads/{name}"), format!("blobs/{digest}")];
    let leftovers = leftovers.map(|file| root.join(file));
    leftovers.iter().for_each(|file| put("regular file", file));
    let set = |flag: &str| {
        let set = Command::new("chattr").arg(flag).args(&leftovers).output();
        set.is_ok_and(|output| output.status.success())
    };
    if !set("+i") {
        println!("skipped: files cannot be made immutable here");
        return;
    }
    let opened = Storage::directory(root);
    let stayed = leftovers.iter().all(|file| file.exists());
    set("-i");
    let peer = Peer::of(Registry::new(opened.expect("it is ours"))).await;
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &image.bytes);
    assert!(stayed);
}

/// An administrator moves a part to another disk, and leaves a link behind.
#[tokio::test]
async fn a_directory_of_the_layout_that_becomes_a_link_while_the_registry_runs_is_not_followed() {
    let image = fixture::image(1, 1);
    let path = format!("/v2/a/manifests/{}", image.digest());
    for name in ["repositories", "staging", "uploads", "blobs", "sizes"] {
        let directory = tempdir().expect("a directory");
        let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
        let peer = Peer::on(&root).await;
        peer.push("a", "v1", &image).await;
        fs::rename(root.join(name), &outside).expect("it is moved");
        symlink(&outside, root.join(name)).expect("it is made");
        let before = tree(&outside);
        for (method, path) in [
            (Method::GET, path.clone()),
            (Method::DELETE, path.clone()),
            (Method::POST, "/v2/b/blobs/uploads/".to_owned()),
        ] {
            let response = peer.ask(method.clone(), &path, &[], "").await;
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{name}: {method}");
        }
        assert_eq!(tree(&outside), before, "{name}: nothing outside is changed");
        fs::remove_file(root.join(name)).expect("it is ours");
        fs::rename(&outside, root.join(name)).expect("it is moved back");
        assert_eq!(peer.status(&path).await, StatusCode::OK, "{name}: it goes on");
    }
}

#[tokio::test]
async fn a_storage_that_is_gone_while_the_registry_runs_lacks_nothing_and_takes_nothing() {
    let image = fixture::image(1, 1);
    let directory = tempdir().expect("a directory");
    let (root, moved) = (directory.path().join("root"), directory.path().join("moved"));
    let peer = Peer::on(&root).await;
    peer.push("a", "v1", &image).await;
    fs::rename(&root, &moved).expect("it is moved");
    for is_replaced in [false, true] {
        if is_replaced {
            fs::create_dir(&root).expect("it is made");
        }
        for (method, path) in [
            (Method::GET, "/v2/a/manifests/v1"),
            (Method::GET, "/v2/a/tags/list"),
            (Method::GET, "/v2/_catalog"),
            (Method::DELETE, "/v2/a/manifests/v1"),
            (Method::POST, "/v2/b/blobs/uploads/"),
        ] {
            let response = peer.ask(method.clone(), path, &[], "").await;
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}");
        }
    }
    assert_eq!(fs::read_dir(&root).expect("a directory").count(), 0, "nothing is written there");
    fs::remove_dir(&root).expect("it is ours");
    fs::rename(&moved, &root).expect("it is moved back");
    assert_eq!(peer.status("/v2/a/manifests/v1").await, StatusCode::OK, "it goes on");
}
