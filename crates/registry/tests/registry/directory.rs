//! What a directory adds: content outlives the process, and damage does not pass for content.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use http::{Method, StatusCode};
use oci::Digest;
use registry::{Registry, Storage};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use testkit::fixture;

use super::tempdir;
use crate::peer::{Peer, header, refusal, refused};

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

/// A name that the registry gives to a file that is being written.
const STAGED: &str = "0123456789abcdef0123456789abcdef";

/// Makes a FIFO. No other process does it: a fork would hold the locks of other tests until it runs its program.
pub(crate) fn make_fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
}

/// Every file and directory below `path`, with its content.
pub(crate) fn tree(path: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut to_visit = vec![path.to_owned()];
    while let Some(path) = to_visit.pop() {
        if fs::symlink_metadata(&path).expect("it is there").is_dir() {
            to_visit.extend(names(&path).iter().map(|name| path.join(name)));
            found.push((path, None));
        } else {
            let content = fs::read(&path).ok();
            found.push((path, content));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_directory_that_no_registry_made_is_refused_and_stays_as_it_is() {
    let directory = tempdir().expect("a directory");
    let root = directory.path();
    for file in ["uploads/photo.jpg", "staging/draft.txt"] {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("it is made");
        fs::write(path, "mine").expect("it is written");
    }
    let before = tree(root);
    for refused in [Storage::directory(root), Storage::read_only_directory(root)] {
        let error = refused.expect_err("it is not a registry's").to_string();
        for word in [&*root.to_string_lossy(), " holds `", ".portolan-registry"] {
            assert!(error.contains(word), "{error}");
        }
    }
    assert_eq!(tree(root), before);

    let file_system = tempdir().expect("a directory");
    fs::create_dir(file_system.path().join("lost+found")).expect("it is made");
    Storage::read_only_directory(file_system.path()).expect("it is empty");
    assert_eq!(names(file_system.path()), ["lost+found"]);
    Storage::directory(file_system.path()).expect("it is empty");
    Storage::directory(file_system.path()).expect("it has a marker now");
    Storage::read_only_directory(&root.join("absent")).expect_err("it is not there");
}

#[tokio::test]
async fn a_directory_of_a_version_without_markers_gets_one() {
    let directory = tempdir().expect("a directory");
    let root = directory.path();
    let image = fixture::image(1, 1);
    let peer = Peer::on(root).await;
    peer.push("a", "v1", &image).await;
    peer.stop().await;
    let marker = root.join(".portolan-registry");
    fs::remove_file(&marker).expect("it is there");
    drop(Storage::read_only_directory(root).expect("a registry made it"));
    assert!(!marker.exists());
    let peer = Peer::on(root).await;
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &image.bytes);
    assert!(marker.exists());
}

#[tokio::test]
async fn only_files_with_names_of_our_own_are_removed_at_start() {
    let directory = tempdir().expect("a directory");
    let root = directory.path();
    drop(Storage::directory(root).expect("it is made"));
    let digest = Digest::sha256(b"x");
    let ours = [
        format!("staging/{STAGED}"),
        format!("uploads/{STAGED}"),
        format!("uploads/{}.session", STAGED.replace('0', "1")),
        format!("blobs/{digest}"),
    ];
    let theirs = [
        "staging/draft.txt".to_owned(),
        "uploads/photo.jpg".to_owned(),
        "uploads/notes".to_owned(),
        format!("uploads/{STAGED}.txt"),
        "blobs/list".to_owned(),
        format!("blobs/{digest}.bak"),
    ];
    for file in ours.iter().chain(&theirs) {
        fs::write(root.join(file), "x").expect("it is written");
    }
    drop(Storage::directory(root).expect("it is free"));
    for file in &ours {
        assert!(!root.join(file).exists(), "{file}");
    }
    for file in &theirs {
        assert!(root.join(file).exists(), "{file}");
    }
}

#[tokio::test]
async fn symbolic_links_are_not_followed() {
    let outside = tempdir().expect("a directory");
    let digest = Digest::sha256(b"x");
    for file in [STAGED, &digest.to_string()] {
        fs::write(outside.path().join(file), "mine").expect("it is written");
    }
    let before = tree(outside.path());
    for name in ["repositories", "staging", "uploads", "blobs", "lock"] {
        let directory = tempdir().expect("a directory");
        let root = directory.path();
        drop(Storage::directory(root).expect("it is made"));
        let path = root.join(name);
        if name == "lock" {
            fs::remove_file(&path).expect("it is there");
            symlink(outside.path().join(STAGED), &path).expect("it is made");
        } else {
            fs::remove_dir(&path).expect("it is empty");
            symlink(outside.path(), &path).expect("it is made");
        }
        let error = Storage::directory(root).expect_err("it is a link").to_string();
        assert!(error.contains("symbolic link") && error.contains(name), "{error}");
        assert_eq!(tree(outside.path()), before);
    }

    let directory = tempdir().expect("a directory");
    let root = directory.path();
    drop(Storage::directory(root).expect("it is made"));
    for name in [&format!("staging/{STAGED}"), &format!("uploads/{STAGED}")] {
        symlink(outside.path().join(STAGED), root.join(name)).expect("it is made");
    }
    symlink(outside.path().join(digest.to_string()), root.join(format!("blobs/{digest}")))
        .expect("it is made");
    let tags = outside.path().join("_tags");
    fs::create_dir(&tags).expect("it is made");
    fs::write(tags.join("v1"), digest.to_string()).expect("it is written");
    symlink(outside.path(), root.join("repositories/a")).expect("it is made");
    let before = tree(outside.path());
    let peer = Peer::on(root).await;
    for path in ["/v2/a/manifests/v1".to_owned(), format!("/v2/a/blobs/{digest}")] {
        let response = peer.ask(Method::DELETE, &path, &[], "").await;
        assert_eq!(response.status(), 404, "{path}");
    }
    let push = format!("/v2/a/blobs/uploads/?digest={digest}");
    let response = peer.ask(Method::POST, &push, &[], "x").await;
    assert_eq!(refusal(&response), refused(404, "NAME_UNKNOWN"));
    assert_eq!(tree(outside.path()), before);
}

#[tokio::test]
async fn a_read_only_registry_changes_nothing_in_its_directory() {
    let directory = tempdir().expect("a directory");
    let root = directory.path();
    let image = fixture::image(1, 1);
    let peer = Peer::on(root).await;
    peer.push("a", "v1", &image).await;
    peer.start("a").await;
    peer.stop().await;
    fs::write(root.join("staging").join(STAGED), "half").expect("it is written");
    fs::remove_file(root.join("lock")).expect("it is there");
    let before = tree(root);
    let storage = Storage::read_only_directory(root).expect("it can be read");
    let peer = Peer::of(Registry::new(storage)).await;
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &image.bytes);
    let path = "/v2/a/blobs/uploads/";
    let response = peer.ask(Method::POST, path, &[], "").await;
    assert_eq!(refusal(&response), refused(405, "UNSUPPORTED"));
    assert_eq!(tree(root), before);

    // Readers share the directory; a writer has it alone.
    fs::write(root.join("lock"), "").expect("it is written");
    let reader = Storage::read_only_directory(root).expect("there is no writer");
    Storage::read_only_directory(root).expect("there is no writer");
    assert!(Storage::directory(root).expect_err("it is being read").is_in_use());
    drop(reader);
    let _writer = Storage::directory(root).expect("it is free");
    assert!(Storage::read_only_directory(root).expect_err("it is being written").is_in_use());
}

#[tokio::test]
async fn directories_that_are_not_repositories_are_left_out_of_the_catalogue() {
    let directory = tempdir().expect("a directory");
    let root = directory.path();
    let peer = Peer::on(root).await;
    peer.push("a/b", "v1", &fixture::image(1, 1)).await;
    peer.stop().await;
    let repositories = root.join("repositories");
    for foreign in ["Photos/2024", "b", "a/.git/objects"] {
        fs::create_dir_all(repositories.join(foreign)).expect("it is made");
    }
    fs::write(repositories.join("notes"), "x").expect("it is written");
    // They cannot be read, by root neither: they point to themselves.
    for name in ["b/_blobs", "loop", "a/loop"] {
        symlink(Path::new(name).file_name().expect("a name"), repositories.join(name))
            .expect("it is made");
    }
    let peer = Peer::on(root).await;
    let response = peer.get("/v2/_catalog").await;
    assert_eq!(response.status(), StatusCode::OK, "{response:?}");
    assert_eq!(&response.body()[..], br#"{"repositories":["a/b"]}"#);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_system_that_takes_no_directories_is_an_error() {
    let error = Storage::directory(Path::new("/proc/x/y")).expect_err("nothing can be made there");
    assert!(error.to_string().starts_with("cannot create `/proc/x`"), "{error}");
}

#[tokio::test]
async fn content_outlives_the_registry() {
    let directory = tempdir().expect("a directory");
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
    let directory = tempdir().expect("a directory");
    drop(Storage::directory(directory.path()).expect("it is made"));
    let staging = directory.path().join("staging");
    fs::write(staging.join(STAGED), "half").expect("it is written");
    let peer = Peer::on(directory.path()).await;
    assert!(names(&staging).is_empty());
    // Nothing stays there after pushes, good or bad, and cancelled sessions.
    peer.push("a", "v1", &fixture::image(1, 1)).await;
    let wrong = format!("/v2/a/blobs/uploads/?digest={}", Digest::sha256(b"expected"));
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
    let directory = tempdir().expect("a directory");
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
    let directory = tempdir().expect("a directory");
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
async fn a_blob_of_another_length_than_it_came_with_is_damaged_until_it_is_pushed_again() {
    let directory = tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    let image = fixture::image(1, 1);
    peer.push("a", "v1", &image).await;
    let layer = &image.blobs[1];
    let digest = layer.descriptor.digest;
    let mount = |to: &str| format!("/v2/{to}/blobs/uploads/?mount={digest}&from=a");
    assert_eq!(peer.ask(Method::POST, &mount("b"), &[], "").await.status(), 201);
    let path = format!("/v2/a/blobs/{digest}");
    let file = directory.path().join(format!("repositories/a/_blobs/{digest}"));
    for length in [0, 3, layer.descriptor.size + 1] {
        let damaged = fs::File::options().write(true).open(&file).expect("it is there");
        damaged.set_len(length).expect("it is changed");
        let response = peer.get(&path).await;
        assert_eq!(refusal(&response), refused(404, "BLOB_UNKNOWN"), "{length}");
        let text = String::from_utf8_lossy(response.body());
        assert!(text.contains("the stored copy is damaged; push it again"), "{text}");
        assert!(!text.contains(&*directory.path().to_string_lossy()), "{text}");
        assert_eq!(peer.ask(Method::HEAD, &path, &[], "").await.status(), 404);
        assert_eq!(peer.ask(Method::POST, &mount("c"), &[], "").await.status(), 202);
        let put = peer.push_manifest("a", "v2", &image).await;
        assert_eq!(refusal(&put), refused(404, "MANIFEST_BLOB_UNKNOWN"));
        peer.push_blob("a", &layer.bytes).await;
        assert_eq!(peer.get(&path).await.body(), &layer.bytes);
        assert_eq!(peer.push_manifest("a", "v2", &image).await.status(), 201);
        // The other repository's copy is repaired by mounting it again.
        let other = format!("/v2/b/blobs/{digest}");
        assert_eq!(peer.ask(Method::POST, &mount("b"), &[], "").await.status(), 201);
        assert_eq!(peer.get(&other).await.body(), &layer.bytes);
    }
    // Not a file at all: nothing waits for it.
    fs::remove_file(&file).expect("it is there");
    fs::create_dir(&file).expect("it is made");
    assert_eq!(peer.get(&path).await.status(), 404);
}

#[tokio::test]
async fn a_manifest_that_does_not_match_its_digest_is_damaged_until_it_is_pushed_again() {
    let directory = tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    let index = fixture::index(1, 2, 1);
    peer.push("a", "v1", &index).await;
    let child = index.manifests()[0];
    let by_digest = format!("/v2/a/manifests/{}", child.digest());
    assert_eq!(peer.push_manifest("a", "child", child).await.status(), 201);
    let file = directory.path().join(format!("repositories/a/_manifests/{}", child.digest()));
    let mut content = fs::read(&file).expect("it is there");
    *content.last_mut().expect("a byte") = b' ';
    fs::write(&file, content).expect("it is written");
    for path in [&*by_digest, "/v2/a/manifests/child"] {
        assert_eq!(refusal(&peer.get(path).await), refused(404, "MANIFEST_UNKNOWN"), "{path}");
        assert_eq!(peer.ask(Method::HEAD, path, &[], "").await.status(), 404, "{path}");
    }
    let put = peer.push_manifest("a", "v2", &index).await;
    assert_eq!(refusal(&put), refused(404, "MANIFEST_BLOB_UNKNOWN"));
    let headers = [("content-type", &*child.descriptor.media_type), ("if-none-match", "*")];
    // A tag on a damaged manifest is not free for another.
    let other = fixture::image(9, 1);
    for blob in &other.blobs {
        peer.push_blob("a", &blob.bytes).await;
    }
    let tag = "/v2/a/manifests/child";
    assert_eq!(peer.ask(Method::PUT, tag, &headers, other.bytes.clone()).await.status(), 412);
    let put = peer.ask(Method::PUT, tag, &headers, child.bytes.clone()).await;
    assert_eq!(put.status(), 201, "{put:?}");
    assert_eq!(peer.get(&by_digest).await.body(), &child.bytes);
    assert_eq!(peer.push_manifest("a", "v2", &index).await.status(), 201);
}

/// Some clients look by HEAD of the tag alone whether an image must be pushed.
#[tokio::test]
async fn a_head_of_an_image_with_a_damaged_blob_is_404_until_the_blob_is_pushed_again() {
    let directory = tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    let index = fixture::index(1, 2, 1);
    peer.push("a", "all", &index).await;
    let image = index.manifests()[0];
    assert_eq!(peer.push_manifest("a", "v1", image).await.status(), 201);
    let layer = &image.blobs[1];
    let file = format!("repositories/a/_blobs/{}", layer.descriptor.digest);
    fs::write(directory.path().join(file), "x").expect("it is written");
    let head = async |reference: &str| {
        let path = format!("/v2/a/manifests/{reference}");
        peer.ask(Method::HEAD, &path, &[], "").await.status().as_u16()
    };
    let digest = image.digest().to_string();
    for reference in ["v1", &digest] {
        assert_eq!(head(reference).await, 404, "{reference}");
    }
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &image.bytes);
    assert_eq!(head("all").await, 200, "one child does not hide the others");
    peer.push_blob("a", &layer.bytes).await;
    assert_eq!(head("v1").await, 200);
}

#[tokio::test]
async fn nothing_is_read_through_a_symbolic_link() {
    let outside = tempdir().expect("a directory");
    let directory = tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    let image = fixture::image(1, 1);
    peer.push("a", "v1", &image).await;
    peer.push("b", "v1", &image).await;
    // A file of a repository, and a whole repository.
    let repositories = directory.path().join("repositories");
    let files =
        [format!("a/_manifests/{}", image.digest()), "a/_tags/v1".to_owned(), "b".to_owned()];
    for (number, file) in files.iter().enumerate() {
        let (path, target) = (repositories.join(file), outside.path().join(number.to_string()));
        fs::rename(&path, &target).expect("it is there");
        symlink(target, path).expect("it is made");
    }
    let blob = image.blobs[0].descriptor.digest;
    for (path, status) in [
        (format!("/v2/a/manifests/{}", image.digest()), 404),
        ("/v2/a/manifests/v1".to_owned(), 404),
        ("/v2/b/manifests/v1".to_owned(), 404),
        (format!("/v2/b/blobs/{blob}"), 404),
        ("/v2/b/tags/list".to_owned(), 404),
        (format!("/v2/b/referrers/{}", image.digest()), 200),
    ] {
        assert_eq!(peer.get(&path).await.status(), status, "{path}");
    }
    let mount = format!("/v2/c/blobs/uploads/?mount={blob}&from=b");
    assert_eq!(peer.ask(Method::POST, &mount, &[], "").await.status(), 202);
}

/// Nothing waits for its writer.
#[tokio::test]
async fn a_fifo_in_place_of_a_manifest_is_damage() {
    let directory = tempdir().expect("a directory");
    let peer = Peer::on(directory.path()).await;
    let image = fixture::image(1, 1);
    peer.push("a", "v1", &image).await;
    let path = format!("repositories/a/_manifests/{}", image.digest());
    let path = directory.path().join(path);
    fs::remove_file(&path).expect("it is there");
    make_fifo(&path);
    assert_eq!(peer.status("/v2/a/manifests/v1").await, StatusCode::NOT_FOUND);
    assert_eq!(peer.push_manifest("a", "v1", &image).await.status(), StatusCode::CREATED);
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &image.bytes);
}

#[tokio::test]
async fn damaged_files_can_be_written_again_and_deleted() {
    let directory = tempdir().expect("a directory");
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
        let response = peer.get(&path).await;
        assert_eq!(refusal(&response), refused(404, "MANIFEST_UNKNOWN"));
        let text = String::from_utf8_lossy(response.body());
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
