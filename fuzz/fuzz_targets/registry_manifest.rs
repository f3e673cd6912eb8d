//! Manifests pushed to the embedded registry: any bytes under any media type are refused and leave
//! nothing behind, or are served as they came, listed where they should be, and gone when deleted.
//!
//! The bytes are a letter for the settings, a line for the media type, and then the manifest, or lines
//! that change a good one: `pointer=value`, or `pointer` for a member to go. `$` and a letter name what
//! the registry holds.

#![no_main]

mod edge;
mod stock;

use std::sync::LazyLock;

use axum::body::Body;
use http::{
    HeaderName, HeaderValue, Request, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use libfuzzer_sys::{Corpus, fuzz_target};
use oci::{Algorithm, Descriptor, Digest, Manifest, media_type};
use registry::{Registry, RegistrySettings, Storage};
use serde_json::Value;

use self::{
    edge::{DOCKER_CONTENT_DIGEST, RegistryResponse, respond, send},
    stock::{STOCK, expanded},
};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// Taking manifests though something is missing, or strict; listing tags as usual, or as Google does.
/// Each holds the stock before each run and after it.
static REGISTRIES: LazyLock<[[Registry; 2]; 2]> = LazyLock::new(|| {
    [true, false].map(|allow_missing_references| {
        [false, true].map(|google_listing| {
            let settings = RegistrySettings {
                allow_missing_references,
                google_listing,
                ..RegistrySettings::default()
            };
            let registry = Registry::with(Storage::memory(), settings, None);
            STOCK.fill(&registry);
            registry
        })
    })
});

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((flags, text)) = bytes.split_first() else { return Corpus::Reject };
    let Some(middle) = text.iter().position(|byte| *byte == b'\n') else { return Corpus::Reject };
    let names = &STOCK.names;
    let [served_as, body] =
        [&text[..middle], &text[middle + 1..]].map(|text| expanded(text, names));
    let Ok(served_as) = HeaderValue::from_bytes(&served_as) else { return Corpus::Reject };
    let is = |bit: u8| flags & bit != 0;
    let content = match (is(4), is(8)) {
        (false, _) => body,
        (true, false) => changed(b'r', &body),
        (true, true) => changed(b'x', &body),
    };
    let algorithm = if is(16) { Algorithm::Sha512 } else { Algorithm::Sha256 };
    let (strict, google) = (is(1), is(2));
    Push::new(served_as, content, algorithm).check(strict, google);
    Corpus::Keep
});

/// A manifest of the stock, with these changes.
fn changed(letter: u8, changes: &[u8]) -> Vec<u8> {
    let of = STOCK.manifests.iter().find(|(of, ..)| *of == letter).expect("it is there");
    let mut manifest = serde_json::from_slice(&of.2).expect("it is JSON");
    for line in String::from_utf8_lossy(changes).lines() {
        match line.split_once('=') {
            Some((at, value)) => {
                let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
                set(&mut manifest, at, Some(value));
            }
            None => set(&mut manifest, line, None),
        }
    }
    manifest.to_string().into_bytes()
}

/// Puts the value at this place of the tree, where there is such a place.
fn set(tree: &mut Value, at: &str, value: Option<Value>) {
    let Some((parent, key)) = at.rsplit_once('/') else { return };
    match (tree.pointer_mut(parent), value) {
        (Some(Value::Object(members)), Some(value)) => drop(members.insert(key.to_owned(), value)),
        (Some(Value::Object(members)), None) => drop(members.remove(key)),
        (Some(Value::Array(items)), value) => {
            let place = key.parse::<usize>().ok().and_then(|at| items.get_mut(at));
            match (place, value) {
                (Some(place), value) => *place = value.unwrap_or_default(),
                (None, value) => items.extend(value),
            }
        }
        _ => {}
    }
}

/// A manifest that is pushed as tag `new`.
struct Push {
    served_as: HeaderValue,
    content: Vec<u8>,
    /// In the path stands the tag, or a digest that is no sha256 and the tag behind it.
    algorithm: Algorithm,
    digest: Digest,
    /// None if it cannot be read.
    manifest: Option<Manifest>,
}

impl Push {
    fn new(served_as: HeaderValue, content: Vec<u8>, algorithm: Algorithm) -> Self {
        let text = served_as.to_str().unwrap_or_default();
        let manifest = Manifest::parse(text, &content).ok();
        let digest = Digest::of(algorithm, &content);
        Self { served_as, content, algorithm, digest, manifest }
    }

    fn check(&self, strict: bool, google: bool) {
        let registry = &REGISTRIES[usize::from(strict)][usize::from(google)];
        let response = respond(registry, self.request());
        let whole = self.manifest.as_ref().map(|manifest| !strict || all_there(manifest));
        let expected = match whole {
            None => StatusCode::BAD_REQUEST,
            Some(false) => StatusCode::NOT_FOUND,
            Some(true) => StatusCode::CREATED,
        };
        assert_eq!(response.status, expected, "{response:?}");
        match self.manifest.as_ref().filter(|_| response.status == StatusCode::CREATED) {
            Some(manifest) => {
                self.check_created(&response);
                let media_type = self.check_served(registry);
                self.check_listed(registry, manifest, &media_type, google);
                self.check_referrers(registry, manifest, &media_type);
                // A second time changes nothing.
                assert_eq!(respond(registry, self.request()).status, StatusCode::CREATED);
                self.check_deleted(registry, manifest);
            }
            None => self.check_absent(registry),
        }
        if STOCK.manifests.iter().any(|(_, _, content)| *content == self.content) {
            // It was deleted, perhaps.
            STOCK.fill(registry);
        }
        self.check_others(registry);
    }

    fn request(&self) -> Request<Body> {
        let path = match self.algorithm {
            Algorithm::Sha256 => "/v2/a/manifests/new".to_owned(),
            Algorithm::Sha512 => format!("/v2/a/manifests/{}?tag=new", self.digest),
        };
        let mut request = Request::put(path);
        if !self.served_as.is_empty() {
            request = request.header(CONTENT_TYPE, &self.served_as);
        }
        request.body(Body::from(self.content.clone())).expect("it is a request")
    }

    fn check_created(&self, response: &RegistryResponse) {
        let digest = self.digest.to_string();
        assert_eq!(response.text(&DOCKER_CONTENT_DIGEST), digest);
        assert_eq!(response.text(&LOCATION), format!("/v2/a/manifests/{digest}"));
        let tag = if self.algorithm == Algorithm::Sha512 { "new" } else { "" };
        assert_eq!(response.text(&OCI_TAG), tag);
        let subject = self.manifest.as_ref().and_then(Manifest::subject);
        let subject = subject.map(|subject| subject.digest.to_string()).unwrap_or_default();
        assert_eq!(response.text(&OCI_SUBJECT), subject);
    }

    /// It is what was pushed, under the tag and the digest. Returns the media type.
    fn check_served(&self, registry: &Registry) -> String {
        let [by_tag, by_digest] = ["new", &*self.digest.to_string()]
            .map(|reference| send(registry, &format!("GET /v2/a/manifests/{reference}"), ""));
        for response in [&by_tag, &by_digest] {
            assert_eq!(response.status, StatusCode::OK, "{response:?}");
            assert_eq!(response.body, self.content);
            assert_eq!(response.text(&DOCKER_CONTENT_DIGEST), self.digest.to_string());
            let served_as = response.text(&CONTENT_TYPE);
            assert!(media_type::MANIFESTS.contains(&served_as), "{served_as}");
            let pushed_as = media_type::essence(self.served_as.to_str().unwrap_or_default());
            assert!(!media_type::is_manifest(pushed_as) || served_as == pushed_as, "{served_as}");
            // Who reads it under that type reads the same.
            let read = Manifest::parse(served_as, &response.body).ok();
            assert_eq!(read, self.manifest);
        }
        assert_eq!(by_tag.headers, by_digest.headers);
        by_tag.text(&CONTENT_TYPE).to_owned()
    }

    fn check_listed(
        &self,
        registry: &Registry,
        manifest: &Manifest,
        media_type: &str,
        google: bool,
    ) {
        let listing = tags(registry);
        assert!(has_tag(&listing["tags"]), "{listing}");
        assert_eq!(listing["name"], "a");
        assert_eq!(listing.get("manifest").is_some(), google, "{listing}");
        if !google {
            return;
        }
        let listed = &listing["manifest"][self.digest.to_string()];
        assert!(has_tag(&listed["tag"]), "{listing}");
        assert_eq!(listed["mediaType"], media_type);
        let size = match manifest {
            Manifest::Image(image) => {
                let layers = image.layers.iter().map(|layer| layer.size);
                layers.fold(image.config.size, u64::saturating_add)
            }
            Manifest::Index(_) => self.content.len() as u64,
        };
        assert_eq!(listed["imageSizeBytes"], size.to_string());
        for time in ["timeCreatedMs", "timeUploadedMs"] {
            let time = listed[time].as_str().expect("it is text");
            assert!(time.parse::<u64>().is_ok(), "{time}");
        }
    }

    fn check_referrers(&self, registry: &Registry, manifest: &Manifest, media_type: &str) {
        let Some(subject) = manifest.subject() else { return };
        let found = referrers(registry, subject.digest, "");
        let ours = found.iter().find(|referrer| referrer.digest == self.digest);
        let ours = ours.expect("it is listed");
        assert_eq!((&*ours.media_type, ours.size), (media_type, self.content.len() as u64));
        assert_eq!(ours.artifact_type.as_deref(), manifest.artifact_type());
        assert_eq!(&ours.annotations, manifest.annotations());
        let Some(artifact_type) = &ours.artifact_type else { return };
        let escaped = artifact_type.bytes().map(|byte| format!("%{byte:02X}"));
        let query = format!("?artifactType={}", escaped.collect::<String>());
        // A path has its longest length.
        if query.len() < 32 << 10 {
            let filtered = referrers(registry, subject.digest, &query);
            assert!(filtered.contains(ours), "{filtered:?}");
            let same = |referrer: &Descriptor| referrer.artifact_type == ours.artifact_type;
            assert!(filtered.iter().all(same), "{filtered:?}");
        }
    }

    fn check_deleted(&self, registry: &Registry, manifest: &Manifest) {
        let line = format!("DELETE /v2/a/manifests/{}", self.digest);
        assert_eq!(send(registry, &line, "").status, StatusCode::ACCEPTED);
        let found = send(registry, &format!("GET /v2/a/manifests/{}", self.digest), "");
        assert_eq!(found.status, StatusCode::NOT_FOUND);
        self.check_absent(registry);
        if let Some(subject) = manifest.subject() {
            let left = referrers(registry, subject.digest, "");
            assert!(left.iter().all(|referrer| referrer.digest != self.digest), "{left:?}");
        }
    }

    /// Nothing leads to it by its tag.
    fn check_absent(&self, registry: &Registry) {
        let found = send(registry, "GET /v2/a/manifests/new", "");
        assert_eq!(found.status, StatusCode::NOT_FOUND);
        let listing = tags(registry);
        assert!(!has_tag(&listing["tags"]), "{listing}");
    }

    /// What else the registry holds is there as before.
    fn check_others(&self, registry: &Registry) {
        for (letter, media_type, content) in &STOCK.manifests {
            let found = send(registry, &format!("GET /v2/a/manifests/{}", char::from(*letter)), "");
            assert_eq!(found.body, content);
            assert_eq!(found.text(&CONTENT_TYPE), *media_type);
        }
    }
}

/// Whether the registry holds all that it points to.
fn all_there(manifest: &Manifest) -> bool {
    let is_there = |child: &Descriptor| match media_type::is_manifest(&child.media_type) {
        true => STOCK.manifest_digests.contains(&child.digest),
        false => STOCK.blobs.iter().any(|(_, digest, _)| *digest == child.digest),
    };
    manifest.children().iter().chain(manifest.blobs()).all(is_there)
}

fn tags(registry: &Registry) -> Value {
    let response = send(registry, "GET /v2/a/tags/list", "");
    assert_eq!(response.status, StatusCode::OK);
    serde_json::from_slice(&response.body).expect("it is JSON")
}

fn has_tag(list: &Value) -> bool {
    list.as_array().expect("it is a list").iter().any(|tag| tag == "new")
}

fn referrers(registry: &Registry, subject: Digest, query: &str) -> Vec<Descriptor> {
    let response = send(registry, &format!("GET /v2/a/referrers/{subject}{query}"), "");
    assert_eq!(response.status, StatusCode::OK, "{response:?}");
    assert_eq!(response.text(&CONTENT_TYPE), media_type::OCI_INDEX);
    match Manifest::parse(media_type::OCI_INDEX, &response.body) {
        Ok(Manifest::Index(index)) => index.manifests,
        other => panic!("no index: {other:?}"),
    }
}
