//! Manifests and tags.

use http::{Method, StatusCode};
use oci::{Algorithm, Digest, media_type};
use testkit::fixture;

use crate::peer::{Peer, header, refusal, refused};

pub(crate) async fn manifests_are_served_as_they_were_pushed(peer: &Peer) {
    for (at, image) in [
        fixture::image(1, 2),
        fixture::docker_image(2, 2),
        fixture::index(3, 3, 2),
        fixture::docker_list(4, 2, 1),
        fixture::helm_chart(5),
    ]
    .into_iter()
    .enumerate()
    {
        let repository = format!("a/{at}");
        peer.push(&repository, "v1", &image).await;
        let digest = image.digest().to_string();
        for reference in ["v1", &digest] {
            let path = format!("/v2/{repository}/manifests/{reference}");
            let found = peer.get(&path).await;
            assert_eq!((found.status(), found.body()), (StatusCode::OK, &image.bytes));
            assert_eq!(header(&found, "content-type"), image.descriptor.media_type);
            assert_eq!(header(&found, "docker-content-digest"), digest);
            let head = peer.ask(Method::HEAD, &path, &[], "").await;
            assert!(head.body().is_empty());
            for name in ["content-type", "content-length", "docker-content-digest"] {
                assert_eq!(header(&head, name), header(&found, name), "{name}");
            }
        }
    }
}

pub(crate) async fn the_media_type_is_the_one_pushed_or_its_own(peer: &Peer) {
    let image = fixture::image(1, 1);
    peer.push("a", "v1", &image).await;
    let silent: serde_json::Value = {
        let mut value: serde_json::Value = serde_json::from_slice(&image.bytes).expect("JSON");
        value.as_object_mut().expect("an object").remove("mediaType");
        value
    };
    for (pushed_as, manifest, served_as) in [
        (media_type::OCI_MANIFEST, image.bytes.to_vec(), media_type::OCI_MANIFEST),
        (
            "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
            image.bytes.to_vec(),
            media_type::OCI_MANIFEST,
        ),
        ("application/json", image.bytes.to_vec(), media_type::OCI_MANIFEST),
        ("application/json", silent.to_string().into(), media_type::OCI_MANIFEST),
        (media_type::DOCKER_MANIFEST, silent.to_string().into(), media_type::DOCKER_MANIFEST),
    ] {
        let headers = [("content-type", pushed_as)];
        let put = peer.ask(Method::PUT, "/v2/a/manifests/v2", &headers, manifest.clone()).await;
        assert_eq!(put.status(), StatusCode::CREATED, "{pushed_as}: {put:?}");
        let found = peer.get("/v2/a/manifests/v2").await;
        assert_eq!(
            (header(&found, "content-type"), found.body()),
            (served_as.into(), &manifest.into())
        );
    }
}

pub(crate) async fn a_manifest_needs_all_it_points_to(peer: &Peer) {
    let (image, index) = (fixture::image(1, 1), fixture::index(2, 1, 1));
    let unknown = refused(404, "MANIFEST_BLOB_UNKNOWN");
    let [config, layer] = &image.blobs[..] else { panic!("a config and a layer") };
    // Elsewhere does not count.
    peer.push("b", "v1", &image).await;
    for missing in [[config, layer].as_slice(), &[layer]] {
        let put = peer.push_manifest("a", "v1", &image).await;
        assert_eq!(refusal(&put), unknown);
        let text = String::from_utf8_lossy(put.body());
        for blob in [config, layer] {
            let named = text.contains(&blob.descriptor.digest.to_string());
            assert_eq!(named, missing.iter().any(|one| one.bytes == blob.bytes), "{text}");
        }
        assert_eq!(peer.status("/v2/a/manifests/v1").await, StatusCode::NOT_FOUND);
        let by_digest = format!("/v2/a/manifests/{}", image.digest());
        assert_eq!(peer.status(&by_digest).await, StatusCode::NOT_FOUND);
        peer.push_blob("a", &missing[0].bytes).await;
    }
    assert_eq!(peer.push_manifest("a", "v1", &image).await.status(), StatusCode::CREATED);
    assert_eq!(refusal(&peer.push_manifest("a", "v2", &index).await), unknown);
    peer.push("a", "v2", &index).await;
    // Build caches list blobs in an index.
    let cache = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": [config.descriptor, layer.descriptor],
    });
    let headers = [("content-type", media_type::OCI_INDEX)];
    let put = peer.ask(Method::PUT, "/v2/a/manifests/cache", &headers, cache.to_string()).await;
    assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
    // Layers that may not be distributed need not be there.
    let mut foreign: serde_json::Value = serde_json::from_slice(&image.bytes).expect("JSON");
    foreign["layers"][0]["mediaType"] =
        "application/vnd.oci.image.layer.nondistributable.v1.tar".into();
    foreign["layers"][0]["digest"] = Digest::sha256(b"nowhere").to_string().into();
    let headers = [("content-type", media_type::OCI_MANIFEST)];
    let put = peer.ask(Method::PUT, "/v2/a/manifests/foreign", &headers, foreign.to_string()).await;
    assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
}

/// `regctl artifact put -m application/vnd.oci.image.index.v1+json` makes such artifacts.
pub(crate) async fn a_layer_of_a_manifest_media_type_is_looked_up_among_blobs(peer: &Peer) {
    for (seed, media_type) in media_type::MANIFESTS.into_iter().enumerate() {
        let artifact = fixture::with_layer_type(&fixture::image(seed as u64, 1), 0, media_type);
        let put = peer.push_manifest("a", "v1", &artifact).await;
        assert_eq!(refusal(&put), refused(404, "MANIFEST_BLOB_UNKNOWN"), "{media_type}");
        peer.push("a", "v1", &artifact).await;
    }
}

pub(crate) async fn bad_manifests_are_refused(peer: &Peer) {
    let image = fixture::image(1, 1);
    peer.push("a", "v1", &image).await;
    let text = String::from_utf8(image.bytes.to_vec()).expect("text");
    let with = |member: &str, value: serde_json::Value| {
        let mut manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        manifest[member] = value;
        manifest.to_string()
    };
    let version_3 = with("schemaVersion", 3.into());
    let mut plain: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    plain.as_object_mut().expect("an object").remove("mediaType");
    let plain = plain.to_string();
    let as_index = with("mediaType", media_type::OCI_INDEX.into());
    let index = "{\"schemaVersion\":2,\"manifests\":[]}";
    let both = with("manifests", serde_json::json!([]));
    let other = Digest::sha256(b"other").to_string();
    let sha512 = Digest::of(Algorithm::Sha512, b"other").to_string();
    for (reference, content_type, body, code) in [
        ("v2", media_type::OCI_MANIFEST, "{", "MANIFEST_INVALID"),
        ("v2", media_type::OCI_MANIFEST, "", "MANIFEST_INVALID"),
        ("v2", media_type::OCI_MANIFEST, "{}", "MANIFEST_INVALID"),
        ("v2", media_type::OCI_INDEX, &text, "MANIFEST_INVALID"),
        ("v2", media_type::DOCKER_MANIFEST, &text, "MANIFEST_INVALID"),
        ("v2", media_type::DOCKER_SCHEMA1_SIGNED, "{\"schemaVersion\":1}", "MANIFEST_INVALID"),
        ("v2", "text/plain", "{\"schemaVersion\":2}", "MANIFEST_INVALID"),
        ("v2", media_type::OCI_MANIFEST, &version_3, "MANIFEST_INVALID"),
        ("v2", media_type::OCI_MANIFEST, &both, "MANIFEST_INVALID"),
        // An image that passes for an index, and the other way round.
        ("v2", media_type::OCI_INDEX, &plain, "MANIFEST_INVALID"),
        ("v2", media_type::DOCKER_LIST, &plain, "MANIFEST_INVALID"),
        ("v2", media_type::OCI_INDEX, &as_index, "MANIFEST_INVALID"),
        ("v2", "application/json", &as_index, "MANIFEST_INVALID"),
        ("v2", media_type::OCI_MANIFEST, index, "MANIFEST_INVALID"),
        (".v2", media_type::OCI_MANIFEST, &text, "MANIFEST_INVALID"),
        (&other, media_type::OCI_MANIFEST, &text, "DIGEST_INVALID"),
        (&sha512, media_type::OCI_MANIFEST, &text, "DIGEST_INVALID"),
        ("sha256:12", media_type::OCI_MANIFEST, &text, "DIGEST_INVALID"),
    ] {
        let path = format!("/v2/a/manifests/{reference}");
        let headers = [("content-type", content_type)];
        let put = peer.ask(Method::PUT, &path, &headers, body.to_owned()).await;
        assert_eq!(refusal(&put), refused(400, code), "{reference} {content_type} {body}");
        assert_ne!(peer.status(&path).await, StatusCode::OK, "{path}");
    }
    let sha512 = Digest::of(Algorithm::Sha512, &image.bytes).to_string();
    let put = peer.push_manifest("a", &sha512, &image).await;
    assert_eq!(header(&put, "docker-content-digest"), sha512);
    assert_eq!(peer.get(&format!("/v2/a/manifests/{sha512}")).await.body(), &image.bytes);
}

pub(crate) async fn the_longest_manifest_is_taken_and_a_longer_one_refused(peer: &Peer) {
    let image = fixture::image(1, 0);
    peer.push("a", "v1", &image).await;
    let limit = usize::try_from(registry::limits::MAX_MANIFEST_BYTES).expect("it fits");
    let headers = [("content-type", media_type::OCI_MANIFEST)];
    let put = async |length: usize| {
        let mut bytes = image.bytes.to_vec();
        bytes.resize(length, b' ');
        peer.ask(Method::PUT, "/v2/a/manifests/long", &headers, bytes).await
    };
    assert_eq!(refusal(&put(limit + 1).await), refused(413, "SIZE_INVALID"));
    assert_eq!(peer.status("/v2/a/manifests/long").await, StatusCode::NOT_FOUND);
    assert_eq!(put(limit).await.status(), StatusCode::CREATED);
    assert_eq!(peer.get("/v2/a/manifests/long").await.body().len(), limit);
}

pub(crate) async fn a_tag_moves_and_the_manifest_stays(peer: &Peer) {
    let [first, second] = [1, 2].map(|seed| fixture::image(seed, 1));
    peer.push("a", "v1", &first).await;
    peer.push("a", "v1", &second).await;
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &second.bytes);
    let path = format!("/v2/a/manifests/{}", first.digest());
    assert_eq!(peer.get(&path).await.body(), &first.bytes);
}

pub(crate) async fn deleting_a_tag_leaves_the_manifest(peer: &Peer) {
    let image = fixture::image(1, 1);
    for tag in ["v1", "v2"] {
        peer.push("a", tag, &image).await;
    }
    let deleted = peer.ask(Method::DELETE, "/v2/a/manifests/v1", &[], "").await;
    assert_eq!(deleted.status(), StatusCode::ACCEPTED);
    for method in [Method::GET, Method::DELETE] {
        let gone = peer.ask(method, "/v2/a/manifests/v1", &[], "").await;
        assert_eq!(refusal(&gone), refused(404, "MANIFEST_UNKNOWN"));
    }
    for left in ["v2", &image.digest().to_string()] {
        assert_eq!(peer.status(&format!("/v2/a/manifests/{left}")).await, StatusCode::OK);
    }
}

pub(crate) async fn deleting_a_manifest_deletes_its_tags(peer: &Peer) {
    let [image, other] = [1, 2].map(|seed| fixture::image(seed, 1));
    for (tag, image) in [("v1", &image), ("v2", &image), ("v3", &other)] {
        peer.push("a", tag, image).await;
    }
    let path = format!("/v2/a/manifests/{}", image.digest());
    assert_eq!(peer.ask(Method::DELETE, &path, &[], "").await.status(), StatusCode::ACCEPTED);
    for reference in ["v1", "v2", &image.digest().to_string()] {
        let gone = peer.get(&format!("/v2/a/manifests/{reference}")).await;
        assert_eq!(refusal(&gone), refused(404, "MANIFEST_UNKNOWN"), "{reference}");
    }
    let again = peer.ask(Method::DELETE, &path, &[], "").await;
    assert_eq!(refusal(&again), refused(404, "MANIFEST_UNKNOWN"));
    assert_eq!(peer.status("/v2/a/manifests/v3").await, StatusCode::OK);
    assert_eq!(peer.get("/v2/a/tags/list").await.body(), r#"{"name":"a","tags":["v3"]}"#);
}

pub(crate) async fn a_manifest_with_more_tags_than_go_at_once_is_deleted(peer: &Peer) {
    let [image, other] = [1, 2].map(|seed| fixture::image(seed, 1));
    for (tag, image) in [("v1", &image), ("stays", &other)] {
        peer.push("a", tag, image).await;
    }
    let headers = [("content-type", media_type::OCI_MANIFEST)];
    let path = format!("/v2/a/manifests/{}", image.digest());
    let names: Vec<_> = (0..2 * registry::limits::MAX_TAGS_AT_ONCE + 1)
        .map(|number| format!("tag=t{number}"))
        .collect();
    for names in names.chunks(registry::limits::MAX_TAGS_AT_ONCE) {
        let path = format!("{path}?{}", names.join("&"));
        let put = peer.ask(Method::PUT, &path, &headers, image.bytes.clone()).await;
        assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
    }
    let other_tag = [("if-match", "\"sha256:other\"")];
    assert_eq!(peer.ask(Method::DELETE, &path, &other_tag, "").await.status(), 412);
    assert_eq!(peer.status("/v2/a/manifests/t0").await, StatusCode::OK, "nothing was deleted");
    assert_eq!(peer.ask(Method::DELETE, &path, &[], "").await.status(), StatusCode::ACCEPTED);
    assert_eq!(peer.get("/v2/a/tags/list").await.body(), r#"{"name":"a","tags":["stays"]}"#);
    assert_eq!(peer.status(&path).await, StatusCode::NOT_FOUND);
}

pub(crate) async fn one_push_writes_several_tags(peer: &Peer) {
    let image = fixture::image(1, 1);
    for blob in &image.blobs {
        peer.push_blob("a", &blob.bytes).await;
    }
    let put = async |reference: &str| {
        let path = format!("/v2/a/manifests/{reference}");
        let headers = [("content-type", media_type::OCI_MANIFEST)];
        peer.ask(Method::PUT, &path, &headers, image.bytes.clone()).await
    };
    // A tag names a digest of any algorithm in this way.
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, &image.bytes);
        let pushed = put(&format!("{digest}?tag=v1&tag=v1.2&tag=v1")).await;
        assert_eq!(pushed.status(), StatusCode::CREATED, "{pushed:?}");
        let tags: Vec<_> = pushed.headers().get_all("oci-tag").iter().collect();
        assert_eq!(tags, ["v1", "v1.2"]);
        for tag in ["v1", "v1.2"] {
            let found = peer.get(&format!("/v2/a/manifests/{tag}")).await;
            assert_eq!(header(&found, "docker-content-digest"), digest.to_string());
            assert_eq!(found.body(), &image.bytes);
        }
    }
    let pushed = put("v3?tag=v4").await;
    assert_eq!(pushed.status(), StatusCode::CREATED);
    let list = peer.get("/v2/a/tags/list").await;
    assert_eq!(list.body(), r#"{"name":"a","tags":["v1","v1.2","v3","v4"]}"#);
    // All of them fit into a response that clients read.
    let most: Vec<_> =
        (0..registry::limits::MAX_TAGS_OF_A_PUSH).map(|number| format!("tag=m{number}")).collect();
    let pushed = put(&format!("{}?{}", image.digest(), most.join("&"))).await;
    assert_eq!(pushed.status(), StatusCode::CREATED, "{pushed:?}");
    assert_eq!(pushed.headers().get_all("oci-tag").iter().count(), most.len());
    let many: String =
        (0..registry::limits::MAX_TAGS_OF_A_PUSH).map(|number| format!("&tag=t{number}")).collect();
    for bad in ["tag=.x".to_owned(), format!("x=y{many}")] {
        let refusal_of = put(&format!("{}?tag=new&{bad}", image.digest())).await;
        assert_eq!(refusal(&refusal_of), refused(400, "MANIFEST_INVALID"), "{bad}");
        assert_eq!(peer.status("/v2/a/manifests/new").await, StatusCode::NOT_FOUND);
    }
}
