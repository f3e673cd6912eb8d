//! The inventory of a repository, and the number of requests that it takes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Method, Request, Response};
use oci::{Digest, Reference, Tag};
use registry::{Registry, RegistrySettings, Storage};
use registry_client::{Existence, Inventory};
use testkit::{Body, Fault, TestHost, TestRegistry, TestServer, fixture};
use tokio::sync::Barrier;

use crate::support::{Scripted, at, client, hasty, name, printed, redirect, reply, tag};

fn tag_name(text: &str) -> Tag {
    text.parse().expect("a tag")
}

fn tag_of<'a>(inventory: &'a Inventory, text: &str) -> Existence<&'a Digest> {
    inventory.tag(&tag_name(text))
}

fn listed(inventory: &Inventory) -> Vec<&str> {
    inventory.tags().map(Tag::as_str).collect()
}

/// The embedded registry, which lists manifests as Google's do.
async fn googles() -> TestRegistry {
    let settings = RegistrySettings { google_listing: true, ..RegistrySettings::default() };
    TestRegistry::over(Registry::with(Storage::memory(), settings, None)).await
}

fn lines(server: &TestServer) -> Vec<String> {
    let requests = server.requests();
    requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.path_and_query))
        .collect()
}

fn get(reference: impl Into<Reference>) -> String {
    format!("GET /v2/a/manifests/{}", reference.into())
}

fn head(reference: impl Into<Reference>) -> String {
    format!("HEAD /v2/a/manifests/{}", reference.into())
}

/// A digest that no registry has.
fn nobodys() -> Digest {
    Digest::sha256(b"no registry has this")
}

#[tokio::test]
async fn a_list_with_manifests_gives_everything_with_one_request() {
    let registry = googles().await;
    let (index, image) = (fixture::index(1, 2, 2), fixture::image(2, 2));
    for tag in ["v1", "latest"] {
        registry.load("a", tag, &index).await;
    }
    registry.load("a", "v2", &image).await;
    registry.load("a/below/deeper", "v3", &image).await;
    let untagged = index.children[0].digest();
    let wanted = [
        tag("v1"),
        tag("latest"),
        tag("v2"),
        tag("none"),
        index.digest().into(),
        untagged.into(),
        nobodys().into(),
    ];
    let repository = at(&client(), &registry.host());
    let inventory = repository.inventory(&wanted).await.expect("an inventory");
    assert_eq!(lines(&registry), ["GET /v2/a/tags/list?n=1000"]);
    assert!(inventory.lists_digests() && !inventory.is_truncated());
    assert_eq!(tag_of(&inventory, "v1"), Existence::Present(&index.digest()));
    assert_eq!(tag_of(&inventory, "latest"), Existence::Present(&index.digest()));
    assert_eq!(tag_of(&inventory, "v2"), Existence::Present(&image.digest()));
    assert_eq!(tag_of(&inventory, "none"), Existence::Absent);
    assert_eq!(tag_of(&inventory, "not-even-wanted"), Existence::Absent);
    assert_eq!(inventory.holds(&untagged), Existence::Present(()));
    assert_eq!(inventory.holds(&nobodys()), Existence::Absent);
    assert_eq!(listed(&inventory), ["latest", "v1", "v2"]);
    assert_eq!(inventory.children(), [name("below")]);
    let of_index = &inventory.manifests()[&index.digest()];
    assert_eq!(of_index.media_type, index.descriptor.media_type);
    assert_eq!(of_index.tags, [tag_name("latest"), tag_name("v1")]);
    assert!(of_index.uploaded.is_some());
    assert_eq!(inventory.manifests().len(), 4);
    // What is only a way to other repositories holds nothing itself.
    registry.clear_requests();
    let between = client().repository(&registry.host(), &name("a/below"));
    let inventory = between.inventory(&[tag("v3")]).await.expect("an inventory");
    assert_eq!(
        (tag_of(&inventory, "v3"), inventory.children()),
        (Existence::Absent, &[name("deeper")][..])
    );
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn a_list_of_tags_costs_its_pages_and_a_head_for_what_is_wanted_of_it() {
    let registry = TestRegistry::start().await;
    let (image, other) = (fixture::image(1, 2), fixture::image(2, 2));
    registry.load("a", "v1", &image).await;
    registry.load("a", "v2", &image).await;
    registry.load("a", None, &other).await;
    let repository = at(&client(), &registry.host());
    for n in 0..1000 {
        let (tag, media_type) = (tag(&format!("w{n}")), &image.descriptor.media_type);
        repository.put_manifest(&tag, media_type, image.bytes.clone()).await.expect("a tag");
    }
    registry.clear_requests();
    let wanted = [
        tag("v1"),
        tag("v1"),
        tag("none"),
        image.digest().into(),
        other.digest().into(),
        nobodys().into(),
    ];
    let inventory = repository.inventory(&wanted).await.expect("an inventory");
    let mut requests = lines(&registry);
    assert_eq!(requests[0], "GET /v2/a/tags/list?n=1000");
    assert!(requests[1].starts_with("GET /v2/a/tags/list?"), "{}", requests[1]);
    assert_eq!(requests[2], head(tag("v1")), "which gives its digest too");
    requests[3..].sort_unstable();
    let mut digests = [head(other.digest()), head(nobodys()), get(nobodys())];
    digests.sort_unstable();
    assert_eq!(requests[3..], digests);
    assert!(!inventory.lists_digests() && !inventory.is_truncated());
    assert_eq!(tag_of(&inventory, "v1"), Existence::Present(&image.digest()));
    assert_eq!(tag_of(&inventory, "v2"), Existence::Unknown, "it is listed, but was not wanted");
    assert_eq!(tag_of(&inventory, "none"), Existence::Absent);
    assert_eq!(tag_of(&inventory, "not-even-wanted"), Existence::Absent);
    assert_eq!(inventory.holds(&image.digest()), Existence::Present(()));
    assert_eq!(inventory.holds(&other.digest()), Existence::Present(()));
    assert_eq!(inventory.holds(&nobodys()), Existence::Absent);
    assert_eq!(inventory.holds(&Digest::sha256(b"not wanted")), Existence::Unknown);
    assert_eq!((inventory.tags().count(), inventory.manifests().len()), (1002, 0));
}

#[tokio::test]
async fn a_repository_that_is_not_there_holds_nothing() {
    for registry in [TestRegistry::start().await, googles().await] {
        let repository = at(&client(), &registry.host());
        let inventory = repository.inventory(&[tag("v1"), nobodys().into()]).await;
        let inventory = inventory.expect("an empty inventory");
        assert_eq!(registry.requests().len(), 1);
        assert_eq!(tag_of(&inventory, "v1"), Existence::Absent);
        assert_eq!(inventory.holds(&nobodys()), Existence::Absent);
        assert!(!inventory.is_truncated() && inventory.tags().next().is_none());
    }
}

#[tokio::test]
async fn a_registry_out_of_reach_is_an_error_and_so_is_one_refusal() {
    let wanted = [tag("v1")];
    let host = TestHost::unreachable();
    let error = at(&hasty(), &host).inventory(&wanted).await.expect_err("no response");
    assert!(error.is_unreachable(), "{error}");
    let registry = TestRegistry::start().await;
    registry.load("a", "v1", &fixture::image(1, 2)).await;
    registry.fail(Fault::everywhere("/manifests/v1").status(403));
    let error = at(&client(), &registry.host()).inventory(&wanted).await.expect_err("a refusal");
    assert!(error.is_unauthorized(), "{error}");
}

#[tokio::test]
async fn what_a_list_that_is_cut_short_lacks_is_absent_only_after_a_get() {
    let registry = googles().await;
    let mut images: Vec<_> = (0..3).map(|seed| fixture::image(seed, 2)).collect();
    // The list is in the order of names and of digests; the first tag is not on the first digest.
    images.sort_by_key(|image| std::cmp::Reverse(image.digest().to_string()));
    for (image, tag) in images.iter().zip(["v1", "v2", "v3"]) {
        registry.load("a", tag, image).await;
    }
    registry.fail(Fault::on(Method::GET, "/tags/list").truncate_listing(1));
    let wanted = [
        tag("v1"),
        tag("v3"),
        tag("none"),
        images[1].digest().into(),
        images[2].digest().into(),
        nobodys().into(),
    ];
    let repository = at(&client(), &registry.host());
    let inventory = repository.inventory(&wanted).await.expect("an inventory");
    assert!(inventory.is_truncated());
    let mut requests = lines(&registry);
    requests[1..].sort_unstable();
    // v3 is at its manifest, but not in the list of tags; its digest is listed.
    let mut heads = [
        head(tag("v1")),
        head(tag("v3")),
        head(tag("none")),
        head(images[1].digest()),
        head(nobodys()),
        get(tag("none")),
        get(nobodys()),
    ];
    heads.sort_unstable();
    assert_eq!(requests[1..], heads);
    assert_eq!(tag_of(&inventory, "v1"), Existence::Present(&images[0].digest()));
    assert_eq!(tag_of(&inventory, "v2"), Existence::Unknown, "it is there, but was not wanted");
    assert_eq!(tag_of(&inventory, "v3"), Existence::Present(&images[2].digest()));
    assert_eq!(tag_of(&inventory, "none"), Existence::Absent);
    assert_eq!(inventory.holds(&images[1].digest()), Existence::Present(()));
    assert_eq!(inventory.holds(&nobodys()), Existence::Absent);
    assert_eq!(inventory.holds(&Digest::sha256(b"not wanted")), Existence::Unknown);
}

/// A registry with this list and `Link`, and no manifest but `latest`.
async fn listing(body: String, link: &'static str) -> Scripted {
    Scripted::start(move |request| match (&request.method, request.target.ends_with("/latest")) {
        (&Method::GET, _) if !request.target.contains("/manifests/") => {
            reply(200, &[&format!("Link: {link}")], &body)
        }
        (_, true) => {
            let digest = format!("Docker-Content-Digest: {}", nobodys());
            reply(200, &[&digest, "Content-Length: 7"], "")
        }
        (..) => reply(404, &[], ""),
    })
    .await
}

#[tokio::test]
async fn lists_that_may_be_cut_short_are_recognised() {
    let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
    let names = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!(r#""v{n}""#)).collect();
        format!(r#"{{"name":"a","tags":[{}]}}"#, names.join(","))
    };
    let manifests = |count: usize| {
        let entry = |n: usize| format!(r#""{}":{{}}"#, Digest::sha256(&n.to_le_bytes()));
        let entries: Vec<_> = (0..count).map(entry).collect();
        format!(r#"{{"name":"a","manifest":{{{}}}}}"#, entries.join(","))
    };
    let tagged = |tags: &str| {
        format!(r#"{{"tags":[{tags}],"manifest":{{"{one}":{{"tag":["v1"]}},"{two}":{{}}}}}}"#)
    };
    let next = r#"</v2/a/tags/list?last=z>; rel="next""#;
    for (body, link, is_truncated) in [
        (names(999), "", false),
        (names(1000), "", true),
        (names(1001), "", false),
        (names(9_999), "", false),
        (names(10_000), "", true),
        (manifests(999), "", false),
        (manifests(1000), "", true),
        (manifests(10_000), "", true),
        (tagged(r#""v1""#), "", false),
        (tagged(r#""v1","v2""#), "", true),
        (tagged(""), "", false),
        // This link is never followed.
        (tagged(r#""v1""#), next, true),
        (tagged(r#""v1""#), "<ftp://x>; rel=next", true),
        (r#"{"tags":["v1"],"manifest":{}}"#.to_owned(), "", true),
        (r#"{"tags":[],"manifest":{},"child":["b"]}"#.to_owned(), "", false),
    ] {
        let start = format!("{body:.60} {link}");
        let server = listing(body, link).await;
        let inventory = at(&client(), &server.host).inventory(&[tag("none")]).await;
        let inventory = inventory.expect(&start);
        assert_eq!(inventory.is_truncated(), is_truncated, "{start}");
        assert_eq!(tag_of(&inventory, "none"), Existence::Absent, "{start}");
        let heads_and_gets = if is_truncated { 2 } else { 0 };
        assert_eq!(server.lines().len(), 1 + heads_and_gets, "{start}");
        let other = if is_truncated { Existence::Unknown } else { Existence::Absent };
        assert_eq!(tag_of(&inventory, "not-wanted"), other, "{start}");
    }
}

#[tokio::test]
async fn a_tag_on_two_manifests_is_requested() {
    let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
    let tags = r#"{"tag":["latest","gone"]}"#;
    let body = format!(
        r#"{{"tags":["latest","gone"],"manifest":{{"{one}":{tags},"{two}":{tags},"sha1:no":{{}}}}}}"#
    );
    let server = listing(body, "").await;
    let wanted = [tag("latest"), tag("gone"), one.into()];
    let inventory = at(&client(), &server.host).inventory(&wanted).await.expect("an inventory");
    assert_eq!(server.lines().len(), 4, "{:?}", server.lines());
    assert_eq!(tag_of(&inventory, "latest"), Existence::Present(&nobodys()));
    assert_eq!(tag_of(&inventory, "gone"), Existence::Unknown, "the list names it");
    assert!(inventory.unread(&tag("gone")).is_some());
    assert_eq!(inventory.holds(&nobodys()), Existence::Present(()));
    assert_eq!(inventory.holds(&two), Existence::Present(()));
}

#[tokio::test]
async fn other_json_is_not_an_empty_repository() {
    for body in [r#"{"errors":[]}"#, "{}", "<xml>"] {
        let server = listing(body.to_owned(), "").await;
        let error = at(&client(), &server.host).inventory(&[]).await.expect_err("no listing");
        let text = printed(&error);
        assert!(text.contains(" is not the JSON of a listing: "), "{text}");
    }
}

/// A registry that responds to `tags/list` with this status and body, has the manifest `v1`, and responds with 500 to
/// `broken`.
async fn without_list(status: u16, body: &'static str) -> Scripted {
    Scripted::start(move |request| match request.target.rsplit('/').next() {
        Some(last) if last.starts_with("list?") => reply(status, &[], body),
        Some("v1") => {
            let digest = format!("Docker-Content-Digest: {}", nobodys());
            reply(200, &[&digest, "Content-Length: 7"], "")
        }
        Some("broken") => reply(500, &[], ""),
        _ => reply(404, &[], ""),
    })
    .await
}

#[tokio::test]
async fn a_registry_without_a_list_of_tags_is_read_by_the_wanted_references() {
    for status in [405, 501, 404] {
        let server = without_list(status, "").await;
        let repository = at(&client(), &server.host);
        let inventory = repository.inventory(&[tag("v1"), tag("none")]).await;
        let inventory = inventory.expect("an inventory");
        assert!(inventory.is_truncated() && !inventory.lists_digests(), "{status}");
        assert_eq!(tag_of(&inventory, "v1"), Existence::Present(&nobodys()), "{status}");
        assert_eq!(tag_of(&inventory, "none"), Existence::Absent, "{status}");
        assert_eq!(tag_of(&inventory, "not-wanted"), Existence::Unknown, "{status}");
        assert_eq!(inventory.holds(&nobodys()), Existence::Present(()), "{status}");
        assert_eq!(inventory.holds(&Digest::sha256(b"not wanted")), Existence::Unknown, "{status}");
    }
    for status in [403, 500] {
        let server = without_list(status, "").await;
        let error = at(&client(), &server.host).inventory(&[tag("v1")]).await;
        let error = error.expect_err("no proof that there is no list");
        assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
        assert_eq!(server.lines(), ["GET /v2/a/tags/list?n=1000"]);
    }
}

#[tokio::test]
async fn a_response_of_another_host_does_not_show_that_there_is_no_list() {
    for status in [404, 405] {
        let elsewhere = without_list(status, "").await;
        let location = format!("http://{}/list?n=1000", elsewhere.host);
        let server = Scripted::start(move |_| redirect(&location)).await;
        let error = at(&client(), &server.host).inventory(&[tag("v1")]).await;
        let error = error.expect_err("no proof that there is no list");
        assert!(printed(&error).contains(elsewhere.host.as_str()), "{error}");
        assert_eq!((server.lines().len(), elsewhere.lines().len()), (1, 1), "{status}");
    }
}

#[tokio::test]
async fn a_404_for_the_list_means_an_empty_repository_unless_one_of_eight_references_exists() {
    let unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"a is not known"}]}"#;
    let absent = |count: u8| (0..count).map(|n| Digest::sha256(&[n]).into());
    for (body, wanted, requests) in [
        // The code says it, so that nothing else is requested.
        (unknown, absent(20).collect::<Vec<Reference>>(), 1),
        (unknown, vec![tag("v1")], 1),
        ("", absent(3).collect(), 1 + 3),
        ("", absent(20).collect(), 1 + 8),
    ] {
        let server = without_list(404, body).await;
        let inventory = at(&client(), &server.host).inventory(&wanted).await;
        let inventory = inventory.expect("an empty inventory");
        assert!(!inventory.is_truncated() && inventory.tags().next().is_none());
        assert_eq!(tag_of(&inventory, "none"), Existence::Absent);
        assert_eq!(inventory.holds(&nobodys()), Existence::Absent);
        assert_eq!(server.lines().len(), requests, "{:?}", server.lines());
    }
}

#[tokio::test]
async fn a_reference_that_cannot_be_read_has_its_error_and_the_others_are_certain() {
    for status in [404, 405] {
        let server = without_list(status, "").await;
        let wanted = [tag("broken"), tag("none")];
        let inventory = at(&client(), &server.host).inventory(&wanted).await;
        let mut inventory = inventory.expect("an inventory");
        let error = inventory.unread(&tag("broken")).expect("the error");
        assert_eq!(error.status().map(|status| status.as_u16()), Some(500));
        assert!(inventory.unread(&tag("none")).is_none());
        assert_eq!(tag_of(&inventory, "broken"), Existence::Unknown);
        assert_eq!(tag_of(&inventory, "none"), Existence::Absent);
        inventory.keep_digest_tags();
        assert!(inventory.unread(&tag("broken")).is_none());
        assert_eq!(tag_of(&inventory, "none"), Existence::Unknown, "it is no longer known");
    }
}

#[tokio::test]
async fn digest_tags_and_digests_are_kept_and_the_rest_is_unknown() {
    let registry = googles().await;
    let image = fixture::image(1, 1);
    let digest_tags =
        ["sha256", "sha512"].map(|algorithm| format!("{algorithm}-{}.sig", image.digest().hex()));
    registry.load("a", "v1", &image).await;
    for tag in &digest_tags {
        registry.load("a", &**tag, &fixture::image(2, 1)).await;
    }
    registry.load("a/below", "v1", &image).await;
    let repository = at(&client(), &registry.host());
    let mut inventory = repository.inventory(&[tag("none")]).await.expect("an inventory");
    assert_eq!(inventory.children(), [name("below")]);
    assert!(inventory.lists(&tag("v1")) && inventory.lists(&image.digest().into()));
    assert!(!inventory.lists(&tag("none")) && !inventory.lists(&nobodys().into()));
    inventory.keep_digest_tags();
    assert_eq!(listed(&inventory), digest_tags);
    assert_eq!(tag_of(&inventory, "v1"), Existence::Unknown);
    assert_eq!(tag_of(&inventory, "none"), Existence::Unknown);
    assert!(digest_tags.iter().all(|tag| tag_of(&inventory, tag).is_present()));
    assert_eq!(inventory.holds(&image.digest()), Existence::Present(()));
    assert_eq!(inventory.holds(&nobodys()), Existence::Absent);
    assert!(inventory.children().is_empty());
    assert!(inventory.manifests().values().all(|it| it.tags.is_empty() && it.uploaded.is_none()));
}

#[tokio::test]
async fn eight_are_requested_at_once_and_no_more() {
    let (together, now, most) = (Barrier::new(8), AtomicUsize::new(0), AtomicUsize::new(0));
    let shared = Arc::new((together, now, most));
    let seen = Arc::clone(&shared);
    let server = TestServer::start(move |request: Request<Body>| {
        let shared = Arc::clone(&shared);
        async move {
            if request.uri().path().ends_with("/tags/list") {
                return reply(200, &[], r#"{"name":"a","tags":[]}"#);
            }
            let (together, now, most) = &*shared;
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            together.wait().await;
            now.fetch_sub(1, Ordering::SeqCst);
            let mut absent = Response::new(Body::empty());
            *absent.status_mut() = http::StatusCode::NOT_FOUND;
            absent
        }
    })
    .await;
    let wanted: Vec<Reference> = (0..16_u8).map(|n| Digest::sha256(&[n]).into()).collect();
    let inventory = at(&client(), &server.host()).inventory(&wanted).await.expect("an inventory");
    assert!((0..16_u8).all(|n| inventory.holds(&Digest::sha256(&[n])).is_absent()));
    assert_eq!(seen.2.load(Ordering::SeqCst), 8);
    assert_eq!(server.requests().len(), 33);
}
