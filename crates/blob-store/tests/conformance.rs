//! What every kind of store must do: plain functions that take any empty store. A new kind adds one test that calls
//! [`all`].

#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::collections::HashSet;

use blob_store::{
    BlobStore, BlobWriter, ErrorKind, LIST_PAGE, ListedObject, ObjectHead, Part, Put, WRITE_BATCH,
};
use bytes::Bytes;
use futures_util::future::join_all;
use oci::{Algorithm, Digest};
use tempfile::TempDir;

/// More than any content here.
const MAX: u64 = 1 << 30;

#[tokio::test]
async fn a_directory_conforms() {
    let directories = (0..CHECKS).map(|_| TempDir::new().expect("a directory")).collect::<Vec<_>>();
    let mut urls =
        directories.iter().map(|directory| format!("file://{}", directory.path().display()));
    all(|| BlobStore::open(&urls.next().expect("one for each check")).expect("a store")).await;
}

#[tokio::test]
async fn memory_conforms() {
    all(BlobStore::in_memory).await;
}

/// How many stores [`all`] needs.
const CHECKS: usize = 8;

/// All checks, each with an empty store.
async fn all(mut empty: impl FnMut() -> BlobStore) {
    content_is_read_as_it_was_written(&empty()).await;
    absent_objects_are_not_found(&empty()).await;
    ranges_are_those_of_http(&empty()).await;
    wrong_content_is_never_visible(&empty()).await;
    nothing_is_visible_before_the_commit(&empty()).await;
    an_object_is_written_once(&empty()).await;
    concurrent_writers_of_one_object_agree(&empty()).await;
    listings_are_complete_and_in_order(&empty()).await;
}

async fn content_is_read_as_it_was_written(store: &BlobStore) {
    for content in [Bytes::new(), Bytes::from_static(b"x"), vec![7; 2 * WRITE_BATCH + 1].into()] {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let (digest, length) = (Digest::of(algorithm, &content), content.len() as u64);
            let mut writer = store.writer(&digest, length).await.expect("a writer");
            for piece in content.chunks(100_000) {
                writer.write(content.slice_ref(piece)).await.expect("written");
            }
            assert_eq!(writer.commit().await.expect("a commit"), Put::Written);
            assert_eq!(store.head(&digest).await.expect("a head"), ObjectHead { length });
            assert_eq!(store.get(&digest, Part::Whole, length).await.expect("content"), content);
            if length > 0 {
                let error = store.get(&digest, Part::Whole, length - 1).await.expect_err("a bound");
                assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
            }
        }
    }
}

async fn absent_objects_are_not_found(store: &BlobStore) {
    let check = async |digest: &Digest| {
        let head = store.head(digest).await.expect_err("nothing");
        let part = Part::Range(0..1);
        for error in [
            head,
            store.get(digest, Part::Whole, MAX).await.expect_err("nothing"),
            store.get(digest, part, MAX).await.expect_err("nothing"),
        ] {
            assert!(error.is_not_found() && !error.is_transient(), "{error}");
            assert!(error.key().contains(&digest.to_string()), "{error}");
        }
    };
    let (absent, present) = (Digest::sha256(b"absent"), Bytes::from_static(b"present"));
    check(&absent).await;
    assert_eq!(store.list("", None).await.expect("a listing"), []);
    store.put(&Digest::sha256(&present), present.clone()).await.expect("a write");
    check(&absent).await;
    // The same bytes under another algorithm are another object.
    check(&Digest::of(Algorithm::Sha512, &present)).await;
}

async fn ranges_are_those_of_http(store: &BlobStore) {
    let content = Bytes::from_static(b"portolan");
    let digest = Digest::sha256(&content);
    store.put(&digest, content).await.expect("a write");
    for (range, expected) in
        [(0..4, "port"), (4..8, "olan"), (7..8, "n"), (4..99, "olan"), (0..u64::MAX, "portolan")]
    {
        let part = store.get(&digest, Part::Range(range.clone()), 8).await.expect("a part");
        assert_eq!(part, expected, "{range:?}");
    }
    for range in [8..9, 99..100, 3..3] {
        let error = store.get(&digest, Part::Range(range.clone()), 8).await.expect_err("no bytes");
        assert_eq!(error.kind(), ErrorKind::RangeNotSatisfiable, "{range:?}: {error}");
    }
    // The bound is that of the part, not of the object.
    assert_eq!(store.get(&digest, Part::Range(2..4), 2).await.expect("a part"), "rt");
    let error = store.get(&digest, Part::Range(2..5), 2).await.expect_err("a bound");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}

async fn wrong_content_is_never_visible(store: &BlobStore) {
    let right = Bytes::from_static(b"right");
    let digest = Digest::sha256(&right);
    for (content, length) in
        [("wrong", 5), ("", 5), ("", 0), ("right and more", 5), ("righ", 5), ("right", 6)]
    {
        let mut writer = store.writer(&digest, length).await.expect("a writer");
        let written = writer.write(Bytes::from_static(content.as_bytes())).await;
        let refused = match written {
            Ok(()) => writer.commit().await.map(drop),
            Err(error) => Err(error),
        };
        let error = refused.expect_err("other content");
        assert!(error.is_wrong_content(), "{content} {length}: {error}");
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
        assert!(store.head(&digest).await.expect_err("nothing").is_not_found(), "{content}");
        assert_eq!(store.list("", None).await.expect("a listing"), [], "{content}");
    }
    assert_eq!(store.put(&digest, right).await.expect("a write"), Put::Written);
}

/// A writer that is dropped is what a killed transfer leaves.
async fn nothing_is_visible_before_the_commit(store: &BlobStore) {
    let content = Bytes::from(vec![3; 2 * WRITE_BATCH]);
    let digest = Digest::sha256(&content);
    let begin = async |upto: usize| -> BlobWriter {
        let mut writer = store.writer(&digest, content.len() as u64).await.expect("a writer");
        writer.write(content.slice(..upto)).await.expect("written");
        assert!(store.head(&digest).await.expect_err("nothing").is_not_found());
        assert_eq!(store.list("", None).await.expect("a listing"), []);
        writer
    };
    drop(begin(WRITE_BATCH).await);
    drop(begin(content.len()).await);
    assert!(store.head(&digest).await.expect_err("nothing").is_not_found());
    assert_eq!(begin(content.len()).await.commit().await.expect("a commit"), Put::Written);
}

async fn an_object_is_written_once(store: &BlobStore) {
    for content in [Bytes::new(), Bytes::from_static(b"once")] {
        let digest = Digest::sha256(&content);
        for expected in [Put::Written, Put::AlreadyThere, Put::AlreadyThere] {
            assert_eq!(store.put(&digest, content.clone()).await.expect("a write"), expected);
        }
    }
}

async fn concurrent_writers_of_one_object_agree(store: &BlobStore) {
    let content = Bytes::from(vec![5; WRITE_BATCH + 1]);
    let digest = Digest::sha256(&content);
    let writers = (0..8).map(|_| {
        let (store, content) = (store.clone(), content.clone());
        async move { store.put(&Digest::sha256(&content), content).await.expect("a write") }
    });
    let results = join_all(writers.map(tokio::spawn)).await;
    let written = results.iter().filter(|put| matches!(put, Ok(Put::Written))).count();
    assert_eq!(written, 1, "{results:?}");
    let there = results.iter().filter(|put| matches!(put, Ok(Put::AlreadyThere))).count();
    assert_eq!(there, 7, "{results:?}");
    assert_eq!(store.get(&digest, Part::Whole, MAX).await.expect("content"), content);
}

async fn listings_are_complete_and_in_order(store: &BlobStore) {
    let contents: Vec<_> =
        (0..LIST_PAGE + 2).map(|number| Bytes::from(number.to_string())).collect();
    // From memory to the store without waiting for each one's durability in turn.
    let puts = contents.iter().map(|content| async {
        store.put(&Digest::sha256(content), content.clone()).await.expect("a write")
    });
    join_all(puts).await;
    let long = Digest::of(Algorithm::Sha512, b"x");
    store.put(&long, Bytes::from_static(b"x")).await.expect("a write");
    let (mut all, mut after) = (Vec::<ListedObject>::new(), None);
    loop {
        let page = store.list("", after.as_ref()).await.expect("a page");
        assert!(page.len() <= LIST_PAGE);
        all.extend(&page);
        after = page.last().map(|listed| listed.digest);
        if page.len() < LIST_PAGE {
            break;
        }
    }
    let names: Vec<_> = all.iter().map(|listed| listed.digest.to_string()).collect();
    assert!(names.is_sorted(), "in the order of their texts");
    let found: HashSet<_> = all.iter().map(|listed| (listed.digest, listed.length)).collect();
    let expected = contents.iter().map(|content| (Digest::sha256(content), content.len() as u64));
    assert_eq!(found, expected.chain([(long, 1)]).collect());
    assert_eq!(all.len(), contents.len() + 1, "each once");
    let only = store.list("sha512:", None).await.expect("a page");
    assert_eq!(only.iter().map(|listed| listed.digest).collect::<Vec<_>>(), [long]);
    assert_eq!(store.list("sha999:", None).await.expect("a page"), []);
}
