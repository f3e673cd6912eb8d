//! Blobs: pushed, found, read, mounted, rejected.

use bytes::Bytes;
use credentials::{Credential, Secret};
use oci::{Algorithm, Digest, Repository};
use registry_client::{BlobPush, FoundBlob, Mount, Pushed, SMALL_BLOB_BYTES};

use crate::world::{World, client_at, content, differs, has_blob, push, read, refusal};

#[tokio::test]
async fn a_registry_responds() {
    let world = World::new("ping").await;
    world.client().ping(&world.host).await.expect("a registry");
}

#[tokio::test]
async fn blobs_of_any_length_arrive_and_are_not_sent_again() {
    let world = World::new("lengths").await;
    let repository = world.repository("app");
    let small = usize::try_from(SMALL_BLOB_BYTES).expect("a few MiB");
    for length in [0, 1, 1_000, small, small + 1, 2 * small + 12_345] {
        let bytes = content(length);
        let digest = Digest::sha256(&bytes);
        assert!(!has_blob(&repository, &digest).await, "{length}");
        let pushed = push(&repository, &bytes).await.expect("a pushed blob");
        if length > 0 {
            assert_eq!(pushed, Pushed::Sent, "{length}");
        } else if pushed == Pushed::Mounted {
            differs("the empty blob", "it is there before it is pushed");
        }
        assert!(has_blob(&repository, &digest).await, "{length}");
        assert_eq!(read(&repository, &digest).await.expect("the blob"), bytes, "{length}");
        let again = push(&repository, &bytes).await.expect("a pushed blob");
        if again == Pushed::Sent {
            differs("a blob that is there is pushed again", "it wants the bytes once more");
        }
        assert_eq!(read(&repository, &digest).await.expect("the blob"), bytes, "{length}");
    }
}

#[tokio::test]
async fn the_size_of_a_blob_is_known_before_it_is_read() {
    let world = World::new("size").await;
    let (repository, bytes) = (world.repository("app"), content(12_345));
    push(&repository, &bytes).await.expect("a pushed blob");
    let reader = repository.blob(&Digest::sha256(&bytes)).await.expect("the blob");
    match reader.size() {
        Some(size) => assert_eq!(size, 12_345),
        None => differs("the length of a blob", "it is not given"),
    }
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_not_found() {
    let world = World::new("absent").await;
    let digest = Digest::sha256(&content(100));
    let (known, unknown) = (world.repository("known"), world.repository("unknown"));
    push(&known, &content(100)).await.expect("a pushed blob");
    for repository in [known, unknown] {
        assert!(!has_blob(&repository, &digest).await, "{repository}");
    }
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository() {
    let world = World::new("mount").await;
    let (from, bytes) = (world.repository("from"), content(10_000));
    let digest = Digest::sha256(&bytes);
    push(&from, &bytes).await.expect("a pushed blob");

    let to = world.repository("mounted");
    match to.mount_blob(&digest, from.name()).await {
        Ok(Mount::Mounted) => assert!(has_blob(&to, &digest).await),
        Ok(Mount::Upload(upload) | Mount::Replace(upload)) => {
            differs("a mount", "it opens an upload instead");
            upload.cancel().await;
            assert!(!has_blob(&to, &digest).await);
        }
        Err(error) => differs("a mount", refusal(&error)),
    }

    // Whatever the response to the mount, the blob is present after the push.
    let to = world.repository("pushed");
    let wish = BlobPush::new(digest, bytes.len() as u64).mounted_from(from.name());
    if to.push_blob(&wish, &bytes).await.expect("a pushed blob") == Pushed::Sent {
        differs("a push that names another repository", "it wants the bytes");
    }
    assert_eq!(read(&to, &digest).await.expect("the blob"), bytes);
}

#[tokio::test]
async fn a_mount_from_where_the_blob_is_not_ends_with_the_blob_there() {
    let world = World::new("no-mount").await;
    let (empty, bytes) = (world.repository("empty"), content(10_000));
    let digest = Digest::sha256(&bytes);
    push(&empty, &content(10)).await.expect("a pushed blob");
    let absent: Repository = world.name("absent");
    for (at, from) in [empty.name(), &absent].into_iter().enumerate() {
        let to = world.repository(&format!("to{at}"));
        match to.mount_blob(&digest, from).await {
            Ok(Mount::Upload(upload) | Mount::Replace(upload)) => upload.cancel().await,
            Ok(Mount::Mounted) if at == 1 => {
                differs("a mount from where the blob is not", "it finds it elsewhere");
            }
            Ok(Mount::Mounted) => panic!("no repository has it yet"),
            Err(error) => differs("a mount from where the blob is not", refusal(&error)),
        }
        let wish = BlobPush::new(digest, bytes.len() as u64).mounted_from(from);
        to.push_blob(&wish, &bytes).await.expect("a pushed blob");
        assert_eq!(read(&to, &digest).await.expect("the blob"), bytes);
    }
}

#[tokio::test]
async fn a_blob_of_another_digest_is_refused_and_leaves_nothing() {
    let world = World::new("wrong").await;
    let repository = world.repository("app");
    let small = usize::try_from(SMALL_BLOB_BYTES).expect("a few MiB");
    for length in [1_000, small + 1] {
        let (bytes, wrong) = (content(length), Digest::sha256(&content(length)));
        let wish = BlobPush::new(wrong, length as u64);
        let error = repository.push_blob(&wish, &bytes).await.expect_err("a refusal");
        refusal(&error);
        for digest in [wrong, Digest::sha256(&bytes)] {
            assert!(!has_blob(&repository, &digest).await, "{length}");
        }
        push(&repository, &bytes).await.expect("the right digest");
        assert_eq!(read(&repository, &Digest::sha256(&bytes)).await.expect("the blob"), bytes);
    }
}

#[tokio::test]
async fn a_blob_that_ends_too_early_leaves_nothing() {
    let world = World::new("short").await;
    let repository = world.repository("app");
    let bytes = content(10_000);
    let digest = Digest::sha256(&bytes);
    let upload = repository.start_upload().await.expect("a session");
    let half: Bytes = bytes.slice(..5_000);
    upload.put(&digest, 10_000, crate::world::pieces(&half)).await.expect_err("too short");
    for digest in [digest, Digest::sha256(&half)] {
        assert!(!has_blob(&repository, &digest).await);
    }
}

#[tokio::test]
async fn a_blob_may_have_a_sha512() {
    let world = World::new("sha512").await;
    let repository = world.repository("app");
    let bytes = content(20_000);
    let digest = Digest::of(Algorithm::Sha512, &bytes);
    let pushed = repository.push_blob(&BlobPush::new(digest, 20_000), &bytes).await;
    match pushed {
        Ok(pushed) => {
            assert_eq!(pushed, Pushed::Sent);
            assert_eq!(read(&repository, &digest).await.expect("the blob"), bytes);
            let wish = BlobPush::new(digest, 20_000);
            if repository.push_blob(&wish, &bytes).await.expect("a blob") == Pushed::Sent {
                differs("a sha512 blob is pushed again", "it wants the bytes once more");
            }
        }
        Err(error) => {
            differs("a sha512 blob", refusal(&error));
            if let Ok(there) = repository.find_blob(&digest, 20_000).await {
                assert_eq!(there, FoundBlob::Absent);
            }
        }
    }
    push(&repository, &bytes).await.expect("its sha256");
    assert!(has_blob(&repository, &Digest::sha256(&bytes)).await);
}

#[tokio::test]
async fn a_wrong_password_writes_nothing() {
    let world = World::new("password").await;
    let (name, bytes) = (world.name("app"), content(1_000));
    let wrong = Credential::Basic { user: "nobody".to_owned(), password: Secret::new("wrong") };
    let stranger = client_at(&world.host, Some(wrong)).repository(&world.host, &name);
    let pushed = push(&stranger, &bytes).await;
    if world.credential().is_none() {
        assert_eq!(pushed.expect("a pushed blob"), Pushed::Sent);
        differs("a wrong password", "it asks for none");
        return;
    }
    let refused = pushed.expect_err("a refusal");
    assert!(refused.is_unauthorized(), "{refused}");
    let read = stranger
        .find_blob(&Digest::sha256(&bytes), bytes.len() as u64)
        .await
        .expect_err("a refusal");
    assert!(read.is_unauthorized(), "{read}");
    assert!(!has_blob(&world.repository("app"), &Digest::sha256(&bytes)).await);
}
