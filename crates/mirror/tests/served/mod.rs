//! A registry of one repository with fixed manifests, whatever a real one would say to them.

use std::{collections::HashMap, sync::Arc};

use http::Response;
use oci::{Descriptor, Digest, media_type};
use testkit::{Body, TestServer};

/// What the repository is called.
pub(crate) const NAME: &str = "prod/a";

/// A registry of these manifests in [`NAME`], each at its digest, and each of `tagged` at a tag `t<n>`.
pub(crate) async fn registry(manifests: Vec<String>, tagged: Vec<Digest>) -> TestServer {
    let tags: Vec<_> = (0..tagged.len()).map(|n| format!("t{n}")).collect();
    let listed = HashMap::from([
        ("_catalog".to_owned(), serde_json::json!({ "repositories": [NAME] }).to_string()),
        ("list".to_owned(), serde_json::json!({ "tags": tags }).to_string()),
    ]);
    let named = manifests.into_iter().map(|text| (Digest::sha256(text.as_bytes()), text));
    let manifests: HashMap<_, _> = named.collect();
    let (listed, manifests, tagged) = (Arc::new(listed), Arc::new(manifests), Arc::new(tagged));
    TestServer::start(move |request| {
        let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let of_tag = name.strip_prefix('t').and_then(|n| tagged.get(n.parse::<usize>().ok()?));
        let digest = of_tag.copied().or_else(|| name.parse().ok());
        let manifest = digest.and_then(|digest| Some((digest, manifests.get(&digest)?)));
        let response = match (manifest, listed.get(&name)) {
            (Some((digest, text)), _) => Response::builder()
                .header("docker-content-digest", digest.to_string())
                .header("content-length", text.len())
                .body(Body::from(text.clone())),
            (None, Some(listing)) => Response::builder().body(Body::from(listing.clone())),
            (None, None) => Response::builder().status(404).body(Body::empty()),
        };
        async { response.expect("a response") }
    })
    .await
}

/// An image manifest with these layers; `note` makes it another one.
pub(crate) fn image(note: usize, layers: &[Descriptor]) -> String {
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": layers[0],
        "layers": layers,
        "annotations": { "note": note.to_string() },
    })
    .to_string()
}

/// A layer that no registry has.
pub(crate) fn layer(n: usize) -> Descriptor {
    Descriptor::new(media_type::OCI_LAYER_GZIP, Digest::sha256(&n.to_le_bytes()), 1)
}
