//! A little content for a registry to hold, in repository `a`, and a short name for each digest and
//! media type: no fuzzer guesses a digest.

use std::sync::LazyLock;

use axum::body::Body;
use http::{Request, header::CONTENT_TYPE};
use oci::{Algorithm, Descriptor, Digest, media_type};
use registry::Registry;
use serde_json::json;

use crate::edge::{respond, send};

/// What stands in the place of `$` and a letter.
pub type Names = Vec<(u8, String)>;

pub static STOCK: LazyLock<Stock> = LazyLock::new(Stock::new);

/// The same in every run.
pub struct Stock {
    /// Each with its letter and digest. One is there under two digests.
    pub blobs: Vec<(u8, Digest, Vec<u8>)>,
    /// Each with its letter, media type and content. Each needs only what stands before it.
    pub manifests: Vec<(u8, &'static str, Vec<u8>)>,
    /// The digests of the manifests.
    pub manifest_digests: Vec<Digest>,
    /// Names of digests and media types.
    pub names: Names,
}

impl Stock {
    fn new() -> Self {
        let (blob, config): (&[u8], &[u8]) = (b"0123456789abcdefghijklmnopqrstuvwxyz", b"{}");
        let image = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": Descriptor::of(media_type::OCI_CONFIG, config),
            "layers": [Descriptor::of(media_type::OCI_LAYER_GZIP, blob)],
        });
        let image = image.to_string().into_bytes();
        let mut referrer = json!({
            "schemaVersion": 2,
            "artifactType": "example/signature",
            "config": Descriptor::of(media_type::OCI_EMPTY, config),
            "layers": [],
            "subject": Descriptor::of(media_type::OCI_MANIFEST, &image),
            "annotations": {"key": "value"},
        });
        let first = referrer.to_string().into_bytes();
        referrer["artifactType"] = "example/sbom+json".into();
        let second = referrer.to_string().into_bytes();
        let index = json!({
            "schemaVersion": 2,
            "manifests": [Descriptor::of(media_type::OCI_MANIFEST, &image)],
        });
        let index = index.to_string().into_bytes();
        let mut stock = Self {
            blobs: vec![
                (b'b', Digest::sha256(blob), blob.to_vec()),
                (b'5', Digest::of(Algorithm::Sha512, blob), blob.to_vec()),
                (b'c', Digest::sha256(config), config.to_vec()),
                (b'e', Digest::sha256(b""), Vec::new()),
            ],
            manifests: vec![
                (b'i', media_type::OCI_MANIFEST, image),
                (b'r', media_type::OCI_MANIFEST, first),
                (b't', media_type::OCI_MANIFEST, second),
                (b'x', media_type::OCI_INDEX, index),
            ],
            manifest_digests: Vec::new(),
            names: Vec::new(),
        };
        let contents = stock.manifests.iter().map(|(_, _, content)| content);
        stock.manifest_digests = contents.map(|content| Digest::sha256(content)).collect();
        stock.names = stock.names();
        stock
    }

    /// Pushes it all. Each manifest has a tag: its letter.
    pub fn fill(&self, registry: &Registry) {
        for (_, digest, content) in &self.blobs {
            let line = format!("POST /v2/a/blobs/uploads/?digest={digest}");
            assert_eq!(send(registry, &line, content.clone()).status, 201);
        }
        for (letter, media_type, content) in &self.manifests {
            let request = Request::put(format!("/v2/a/manifests/{}", char::from(*letter)));
            let request = request.header(CONTENT_TYPE, *media_type);
            let request = request.body(Body::from(content.clone())).expect("it is a request");
            assert_eq!(respond(registry, request).status, 201);
        }
    }

    fn names(&self) -> Names {
        let blobs = self.blobs.iter().map(|(letter, digest, _)| (*letter, *digest));
        let manifests = self.manifests.iter().map(|(letter, ..)| *letter);
        let absent = (b'n', Digest::sha256(b"of nothing that is there"));
        let digests =
            blobs.chain(manifests.zip(self.manifest_digests.iter().copied())).chain([absent]);
        let types = [
            (b'I', media_type::OCI_MANIFEST),
            (b'X', media_type::OCI_INDEX),
            (b'D', media_type::DOCKER_MANIFEST),
            (b'L', media_type::DOCKER_LIST),
        ];
        let types = types.map(|(letter, name)| (letter, name.to_owned()));
        digests.map(|(letter, digest)| (letter, digest.to_string())).chain(types).collect()
    }
}

/// The text with what its names stand for.
pub fn expanded(text: &[u8], names: &Names) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, more @ ..] = rest {
        let letter = more.first().filter(|_| *first == b'$');
        let meant = letter.and_then(|letter| names.iter().find(|(name, _)| name == letter));
        match meant {
            Some((_, meant)) => out.extend_from_slice(meant.as_bytes()),
            None => out.push(*first),
        }
        rest = if meant.is_some() { &more[1..] } else { more };
    }
    out
}
