//! "Reading an image".

use std::collections::BTreeMap;

use http::Method;
use oci::{Descriptor, Digest, ImageIndex, ImageManifest, media_type};
use testkit::{Fault, TestServer, fixture};
use transfer::{Error, Image, MAX_DEPTH, MAX_MANIFESTS, reachable_manifests};
use wording::Chain;

use crate::world::{repository, serving, source_of};

/// Content as [`serving`] takes it.
type TestContent = (Descriptor, Vec<u8>);

/// An image without layers.
fn leaf(seed: u64) -> TestContent {
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::of(media_type::OCI_CONFIG, &seed.to_le_bytes()),
        layers: Vec::new(),
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&manifest).expect("it prints");
    (Descriptor::of(media_type::OCI_MANIFEST, &bytes), bytes)
}

fn index(manifests: &[Descriptor]) -> TestContent {
    let index = ImageIndex {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: manifests.to_vec(),
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&index).expect("it prints");
    (Descriptor::of(media_type::OCI_INDEX, &bytes), bytes)
}

/// A chain of indexes above an image, the root last: so many manifests in all.
fn chain(length: usize) -> Vec<TestContent> {
    let mut chain = vec![leaf(1)];
    while chain.len() < length {
        let below = chain[chain.len() - 1].0.clone();
        chain.push(index(&[below]));
    }
    chain
}

async fn load(source: &TestServer, digest: &Digest) -> Result<Image, Error> {
    Image::load(&repository(source), digest).await
}

fn digests(image: &Image) -> Vec<Digest> {
    image.nodes().map(|node| node.manifest.digest).collect()
}

#[tokio::test]
async fn every_manifest_is_read_once_and_stands_behind_what_it_lists() {
    let shared = leaf(1);
    let inner = index(&[shared.0.clone(), leaf(2).0]);
    let root = index(&[shared.0.clone(), inner.0.clone(), leaf(3).0, shared.0.clone()]);
    let digest = root.0.digest;
    let server = serving(vec![leaf(2), leaf(3), shared.clone(), inner.clone(), root]).await;
    let image = load(&server, &digest).await.expect("it loads");
    assert_eq!(image.root().digest, digest);
    assert_eq!(image.root().media_type, media_type::OCI_INDEX);
    let order = digests(&image);
    let place = |digest: &Digest| order.iter().position(|one| one == digest);
    assert_eq!(order.len(), 5);
    assert!(place(&shared.0.digest) < place(&inner.0.digest));
    assert_eq!(place(&digest), Some(4));
    assert_eq!(server.requests().len(), 5, "each once");
}

#[tokio::test]
async fn an_entry_that_is_no_manifest_is_a_blob() {
    let layer = Descriptor::of(media_type::OCI_LAYER_GZIP, b"a cached layer");
    let root = index(&[leaf(1).0, layer.clone()]);
    let digest = root.0.digest;
    let server = serving(vec![leaf(1), root]).await;
    let image = load(&server, &digest).await.expect("it loads");
    let root = image.nodes().last().expect("a root");
    assert_eq!(root.blobs, [layer]);
    assert_eq!(root.children, [leaf(1).0]);
}

#[tokio::test]
async fn a_manifest_served_under_a_generic_type_is_put_under_its_own() {
    for (served, (listed, bytes), own) in [
        ("application/json", leaf(1), media_type::OCI_MANIFEST),
        ("application/octet-stream", index(&[]), media_type::OCI_INDEX),
    ] {
        let served = Descriptor::new(served, listed.digest, listed.size);
        let server = serving(vec![(served, bytes)]).await;
        let image = load(&server, &listed.digest).await.expect("it loads");
        assert_eq!(image.root().media_type, own);
    }
}

#[tokio::test]
async fn a_missing_child_is_named_with_the_one_that_lists_it() {
    let root = index(&[leaf(1).0, leaf(2).0]);
    let digest = root.0.digest;
    let server = serving(vec![leaf(1), root]).await;
    let error = load(&server, &digest).await.expect_err("a child is missing");
    assert!(error.is_source() && error.is_missing() && !error.is_transient(), "{error}");
    let text = error.to_string();
    let words = [&leaf(2).0.digest.to_string(), &digest.to_string(), server.host().as_str()]
        .map(str::to_owned);
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    let absent = leaf(9).0.digest;
    let error = load(&server, &absent).await.expect_err("the root is missing");
    assert!(error.is_missing() && error.to_string().contains(&absent.to_string()), "{error}");
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused_by_name() {
    let schema1 = br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec();
    let signed = Descriptor::of(media_type::DOCKER_SCHEMA1_SIGNED, &schema1);
    let text = b"not JSON".to_vec();
    let broken = Descriptor::of(media_type::OCI_MANIFEST, &text);
    for (listed, bytes, word) in [(signed, schema1, "schema 1"), (broken, text, "well-formed")] {
        let root = index(&[leaf(1).0, listed.clone()]);
        let digest = root.0.digest;
        let server = serving(vec![leaf(1), (listed.clone(), bytes), root]).await;
        let error = load(&server, &digest).await.expect_err(word);
        let text = Chain(&error).to_string();
        assert!(error.is_source() && !error.is_missing() && error.is_broken(), "{text}");
        assert!(text.contains(word) && text.contains(&listed.digest.to_string()), "{text}");
    }
}

#[tokio::test]
async fn depth_and_number_are_bounded() {
    for (length, is_fine) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
        let chain = chain(length);
        let root = chain[length - 1].0.digest;
        let server = serving(chain).await;
        let reached = reachable_manifests(&repository(&server), root).await;
        assert_eq!(reached.ok().map(|reached| reached.len()), is_fine.then_some(length));
        let loaded = load(&server, &root).await;
        assert_eq!(loaded.is_ok(), is_fine, "{length}");
        let text = loaded.map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(text.contains(&format!("{MAX_DEPTH} levels")), !is_fine, "{text}");
    }
    let many: Vec<_> = (0..MAX_MANIFESTS as u64).map(|seed| leaf(seed).0).collect();
    let root = index(&many);
    let digest = root.0.digest;
    let server = serving(vec![root]).await;
    let error = load(&server, &digest).await.expect_err("one too many");
    assert!(error.to_string().contains(&MAX_MANIFESTS.to_string()), "{error}");
    assert_eq!(server.requests().len(), 1, "none of them is read");
    let error = reachable_manifests(&repository(&server), digest).await.expect_err("one too many");
    assert!(error.to_string().contains(&MAX_MANIFESTS.to_string()), "{error}");
}

#[tokio::test]
async fn the_longest_path_to_a_manifest_is_what_counts() {
    for (length, is_fine) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, false)] {
        let mut contents = chain(length);
        // The image is below the root itself too, so that it can be read on the shorter path first.
        let root = index(&[contents[0].0.clone(), contents[length - 1].0.clone()]);
        let digest = root.0.digest;
        contents.push(root);
        let server = serving(contents).await;
        let reached = reachable_manifests(&repository(&server), digest).await;
        assert_eq!(reached.is_ok(), is_fine, "{length}");
        let loaded = load(&server, &digest).await;
        assert_eq!(loaded.is_ok(), is_fine, "{length}");
        let text = loaded.map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(text.contains(&format!("{MAX_DEPTH} levels")), !is_fine, "{text}");
    }
}

#[tokio::test]
async fn a_manifest_with_other_bytes_than_its_digest_is_refused() {
    let image = fixture::index(1, 2, 1);
    let source = source_of(&image).await;
    let child = image.children[1].digest().to_string();
    source.fail(Fault::on(Method::GET, &child).corrupt());
    let error = load(&source, &image.digest()).await.expect_err("it is corrupt");
    assert!(error.is_source() && error.to_string().contains(&child), "{error}");
    source.clear_faults();
    source.fail(Fault::on(Method::GET, &child).status(503));
    let error = load(&source, &image.digest()).await.expect_err("it is out of order");
    assert!(error.is_source() && error.is_transient() && !error.is_missing(), "{error}");
    assert!(!error.is_broken(), "{error}");
}
