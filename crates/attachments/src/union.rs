//! The union of two manifests for the same digest tag, such as two sets of cosign's signatures: the existing
//! layers in their order, then the new ones. Nothing is removed or changed.
//!
//! Pure: any bytes give a union or a reason. No signature is verified.
//!
//! Source: cosign's layout, in which one manifest has a layer for each signature, attestation or bill of
//! materials, and a config that says again which layers there are; `docs/internals/promotion.md`, "Merging attachments".

use std::{borrow::Cow, collections::HashSet};

use oci::{Digest, media_type};
use serde_json::{Map, Value};

/// The most layers that a merged manifest may have.
pub const MAX_LAYERS: usize = 1_000;

/// Why two manifests have no union.
#[derive(Debug, thiserror::Error)]
pub enum NoUnion {
    /// One of them is no image manifest.
    #[error("{digest} is not an image manifest ({cause}); only image manifests can be merged")]
    Kind {
        /// Which one.
        digest: Digest,
        /// What it is or lacks.
        cause: NotImage,
    },
    /// Together there would be too many.
    #[error("the merged manifest would have more than {MAX_LAYERS} layers")]
    TooMany,
}

/// Why a manifest is no image manifest.
#[derive(Debug, thiserror::Error)]
pub enum NotImage {
    /// It is not a JSON object.
    #[error("{0}")]
    Json(serde_json::Error),
    /// It has another media type.
    #[error("it is `{0}`")]
    MediaType(String),
    /// It has no config.
    #[error("it has no config")]
    NoConfig,
    /// It has no list of layers.
    #[error("it has no list of layers")]
    NoLayers,
}

/// A manifest under a digest tag.
#[derive(Clone, Debug)]
pub(crate) struct MergeableManifest {
    digest: Digest,
    media_type: String,
    /// All members, of which we know a few.
    members: Map<String, Value>,
    layers: Vec<Value>,
}

impl MergeableManifest {
    /// Reads a manifest.
    pub(crate) fn parse(digest: Digest, media_type: &str, bytes: &[u8]) -> Result<Self, NoUnion> {
        let kind = |cause| NoUnion::Kind { digest, cause };
        let essence = media_type::essence(media_type);
        let mut members: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| kind(NotImage::Json(error)))?;
        let own = members.get("mediaType").and_then(Value::as_str).unwrap_or(essence);
        // What it says of itself counts, where it says something.
        if ![media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST].contains(&own) {
            return Err(kind(NotImage::MediaType(own.to_owned())));
        }
        let media_type = own.to_owned();
        if members.get("config").is_none_or(|config| digest_of(config).is_none()) {
            return Err(kind(NotImage::NoConfig));
        }
        match members.remove("layers") {
            Some(Value::Array(layers)) if layers.iter().all(|it| digest_of(it).is_some()) => {
                Ok(Self { digest, media_type, members, layers })
            }
            _ => Err(kind(NotImage::NoLayers)),
        }
    }

    /// The digest of its config.
    pub(crate) fn config(&self) -> Option<Digest> {
        self.members.get("config").and_then(digest_of)
    }

    /// Whether it has every layer of `other`: with the same annotations, since that is where signatures
    /// are, and two of them may sign the same payload.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.lacks(other).next().is_none()
    }

    /// The layers of `other` that it lacks, with their places there.
    fn lacks<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (usize, &'a Value)> {
        let mut there: HashSet<_> = self.layers.iter().map(key).collect();
        other.layers.iter().enumerate().filter(move |(_, layer)| there.insert(key(layer)))
    }

    /// It with the layers of `other` that it lacks. `config` and `others` are the bytes of both configs.
    pub(crate) fn with(
        mut self,
        config: &[u8],
        other: &Self,
        others: &[u8],
    ) -> Result<MergedManifest, NoUnion> {
        let new: Vec<_> = self.lacks(other).map(|(at, layer)| (at, layer.clone())).collect();
        if self.layers.len() + new.len() > MAX_LAYERS {
            return Err(NoUnion::TooMany);
        }
        let config = merged_config(config, self.layers.len(), others, &new);
        if let (Some(bytes), Some(Value::Object(descriptor))) =
            (&config, self.members.get_mut("config"))
        {
            descriptor.insert("digest".to_owned(), Digest::sha256(bytes).to_string().into());
            descriptor.insert("size".to_owned(), bytes.len().into());
            // Content that was embedded is that of the former config.
            descriptor.remove("data");
        }
        self.layers.extend(new.into_iter().map(|(_, layer)| layer));
        self.members.insert("layers".to_owned(), self.layers.into());
        let manifest = Value::Object(self.members).to_string().into_bytes();
        Ok(MergedManifest { media_type: self.media_type, manifest, config })
    }

    /// Its digest.
    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }
}

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MergedManifest {
    pub(crate) media_type: String,
    pub(crate) manifest: Vec<u8>,
    /// The new config; none if that of the manifest that is there says nothing of its layers.
    pub(crate) config: Option<Vec<u8>>,
}

/// What distinguishes one layer from another.
fn key(layer: &Value) -> (Cow<'_, str>, String) {
    let digest = layer.get("digest").and_then(Value::as_str).unwrap_or_default();
    let annotations =
        layer.get("annotations").filter(|it| it.as_object().is_some_and(|it| !it.is_empty()));
    (digest.into(), annotations.map(Value::to_string).unwrap_or_default())
}

fn digest_of(descriptor: &Value) -> Option<Digest> {
    descriptor.get("digest")?.as_str()?.parse().ok()
}

/// The config with what that of the other says of the new layers; none where it lists no layers.
fn merged_config(
    config: &[u8],
    layers: usize,
    others: &[u8],
    new: &[(usize, Value)],
) -> Option<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(config).ok()?;
    let others: Value = serde_json::from_slice(others).unwrap_or_default();
    let ids = config.pointer_mut("/rootfs/diff_ids")?.as_array_mut()?;
    if ids.len() != layers {
        return None;
    }
    for (at, layer) in new {
        // A layer of these is not compressed, so that its digest is what stands here.
        let stated = others.pointer("/rootfs/diff_ids").and_then(|ids| ids.get(*at));
        ids.push(stated.or_else(|| layer.get("digest")).cloned().unwrap_or_default());
    }
    if let Some(history) = config.get_mut("history").and_then(Value::as_array_mut)
        && history.len() == layers
    {
        for (at, _) in new {
            let stated = others.pointer("/history").and_then(|history| history.get(*at));
            history.push(stated.cloned().unwrap_or_else(|| Map::new().into()));
        }
    }
    Some(config.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A manifest of signatures, each a payload and what signs it; and its config.
    fn signatures(of: &[(&str, &str)]) -> (MergeableManifest, Vec<u8>) {
        let digest = |payload: &str| Digest::sha256(payload.as_bytes()).to_string();
        let ids: Vec<_> = of.iter().map(|(payload, _)| digest(payload)).collect();
        let history: Vec<_> = of.iter().map(|(_, by)| json!({ "created_by": by })).collect();
        let config = json!({ "rootfs": { "type": "layers", "diff_ids": ids }, "history": history });
        let config = config.to_string().into_bytes();
        let layers: Vec<_> = of
            .iter()
            .map(|(payload, by)| {
                json!({ "mediaType": "m/t", "digest": digest(payload), "size": payload.len(), "annotations": { "signature": by } })
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "new": [1],
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": Digest::sha256(&config), "size": config.len() },
            "layers": layers,
        });
        let bytes = manifest.to_string();
        let read = MergeableManifest::parse(
            Digest::sha256(bytes.as_bytes()),
            media_type::OCI_MANIFEST,
            bytes.as_bytes(),
        );
        (read.expect("a manifest"), config)
    }

    fn again(union: &MergedManifest) -> MergeableManifest {
        let digest = Digest::sha256(&union.manifest);
        MergeableManifest::parse(digest, &union.media_type, &union.manifest).expect("a manifest")
    }

    #[test]
    fn what_is_there_stays_and_what_is_new_follows() {
        let (there, config) = signatures(&[("p", "production"), ("p", "both")]);
        let (new, others) = signatures(&[("p", "both"), ("q", "staging"), ("p", "staging")]);
        assert!(!there.covers(&new) && !new.covers(&there));
        let union = there.clone().with(&config, &new, &others).expect("a union");
        let merged = again(&union);
        let by: Vec<_> = merged
            .layers
            .iter()
            .map(|layer| layer["annotations"]["signature"].as_str().expect("a signature"))
            .collect();
        assert_eq!(by, ["production", "both", "staging", "staging"]);
        assert!(merged.covers(&there) && merged.covers(&new));
        assert_eq!(merged.members["new"], json!([1]));
        let config = union.config.expect("a config");
        assert_eq!(merged.config(), Some(Digest::sha256(&config)));
        assert_eq!(merged.members["config"]["size"], config.len());
        let config: Value = serde_json::from_slice(&config).expect("JSON");
        assert_eq!(config["rootfs"]["diff_ids"].as_array().expect("a list").len(), 4);
        assert_eq!(config["history"][2], json!({ "created_by": "staging" }));
        // Again, there is nothing to add.
        assert!(merged.covers(&new));
    }

    #[test]
    fn the_same_layer_twice_is_one() {
        let (there, config) = signatures(&[("p", "a")]);
        let (new, others) = signatures(&[("q", "b"), ("q", "b")]);
        let union = there.with(&config, &new, &others).expect("a union");
        assert_eq!(again(&union).layers.len(), 2);
    }

    #[test]
    fn a_config_that_does_not_list_its_layers_stays() {
        let (there, _) = signatures(&[("p", "a")]);
        let (new, others) = signatures(&[("q", "b")]);
        let config = there.config();
        for bytes in ["{}", "no JSON", r#"{"rootfs":{"diff_ids":[]}}"#] {
            let union = there.clone().with(bytes.as_bytes(), &new, &others).expect("a union");
            assert_eq!((union.config.is_none(), again(&union).config()), (true, config), "{bytes}");
        }
    }

    #[test]
    fn what_cannot_be_merged_says_why() {
        let digest = Digest::sha256(b"x");
        for (media_type, bytes, why) in [
            (
                media_type::OCI_INDEX,
                r#"{"manifests":[]}"#,
                "it is `application/vnd.oci.image.index",
            ),
            (media_type::OCI_MANIFEST, "{", "EOF"),
            (media_type::OCI_MANIFEST, r#"{"layers":[]}"#, "no config"),
            (
                media_type::OCI_MANIFEST,
                &format!(r#"{{"config":{{"digest":"{digest}"}},"layers":[{{}}]}}"#),
                "no list of layers",
            ),
        ] {
            let error =
                MergeableManifest::parse(digest, media_type, bytes.as_bytes()).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
        }
        let many: Vec<_> = (0..=MAX_LAYERS).map(|at| (at.to_string(), "")).collect();
        let many: Vec<_> = many.iter().map(|(payload, by)| (payload.as_str(), *by)).collect();
        let ((few, config), (many, others)) = (signatures(&[]), signatures(&many));
        assert!(matches!(few.with(&config, &many, &others), Err(NoUnion::TooMany)));
    }

    /// Pieces that make manifests which are nearly right.
    fn nearly_manifests() -> impl Strategy<Value = String> {
        let layers = [
            r#"{"digest":"DIGEST","annotations":{"s":"a"}}"#,
            r#"{"digest":"DIGEST","annotations":{"s":"b"}}"#,
            r#"{"digest":"DIGEST","annotations":7}"#,
            r#"{"digest":"DIGEST"}"#,
            r#"{"digest":"sha256:1"}"#,
            "[]",
        ];
        let layers = prop::collection::vec(prop::sample::select(layers.to_vec()), 0..5);
        let configs = [r#"{"digest":"DIGEST","size":1}"#, r#"{"digest":"DIGEST"}"#, "{}", "7"];
        let rest = ["", r#","new":[1]"#, r#","mediaType":"x""#, ","];
        (layers, prop::sample::select(configs.to_vec()), prop::sample::select(rest.to_vec()))
            .prop_map(|(layers, config, rest)| {
                let text =
                    format!(r#"{{"config":{config},"layers":[{}]{rest}}}"#, layers.join(","));
                text.replace("DIGEST", &Digest::sha256(b"x").to_string())
            })
    }

    proptest! {
        #[test]
        fn whatever_is_read_has_a_union_that_covers_both_or_a_reason(
            [one, other] in [nearly_manifests(), nearly_manifests()],
            [config, others] in [".{0,40}|\\{\"rootfs\":\\{\"diff_ids\":\\[(1,)?2\\]\\}\\}", ".{0,40}"],
        ) {
            let read = |text: &str| {
                MergeableManifest::parse(Digest::sha256(text.as_bytes()), media_type::OCI_MANIFEST, text.as_bytes())
            };
            if let (Ok(one), Ok(other)) = (read(&one), read(&other)) {
                let union = one.clone().with(config.as_bytes(), &other, others.as_bytes());
                let merged = again(&union.expect("a few layers"));
                prop_assert!(merged.covers(&one) && merged.covers(&other));
                prop_assert_eq!(&merged.layers[..one.layers.len()], &one.layers[..]);
                let same = merged.clone().with(b"", &other, b"").expect("a few layers");
                prop_assert_eq!(again(&same).layers, merged.layers);
            }
        }
    }
}
