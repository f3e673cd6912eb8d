//! Image manifests and image indexes, OCI and Docker schema 2, as far as the promoter, the mirror
//! and the registry need them: what they point to.
//!
//! Unknown fields are ignored, since the bytes are opaque and are copied as they came. Docker
//! schema 1 is recognised and refused: its layers cannot be verified from the manifest alone. So is
//! what one reader may take for an image and another one for an index.
//!
//! Source: image-spec 1.1, manifest.md and image-index.md, and its advisory GHSA-77vh-xpmg-72qh;
//! Docker image manifest v2 schema 2.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{Descriptor, descriptor::null_is_default, media_type};

/// One image for one platform, or one artifact: a config and layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// The manifest's own media type; OCI allows leaving it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of artifact, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The layer blobs, base first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free metadata.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests, usually one a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// The index's own media type; OCI allows leaving it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of artifact, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests listed.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free metadata.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// Config and layers.
    Image(Box<ImageManifest>),
    /// A list of manifests.
    Index(Box<ImageIndex>),
}

/// Why bytes are not a manifest that we can read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not JSON, or a required field is missing or malformed.
    #[error("it is not a well-formed manifest: {0}")]
    Json(serde_json::Error),
    /// Docker schema 1.
    #[error(
        "it is a Docker schema 1 manifest, which cannot be verified; rebuild the image, or convert it to schema 2"
    )]
    Schema1,
    /// Some other schema version, or none.
    #[error(
        "its `schemaVersion` is {}; only 2 is supported",
        .0.map_or_else(|| "missing".to_owned(), |version| version.to_string())
    )]
    SchemaVersion(Option<u32>),
    /// An image to one reader and an index to another.
    #[error(
        "it is ambiguous: an index has no `config` or `layers`, and an image has no `manifests`; \
         remove those members, or push it under its own media type"
    )]
    Ambiguous,
    /// A member that programs which ignore case take for another one (Go's `encoding/json` does).
    #[error("it is ambiguous: some programs read its member `{found}` as `{meant}`; remove it")]
    AmbiguousMember {
        /// As it is spelled.
        found: String,
        /// What it is read as.
        meant: &'static str,
    },
    /// Some other media type.
    #[error(
        "its media type `{0}` is not that of an OCI or Docker schema 2 image manifest or index"
    )]
    UnknownMediaType(String),
    /// The `mediaType` field and the media type under which it was served differ.
    #[error("it was sent as `{served}`, but its `mediaType` is `{own}`")]
    MediaTypeMismatch {
        /// The `Content-Type`.
        served: String,
        /// The `mediaType` field.
        own: String,
    },
}

impl Manifest {
    /// Reads a manifest that was served (or described) under `served_as`; parameters of the media
    /// type are ignored, and a generic one such as `application/json` leaves the choice to the
    /// manifest itself.
    ///
    /// # Errors
    /// When the bytes are not JSON, not a manifest of a kind that we read, or may be taken for one kind
    /// as well as for another: they contradict `served_as`, or have the members of both kinds.
    pub fn parse(served_as: &str, content: &[u8]) -> Result<Self, ManifestError> {
        let probe: Probe = serde_json::from_slice(content).map_err(ManifestError::Json)?;
        let served = media_type::essence(served_as);
        let own = probe.media_type.as_deref().filter(|own| !own.is_empty());
        match probe.schema_version {
            _ if media_type::is_schema1(served) => return Err(ManifestError::Schema1),
            Some(1) => return Err(ManifestError::Schema1),
            Some(2) => {}
            other => return Err(ManifestError::SchemaVersion(other)),
        }
        if let Some((found, meant)) = probe.look_alike {
            return Err(ManifestError::AmbiguousMember { found, meant });
        }
        let has_image_members = probe.has_config || probe.has_layers;
        let has_index_members = probe.has_manifests;
        if let Some(own) = own
            && media_type::is_manifest(served)
            && own != served
        {
            let (served, own) = (served.to_owned(), own.to_owned());
            return Err(ManifestError::MediaTypeMismatch { served, own });
        }
        let kind = if media_type::is_manifest(served) { Some(served) } else { own };
        match kind {
            _ if has_index_members && has_image_members => Err(ManifestError::Ambiguous),
            Some(media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST) => {
                if has_index_members {
                    Err(ManifestError::Ambiguous)
                } else {
                    Self::image(content)
                }
            }
            Some(media_type::OCI_INDEX | media_type::DOCKER_LIST) => {
                if has_image_members {
                    Err(ManifestError::Ambiguous)
                } else {
                    Self::index(content)
                }
            }
            Some(other) => Err(ManifestError::UnknownMediaType(other.to_owned())),
            // OCI 1.0 manifests may omit the field; their required members distinguish the kinds.
            None if has_index_members => Self::index(content),
            None if probe.has_config => Self::image(content),
            None => Err(ManifestError::UnknownMediaType(served.to_owned())),
        }
    }

    fn image(content: &[u8]) -> Result<Self, ManifestError> {
        Ok(Self::Image(serde_json::from_slice(content).map_err(ManifestError::Json)?))
    }

    fn index(content: &[u8]) -> Result<Self, ManifestError> {
        Ok(Self::Index(serde_json::from_slice(content).map_err(ManifestError::Json)?))
    }

    /// The manifests that this one lists: none for an image.
    #[must_use]
    pub fn children(&self) -> &[Descriptor] {
        match self {
            Self::Image(_) => &[],
            Self::Index(index) => &index.manifests,
        }
    }

    /// The blobs that this one points to, config first: none for an index. The same blob may stand
    /// here twice; layers that are not distributable are left out.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let image = match self {
            Self::Image(image) => Some(image),
            Self::Index(_) => None,
        };
        image
            .into_iter()
            .flat_map(|image| std::iter::once(&image.config).chain(&image.layers))
            .filter(|blob| !media_type::is_non_distributable(&blob.media_type))
    }

    /// The layers that are left out of [`Manifest::blobs`], since they are not distributable.
    pub fn not_distributable(&self) -> impl Iterator<Item = &Descriptor> {
        let layers = match self {
            Self::Image(image) => image.layers.as_slice(),
            Self::Index(_) => &[],
        };
        layers.iter().filter(|layer| media_type::is_non_distributable(&layer.media_type))
    }

    /// What kind of artifact it says it is: its `artifactType`, or for an image without one the media
    /// type of its config (image-spec 1.1, manifest.md; distribution-spec 1.1, "Listing Referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        let (own, config) = match self {
            Self::Image(image) => (&image.artifact_type, Some(&image.config.media_type)),
            Self::Index(index) => (&index.artifact_type, None),
        };
        let filled = |text: &&String| !text.is_empty();
        own.as_ref().filter(filled).or(config).filter(filled).map(String::as_str)
    }

    /// Its annotations.
    #[must_use]
    pub const fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Image(image) => &image.annotations,
            Self::Index(index) => &index.annotations,
        }
    }

    /// The manifest that this one is attached to.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }
}

/// What distinguishes the kinds of manifests. A member that is null is absent: programs in Go write
/// empty lists so.
#[derive(Default)]
struct Probe {
    schema_version: Option<u32>,
    media_type: Option<String>,
    has_config: bool,
    has_layers: bool,
    has_manifests: bool,
    /// A member that is another one to who ignores case, and which.
    look_alike: Option<(String, &'static str)>,
}

/// The members that say what a manifest is and what it points to.
const MEMBERS: [&str; 6] =
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "subject"];

/// The member that `name` is to programs which ignore case, if it is not that very name.
fn look_alike(name: &str) -> Option<&'static str> {
    // Go's `encoding/json` takes these letters for ASCII ones.
    let folded = name.replace('\u{17f}', "s").replace('\u{212a}', "k");
    let mut members = MEMBERS.into_iter();
    members.find(|member| folded.eq_ignore_ascii_case(member)).filter(|member| *member != name)
}

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ProbeVisitor)
    }
}

struct ProbeVisitor;

impl<'de> Visitor<'de> for ProbeVisitor {
    type Value = Probe;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Probe, A::Error> {
        let mut probe = Probe::default();
        while let Some(name) = members.next_key::<String>()? {
            // One that is given twice is there if either is not null: readers differ in which they take.
            match &*name {
                "schemaVersion" => probe.schema_version = members.next_value()?,
                "mediaType" => probe.media_type = members.next_value()?,
                "config" => probe.has_config |= is_there(&mut members)?,
                "layers" => probe.has_layers |= is_there(&mut members)?,
                "manifests" => probe.has_manifests |= is_there(&mut members)?,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                    let meant = look_alike(&name);
                    probe.look_alike = probe.look_alike.or(meant.map(|meant| (name, meant)));
                }
            }
        }
        Ok(probe)
    }
}

fn is_there<'de, A: MapAccess<'de>>(members: &mut A) -> Result<bool, A::Error> {
    Ok(members.next_value::<Option<IgnoredAny>>()?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn image(own: Option<&str>) -> Vec<u8> {
        serde_json::to_vec(&ImageManifest {
            schema_version: 2,
            media_type: own.map(Into::into),
            artifact_type: None,
            config: Descriptor::of(media_type::OCI_CONFIG, b"{}"),
            layers: vec![
                Descriptor::of(media_type::OCI_LAYER_GZIP, b"layer"),
                Descriptor::of("application/vnd.oci.image.layer.nondistributable.v1.tar", b"x"),
            ],
            subject: None,
            annotations: BTreeMap::new(),
        })
        .expect("it prints")
    }

    #[test]
    fn an_artifact_says_what_it_is_or_its_config_does() {
        let config = serde_json::json!({
            "mediaType": "a/config", "digest": Digest::sha256(b"{}"), "size": 2,
        });
        for (own, config_type, found) in [
            (Some("a/b"), "a/config", Some("a/b")),
            (Some(""), "a/config", Some("a/config")),
            (None, "a/config", Some("a/config")),
            (None, "", None),
            (Some(""), "", None),
        ] {
            let mut config = config.clone();
            config["mediaType"] = config_type.into();
            let image = serde_json::json!({
                "schemaVersion": 2, "artifactType": own, "config": config, "layers": [],
            });
            let image = Manifest::parse(media_type::OCI_MANIFEST, image.to_string().as_bytes());
            assert_eq!(image.expect("an image").artifact_type(), found, "{own:?} {config_type}");
        }
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": [] });
        let index = Manifest::parse(media_type::OCI_INDEX, index.to_string().as_bytes());
        assert_eq!(index.expect("an index").artifact_type(), None);
    }

    #[test]
    fn the_kind_comes_from_the_served_type_else_the_field_else_the_members() {
        for (served, own) in [
            (media_type::OCI_MANIFEST, Some(media_type::OCI_MANIFEST)),
            (media_type::OCI_MANIFEST, None),
            ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", None),
            ("application/json", Some(media_type::DOCKER_MANIFEST)),
            ("", None),
        ] {
            let manifest = Manifest::parse(served, &image(own)).expect(served);
            let blobs: Vec<_> = manifest.blobs().map(|blob| blob.digest).collect();
            assert_eq!(blobs, [Digest::sha256(b"{}"), Digest::sha256(b"layer")]);
            assert!(manifest.children().is_empty());
        }
        let index = br#"{"schemaVersion":2,"manifests":null}"#;
        assert!(matches!(Manifest::parse(media_type::OCI_INDEX, index), Ok(Manifest::Index(_))));
        let index = br#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(Manifest::parse("", index), Ok(Manifest::Index(_))));
    }

    #[test]
    fn what_is_not_one_is_refused_with_the_reason() {
        use ManifestError as E;
        let mismatch =
            Manifest::parse(media_type::OCI_INDEX, &image(Some(media_type::OCI_MANIFEST)));
        assert!(matches!(mismatch, Err(E::MediaTypeMismatch { .. })));
        let schema1 = br#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert!(matches!(Manifest::parse("application/json", schema1), Err(E::Schema1)));
        assert!(matches!(
            Manifest::parse(media_type::DOCKER_SCHEMA1_SIGNED, b"{}"),
            Err(E::Schema1)
        ));
        assert!(matches!(Manifest::parse("text/html", b"<html>"), Err(E::Json(_))));
        let neither = br#"{"schemaVersion":2}"#;
        assert!(matches!(Manifest::parse("text/html", neither), Err(E::UnknownMediaType(_))));
        let bad_digest =
            br#"{"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:12","size":1}}"#;
        assert!(matches!(Manifest::parse("", bad_digest), Err(E::Json(_))));
    }

    #[test]
    fn only_schema_version_2_is_read() {
        for (version, text) in [
            (r#""schemaVersion":0,"#, "its `schemaVersion` is 0; only 2 is supported"),
            (r#""schemaVersion":3,"#, "its `schemaVersion` is 3; only 2 is supported"),
            (r#""schemaVersion":null,"#, "its `schemaVersion` is missing; only 2 is supported"),
            ("", "its `schemaVersion` is missing; only 2 is supported"),
        ] {
            let index = format!(r#"{{{version}"manifests":[]}}"#);
            for served in [media_type::OCI_INDEX, media_type::DOCKER_LIST, ""] {
                let error = Manifest::parse(served, index.as_bytes()).expect_err(&index);
                assert!(matches!(error, ManifestError::SchemaVersion(_)), "{error}");
                assert_eq!(error.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_an_image_to_one_reader_and_an_index_to_another_is_refused() {
        let digest = Digest::sha256(b"{}");
        let config = format!(r#""config":{{"mediaType":"a","digest":"{digest}","size":2}}"#);
        for (members, ambiguous) in [
            (format!(r#"{config},"layers":[],"manifests":[]"#), true),
            (format!(r#"{config},"manifests":[]"#), true),
            (r#""layers":[],"manifests":[]"#.to_owned(), true),
            (format!(r#"{config},"layers":null,"manifests":null"#), false),
            (r#""config":null,"layers":null,"manifests":[]"#.to_owned(), false),
        ] {
            let content = format!(r#"{{"schemaVersion":2,{members}}}"#);
            let served = if members.ends_with("null") {
                [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST, ""]
            } else {
                [media_type::OCI_INDEX, media_type::DOCKER_LIST, ""]
            };
            for served in served {
                let parsed = Manifest::parse(served, content.as_bytes());
                let refused = matches!(parsed, Err(ManifestError::Ambiguous));
                assert_eq!((refused, parsed.is_err()), (ambiguous, ambiguous), "{content}");
            }
        }
        let served_as_index = [media_type::OCI_INDEX, media_type::DOCKER_LIST];
        let served_as_image = [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST];
        for (members, wrong) in [
            (format!(r#"{config},"layers":[]"#), served_as_index),
            (config.clone(), served_as_index),
            (r#""layers":[]"#.to_owned(), served_as_index),
            (r#""manifests":[]"#.to_owned(), served_as_image),
        ] {
            for kind in wrong {
                let plain = format!(r#"{{"schemaVersion":2,{members}}}"#);
                let named = format!(r#"{{"schemaVersion":2,"mediaType":"{kind}",{members}}}"#);
                // Under its `Content-Type`, under its own media type, and under both.
                for (served, content) in [(kind, &plain), ("", &named), (kind, &named)] {
                    let parsed = Manifest::parse(served, content.as_bytes());
                    let refused = matches!(parsed, Err(ManifestError::Ambiguous));
                    assert!(refused, "{served} {content}: {parsed:?}");
                }
            }
        }
        for member in
            ["Layers", "CONFIG", "manifest\u{17f}", "MediaType", "schemaversion", "Subject"]
        {
            let content = format!(r#"{{"schemaVersion":2,{config},"{member}":[]}}"#);
            let parsed = Manifest::parse(media_type::OCI_MANIFEST, content.as_bytes());
            let refused = matches!(parsed, Err(ManifestError::AmbiguousMember { .. }));
            assert!(refused, "{content}: {parsed:?}");
        }
        let content = format!(r#"{{"schemaVersion":2,{config},"layer":[],"Annotation":1}}"#);
        Manifest::parse(media_type::OCI_MANIFEST, content.as_bytes()).expect("unknown members");
        let both = format!(r#"{{"schemaVersion":2,{config},"layers":[],"manifests":[]}}"#);
        let as_image = Manifest::parse(media_type::OCI_MANIFEST, both.as_bytes());
        assert!(matches!(as_image, Err(ManifestError::Ambiguous)), "{as_image:?}");
    }
}
