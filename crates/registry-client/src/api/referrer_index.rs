//! Putting a manifest that refers to another one, so that it is found from there: where the registry
//! does not see to that, by adding it to the index under the tag that stands in for its referrers API.
//!
//! That index is merged, never replaced: what was read once is in whatever is written, with the members
//! that we do not know. Nothing is taken out of it here.
//!
//! Source: distribution-spec 1.1, "Pushing Manifests with Subject".

use std::collections::HashSet;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use oci::{Descriptor, Digest, Manifest, Reference, Tag, media_type};
use serde_json::{Map, Value};

use crate::{
    Error, FetchedManifest, Merge, RepositoryClient, RequestFault, Via,
    api::{conditions::Condition, referrers::read_index},
    error::fault::IndexProblem,
};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// What became of a manifest that was put as a referrer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutReferrer {
    /// Its digest.
    pub digest: Digest,
    /// The digest that it refers to.
    pub subject: Digest,
    /// Who lists it: the registry, or an index that was added to.
    pub via: Via,
}

impl RepositoryClient {
    /// Writes a manifest that has a `subject` under this digest of it, and sees to it that it is listed among
    /// the referrers of that. What else is listed there stays.
    ///
    /// # Errors
    /// Before anything is sent, when the manifest has no subject ([`RequestFault::NoSubject`]) or another digest. When it is
    /// stored, but not listed, the error says so ([`RequestFault::NotListed`]): it may be put again.
    pub async fn put_referrer(
        &self,
        digest: Digest,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<PutReferrer, Error> {
        let reference = Reference::from(digest);
        let fails = |fault| match self.request(Method::PUT, &format!("manifests/{reference}")) {
            Ok(request) => request.target().fails(fault),
            Err(error) => error,
        };
        let manifest = Manifest::parse(media_type, &bytes)
            .map_err(|cause| fails(RequestFault::NoSubject { cause: Some(cause) }))?;
        let Some(subject) = manifest.subject().map(|subject| subject.digest) else {
            return Err(fails(RequestFault::NoSubject { cause: None }));
        };
        let descriptor = describe(media_type, digest, bytes.len() as u64, &manifest);
        let (_, headers) = self.put(&reference, media_type, bytes, &Condition::None).await?;
        match self.see_to_listing(&headers, &subject, &descriptor).await {
            Ok(via) => Ok(PutReferrer { digest, subject, via }),
            Err(cause) => Err(fails(RequestFault::NotListed { cause })),
        }
    }

    /// After a manifest was put; these are the headers of the response.
    async fn see_to_listing(
        &self,
        headers: &HeaderMap,
        subject: &Digest,
        descriptor: &Descriptor,
    ) -> Result<Via, Error> {
        let named = headers.get(OCI_SUBJECT).and_then(|named| named.to_str().ok()?.parse().ok());
        // Some say that they list it and have no list (Docker Hub).
        if named == Some(*subject) && self.has_referrers_api(subject).await? {
            return Ok(Via::Api);
        }
        self.add_to_index(subject, descriptor).await?;
        Ok(Via::Tag)
    }

    /// Adds a referrer to the index of those of `subject`, until all that was ever seen there is in it.
    async fn add_to_index(&self, subject: &Digest, descriptor: &Descriptor) -> Result<(), Error> {
        let mut seen = Seen::default();
        seen.add(&[serde_json::json!(descriptor)]);
        let tag = Tag::of_referrers(subject);
        let merged = self.merge_at_tag(&tag, |there| {
            let index = match there {
                None => Ok(ReferrerIndex::empty()),
                Some(there) if subject.matches(&there.bytes) => Err(IndexProblem::Subject),
                Some(there) => ReferrerIndex::read(there.media_type, &there.bytes),
            };
            let index = index.map_err(|cause| self.no_index(subject, cause));
            std::future::ready(index.map(|index| seen.merge(index)))
        });
        merged.await.map(drop)
    }
}

/// What a list of referrers says of a manifest.
fn describe(media_type: &str, digest: Digest, size: u64, manifest: &Manifest) -> Descriptor {
    let mut descriptor = Descriptor::new(media_type::essence(media_type), digest, size);
    descriptor.artifact_type = manifest.artifact_type().map(str::to_owned);
    descriptor.annotations.clone_from(manifest.annotations());
    descriptor
}

/// An index of referrers, with all its members.
struct ReferrerIndex {
    media_type: String,
    members: Map<String, Value>,
    /// The member `manifests`.
    entries: Vec<Value>,
}

impl ReferrerIndex {
    fn empty() -> Self {
        let members =
            [("schemaVersion", Value::from(2)), ("mediaType", media_type::OCI_INDEX.into())];
        Self {
            media_type: media_type::OCI_INDEX.to_owned(),
            members: members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
            entries: Vec::new(),
        }
    }

    fn read(media_type: String, bytes: &[u8]) -> Result<Self, IndexProblem> {
        read_index(&media_type, bytes)?;
        let unreadable = |cause| IndexProblem::Unreadable(oci::ManifestError::Json(cause));
        let mut members: Map<_, _> = serde_json::from_slice(bytes).map_err(unreadable)?;
        let entries = match members.remove("manifests") {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        Ok(Self { media_type, members, entries })
    }

    fn print(self) -> (String, Bytes) {
        let Self { media_type, mut members, entries } = self;
        members.insert("manifests".to_owned(), entries.into());
        (media_type, Value::Object(members).to_string().into())
    }
}

/// The entries that were in some state of the index, or shall be in it.
#[derive(Default)]
struct Seen {
    entries: Vec<Value>,
    digests: HashSet<String>,
}

impl Seen {
    fn add(&mut self, entries: &[Value]) {
        for entry in entries {
            if self.digests.insert(digest_of(entry).to_owned()) {
                self.entries.push(entry.clone());
            }
        }
    }

    /// What is to be there instead of this index, if it lacks any of them.
    fn merge(&mut self, mut index: ReferrerIndex) -> Merge {
        let missing = self.not_in(&index.entries);
        if missing.is_empty() {
            return Merge::Enough;
        }
        self.add(&index.entries);
        index.entries.extend(missing);
        let (media_type, bytes) = index.print();
        Merge::Write(FetchedManifest { digest: Digest::sha256(&bytes), media_type, bytes })
    }

    /// Those that are not in `entries`, by their digests.
    fn not_in(&self, entries: &[Value]) -> Vec<Value> {
        let there: HashSet<_> = entries.iter().map(digest_of).collect();
        let missing = self.entries.iter().filter(|entry| !there.contains(digest_of(entry)));
        missing.cloned().collect()
    }
}

/// What was read as an index has a digest in each entry.
fn digest_of(entry: &Value) -> &str {
    entry.get("digest").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_stays_in_an_index() {
        let digest = Digest::sha256(b"x");
        let json = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "annotations": { "a": "b" }, "new": [1],
            "manifests": [{
                "mediaType": "m/t", "digest": digest, "size": 1, "data": "eA==",
                "platform": { "architecture": "a", "os": "o", "os.version": "10" },
            }],
        });
        let index = ReferrerIndex::read(media_type::OCI_INDEX.into(), json.to_string().as_bytes());
        let (media_type, bytes) = index.expect("an index").print();
        assert_eq!(media_type, media_type::OCI_INDEX);
        assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("JSON"), json);
    }

    #[test]
    fn an_index_without_entries_is_one() {
        for json in [r#"{"schemaVersion":2,"manifests":null}"#, r#"{"schemaVersion":2}"#] {
            let index = ReferrerIndex::read(media_type::OCI_INDEX.into(), json.as_bytes());
            let (_, bytes) = index.expect(json).print();
            assert_eq!(bytes, r#"{"manifests":[],"schemaVersion":2}"#);
        }
        let (media_type, bytes) = ReferrerIndex::empty().print();
        assert!(read_index(&media_type, &bytes).expect("an index").manifests.is_empty());
    }
}
