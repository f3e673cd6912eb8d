//! Writes of a tag that other clients write too, and clients with other credentials: the rows of `docs/internals/registry-client.md`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use credentials::{Credential, Credentials};
use http::Method;
use oci::{Digest, Tag};
use registry_client::{
    Error, FetchedManifest, Merge, Quota, RegistryClient, RepositoryClient, Retries, TagWrite,
};
use testkit::{Fault, TestRegistry, fixture, fixture::TestImage};

use crate::support::{Scripted, reply};

fn repository(registry: &TestRegistry) -> RepositoryClient {
    let client = RegistryClient::builder().retries(Retries::none()).build();
    client.repository(&registry.host(), &"app".parse().expect("a name"))
}

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

async fn put(repository: &RepositoryClient, image: &TestImage) -> Result<TagWrite, Error> {
    let (media_type, bytes) = (&image.descriptor.media_type, image.bytes.clone());
    repository.put_tag_if_absent(&tag("v1"), media_type, bytes).await
}

#[tokio::test]
async fn a_tag_is_written_only_where_there_is_none() {
    let registry = TestRegistry::start().await;
    let (one, other) = (fixture::image(1, 1), fixture::image(2, 1));
    for image in [&one, &other] {
        registry.load("app", None, image).await;
    }
    let repository = repository(&registry);
    assert_eq!(put(&repository, &one).await.expect("written"), TagWrite::Written(one.digest()));
    for image in [&other, &one] {
        assert_eq!(put(&repository, image).await.expect("a response"), TagWrite::Taken);
    }
    assert_eq!(registry.digest_of("app", "v1").await, Some(one.digest()));
    registry.fail(Fault::on(Method::PUT, "").status(403));
    assert_eq!(
        put(&repository, &other).await.expect_err("refused").status().map(|it| it.as_u16()),
        Some(403)
    );
}

/// A manifest that lists what the first one lists, and one annotation more.
fn annotated(there: Option<&FetchedManifest>, image: &TestImage, key: &str) -> FetchedManifest {
    let bytes = there.map_or(&image.bytes, |there| &there.bytes);
    let mut json: serde_json::Value = serde_json::from_slice(bytes).expect("a manifest");
    json["annotations"][key] = "x".into();
    let bytes = bytes::Bytes::from(json.to_string());
    let media_type = image.descriptor.media_type.clone();
    FetchedManifest { digest: Digest::sha256(&bytes), media_type, bytes }
}

fn has(there: &FetchedManifest, key: &str) -> bool {
    let json: serde_json::Value = serde_json::from_slice(&there.bytes).expect("a manifest");
    json["annotations"][key] == "x"
}

/// Adds an annotation to whatever the tag is on.
async fn add(
    repository: &RepositoryClient,
    image: &TestImage,
    key: &str,
) -> Result<Option<Digest>, Error> {
    let tag = tag("v1");
    let merged = repository.merge_at_tag(&tag, |there| {
        let is_there = there.as_ref().is_some_and(|there| has(there, key));
        let write = || Merge::Write(annotated(there.as_ref(), image, key));
        std::future::ready(Ok(if is_there { Merge::Enough } else { write() }))
    });
    merged.await
}

#[tokio::test]
async fn what_many_merge_at_once_is_all_there() {
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 1);
    registry.load("app", None, &image).await;
    let repository = repository(&registry);
    let keys = ["a", "b", "c", "d"];
    let merges = keys.map(|key| add(&repository, &image, key));
    let merged = futures_util::future::join_all(merges).await;
    let on = registry.digest_of("app", "v1").await.expect("it is there");
    assert!(merged.iter().all(|merged| merged.as_ref().expect("merged").is_some()));
    let there = repository.manifest(&tag("v1").into()).await.expect("it is there");
    assert!(keys.iter().all(|key| has(&there, key)), "{there:?}");
    assert_eq!(there.digest, on);
    let before = registry.requests().len();
    assert_eq!(add(&repository, &image, "a").await.expect("enough"), Some(on));
    assert_eq!(registry.requests().len() - before, 1, "what is there already is read once");
}

#[tokio::test]
async fn who_never_gets_a_turn_gives_up_and_who_refuses_is_heard() {
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 1);
    registry.load("app", "v1", &image).await;
    registry.fail(Fault::on(Method::PUT, "/manifests/v1").status(412));
    let repository = repository(&registry);
    let error = add(&repository, &image, "a").await.expect_err("it is never written");
    assert!(error.to_string().contains("5"), "{error}");
    assert_eq!(registry.count(|it| it.method == Method::PUT), 5);
    #[derive(Debug)]
    enum Why {
        Registry,
        Ours,
    }
    impl From<Error> for Why {
        fn from(_: Error) -> Self {
            Self::Registry
        }
    }
    let tag = tag("v2");
    let refused = repository.merge_at_tag(&tag, |_| std::future::ready(Err::<Merge, _>(Why::Ours)));
    assert!(matches!(refused.await, Err(Why::Ours)));
    registry.fail(Fault::on(Method::GET, "/manifests/v2").status(500));
    let unread = repository.merge_at_tag(&tag, |_| std::future::ready(Ok::<_, Why>(Merge::Enough)));
    assert!(matches!(unread.await, Err(Why::Registry)));
}

#[tokio::test]
async fn a_client_acts_as_somebody_else_with_the_same_quota_and_counters() {
    let registry = TestRegistry::start().await;
    let host = registry.host();
    let realm = "Basic realm=\"x\"";
    let asking = Fault::everywhere("/v2/app/").status(401).header("www-authenticate", realm);
    registry.fail(asking.unless_authorized());
    let quota = Quota { bytes_per_second: Some(1000), ..Quota::default() };
    let client =
        RegistryClient::builder().retries(Retries::none()).quota(host.clone(), quota).build();
    let credential = Credential::Basic { user: "u".to_owned(), password: "p".to_owned().into() };
    let acting = client.acting_as(Credentials::builder().with(&host, credential).build());
    let tags = async |client: &RegistryClient| {
        client.repository(&host, &"app".parse().expect("a name")).tags().await
    };
    assert!(tags(&client).await.expect_err("anonymous").is_unauthorized());
    assert_eq!(tags(&acting).await.expect("known").names, []);
    assert!(tags(&client).await.expect_err("still anonymous").is_unauthorized());
    assert_eq!(client.usage(), acting.usage());
    assert_eq!(client.usage()[0].reads, registry.requests().len() as u64);
    for client in [&client, &acting] {
        assert_eq!(client.estimate_bytes(&host, 5000), Duration::from_secs(5));
        let elsewhere = "other.example".parse().expect("a host");
        assert_eq!(client.estimate_bytes(&elsewhere, 5000), Duration::ZERO);
    }
}

/// The same as [`repository`], with retries that do not wait.
fn patient(registry: &TestRegistry) -> RepositoryClient {
    let client = RegistryClient::builder()
        .retries(Retries::default().base(Duration::from_millis(1)))
        .build();
    client.repository(&registry.host(), &"app".parse().expect("a name"))
}

fn puts(registry: &TestRegistry) -> usize {
    registry.count(|it| it.method == Method::PUT && it.path_and_query.ends_with("/manifests/v1"))
}

#[tokio::test]
async fn a_tag_write_without_a_response_is_read_by_get_and_repeated_only_if_it_was_not_done() {
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    let on = |fault: fn(Fault) -> Fault| fault(Fault::on(Method::PUT, "/manifests/v1"));
    // Not done: repeated. Done: found.
    for (fault, count) in [(on(|it| it.times(1).reset()), 2), (on(Fault::lose_response), 1)] {
        let registry = TestRegistry::start().await;
        registry.load("app", None, &ours).await;
        registry.fail(fault);
        let written = put(&patient(&registry), &ours).await.expect("it is there");
        assert_eq!(written, TagWrite::Written(ours.digest()));
        assert_eq!((puts(&registry), registry.tags("app").await), (count, vec!["v1".to_owned()]));
    }
    // Another client was faster, at a registry without conditions.
    let registry = TestRegistry::start().await;
    registry.load("app", None, &ours).await;
    registry.load("app", "v1", &theirs).await;
    registry.fail(on(|it| it.times(1).reset()));
    registry.fail(on(Fault::ignore_conditions));
    assert_eq!(put(&patient(&registry), &ours).await.expect("a response"), TagWrite::Taken);
    assert_eq!(registry.digest_of("app", "v1").await, Some(theirs.digest()));
    // It never succeeds: the retries of a request are all.
    let registry = TestRegistry::start().await;
    registry.load("app", None, &ours).await;
    registry.fail(on(Fault::reset));
    let error = put(&patient(&registry), &ours).await.expect_err("it breaks each time");
    assert!(error.is_transient() && puts(&registry) == 8, "{error}: {}", puts(&registry));
}

/// Refuses every request that carries a condition, and carries out the others.
async fn registry_refusing_conditions(status: u16) -> TestRegistry {
    let registry = TestRegistry::start().await;
    registry.fail(Fault::on(Method::PUT, "/manifests/").if_conditional().status(status));
    registry
}

#[tokio::test]
async fn a_registry_that_rejects_conditions_is_written_to_right_after_a_get() {
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    for status in [400, 412, 501] {
        let registry = registry_refusing_conditions(status).await;
        registry.load("app", None, &ours).await;
        let repository = patient(&registry);
        let written = put(&repository, &ours).await.expect("it is written");
        assert_eq!(written, TagWrite::Written(ours.digest()), "{status}");
        let sent = registry.requests();
        let [.., before, last] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(last.method, Method::PUT, "{status}");
        assert_eq!(before.method, Method::GET, "{status}");
        // The rejection is recorded for the host: a second tag is not tried with a condition, and never overwritten.
        registry.load("app", "v1", &theirs).await;
        registry.clear_requests();
        assert_eq!(put(&repository, &ours).await.expect("a response"), TagWrite::Taken);
        assert_eq!((puts(&registry), registry.requests().len()), (0, 1), "{status}");
    }
}

#[tokio::test]
async fn a_tag_that_exists_is_not_written_where_conditions_are_rejected() {
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    for status in [400, 412, 501] {
        let registry = registry_refusing_conditions(status).await;
        registry.load("app", None, &ours).await;
        registry.load("app", "v1", &theirs).await;
        assert_eq!(put(&patient(&registry), &ours).await.expect("a response"), TagWrite::Taken);
        // A replica that is behind: the listing names the tag.
        registry.fail(Fault::on(Method::GET, "/manifests/v1").status(404));
        assert_eq!(put(&patient(&registry), &ours).await.expect("a response"), TagWrite::Taken);
        assert_eq!(registry.digest_of("app", "v1").await, Some(theirs.digest()), "{status}");
    }
    // A registry that has taken the condition before means its 412.
    let registry = TestRegistry::start().await;
    registry.load("app", None, &ours).await;
    let repository = patient(&registry);
    put(&repository, &ours).await.expect("written");
    registry.fail(Fault::on(Method::GET, "").status(404));
    assert_eq!(put(&repository, &theirs).await.expect("a response"), TagWrite::Taken);
    assert_eq!(registry.digest_of("app", "v1").await, Some(ours.digest()));
    // One that refuses the manifest itself is heard.
    let registry = TestRegistry::start().await;
    registry.fail(Fault::on(Method::PUT, "/manifests/").status(400));
    let error = put(&patient(&registry), &ours).await.expect_err("refused");
    assert_eq!(error.status().map(|it| it.as_u16()), Some(400));
}

#[tokio::test]
async fn a_condition_that_was_honoured_is_not_recorded_as_rejected() {
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    let (there, media_type) = (theirs.bytes.clone(), theirs.descriptor.media_type.clone());
    for is_known in [false, true] {
        let (there, media_type) = (there.clone(), media_type.clone());
        // Another write to `v1` is done between our first GET and our PUT; no response has an `ETag`.
        let is_read = AtomicBool::new(false);
        let registry = Scripted::start(move |request| {
            let is_v1 = request.target.ends_with("/manifests/v1");
            match (&request.method, request.header("if-none-match")) {
                (&Method::GET, _) if is_v1 && is_read.swap(true, Ordering::Relaxed) => {
                    let text = std::str::from_utf8(&there).expect("JSON");
                    reply(200, &[&format!("Content-Type: {media_type}")], text)
                }
                (&Method::GET, _) => reply(404, &[], ""),
                (_, "*") if is_v1 => reply(412, &[], ""),
                _ => reply(201, &[], ""),
            }
        })
        .await;
        let client = RegistryClient::builder().retries(Retries::none()).build();
        let repository = client.repository(&registry.host, &"app".parse().expect("a name"));
        let write = async |to: &str| {
            let (media_type, bytes) = (&ours.descriptor.media_type, ours.bytes.clone());
            repository.put_tag_if_absent(&tag(to), media_type, bytes).await.expect("a response")
        };
        if is_known {
            write("v0").await;
        }
        let mut merges = 0;
        let v1 = tag("v1");
        let merged = repository.merge_at_tag(&v1, |_| {
            merges += 1;
            let merged = annotated(None, &ours, "a");
            let step = if merges > 2 { Merge::Enough } else { Merge::Write(merged) };
            std::future::ready(Ok::<_, Error>(step))
        });
        merged.await.expect("merged");
        write("v2").await;
        let requests = registry.received();
        let is_by_tag = |target: &str| !target.contains("sha256:");
        let puts = requests.iter().filter(|it| it.method == Method::PUT);
        let conditions = puts.filter(|it| is_by_tag(&it.target));
        let conditions: Vec<_> =
            conditions.map(|it| (it.target.as_str(), it.header("if-none-match"))).collect();
        let start = usize::from(!is_known);
        let expected = [("v0", "*"), ("v1", "*"), ("v1", ""), ("v2", "*")];
        let expected = expected.map(|(tag, sent)| (format!("/v2/app/manifests/{tag}"), sent));
        let expected: Vec<_> = expected.iter().map(|(path, sent)| (path.as_str(), *sent)).collect();
        assert_eq!(conditions, expected[start..], "{is_known}");
    }
    // A tag that another one wrote meanwhile is not written at all.
    let registry = TestRegistry::start().await;
    registry.load("app", None, &ours).await;
    registry.load("app", "v1", &theirs).await;
    assert_eq!(put(&patient(&registry), &ours).await.expect("a response"), TagWrite::Taken);
    assert_eq!(puts(&registry), 1);
}

#[tokio::test]
async fn a_merge_goes_on_without_conditions_where_they_are_rejected() {
    for status in [400, 412, 501] {
        let registry = registry_refusing_conditions(status).await;
        let image = fixture::image(1, 1);
        registry.load("app", None, &image).await;
        let repository = patient(&registry);
        for key in ["a", "b"] {
            assert!(add(&repository, &image, key).await.expect("merged").is_some(), "{status}");
        }
        let there = repository.manifest(&tag("v1").into()).await.expect("it is there");
        assert!(has(&there, "a") && has(&there, "b"), "{status}");
    }
}

/// The response of distribution 2 to a manifest, while it writes one that this one lists under another tag.
const UNKNOWN: &str = r#"{"errors":[
    {"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"},
    {"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;

fn unknown() -> Fault {
    Fault::on(Method::PUT, "/manifests/v1").status(400).body(UNKNOWN)
}

#[tokio::test]
async fn a_tag_is_written_though_the_registry_does_not_know_what_it_lists_for_a_moment() {
    let image = fixture::image(1, 1);
    let registry = TestRegistry::start().await;
    registry.load("app", None, &image).await;
    let repository = repository(&registry);
    registry.fail(unknown().times(2));
    let written = put(&repository, &image).await.expect("known by now");
    assert_eq!((written, puts(&registry)), (TagWrite::Written(image.digest()), 3));
    registry.fail(unknown().times(2));
    add(&repository, &image, "key").await.expect("merged").expect("written");
    // None of the responses was taken for the refusal of a condition.
    registry.clear_requests();
    assert_eq!(put(&repository, &image).await.expect("a response"), TagWrite::Taken);
    assert_eq!((puts(&registry), registry.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_tag_whose_content_the_registry_does_not_know_at_all_is_refused() {
    let image = fixture::image(1, 1);
    let registry = TestRegistry::start().await;
    registry.load("app", None, &image).await;
    registry.fail(unknown());
    let error = put(&repository(&registry), &image).await.expect_err("refused");
    assert!(error.to_string().contains("MANIFEST_BLOB_UNKNOWN"), "{error}");
    assert_eq!((puts(&registry), registry.tags("app").await), (5, Vec::<String>::new()));
}

/// Merges `key` at a tag that is on `theirs`. After the first read, the next `stale` reads find no tag.
async fn merge_with_stale_reads(registry: &TestRegistry, stale: usize) -> Result<(), Error> {
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    registry.load("app", None, &ours).await;
    registry.load("app", None, &theirs).await;
    let repository = repository(registry);
    add(&repository, &theirs, "theirs").await?;
    let (v1, mut is_first) = (tag("v1"), true);
    let merged = repository.merge_at_tag(&v1, |there| {
        if std::mem::take(&mut is_first) {
            registry.fail(Fault::on(Method::GET, "/manifests/v1").times(stale).status(404));
        }
        let is_there = there.as_ref().is_some_and(|there| has(there, "ours"));
        let write = || Merge::Write(annotated(there.as_ref(), &ours, "ours"));
        std::future::ready(Ok::<_, Error>(if is_there { Merge::Enough } else { write() }))
    });
    merged.await.map(drop)
}

#[tokio::test]
async fn a_tag_that_is_not_returned_after_its_write_is_not_written_with_less() {
    let cases = [true, false].map(|ignores| [1, 2, 4, usize::MAX].map(|stale| (ignores, stale)));
    let cases = cases.into_iter().flatten().map(async |(ignores_conditions, stale)| {
        let registry = TestRegistry::start().await;
        if ignores_conditions {
            registry.fail(Fault::on(Method::PUT, "/manifests/").ignore_conditions());
        }
        let case = format!("{ignores_conditions} {stale}");
        match merge_with_stale_reads(&registry, stale).await {
            Ok(()) => assert!(stale <= 4, "{case}"),
            Err(error) => {
                assert_eq!(stale, usize::MAX, "{case}: {error}");
                assert!(error.to_string().contains("its reads are out of date"), "{error}");
            }
        }
        let on = registry.digest_of("app", "v1").await.expect("a tag");
        let there = repository(&registry).manifest(&on.into()).await.expect("a manifest");
        assert!(has(&there, "theirs") && has(&there, "ours"), "{case}: {there:?}");
    });
    futures_util::future::join_all(cases).await;
}

#[tokio::test]
async fn a_412_is_believed_where_the_tag_is_not_listed_and_not_returned() {
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    for merges in [false, true] {
        let registry = TestRegistry::start().await;
        registry.load("app", None, &ours).await;
        registry.load("app", "v1", &theirs).await;
        let no_tags = r#"{"name":"app","tags":[]}"#;
        registry.fail(Fault::on(Method::GET, "/tags/list").status(200).body(no_tags));
        registry.fail(Fault::on(Method::GET, "/manifests/v1").status(404));
        let repository = repository(&registry);
        match merges {
            false => {
                assert_eq!(put(&repository, &ours).await.expect("a response"), TagWrite::Taken);
            }
            true => {
                let error = add(&repository, &ours, "a").await.expect_err("it exists");
                assert!(error.to_string().contains("its reads are out of date"), "{error}");
            }
        }
        assert_eq!(registry.digest_of("app", "v1").await, Some(theirs.digest()), "{merges}");
    }
}

#[tokio::test]
async fn a_tag_that_is_ours_is_written_whatever_the_response_to_a_retry() {
    let ours = fixture::image(1, 1);
    for status in [403, 409] {
        let registry = TestRegistry::start().await;
        registry.load("app", "v1", &ours).await;
        registry.fail(Fault::on(Method::PUT, "/manifests/v1").status(status));
        let written = put(&repository(&registry), &ours).await.expect("it is there");
        assert_eq!(written, TagWrite::Written(ours.digest()), "{status}");
        // Another one's stays, and the refusal is the error.
        let other = fixture::image(2, 1);
        let error = put(&repository(&registry), &other).await.expect_err("refused");
        assert_eq!(error.status().map(|it| it.as_u16()), Some(status));
    }
}
