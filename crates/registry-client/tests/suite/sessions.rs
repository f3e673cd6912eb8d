//! Upload sessions, step by step.

use http::{Method, Request};
use oci::Digest;
use testkit::Body;

use crate::world::{
    WatchedRegistry, World, content, differs, has_blob, pieces, push, read, refusal,
};

#[tokio::test]
async fn an_upload_of_two_parts_says_how_far_it_is() {
    let world = World::new("parts").await;
    let repository = world.repository("app");
    for (length, first) in [(300_000, 123_456), (2, 1), (6 << 20, 5 << 20)] {
        let bytes = content(length);
        let digest = Digest::sha256(&bytes);
        let (one, two) = (bytes.slice(..first), bytes.slice(first..));
        let mut upload = repository.start_upload().await.expect("a session");
        match upload.offset().await {
            Ok(offset) => assert_eq!(offset, 0),
            Err(error) => differs("the offset of a session that has nothing", error.fault()),
        }
        upload.send(0, one.len() as u64, pieces(&one)).await.expect("the first part");
        match upload.offset().await {
            // One byte and none have the same range.
            Ok(offset) => assert_eq!(offset, if first == 1 { 0 } else { first as u64 }),
            Err(error) => differs("the offset of a session", error.fault()),
        }
        assert!(!has_blob(&repository, &digest).await, "nothing is committed yet");
        upload.send(first as u64, two.len() as u64, pieces(&two)).await.expect("the second part");
        match upload.offset().await {
            Ok(offset) => assert_eq!(offset, length as u64),
            Err(error) => differs("the offset of a session", error.fault()),
        }
        upload.finish(&digest, length as u64).await.expect("a blob");
        assert_eq!(read(&repository, &digest).await.expect("the blob"), bytes);
    }
}

#[tokio::test]
async fn a_part_that_comes_out_of_order_is_refused_or_harmless() {
    let world = World::new("order").await;
    let repository = world.repository("app");
    let bytes = content(20_000);
    let digest = Digest::sha256(&bytes);
    let (one, two) = (bytes.slice(..10_000), bytes.slice(10_000..));
    let mut upload = repository.start_upload().await.expect("a session");
    upload.send(0, 10_000, pieces(&one)).await.expect("the first part");
    match upload.send(15_000, 5_000, pieces(&two.slice(5_000..))).await {
        Err(error) => {
            assert_eq!(refusal(&error), "416 Range Not Satisfiable");
            let offset = upload.offset().await.expect("where it stands");
            assert_eq!(offset, 10_000, "the session is as it was");
            upload.send(10_000, 10_000, pieces(&two)).await.expect("the second part");
            upload.finish(&digest, 20_000).await.expect("a blob");
            assert!(has_blob(&repository, &digest).await);
        }
        Ok(()) => {
            differs("a part that comes out of order", "it is taken as if it came in order");
            refusal(&upload.finish(&digest, 20_000).await.expect_err("other bytes"));
            upload.cancel().await;
            assert!(!has_blob(&repository, &digest).await);
        }
    }
}

#[tokio::test]
async fn a_session_that_is_cancelled_is_gone() {
    let world = World::new("cancel").await;
    let watched = WatchedRegistry::new(&world).await;
    let repository = watched.client.repository(&watched.server.host(), &world.name("app"));
    let bytes = content(10_000);
    let digest = Digest::sha256(&bytes);
    let mut upload = repository.start_upload().await.expect("a session");
    upload.send(0, 10_000, pieces(&bytes)).await.expect("the content");
    upload.cancel().await;
    let passed = watched.passed();
    let cancelled = passed.iter().find(|passed| passed.method == Method::DELETE);
    let cancelled = cancelled.expect("the registry responded");
    if cancelled.status.is_success() {
        let mut again = Request::get(&cancelled.target).body(Body::empty()).expect("a request");
        if let Some(authorization) = &cancelled.authorization {
            again.headers_mut().insert(http::header::AUTHORIZATION, authorization.clone());
        }
        let again = testkit::send(&world.host, again).await.expect("a response");
        assert_eq!(again.status(), 404);
    } else {
        differs("cancelling an upload", cancelled.status);
    }
    assert!(!has_blob(&repository, &digest).await);
    push(&repository, &bytes).await.expect("a pushed blob");
    assert!(has_blob(&repository, &digest).await);
}

#[tokio::test]
async fn a_session_of_another_digest_commits_nothing() {
    let world = World::new("finish").await;
    let repository = world.repository("app");
    let (bytes, wrong) = (content(10_000), Digest::sha256(&content(10)));
    let mut upload = repository.start_upload().await.expect("a session");
    upload.send(0, 10_000, pieces(&bytes)).await.expect("the content");
    refusal(&upload.finish(&wrong, 10_000).await.expect_err("a refusal"));
    upload.cancel().await;
    for digest in [wrong, Digest::sha256(&bytes)] {
        assert!(!has_blob(&repository, &digest).await);
    }
}
