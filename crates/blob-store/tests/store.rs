//! The table "The directory store" of `docs/internals/mirror.md`.

#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::{fs, path::Path};

use blob_store::{BlobStore, ErrorKind, ObjectHead, Part, Put, WRITE_BATCH, found, key};
use bytes::Bytes;
use oci::{Algorithm, Digest};
use tempfile::TempDir;

fn store_in(directory: &Path) -> BlobStore {
    BlobStore::open(&format!("file://{}", directory.display())).expect("a store")
}

/// The length of what the store has; none if it has nothing.
async fn length(store: &BlobStore, digest: &Digest) -> Option<u64> {
    found(store.head(digest).await).expect("a result").map(|ObjectHead { length }| length)
}

/// Everything in a directory, as paths relative to it, the lock left out.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).expect("it lists").map(|entry| entry.expect("an entry")) {
            match entry.file_type().expect("a type").is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    let relative =
        |path: &Path| path.strip_prefix(directory).expect("it lies below").display().to_string();
    let mut found: Vec<_> = found.iter().map(|path| relative(path)).collect();
    found.retain(|path| path != ".portolan/lock");
    found.sort();
    found
}

#[tokio::test]
async fn what_is_put_is_there_whole_under_its_key() {
    let directory = TempDir::new().expect("a directory");
    let store = store_in(directory.path());
    let large = Bytes::from(vec![7; 3 * WRITE_BATCH + 1]);
    for content in [Bytes::new(), Bytes::from_static(b"layer"), large] {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, &content);
            assert_eq!(length(&store, &digest).await, None);
            let mut writer = store.writer(&digest, content.len() as u64).await.expect("a writer");
            for piece in content.chunks(100_000) {
                writer.write(content.slice_ref(piece)).await.expect("it writes");
            }
            assert_eq!(writer.commit().await.expect("it commits"), Put::Written);
            let max = content.len() as u64;
            assert_eq!(length(&store, &digest).await, Some(max));
            let read = store.get(&digest, Part::Whole, max).await.expect("it reads");
            assert_eq!(read, content);
            assert!(directory.path().join(key(&digest)).is_file());
        }
    }
    assert_eq!(files(directory.path()).len(), 6, "and nothing else");
}

#[tokio::test]
async fn a_wrong_digest_is_never_visible() {
    let directory = TempDir::new().expect("a directory");
    let store = store_in(directory.path());
    let digest = Digest::sha256(b"right");
    for wrong in [Bytes::new(), Bytes::from_static(b"wrong"), vec![1; WRITE_BATCH + 1].into()] {
        let refused = store.put(&digest, wrong).await.expect_err("it is refused");
        assert!(refused.is_wrong_content(), "{refused}");
        assert!(refused.to_string().contains(&digest.to_string()), "{refused}");
    }
    assert_eq!(files(directory.path()), [""; 0]);
    assert_eq!(length(&store, &digest).await, None);
}

#[tokio::test]
async fn a_dropped_writer_leaves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let store = store_in(directory.path());
    let digest = Digest::sha256(b"never");
    let mut writer = store.writer(&digest, 5).await.expect("a writer");
    writer.write(vec![0; WRITE_BATCH].into()).await.expect("it writes");
    let while_writing = files(directory.path());
    assert!(while_writing.len() == 1 && while_writing[0].starts_with(".portolan/partial-"));
    assert_eq!(length(&store, &digest).await, None);
    drop(writer);
    assert_eq!(files(directory.path()), [""; 0]);
}

#[tokio::test]
async fn of_two_writers_one_puts_it_and_the_other_finds_it_there() {
    let directory = TempDir::new().expect("a directory");
    let (ours, theirs) = (store_in(directory.path()), store_in(directory.path()));
    let content = Bytes::from_static(b"the same");
    let digest = Digest::sha256(&content);
    let mut one = ours.writer(&digest, 8).await.expect("a writer");
    let mut other = theirs.writer(&digest, 8).await.expect("a writer");
    one.write(content.clone()).await.expect("it writes");
    other.write(content.clone()).await.expect("it writes");
    assert_eq!(one.commit().await.expect("it commits"), Put::Written);
    assert_eq!(other.commit().await.expect("it commits"), Put::AlreadyThere);
    assert_eq!(files(directory.path()), [key(&digest)]);
}

#[tokio::test]
async fn leftovers_of_killed_processes_are_deleted_when_there_is_no_writer() {
    let directory = TempDir::new().expect("a directory");
    let leftover = directory.path().join(".portolan/partial-killed");
    let leave = || {
        fs::create_dir_all(leftover.parent().expect("a parent")).expect("it is made");
        fs::write(&leftover, b"half").expect("it is written");
    };
    let put = |text: &'static str| {
        let store = store_in(directory.path());
        async move {
            let content = Bytes::from_static(text.as_bytes());
            store.put(&Digest::sha256(&content), content).await.expect("it is put");
            store
        }
    };
    leave();
    let alive = put("first").await;
    assert!(!leftover.exists(), "no other process writes, so it is a leftover");
    leave();
    put("second").await;
    assert!(leftover.exists(), "another writer lives, so it may be its");
    drop(alive);
    put("third").await;
    assert!(!leftover.exists());
}

#[tokio::test]
async fn only_partial_files_of_ours_are_removed_and_no_link_is_followed() {
    let directory = TempDir::new().expect("a directory");
    let elsewhere = TempDir::new().expect("a directory");
    let content = Bytes::from_static(b"content");
    let digest = Digest::sha256(&content);
    let foreign = ["partial-notes.txt", "partial-", "partial-longer-name", "draft"];
    for place in [directory.path().join(".portolan"), elsewhere.path().to_owned()] {
        fs::create_dir_all(&place).expect("it is made");
        for name in foreign.iter().chain(&["partial-abcdef"]) {
            fs::write(place.join(name), b"x").expect("it is written");
        }
    }
    store_in(directory.path()).put(&digest, content.clone()).await.expect("it is put");
    let hidden = directory.path().join(".portolan");
    assert!(foreign.iter().all(|name| hidden.join(name).exists()));
    assert!(!hidden.join("partial-abcdef").exists());

    let directories = [(".portolan", ""), ("containers", ""), ("containers/images", "")];
    for (link, target) in [(".portolan/lock", "draft")].into_iter().chain(directories) {
        let directory = TempDir::new().expect("a directory");
        let link = directory.path().join(link);
        fs::create_dir_all(link.parent().expect("a parent")).expect("it is made");
        std::os::unix::fs::symlink(elsewhere.path().join(target), &link).expect("a link");
        let refused = store_in(directory.path()).put(&digest, content.clone()).await;
        let refused = refused.expect_err("it is a link").to_string();
        assert!(refused.contains(&format!("cannot use `{}`: it is a symbolic", link.display())));
        if link.starts_with(directory.path().join("containers")) {
            let read = store_in(directory.path()).head(&digest).await;
            assert!(read.expect_err("it is a link").to_string().contains("a symbolic link"));
        }
    }
    assert_eq!(fs::read(elsewhere.path().join("draft")).expect("it reads"), b"x");
    assert!(elsewhere.path().join("partial-abcdef").exists());
}

#[tokio::test]
async fn a_damaged_file_is_replaced_by_its_content() {
    let directory = TempDir::new().expect("a directory");
    let store = store_in(directory.path());
    let content = Bytes::from_static(b"content");
    let digest = Digest::sha256(&content);
    let path = directory.path().join(key(&digest));
    fs::create_dir_all(path.parent().expect("a parent")).expect("it is made");
    for damaged in ["", "cont", "c0ntent", "content and more"] {
        fs::write(&path, damaged).expect("it is written");
        let put = store.put(&digest, content.clone()).await;
        assert_eq!(put.expect(damaged), Put::Repaired, "{damaged}");
        assert_eq!(fs::read(&path).expect("it reads"), content);
    }
    assert_eq!(store.put(&digest, content).await.expect("it is put"), Put::AlreadyThere);
    assert_eq!(files(directory.path()), [key(&digest)], "and no partial file stays");
}

#[tokio::test]
async fn the_lock_is_held_even_if_a_leftover_cannot_be_removed() {
    let directory = TempDir::new().expect("a directory");
    let hidden = directory.path().join(".portolan");
    fs::create_dir_all(hidden.join("partial-folder")).expect("it is made");
    fs::write(hidden.join("partial-abcdef"), b"half").expect("it is written");
    let store = store_in(directory.path());
    let content = Bytes::from_static(b"content");
    store.put(&Digest::sha256(&content), content).await.expect("it is put");
    let lock = fs::File::open(hidden.join("lock")).expect("a lock");
    assert!(lock.try_lock().is_err(), "another process would take what we write for leftovers");
    drop(store);
    lock.try_lock().expect("there is no writer any more");
    assert!(hidden.join("partial-folder").exists() && !hidden.join("partial-abcdef").exists());
}

#[tokio::test]
async fn an_error_has_its_cause_once() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, b"in the way").expect("it is written");
    let content = Bytes::from_static(b"content");
    let put = store_in(&file).put(&Digest::sha256(&content), content).await;
    let error = put.expect_err("no directory can be made");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.ends_with("(os error 20)"), "{cause}");
    assert!(!error.to_string().contains(&cause), "it would be printed twice: {error}");
}

#[tokio::test]
async fn reading_makes_no_directory() {
    let directory = TempDir::new().expect("a directory");
    let absent = directory.path().join("a/b");
    let store = store_in(&absent);
    let digest = Digest::sha256(b"x");
    assert_eq!(length(&store, &digest).await, None);
    let read = store.get(&digest, Part::Whole, 10).await.expect_err("an empty store");
    assert!(read.is_not_found(), "{read}");
    assert!(!directory.path().join("a").exists());
    store.put(&digest, Bytes::from_static(b"x")).await.expect("it is put");
    assert_eq!(length(&store, &digest).await, Some(1));
}

#[tokio::test]
async fn what_was_damaged_is_not_given_out() {
    let directory = TempDir::new().expect("a directory");
    let store = store_in(directory.path());
    let content = Bytes::from_static(b"manifest");
    let digest = Digest::sha256(&content);
    store.put(&digest, content).await.expect("it is put");
    let long = store.get(&digest, Part::Whole, 7).await.expect_err("it is longer");
    assert_eq!(long.kind(), ErrorKind::TooLarge, "{long}");
    assert!(long.to_string().contains("has 8 bytes, more than the 7 "), "{long}");
    let path = directory.path().join(key(&digest));
    fs::write(&path, b"damaged!").expect("it is damaged");
    let corrupt = store.get(&digest, Part::Whole, 100).await.expect_err("it is damaged");
    assert!(corrupt.to_string().contains(&path.display().to_string()), "{corrupt}");
}

#[tokio::test]
async fn an_error_names_the_path() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, b"").expect("it is written");
    let store = store_in(&file);
    let refused =
        store.put(&Digest::sha256(b""), Bytes::new()).await.expect_err("a file is no directory");
    assert!(refused.to_string().contains(&file.display().to_string()), "{refused}");
}

#[test]
fn only_local_directories_are_stores() {
    for good in ["file:///srv/blobs", "file:///srv/blobs/", "file://localhost/srv/blobs"] {
        assert_eq!(BlobStore::open(good).expect(good).to_string(), good.replace("localhost", ""));
    }
    for bad in [
        "",
        "/srv/blobs",
        "s3://bucket",
        "file://srv/blobs",
        "file:///a?b",
        "file:///a#b",
        "https://h/",
    ] {
        let refused = BlobStore::open(bad).expect_err(bad).to_string();
        assert!(refused.contains("; write file:///"), "{bad}: {refused}");
    }
}
