//! Manifests: put, found, read, rejected, deleted.

use bytes::Bytes;
use oci::{Descriptor, Digest, Reference, media_type};
use registry_client::RepositoryClient;
use testkit::{fixture, fixture::TestImage};

use crate::world::{World, content, differs, push_blobs, push_image, put, refusal, seed, tag};

/// Whether exactly this manifest is at `reference`, by HEAD and by GET.
async fn assert_at(repository: &RepositoryClient, reference: &Reference, image: &TestImage) {
    let found = repository.manifest(reference).await.expect("the manifest");
    assert_eq!(found.bytes, image.bytes, "{reference}");
    assert_eq!((found.digest, &found.media_type), (image.digest(), &image.descriptor.media_type));
    let head = repository.find_manifest(reference).await.expect("a response").expect("a manifest");
    assert_eq!((head.digest, head.size), (image.digest(), image.bytes.len() as u64));
    assert_eq!(head.media_type, image.descriptor.media_type);
}

/// Whether nothing is at `reference`, by HEAD and by GET.
async fn assert_absent(repository: &RepositoryClient, reference: &Reference) {
    let head = repository.find_manifest(reference).await.expect("a response");
    assert_eq!(head, None, "{repository} {reference}");
    let error = repository.manifest(reference).await.expect_err("nothing");
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn manifests_of_every_kind_come_back_byte_for_byte() {
    let world = World::new("kinds").await;
    for (name, image) in [
        ("image", fixture::image(seed(), 2)),
        ("index", fixture::index(seed(), 3, 2)),
        ("docker-image", fixture::docker_image(seed(), 2)),
        ("docker-list", fixture::docker_list(seed(), 2, 2)),
        ("chart", fixture::helm_chart(seed())),
    ] {
        let repository = world.repository(name);
        push_image(&repository, Some("v1"), &image).await;
        assert_at(&repository, &tag("v1"), &image).await;
        for manifest in image.manifests() {
            assert_at(&repository, &manifest.digest().into(), manifest).await;
        }
    }
}

#[tokio::test]
async fn a_manifest_that_is_put_by_a_tag_alone_is_there_by_its_digest_too() {
    let world = World::new("by-tag").await;
    let (repository, image) = (world.repository("app"), fixture::image(seed(), 1));
    push_blobs(&repository, &image).await;
    assert_eq!(put(&repository, tag("v1"), &image).await.expect("stored"), image.digest());
    assert_at(&repository, &tag("v1"), &image).await;
    assert_at(&repository, &image.digest().into(), &image).await;
}

#[tokio::test]
async fn a_tag_moves_and_what_it_was_on_stays() {
    let world = World::new("move").await;
    let repository = world.repository("app");
    let (old, new) = (fixture::image(seed(), 1), fixture::image(seed(), 1));
    for image in [&old, &new] {
        push_image(&repository, Some("latest"), image).await;
        assert_at(&repository, &tag("latest"), image).await;
    }
    assert_at(&repository, &old.digest().into(), &old).await;
}

#[tokio::test]
async fn a_manifest_that_is_not_there_is_not_found() {
    let world = World::new("absent").await;
    let (known, unknown) = (world.repository("known"), world.repository("unknown"));
    push_image(&known, Some("v1"), &fixture::image(seed(), 1)).await;
    for repository in [known, unknown] {
        assert_absent(&repository, &tag("v2")).await;
        assert_absent(&repository, &Digest::sha256(&content(10)).into()).await;
    }
}

#[tokio::test]
async fn a_manifest_of_another_repository_is_not_there() {
    let world = World::new("apart").await;
    let image = fixture::image(seed(), 1);
    push_image(&world.repository("one"), Some("v1"), &image).await;
    push_image(&world.repository("two"), Some("v2"), &fixture::image(seed(), 1)).await;
    assert_absent(&world.repository("two"), &image.digest().into()).await;
}

#[tokio::test]
async fn a_manifest_with_missing_content_is_refused() {
    let world = World::new("missing").await;
    for (what, image) in [
        ("a manifest whose blobs are missing", fixture::image(seed(), 1)),
        ("an index whose children are missing", fixture::index(seed(), 1, 1)),
        ("a Docker list whose children are missing", fixture::docker_list(seed(), 1, 1)),
    ] {
        let repository = world.repository("app");
        let reference = Reference::from(image.digest());
        match put(&repository, reference.clone(), &image).await {
            Ok(digest) => {
                differs(what, "it is taken");
                assert_eq!(digest, image.digest());
                assert_at(&repository, &reference, &image).await;
            }
            Err(error) => {
                refusal(&error);
                assert_absent(&repository, &reference).await;
                push_image(&repository, None, &image).await;
                assert_at(&repository, &reference, &image).await;
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    let world = World::new("nonsense").await;
    let repository = world.repository("app");
    let bytes = Bytes::from(format!("not JSON, {}", seed()));
    let put = repository.put_manifest(&tag("v1"), media_type::OCI_MANIFEST, bytes.clone()).await;
    match put {
        Ok(_) => differs("a manifest that is no JSON", "it is taken"),
        Err(error) => {
            refusal(&error);
            assert_absent(&repository, &tag("v1")).await;
            assert_absent(&repository, &Digest::sha256(&bytes).into()).await;
        }
    }
}

#[tokio::test]
async fn a_manifest_that_is_deleted_is_gone() {
    let world = World::new("delete").await;
    let repository = world.repository("app");
    let (kept, gone) = (fixture::image(seed(), 1), fixture::image(seed(), 1));
    push_image(&repository, Some("kept"), &kept).await;
    push_image(&repository, Some("gone"), &gone).await;
    push_image(&repository, Some("gone-too"), &gone).await;
    match repository.delete_manifest(&tag("gone-too")).await {
        Ok(()) => assert_absent(&repository, &tag("gone-too")).await,
        Err(error) => {
            differs("the deletion of a tag", refusal(&error));
            assert_at(&repository, &tag("gone-too"), &gone).await;
        }
    }
    assert_at(&repository, &gone.digest().into(), &gone).await;
    match repository.delete_manifest(&gone.digest().into()).await {
        Ok(()) => {
            assert_absent(&repository, &gone.digest().into()).await;
            assert_absent(&repository, &tag("gone")).await;
            match repository.delete_manifest(&gone.digest().into()).await {
                Ok(()) => differs("the deletion of what is gone", "it succeeds"),
                Err(error) => assert!(error.is_not_found(), "{error}"),
            }
        }
        Err(error) => {
            differs("the deletion of a manifest", refusal(&error));
            assert_at(&repository, &gone.digest().into(), &gone).await;
        }
    }
    assert_at(&repository, &tag("kept"), &kept).await;
}

#[tokio::test]
async fn a_manifest_of_three_mebibytes_comes_back() {
    let world = World::new("large").await;
    let (repository, mut image) = (world.repository("app"), fixture::image(seed(), 1));
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.bytes).expect("JSON");
    manifest["annotations"] = serde_json::json!({ "filling": "x".repeat(3 << 20) });
    image.bytes = serde_json::to_vec(&manifest).expect("JSON").into();
    image.descriptor = Descriptor::of(media_type::OCI_MANIFEST, &image.bytes);
    push_blobs(&repository, &image).await;
    match put(&repository, tag("large"), &image).await {
        Ok(_) => {
            assert_at(&repository, &tag("large"), &image).await;
            assert_at(&repository, &image.digest().into(), &image).await;
        }
        Err(error) => {
            differs("a manifest of 3 MiB", refusal(&error));
            assert_absent(&repository, &tag("large")).await;
        }
    }
}

#[tokio::test]
async fn a_name_may_have_many_components() {
    let world = World::new("names").await;
    let image = fixture::image(seed(), 1);
    for name in ["a", "a/b", "a/b/c-d/e_f/g.h/0", "team--x/app__y/1.2.3", "a/tags/list/b"] {
        let repository = world.repository(name);
        push_image(&repository, Some("v1.0-rc_1"), &image).await;
        assert_at(&repository, &tag("v1.0-rc_1"), &image).await;
        let tags = repository.tags().await.expect("a list").names;
        assert_eq!(tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["v1.0-rc_1"]);
    }
}

#[tokio::test]
async fn a_tag_may_have_all_that_the_grammar_has() {
    let world = World::new("tags").await;
    let (repository, image) = (world.repository("app"), fixture::image(seed(), 1));
    let longest = "x".repeat(128);
    for name in ["_", "0", "A.b-c_D", &longest] {
        push_image(&repository, Some(name), &image).await;
        assert_at(&repository, &tag(name), &image).await;
    }
}
