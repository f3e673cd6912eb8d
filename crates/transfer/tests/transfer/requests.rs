//! How many requests an image costs: five platforms, six manifests, twenty blobs. Registries count requests, so more of
//! them would be a regression.

use http::Method;
use oci::{Descriptor, ImageIndex, Reference, Tag, media_type};
use registry_client::{Existence, RepositoryClient};
use testkit::{
    RecordedRequest, TestRegistry,
    fixture::{self, TestImage},
};
use transfer::{Copied, Destination, Image, TransferState};

use crate::world::{REPOSITORY, client, repository, repository_named, source_of};

/// Five platforms of three layers each, of which they share none: twenty blobs.
fn image() -> TestImage {
    let children: Vec<_> = (0..5).map(|seed| fixture::image(100 + seed, 3)).collect();
    let bytes = serde_json::to_vec(&ImageIndex {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: children.iter().map(|child| child.descriptor.clone()).collect(),
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    });
    let bytes: bytes::Bytes = bytes.expect("JSON").into();
    let descriptor = Descriptor::of(media_type::OCI_INDEX, &bytes);
    let image = TestImage { descriptor, bytes, blobs: Vec::new(), children };
    assert_eq!((image.manifests().len(), image.digests().len()), (6, 26));
    image
}

fn tag(name: &str) -> Tag {
    name.parse().expect("a tag")
}

/// The requests so far, counted by kind; the count starts again afterwards.
#[expect(clippy::print_stderr, reason = "the counts are the result of this test")]
fn spent(what: &str, registry: &TestRegistry) -> usize {
    let kind = |request: &RecordedRequest| {
        let path = &request.path_and_query;
        let kinds = ["/manifests/", "/blobs/", "/tags/"];
        let kind = kinds.into_iter().find(|kind| path.contains(kind)).unwrap_or(path);
        format!("{} {kind}", request.method)
    };
    let mut by_kind = std::collections::BTreeMap::<_, usize>::new();
    let requests = registry.requests();
    for request in &requests {
        *by_kind.entry(kind(request)).or_default() += 1;
    }
    eprintln!("{what}: {} requests: {by_kind:?}", requests.len());
    registry.clear_requests();
    requests.len()
}

/// What a caller does for an image that a destination lacks.
async fn copy(source: &RepositoryClient, to: &RepositoryClient, image: &TestImage) -> Copied {
    let loaded = Image::load(source, &image.digest()).await.expect("it loads");
    let to = Destination::Registry(to.clone());
    let copied = loaded.copy_to(&TransferState::new(), &[to]).await.pop();
    copied.expect("a response").expect("it is copied")
}

/// What a caller does for a tag: it never moves one.
async fn put_tag(to: &RepositoryClient, name: &str, image: &TestImage) {
    let reference = Reference::from(tag(name));
    assert_eq!(to.find_manifest_by_get(&reference).await.expect("a response"), None);
    let (media_type, bytes) = (&image.descriptor.media_type, image.bytes.clone());
    to.put_manifest(&reference, media_type, bytes).await.expect("a tag");
}

#[tokio::test]
async fn a_fresh_copy_requests_each_digest_once() {
    let image = image();
    let (from, to) = (source_of(&image).await, TestRegistry::start().await);
    let copied = copy(&repository(&from), &repository(&to), &image).await;
    assert_eq!((copied.blobs, copied.manifests), (20, 6));
    put_tag(&repository(&to), "v1", &image).await;
    let (read, written) = (spent("fresh, source", &from), spent("fresh, destination", &to));
    assert!(read <= 27, "{read}");
    assert!(written <= 50, "{written}");
    assert!(to.holds(REPOSITORY, &image).await);
    assert_eq!(to.tags(REPOSITORY).await, ["v1"]);
}

#[tokio::test]
async fn what_is_there_costs_two_requests() {
    let image = image();
    let (from, to) = (source_of(&image).await, TestRegistry::start().await);
    to.load(REPOSITORY, "v1", &image).await;
    let wanted = [tag("v1").into(), image.digest().into()];
    let inventory = repository(&to).inventory(&wanted).await.expect("an inventory");
    assert_eq!(inventory.tag(&tag("v1")), Existence::Present(&image.digest()));
    assert!(inventory.holds(&image.digest()).is_present());
    let all = spent("there, source", &from) + spent("there, destination", &to);
    assert!(all <= 2, "{all}");

    // A copy of it nevertheless reads its manifests, and looks up each digest.
    assert_eq!(copy(&repository(&from), &repository(&to), &image).await, Copied::default());
    spent("there and copied nevertheless, source", &from);
    assert_eq!(spent("there and copied nevertheless, destination", &to), 26);
}

#[tokio::test]
async fn a_second_tag_of_the_same_digest_is_one_write() {
    let image = image();
    let to = TestRegistry::start().await;
    to.load(REPOSITORY, "v1", &image).await;
    let there = repository(&to).manifest(&image.digest().into()).await.expect("the manifest");
    assert_eq!(there.bytes, image.bytes);
    put_tag(&repository(&to), "v2", &image).await;
    assert_eq!(to.count(|request| request.method == Method::PUT), 1);
    assert_eq!(spent("second tag", &to), 3, "the manifest is read, the tag looked up and put");
}

#[tokio::test]
async fn within_one_registry_each_blob_is_a_mount_and_a_look_at_its_length() {
    let image = image();
    let registry = source_of(&image).await;
    let to = client().repository(&registry.host(), repository_named(&registry, "prod/app").name());
    let copied = copy(&repository(&registry), &to, &image).await;
    assert_eq!((copied.mounted, copied.blobs), (20, 0));
    assert_eq!(registry.count(|request| request.method == Method::POST), 20);
    put_tag(&to, "v1", &image).await;
    let all = spent("same registry", &registry);
    assert!(all <= 6 + 2 + 2 * 20 + 6 + 2, "{all}");
    assert!(registry.holds("prod/app", &image).await);
}

#[tokio::test]
async fn a_manifest_that_is_present_costs_no_bytes() {
    let image = image();
    let (from, to) = (source_of(&image).await, TestRegistry::start().await);
    to.load(REPOSITORY, None, &image.children[3]).await;
    let copied = copy(&repository(&from), &repository(&to), &image).await;
    assert_eq!((copied.blobs, copied.manifests), (16, 6));
    assert!(to.holds(REPOSITORY, &image).await);
    // The one that is written first is looked up, and then so are the others.
    let to = TestRegistry::start().await;
    for child in [&image.children[0], &image.children[3]] {
        to.load(REPOSITORY, None, child).await;
    }
    to.clear_requests();
    let copied = copy(&repository(&from), &repository(&to), &image).await;
    assert_eq!((copied.blobs, copied.manifests), (12, 4));
    // Six manifests are looked up and four written; twelve blobs are started and sent, eight looked up.
    assert_eq!(spent("two of five children there, destination", &to), 6 + 4 + 2 * 12 + 8);
    assert!(to.holds(REPOSITORY, &image).await);
}
