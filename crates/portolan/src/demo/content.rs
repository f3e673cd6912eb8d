//! What the demonstration publishes: a small image for two platforms, which really runs, and a Helm
//! chart as an OCI artifact.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use oci::{Descriptor, Digest, ImageIndex, ImageManifest, Platform, media_type};
use serde_json::json;

/// The media type of a chart's configuration (helm.sh, "Helm OCI MIME Types").
const CHART_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// The media type of a packed chart.
const CHART_CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// An uncompressed layer: its digest is its diff ID.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// How much there is to pull, so that it takes a moment: the size of the shared layer's payload.
const PAYLOAD_BYTES: usize = 2 << 20;

/// An artifact in memory: its blobs, then its manifests, children first.
pub(crate) struct Artifact {
    pub blobs: Vec<Bytes>,
    pub manifests: Vec<(&'static str, Bytes)>,
}

impl Artifact {
    /// The digest of the last manifest, which reaches all else.
    pub(crate) fn digest(&self) -> Digest {
        self.manifests
            .last()
            .map_or_else(|| Digest::sha256(b""), |(_, bytes)| Digest::sha256(bytes))
    }
}

/// An image for linux/amd64 and linux/arm64 that shares its base layer between the two.
pub(crate) fn image() -> io::Result<Artifact> {
    let base = archive(&[("usr/share/portolan/chart", &payload())])?;
    let (mut blobs, mut manifests, mut entries) = (vec![base.clone()], Vec::new(), Vec::new());
    for architecture in ["amd64", "arm64"] {
        let greeting = format!("hello from portolan on {architecture}\n");
        let top = archive(&[("etc/motd", greeting.as_bytes())])?;
        let config = to_json(&json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/etc/motd"]},
            "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(&base), Digest::sha256(&top)]},
        }))?;
        let layers = [&base, &top].map(|layer| Descriptor::of(LAYER, layer));
        let manifest = manifest(Descriptor::of(media_type::OCI_CONFIG, &config), layers.to_vec())?;
        let platform =
            Platform { architecture: architecture.into(), os: "linux".into(), variant: None };
        entries.push(Descriptor {
            platform: Some(platform),
            ..Descriptor::of(media_type::OCI_MANIFEST, &manifest)
        });
        blobs.extend([config, top]);
        manifests.push((media_type::OCI_MANIFEST, manifest));
    }
    let index = ImageIndex {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.into()),
        artifact_type: None,
        manifests: entries,
        subject: None,
        annotations: Default::default(),
    };
    manifests.push((media_type::OCI_INDEX, to_json(&index)?));
    Ok(Artifact { blobs, manifests })
}

/// A chart that Helm can install.
pub(crate) fn chart() -> io::Result<Artifact> {
    let about = "apiVersion: v2\nname: hello\nversion: 1.0.0\ndescription: Says hello.\n";
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hello}\ndata: {hello: world}\n";
    let files = archive(&[
        ("hello/Chart.yaml", about.as_bytes()),
        ("hello/templates/hello.yaml", template.as_bytes()),
    ])?;
    // No time stamp, so that the digest is the same in every run.
    let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    packed.write_all(&files)?;
    let content = Bytes::from(packed.finish()?);
    let config = to_json(&json!({
        "apiVersion": "v2", "name": "hello", "version": "1.0.0", "description": "Says hello.",
    }))?;
    let manifest = manifest(
        Descriptor::of(CHART_CONFIG, &config),
        vec![Descriptor::of(CHART_CONTENT, &content)],
    )?;
    Ok(Artifact {
        blobs: vec![config, content],
        manifests: vec![(media_type::OCI_MANIFEST, manifest)],
    })
}

fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> io::Result<Bytes> {
    to_json(&ImageManifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: Default::default(),
    })
}

fn to_json(value: &impl serde::Serialize) -> io::Result<Bytes> {
    Ok(serde_json::to_vec(value)?.into())
}

fn archive(files: &[(&str, &[u8])]) -> io::Result<Bytes> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, path, *content)?;
    }
    Ok(archive.into_inner()?.into())
}

/// Bytes that look like data: a xorshift sequence, the same in every run.
fn payload() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take(PAYLOAD_BYTES / 8).flatten().collect()
}
