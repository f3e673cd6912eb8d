//! The attachments of a digest.

use std::collections::BTreeSet;

use attachments::DigestTag;
use oci::{Digest, media_type};
use registry_client::{PutReferrer, RepositoryClient, Via};
use testkit::{fixture, fixture::TestImage};

use crate::world::{World, content, differs, push_blobs, push_image, seed};

const SIGNATURE: &str = "application/vnd.example.signature";
const BILL: &str = "application/vnd.example.bill";

/// Puts a new referrer of this type.
async fn refer(
    repository: &RepositoryClient,
    subject: &TestImage,
    artifact_type: &str,
) -> (TestImage, Via) {
    let referrer = fixture::referrer(seed(), &subject.descriptor, artifact_type);
    push_blobs(repository, &referrer).await;
    let put = repository
        .put_referrer(referrer.digest(), media_type::OCI_MANIFEST, referrer.bytes.clone())
        .await;
    let PutReferrer { digest, subject: of, via } = put.expect("a referrer");
    assert_eq!((digest, of), (referrer.digest(), subject.digest()));
    (referrer, via)
}

async fn listed(
    repository: &RepositoryClient,
    of: &Digest,
    only: Option<&str>,
) -> BTreeSet<Digest> {
    let found = repository.referrers(of, only).await.expect("a list");
    let digests: BTreeSet<_> = found.descriptors.iter().map(|found| found.digest).collect();
    assert_eq!(digests.len(), found.descriptors.len(), "each once");
    digests
}

fn digests<const N: usize>(images: [&TestImage; N]) -> BTreeSet<Digest> {
    images.map(TestImage::digest).into()
}

fn print_way(via: Via) {
    if via == Via::Tag {
        differs("referrers", "it has no such API, and they are in the index of a tag");
    }
}

#[tokio::test]
async fn what_refers_to_a_manifest_is_listed() {
    let world = World::new("referrers").await;
    let repository = world.repository("app");
    let subject = fixture::index(seed(), 2, 1);
    push_image(&repository, Some("v1"), &subject).await;
    assert_eq!(listed(&repository, &subject.digest(), None).await, digests([]));

    let (one, via) = refer(&repository, &subject, SIGNATURE).await;
    print_way(via);
    assert_eq!(listed(&repository, &subject.digest(), None).await, digests([&one]));
    let (two, _) = refer(&repository, &subject, SIGNATURE).await;
    let (bill, _) = refer(&repository, &subject, BILL).await;

    // A new client, with empty caches.
    let repository = world.repository("app");
    let of = subject.digest();
    let found = repository.referrers(&of, None).await.expect("a list");
    assert_eq!(found.via, via, "by the way that they were put");
    for (image, artifact_type) in [(&one, SIGNATURE), (&two, SIGNATURE), (&bill, BILL)] {
        let is_it = |found: &&oci::Descriptor| found.digest == image.digest();
        let listed = found.descriptors.iter().find(is_it).expect("it is listed");
        assert_eq!(listed.artifact_type.as_deref(), Some(artifact_type));
        assert_eq!(listed.size, image.bytes.len() as u64);
        assert_eq!(listed.media_type, media_type::OCI_MANIFEST);
    }
    assert_eq!(found.descriptors.len(), 3);
    assert_eq!(listed(&repository, &of, Some(SIGNATURE)).await, digests([&one, &two]));
    assert_eq!(listed(&repository, &of, Some(BILL)).await, digests([&bill]));
    assert_eq!(listed(&repository, &of, Some("application/vnd.example.none")).await, digests([]));
}

#[tokio::test]
async fn a_referrer_may_come_before_its_subject() {
    let world = World::new("early").await;
    let repository = world.repository("app");
    let subject = fixture::image(seed(), 1);
    let (early, _) = refer(&repository, &subject, SIGNATURE).await;
    assert_eq!(listed(&repository, &subject.digest(), None).await, digests([&early]));
    push_image(&repository, Some("v1"), &subject).await;
    assert_eq!(listed(&repository, &subject.digest(), None).await, digests([&early]));
}

#[tokio::test]
async fn a_referrer_that_is_put_again_is_listed_once() {
    let world = World::new("twice").await;
    let repository = world.repository("app");
    let subject = fixture::image(seed(), 1);
    push_image(&repository, Some("v1"), &subject).await;
    let (one, _) = refer(&repository, &subject, SIGNATURE).await;
    let again =
        repository.put_referrer(one.digest(), media_type::OCI_MANIFEST, one.bytes.clone()).await;
    assert_eq!(again.expect("a referrer").digest, one.digest());
    assert_eq!(listed(&repository, &subject.digest(), None).await, digests([&one]));
}

#[tokio::test]
async fn attachments_are_referrers_and_digest_tags() {
    let world = World::new("attachments").await;
    let repository = world.repository("app");
    let (subject, other) = (fixture::image(seed(), 1), fixture::image(seed(), 1));
    for image in [&subject, &other] {
        push_image(&repository, None, image).await;
    }
    let (one, _) = refer(&repository, &subject, SIGNATURE).await;
    let (two, _) = refer(&repository, &subject, BILL).await;
    refer(&repository, &other, BILL).await;
    let mut tags = Vec::new();
    for suffix in [".sig", ".att"] {
        let image = fixture::image(seed(), 1);
        let name = format!("sha256-{}{suffix}", subject.digest().hex());
        push_image(&repository, Some(&name), &image).await;
        tags.push(DigestTag { tag: name.parse().expect("a tag"), digest: image.digest() });
    }

    let of = subject.digest();
    let inventory = repository.inventory(&[of.into()]).await.expect("an inventory");
    for inventory in [None, Some(&inventory)] {
        let found = attachments::list(&repository, &of, inventory).await.expect("a listing");
        let referrers: BTreeSet<_> = found.referrers.iter().map(|found| found.digest).collect();
        assert_eq!(referrers, digests([&one, &two]));
        assert_eq!(found.referrers.len(), 2, "each once");
        assert_eq!(found.tags, tags);
    }
    let nothing = Digest::sha256(&content(10));
    let none = attachments::list(&repository, &nothing, None).await.expect("a listing");
    assert_eq!((none.referrers, none.tags), (vec![], vec![]));
}
