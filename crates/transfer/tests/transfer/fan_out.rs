//! "Moving a blob".

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use oci::{Descriptor, Digest, Host, media_type};
use registry_client::{RegistryClient, Retries};
use testkit::{
    Body, Fault, TestHost, TestServer,
    fixture::{self, TestImage},
};
use transfer::{BlobOutcome, Destination, copy_blob};
use wording::Chain;

use crate::world::{
    LaxRegistry, REPOSITORY, TestDestinations, client, kill_when, repository, repository_named,
    source_of,
};

/// A blob of many pieces.
const LARGE: usize = 1 << 20;

fn large() -> TestImage {
    fixture::image_with_layers(1, &[LARGE])
}

fn layer(image: &TestImage) -> &Descriptor {
    &image.blobs[1].descriptor
}

/// Copies the layer of `image` from `source` to all of `targets`.
async fn copy(
    source: &TestServer,
    image: &TestImage,
    destinations: &[Destination],
) -> Vec<Result<BlobOutcome, transfer::Error>> {
    let destinations: Vec<_> = destinations.iter().collect();
    copy_blob(&repository(source), &image.digest(), layer(image), &destinations).await
}

fn reads_of(source: &TestServer, digest: &Digest) -> usize {
    let name = digest.to_string();
    source.count(|request| request.method == Method::GET && request.path_and_query.ends_with(&name))
}

#[tokio::test]
async fn one_read_serves_every_destination() {
    let image = large();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(3).await);
    let outcomes = copy(&source, &image, &targets.destinations()).await;
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Ok(BlobOutcome::Sent))),
        "{outcomes:?}"
    );
    assert_eq!(reads_of(&source, &layer(&image).digest), 1);
    assert!(
        blob_store::found(targets.store.head(&layer(&image).digest).await)
            .expect("a response")
            .is_some()
    );
    for registry in &targets.registries {
        let path = format!("/v2/{REPOSITORY}/blobs/{}", layer(&image).digest);
        let stored = testkit::get(&registry.host(), &path).await.expect("a response");
        assert_eq!(stored.body(), &image.blobs[1].bytes);
    }
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let image = fixture::image_with_layers(1, &[0]);
    let (source, targets) = (source_of(&image).await, TestDestinations::new(1).await);
    let outcomes = copy(&source, &image, &targets.destinations()).await;
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Ok(BlobOutcome::Sent))),
        "{outcomes:?}"
    );
    assert!(
        blob_store::found(targets.store.head(&layer(&image).digest).await)
            .expect("a response")
            .is_some()
    );
}

#[tokio::test]
async fn a_destination_that_fails_stops_no_other() {
    for (case, fault) in [
        ("refuses the session", Fault::on(Method::POST, "/uploads/").status(503)),
        ("refuses the content", Fault::on(Method::PUT, "/uploads/").status(400)),
        ("breaks off", Fault::on(Method::PUT, "/uploads/").reset_after_request(100_000)),
        ("breaks off early", Fault::on(Method::POST, "/uploads/").reset()),
    ] {
        let image = large();
        let (source, targets) = (source_of(&image).await, TestDestinations::new(3).await);
        targets.registries[1].fail(fault);
        let outcomes = copy(&source, &image, &targets.destinations()).await;
        let ok: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(ok, [true, false, true, true], "{case}: {outcomes:?}");
        let error = outcomes[1].as_ref().expect_err(case);
        assert!(!error.is_source(), "{case}: {error}");
        let host = targets.registries[1].host();
        assert!(error.to_string().contains(host.as_str()), "{case}: {error}");
        assert_eq!(reads_of(&source, &layer(&image).digest), 1, "{case}");
        assert!(
            blob_store::found(targets.store.head(&layer(&image).digest).await)
                .expect("a response")
                .is_some(),
            "{case}"
        );
    }
}

#[tokio::test]
async fn a_source_that_fails_leaves_nothing_anywhere() {
    let get = || Fault::on(Method::GET, "/blobs/");
    for (case, fault) in [
        ("has it not", get().status(404)),
        ("refuses", get().status(500)),
        ("sends other bytes", get().corrupt()),
        ("sends fewer bytes", get().wrong_length()),
        ("breaks off", get().truncate_after(LARGE - 1)),
        ("falls silent", get().stall_after(LARGE / 2)),
    ] {
        let image = large();
        let (source, targets) = (source_of(&image).await, TestDestinations::new(2).await);
        let lax = LaxRegistry::start().await;
        source.fail(fault);
        let mut destinations = targets.destinations();
        destinations.push(Destination::Registry(repository(&lax.server)));
        let outcomes = copy(&source, &image, &destinations).await;
        assert_eq!(outcomes.len(), 4);
        for outcome in &outcomes {
            let error = outcome.as_ref().expect_err(case);
            assert!(error.is_source(), "{case}: {error}");
            assert!(
                error.to_string().contains(&repository(&source).to_string()),
                "{case}: {error}"
            );
            assert_eq!(error.is_missing(), case == "has it not", "{case}: {error}");
        }
        assert!(targets.know_nothing_of(&layer(&image).digest).await, "{case}");
        assert_eq!(targets.partial_files(), [""; 0], "{case}");
        assert_eq!(lax.kept(), [""; 0], "{case}");
        let missing = outcomes[0].as_ref().expect_err(case).to_string();
        assert!(case != "has it not" || missing.contains(&image.digest().to_string()), "{missing}");
    }
}

#[tokio::test]
async fn a_length_that_is_wrong_once_is_no_proof_of_a_broken_blob() {
    let image = large();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(2).await);
    source.fail(Fault::on(Method::GET, "/blobs/").times(1).wrong_length());
    let outcomes = copy(&source, &image, &targets.destinations()).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(reads_of(&source, &layer(&image).digest), 2);
}

#[tokio::test]
async fn a_blob_of_another_length_than_listed_goes_nowhere() {
    let image = large();
    let (right, content) = (layer(&image), image.blobs[1].bytes.clone());
    let announced = source_of(&image).await;
    let unannounced = TestServer::start(move |_| {
        let pieces = content.chunks(LARGE / 4).map(|piece| content.slice_ref(piece));
        let pieces: Vec<_> = pieces.map(Ok::<_, Infallible>).collect();
        async { Response::new(Body::from_stream(stream::iter(pieces))) }
    });
    let unannounced = unannounced.await;
    for wrong in [right.size + 1, right.size - 1, right.size / 2, 0] {
        for source in [&*announced, &unannounced] {
            let targets = TestDestinations::new(1).await;
            let listed = Descriptor::new(media_type::OCI_LAYER_GZIP, right.digest, wrong);
            let destinations = targets.destinations();
            let destinations: Vec<_> = destinations.iter().collect();
            let outcomes =
                copy_blob(&repository(source), &image.digest(), &listed, &destinations).await;
            for outcome in outcomes {
                let error = outcome.expect_err("it is refused");
                assert!(error.is_source(), "{error}");
                assert!(error.to_string().contains(&format!("says {wrong}")), "{error}");
            }
            assert!(targets.know_nothing_of(&right.digest).await);
        }
    }
}

/// A server that sends `content` without its length, and at the first request only half of it.
async fn unannounced(content: Bytes) -> TestServer {
    let is_first = AtomicBool::new(true);
    TestServer::start(move |request: Request<Body>| {
        let half = content.len() / 2;
        let has_range = request.headers().contains_key(header::RANGE);
        let is_half = is_first.swap(false, Ordering::Relaxed);
        let sent = match (is_half, has_range) {
            (true, _) => content.slice(..half),
            (false, true) => content.slice(half..),
            (false, false) => content.clone(),
        };
        let body = Body::from_stream(stream::iter([Ok::<_, Infallible>(sent)]));
        let mut response = Response::new(body);
        if has_range {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {half}-{}/*", content.len() - 1);
            let range = range.parse().expect("a header");
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        async { response }
    })
    .await
}

#[tokio::test]
async fn a_blob_without_a_length_that_ends_early_is_read_on() {
    let image = large();
    let source = unannounced(image.blobs[1].bytes.clone()).await;
    let targets = TestDestinations::new(1).await;
    let destinations = targets.destinations();
    let destinations: Vec<_> = destinations.iter().collect();
    let retries = Retries::default().base(Duration::from_millis(1));
    let from = RegistryClient::builder().retries(retries).build();
    let from = from.repository(&source.host(), &REPOSITORY.parse().expect("a name"));
    let outcomes = copy_blob(&from, &image.digest(), layer(&image), &destinations).await;
    let is_sent = |outcome: &Result<_, _>| matches!(outcome, Ok(BlobOutcome::Sent));
    assert!(outcomes.iter().all(is_sent), "{outcomes:?}");
    assert_eq!(reads_of(&source, &layer(&image).digest), 2);
}

#[tokio::test]
async fn within_one_registry_a_blob_is_mounted_and_not_read() {
    let image = large();
    let source = source_of(&image).await;
    let elsewhere = Destination::Registry(repository_named(&source, "prod/app"));
    let outcomes = copy(&source, &image, &[elsewhere]).await;
    assert!(matches!(outcomes[..], [Ok(BlobOutcome::Mounted)]), "{outcomes:?}");
    assert_eq!(reads_of(&source, &layer(&image).digest), 0);
    let path = format!("/v2/prod/app/blobs/{}", layer(&image).digest);
    let stored = testkit::get(&source.host(), &path).await.expect("a response");
    assert_eq!(stored.body(), &image.blobs[1].bytes);
}

#[tokio::test]
async fn where_a_mount_is_refused_the_bytes_are_sent() {
    let image = large();
    let source = source_of(&image).await;
    source.fail(Fault::on(Method::POST, "mount=").status(405));
    let elsewhere = Destination::Registry(repository_named(&source, "prod/app"));
    let outcomes = copy(&source, &image, &[elsewhere]).await;
    assert!(matches!(outcomes[..], [Ok(BlobOutcome::Sent)]), "{outcomes:?}");
    assert_eq!(reads_of(&source, &layer(&image).digest), 1);
}

#[tokio::test]
async fn the_session_of_a_refused_mount_is_used() {
    let lax = LaxRegistry::start().await;
    let source = repository_named(&lax.server, "from/here");
    let to = Destination::Registry(repository_named(&lax.server, "to/there"));
    let image = large();
    let outcomes = copy_blob(&source, &image.digest(), layer(&image), &[&to]).await;
    assert!(outcomes[0].as_ref().is_err_and(transfer::Error::is_missing), "{outcomes:?}");
    let methods: Vec<_> = lax.server.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, [Method::POST, Method::GET, Method::DELETE], "one session, given back");
}

#[tokio::test]
async fn a_kill_in_the_middle_leaves_nothing() {
    let image = large();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(2).await);
    source.fail(Fault::on(Method::GET, "/blobs/").times(1).stall_after(LARGE / 2));
    let destinations = targets.destinations();
    let begun = || {
        let put = |at: usize| targets.registries[at].count(|request| request.method == Method::PUT);
        put(0) + put(1) == 2 && !targets.partial_files().is_empty()
    };
    kill_when(copy(&source, &image, &destinations), begun).await;
    assert!(targets.know_nothing_of(&layer(&image).digest).await);
    let outcomes = copy(&source, &image, &destinations).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

#[tokio::test]
async fn a_destination_that_takes_nothing_holds_the_others_up_only_until_its_deadline() {
    // More than sockets hold, so that all destinations wait for it.
    let image = fixture::image_with_layers(1, &[16 << 20]);
    let (source, targets) = (source_of(&image).await, TestDestinations::new(2).await);
    targets.registries[0].fail(Fault::on(Method::PUT, "/uploads/").hang());
    let outcomes = copy(&source, &image, &targets.destinations()).await;
    let ok: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [false, true, true], "{outcomes:?}");
    assert_eq!(reads_of(&source, &layer(&image).digest), 1);
}

#[tokio::test]
async fn an_error_has_its_side_its_cause_once_and_whether_the_registry_responds() {
    let image = large();
    let (source, sink) = (source_of(&image).await, LaxRegistry::start().await);
    let digest = layer(&image).digest;
    let at = |host: &Host| client().repository(host, &REPOSITORY.parse().expect("a name"));
    let closed = TestHost::unreachable();
    let (there, taken) = (source.host(), sink.server.host());
    source.fail(Fault::on(Method::GET, "/v2/none/").status(500));
    sink.server.fail(Fault::on(Method::POST, "/v2/none/").status(500));
    let none = |server: &TestServer| repository_named(server, "none");
    for (from, to, is_source, is_unreachable) in [
        (at(&closed), at(&taken), true, true),
        (at(&there), at(&closed), false, true),
        (none(&source), at(&taken), true, false),
        (at(&there), none(&sink.server), false, false),
    ] {
        let to = Destination::Registry(to);
        let outcomes = copy_blob(&from, &image.digest(), layer(&image), &[&to]).await;
        let [Err(error)] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!((error.is_source(), error.is_unreachable()), (is_source, is_unreachable));
        assert!(error.is_transient(), "{error}");
        let (text, cause) = (Chain(error).to_string(), std::error::Error::source(error));
        assert_eq!(text.matches(&format!("blob {digest}")).count(), 1, "{text}");
        let cause = cause.expect("a cause").to_string();
        assert_eq!(text.matches(&cause).count(), 1, "each level is printed once: {text}");
        assert!(!error.to_string().contains(&cause), "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_takes_only_short_requests_gets_it_in_chunks() {
    let image = fixture::image_with_layers(1, &[12 << 20]);
    let (source, targets) = (source_of(&image).await, TestDestinations::new(1).await);
    targets.registries[0].fail(Fault::on(Method::PATCH, "/uploads/").times(1).status(413));
    let outcomes = copy(&source, &image, &targets.destinations()).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let patches = targets.registries[0].count(|request| request.method == Method::PATCH);
    assert_eq!(patches, 1 + 4);
}

#[tokio::test]
async fn a_source_that_is_gone_when_the_rest_is_read_is_the_one_to_blame() {
    let image = fixture::image_with_layers(1, &[12 << 20]);
    let (source, to) = (source_of(&image).await, TestDestinations::new(1).await);
    to.registries[0].fail(Fault::on(Method::PATCH, "/uploads/").times(1).status(413));
    let blobs = || Fault::on(Method::GET, "/blobs/");
    source.fail(blobs().times(1).drip(1 << 20, Duration::ZERO));
    source.fail(blobs().status(404));
    let registry = &to.destinations()[..1];
    let outcomes = copy(&source, &image, registry).await;
    let [Err(error)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(error.is_source(), "{error}");
    let gone = to.registries[0].count(|request| request.method == Method::DELETE);
    assert_eq!(gone, 1, "the session is not left over");
}
