//! Content for registries, made from a seed: the same seed gives the same bytes and digests, other
//! seeds give others.
//!
//! Layers are noise, which registries and our own clients never look into; no image here can be run.
//! Manifests are printed with indents, so that printing them again changes their digest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use oci::{Descriptor, Digest, ImageIndex, ImageManifest, Platform, media_type};
use serde::Serialize;

/// How long a layer is where the test does not say, in bytes.
pub const LAYER_BYTES: usize = 1_000;

/// A manifest with all that it reaches: an image, an artifact or an index.
#[derive(Clone, Debug)]
pub struct TestImage {
    /// What it is, its digest and its length.
    pub descriptor: Descriptor,
    /// The manifest itself.
    pub bytes: Bytes,
    /// The blobs that it points to, config first: none for an index.
    pub blobs: Vec<TestBlob>,
    /// The manifests that it lists: only for an index.
    pub children: Vec<Self>,
}

/// A config or layer.
#[derive(Clone, Debug)]
pub struct TestBlob {
    /// What it is, its digest and its length.
    pub descriptor: Descriptor,
    /// The content.
    pub bytes: Bytes,
}

impl TestImage {
    /// The digest of the manifest.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.descriptor.digest
    }

    /// This manifest and those below it, children first.
    #[must_use]
    pub fn manifests(&self) -> Vec<&Self> {
        let below = self.children.iter().flat_map(Self::manifests);
        below.chain([self]).collect()
    }

    /// The digests of all that it reaches, itself included, each once.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<Digest> {
        let of = |manifest: &Self| {
            let blobs: Vec<_> = manifest.blobs.iter().map(|blob| blob.descriptor.digest).collect();
            blobs.into_iter().chain([manifest.digest()])
        };
        self.manifests().into_iter().flat_map(of).collect()
    }
}

/// An OCI image with this many layers.
#[must_use]
pub fn image(seed: u64, layers: usize) -> TestImage {
    image_of(&OCI, seed, &layers_of(seed, layers, &OCI), "amd64")
}

/// A Docker schema 2 image with this many layers.
#[must_use]
pub fn docker_image(seed: u64, layers: usize) -> TestImage {
    image_of(&DOCKER, seed, &layers_of(seed, layers, &DOCKER), "amd64")
}

/// An OCI image whose layers have these lengths in bytes.
#[must_use]
pub fn image_with_layers(seed: u64, lengths: &[usize]) -> TestImage {
    let layer = |(at, length): (usize, &usize)| blob(OCI.layer, noise(mix(seed, at), *length));
    let layers: Vec<_> = lengths.iter().enumerate().map(layer).collect();
    image_of(&OCI, seed, &layers, "amd64")
}

/// An OCI index of images for this many platforms, with this many layers each, the first of which
/// they share.
#[must_use]
pub fn index(seed: u64, platforms: usize, layers: usize) -> TestImage {
    index_of(&OCI, seed, platforms, layers)
}

/// A Docker schema 2 manifest list, as [`index`].
#[must_use]
pub fn docker_list(seed: u64, platforms: usize, layers: usize) -> TestImage {
    index_of(&DOCKER, seed, platforms, layers)
}

/// An artifact in the shape of a Helm chart.
#[must_use]
pub fn helm_chart(seed: u64) -> TestImage {
    let config = serde_json::json!({ "apiVersion": "v2", "name": format!("chart-{seed}"), "version": "0.1.0" });
    let config = blob("application/vnd.cncf.helm.config.v1+json", config.to_string());
    let chart = noise(seed, LAYER_BYTES);
    let chart = blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", chart);
    manifest_of(&OCI, vec![config, chart])
}

/// An artifact of this type that refers to `subject`, such as a signature: an empty config, one layer,
/// and an annotation that says its seed.
#[must_use]
pub fn referrer(seed: u64, subject: &Descriptor, artifact_type: &str) -> TestImage {
    let blobs = vec![
        blob(media_type::OCI_EMPTY, "{}"),
        blob("application/octet-stream", noise(seed, LAYER_BYTES)),
    ];
    let bytes = print(&ImageManifest {
        schema_version: 2,
        media_type: Some(OCI.manifest.to_owned()),
        artifact_type: Some(artifact_type.to_owned()),
        config: blobs[0].descriptor.clone(),
        layers: vec![blobs[1].descriptor.clone()],
        subject: Some(subject.clone()),
        annotations: BTreeMap::from([("seed".to_owned(), seed.to_string())]),
    });
    TestImage {
        descriptor: Descriptor::of(OCI.manifest, &bytes),
        bytes,
        blobs,
        children: Vec::new(),
    }
}

/// What cosign puts under a digest tag: a layer for each of `signers`, all of which sign the same payload, and a
/// config that lists the layers.
#[must_use]
pub fn signatures(payload: &str, signers: &[&str]) -> TestImage {
    let payload = blob("application/vnd.dev.cosign.simplesigning.v1+json", payload.to_owned());
    let signed = |signer: &&str| {
        let mut layer = payload.clone();
        let signature = ("dev.cosignproject.cosign/signature".to_owned(), (*signer).to_owned());
        layer.descriptor.annotations.extend([signature]);
        layer
    };
    let layers: Vec<_> = signers.iter().map(signed).collect();
    let ids: Vec<_> = layers.iter().map(|layer| layer.descriptor.digest).collect();
    let config = serde_json::json!({
        "architecture": "", "os": "", "config": {}, "created": "0001-01-01T00:00:00Z",
        "history": ids.iter().map(|_| serde_json::json!({ "created": "0001-01-01T00:00:00Z" })).collect::<Vec<_>>(),
        "rootfs": { "type": "layers", "diff_ids": ids },
    });
    manifest_of(&OCI, [&[blob(OCI.config, config.to_string())], &*layers].concat())
}

/// An index of indexes.
#[must_use]
pub fn nested(seed: u64, indexes: usize) -> TestImage {
    let children: Vec<_> = (0..indexes).map(|at| index(mix(seed, at), 2, 2)).collect();
    index_listing(&children.iter().collect::<Vec<_>>())
}

/// An OCI index of these.
#[must_use]
pub fn index_listing(children: &[&TestImage]) -> TestImage {
    let children: Vec<_> = children.iter().copied().cloned().collect();
    let bytes = print(&ImageIndex {
        schema_version: 2,
        media_type: Some(OCI.index.to_owned()),
        artifact_type: None,
        manifests: children.iter().map(|child| child.descriptor.clone()).collect(),
        subject: None,
        annotations: BTreeMap::new(),
    });
    TestImage { descriptor: Descriptor::of(OCI.index, &bytes), bytes, blobs: Vec::new(), children }
}

/// The same image, whose layer at this place has another media type.
#[must_use]
pub fn with_layer_type(image: &TestImage, layer: usize, media_type: &str) -> TestImage {
    let mut image = image.clone();
    let mut json: serde_json::Value = serde_json::from_slice(&image.bytes).expect("a manifest");
    json["layers"][layer]["mediaType"] = media_type.into();
    image.blobs[layer + 1].descriptor.media_type = media_type.to_owned();
    image.bytes = json.to_string().into();
    image.descriptor = Descriptor::of(image.descriptor.media_type, &image.bytes);
    image
}

/// The same index, which says that this child is so many bytes long.
#[must_use]
pub fn with_child_size(index: &TestImage, child: usize, size: usize) -> TestImage {
    let mut index = index.clone();
    let mut json: serde_json::Value = serde_json::from_slice(&index.bytes).expect("an index");
    json["manifests"][child]["size"] = size.into();
    index.bytes = json.to_string().into();
    index.descriptor = Descriptor::of(index.descriptor.media_type, &index.bytes);
    index
}

/// The same image, whose manifest and blobs are called by their SHA-512.
#[must_use]
pub fn in_sha512(image: &TestImage) -> TestImage {
    let mut image = image.clone();
    let mut json: serde_json::Value = serde_json::from_slice(&image.bytes).expect("a manifest");
    let mut rename = |of: &str, place: &mut serde_json::Value| {
        let blob = image.blobs.iter_mut().find(|blob| blob.descriptor.digest.to_string() == of);
        let blob = blob.expect("a blob");
        blob.descriptor.digest = sha512(&blob.bytes);
        *place = blob.descriptor.digest.to_string().into();
    };
    let renamed = |descriptor: &serde_json::Value| {
        descriptor["digest"].as_str().expect("a digest").to_owned()
    };
    rename(&renamed(&json["config"]), &mut json["config"]["digest"]);
    for layer in json["layers"].as_array_mut().expect("layers") {
        rename(&renamed(layer), &mut layer["digest"]);
    }
    image.bytes = json.to_string().into();
    image.descriptor.digest = sha512(&image.bytes);
    image.descriptor.size = image.bytes.len() as u64;
    image
}

fn sha512(bytes: &[u8]) -> Digest {
    let mut digester = oci::Digester::new(oci::Algorithm::Sha512);
    digester.update(bytes);
    digester.finish()
}

/// `length` bytes of noise.
#[must_use]
pub fn noise(seed: u64, length: usize) -> Bytes {
    let mut words = (0..length.div_ceil(8)).map(|at| mix(seed, at).to_le_bytes());
    let mut bytes = Vec::with_capacity(length + 8);
    words.by_ref().for_each(|word| bytes.extend_from_slice(&word));
    bytes.truncate(length);
    bytes.into()
}

/// The media types of one family.
struct Family {
    manifest: &'static str,
    index: &'static str,
    config: &'static str,
    layer: &'static str,
}

const OCI: Family = Family {
    manifest: media_type::OCI_MANIFEST,
    index: media_type::OCI_INDEX,
    config: media_type::OCI_CONFIG,
    layer: media_type::OCI_LAYER_GZIP,
};

const DOCKER: Family = Family {
    manifest: media_type::DOCKER_MANIFEST,
    index: media_type::DOCKER_LIST,
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};

const ARCHITECTURES: [&str; 5] = ["amd64", "arm64", "arm", "ppc64le", "s390x"];

fn layers_of(seed: u64, count: usize, family: &Family) -> Vec<TestBlob> {
    (0..count).map(|at| blob(family.layer, noise(mix(seed, at), LAYER_BYTES))).collect()
}

fn image_of(family: &Family, seed: u64, layers: &[TestBlob], architecture: &str) -> TestImage {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.descriptor.digest).collect();
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Labels": { "seed": seed.to_string() } },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = blob(family.config, config.to_string());
    manifest_of(family, [&[config], layers].concat())
}

fn manifest_of(family: &Family, blobs: Vec<TestBlob>) -> TestImage {
    let mut descriptors = blobs.iter().map(|blob| blob.descriptor.clone());
    let bytes = print(&ImageManifest {
        schema_version: 2,
        media_type: Some(family.manifest.to_owned()),
        artifact_type: None,
        config: descriptors.next().expect("a config"),
        layers: descriptors.collect(),
        subject: None,
        annotations: BTreeMap::new(),
    });
    let descriptor = Descriptor::of(family.manifest, &bytes);
    TestImage { descriptor, bytes, blobs, children: Vec::new() }
}

fn index_of(family: &Family, seed: u64, platforms: usize, layers: usize) -> TestImage {
    let shared = layers_of(seed, layers.min(1), family);
    let child = |at: usize| {
        let own = layers_of(mix(seed, at), layers.saturating_sub(1), family);
        let architecture = ARCHITECTURES[at % ARCHITECTURES.len()];
        let mut child = image_of(family, mix(seed, at), &[&*shared, &own].concat(), architecture);
        child.descriptor.platform =
            Some(Platform { architecture: architecture.into(), os: "linux".into(), variant: None });
        child
    };
    let children: Vec<_> = (0..platforms).map(child).collect();
    let bytes = print(&ImageIndex {
        schema_version: 2,
        media_type: Some(family.index.to_owned()),
        artifact_type: None,
        manifests: children.iter().map(|child| child.descriptor.clone()).collect(),
        subject: None,
        annotations: BTreeMap::new(),
    });
    TestImage {
        descriptor: Descriptor::of(family.index, &bytes),
        bytes,
        blobs: Vec::new(),
        children,
    }
}

fn blob(media_type: &str, bytes: impl Into<Bytes>) -> TestBlob {
    let bytes = bytes.into();
    TestBlob { descriptor: Descriptor::of(media_type, &bytes), bytes }
}

fn print(manifest: &impl Serialize) -> Bytes {
    serde_json::to_vec_pretty(manifest).expect("a manifest can be printed").into()
}

/// A number that differs for every seed and place (splitmix64).
fn mix(seed: u64, at: usize) -> u64 {
    let at = (at as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut value = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(at);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
