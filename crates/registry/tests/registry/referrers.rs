//! What refers to a manifest.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use oci::{Descriptor, Digest, ImageIndex, media_type};
use testkit::fixture::{self, TestImage};

use crate::peer::{Peer, header};

const SIGNATURE: &str = "application/vnd.example.signature+json";
const SBOM: &str = "application/vnd.example.sbom";

fn index(response: &Response<Bytes>) -> Vec<Descriptor> {
    assert_eq!(response.status(), StatusCode::OK, "{response:?}");
    assert_eq!(header(response, "content-type"), media_type::OCI_INDEX);
    let index: ImageIndex = serde_json::from_slice(response.body()).expect("an index");
    assert_eq!(index.schema_version, 2);
    assert_eq!(index.media_type.as_deref(), Some(media_type::OCI_INDEX));
    index.manifests
}

/// Pushes this many referrers, and an image before them; in the order of their digests.
async fn referrers(peer: &Peer, count: u64, of_type: &str) -> (TestImage, Vec<TestImage>) {
    let subject = fixture::image(1, 1);
    peer.push("a", "v1", &subject).await;
    let mut all = Vec::new();
    for seed in 0..count {
        let referrer = fixture::referrer(seed, &subject.descriptor, of_type);
        peer.push("a", &format!("t{seed}"), &referrer).await;
        all.push(referrer);
    }
    all.sort_by_key(|referrer| referrer.digest().to_string());
    (subject, all)
}

fn digests(of: &[Descriptor]) -> Vec<Digest> {
    of.iter().map(|descriptor| descriptor.digest).collect()
}

pub(crate) async fn referrers_are_listed_with_what_they_say(peer: &Peer) {
    let (subject, all) = referrers(peer, 2, SIGNATURE).await;
    let path = format!("/v2/a/referrers/{}", subject.digest());
    let listed = index(&peer.get(&path).await);
    for (descriptor, referrer) in listed.iter().zip(&all) {
        let mut expected = referrer.descriptor.clone();
        expected.artifact_type = Some(SIGNATURE.to_owned());
        expected.annotations.clone_from(&descriptor.annotations);
        assert_eq!(*descriptor, expected);
        assert!(descriptor.annotations.contains_key("seed"));
    }
    assert_eq!(listed.len(), 2);
    // Where nothing refers, or nothing is: an empty list.
    let unknown = format!("/v2/unknown/referrers/{}", subject.digest());
    for path in [format!("/v2/a/referrers/{}", all[0].digest()), unknown] {
        assert!(index(&peer.get(&path).await).is_empty(), "{path}");
    }
    // Pushing says so.
    let put = peer.push_manifest("a", "again", &all[0]).await;
    assert_eq!(header(&put, "oci-subject"), subject.digest().to_string());
    assert_eq!(header(&peer.push_manifest("a", "v1", &subject).await, "oci-subject"), "");
    assert_eq!(index(&peer.get(&path).await).len(), 2, "each once");
}

pub(crate) async fn referrers_are_filtered_by_type(peer: &Peer) {
    let (subject, signatures) = referrers(peer, 2, SIGNATURE).await;
    let sbom = fixture::referrer(9, &subject.descriptor, SBOM);
    peer.push("a", "sbom", &sbom).await;
    // Without an artifact type an image's is its config's, and an index has none.
    let image = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": sbom.blobs[1].descriptor,
        "layers": [],
        "subject": subject.descriptor,
    });
    let list = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": [],
        "subject": subject.descriptor,
    });
    for (tag, media_type, manifest) in
        [("image", media_type::OCI_MANIFEST, image), ("list", media_type::OCI_INDEX, list)]
    {
        let path = format!("/v2/a/manifests/{tag}");
        let headers = [("content-type", media_type)];
        let put = peer.ask(Method::PUT, &path, &headers, manifest.to_string()).await;
        assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
    }
    let path = format!("/v2/a/referrers/{}", subject.digest());
    let typed = async |artifact_type: &str| {
        // A plus sign may stand for itself.
        let found = peer.get(&format!("{path}?artifactType={artifact_type}")).await;
        assert_eq!(header(&found, "oci-filters-applied"), "artifactType");
        digests(&index(&found))
    };
    let signatures: Vec<_> = signatures.iter().map(TestImage::digest).collect();
    assert_eq!(typed(SIGNATURE).await, signatures);
    assert_eq!(typed(&SIGNATURE.replace('+', "%2B")).await, signatures);
    assert_eq!(typed(SBOM).await, [sbom.digest()]);
    assert_eq!(typed("application/octet-stream").await.len(), 1);
    assert!(typed("application/other").await.is_empty());
    let all = peer.get(&path).await;
    assert_eq!(header(&all, "oci-filters-applied"), "");
    let untyped = index(&all).iter().filter(|one| one.artifact_type.is_none()).count();
    assert_eq!((index(&all).len(), untyped), (5, 1));
}

/// All pages of a list, from this one on.
async fn pages(peer: &Peer, first: &str) -> Vec<Vec<Digest>> {
    let (mut pages, mut next) = (Vec::new(), first.to_owned());
    loop {
        let page = peer.get(&next).await;
        pages.push(digests(&index(&page)));
        let link = header(&page, "link");
        let Some(link) = link.strip_prefix('<') else { return pages };
        next = link.strip_suffix(">; rel=\"next\"").expect("a link to the next page").to_owned();
    }
}

pub(crate) async fn referrers_come_by_pages(peer: &Peer) {
    let (subject, all) = referrers(peer, 5, SIGNATURE).await;
    let path = format!("/v2/a/referrers/{}", subject.digest());
    let all: Vec<_> = all.iter().map(TestImage::digest).collect();
    assert_eq!(pages(peer, &path).await, [&*all]);
    assert_eq!(pages(peer, &format!("{path}?n=5")).await, [&*all]);
    let by_two = [&all[..2], &all[2..4], &all[4..]];
    assert_eq!(pages(peer, &format!("{path}?n=2")).await, by_two);
    let filtered = format!("{path}?n=2&artifactType={SIGNATURE}");
    assert_eq!(pages(peer, &filtered).await, by_two);
}

pub(crate) async fn a_page_is_no_longer_than_a_manifest(peer: &Peer) {
    let subject = fixture::image(1, 1);
    let long = "x".repeat(1_500_000);
    let mut all = Vec::new();
    for seed in 0..5_u64 {
        let artifact = fixture::referrer(seed, &subject.descriptor, SIGNATURE);
        for blob in &artifact.blobs {
            peer.push_blob("a", &blob.bytes).await;
        }
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&artifact.bytes).expect("JSON");
        manifest["annotations"]["long"] = long.clone().into();
        let path = format!("/v2/a/manifests/t{seed}");
        let headers = [("content-type", media_type::OCI_MANIFEST)];
        let put = peer.ask(Method::PUT, &path, &headers, manifest.to_string()).await;
        assert_eq!(put.status(), StatusCode::CREATED);
        all.push(header(&put, "docker-content-digest").parse::<Digest>().expect("a digest"));
    }
    all.sort_by_key(Digest::to_string);
    let path = format!("/v2/a/referrers/{}", subject.digest());
    assert!(peer.get(&path).await.body().len() <= 4 << 20);
    assert_eq!(pages(peer, &path).await, [&all[..2], &all[2..4], &all[4..]]);
}

pub(crate) async fn a_subject_need_not_be_there(peer: &Peer) {
    let subject = fixture::image(1, 1);
    let referrer = fixture::referrer(2, &subject.descriptor, SIGNATURE);
    peer.push("a", "early", &referrer).await;
    let path = format!("/v2/a/referrers/{}", subject.digest());
    assert_eq!(digests(&index(&peer.get(&path).await)), [referrer.digest()]);
}

pub(crate) async fn a_deleted_referrer_is_not_listed(peer: &Peer) {
    let (subject, all) = referrers(peer, 2, SIGNATURE).await;
    let path = format!("/v2/a/referrers/{}", subject.digest());
    // Deleting a tag leaves it, and so does deleting the subject.
    for gone in ["t0", &subject.digest().to_string()] {
        peer.ask(Method::DELETE, &format!("/v2/a/manifests/{gone}"), &[], "").await;
        assert_eq!(index(&peer.get(&path).await).len(), 2, "{gone}");
    }
    let first = format!("/v2/a/manifests/{}", all[0].digest());
    assert_eq!(peer.ask(Method::DELETE, &first, &[], "").await.status(), StatusCode::ACCEPTED);
    assert_eq!(digests(&index(&peer.get(&path).await)), [all[1].digest()]);
}
