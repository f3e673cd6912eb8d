//! Attachments of manifests in the embedded registry, with and without an inventory.

#![expect(clippy::expect_used, reason = "a panic here is a failed test")]

use attachments::{AttachedBy, Compared, Comparison, DestinationImage, DigestTag, discover, list};
use oci::{Digest, Reference, Repository, Tag};
use registry::{Registry, RegistrySettings, Storage};
use registry_client::{RegistryClient, RepositoryClient, Retries};
use testkit::{Fault, TestRegistry, TestServer, fixture, fixture::TestImage};

const SIGNATURE: &str = "application/vnd.example.signature+json";
const BILL: &str = "application/vnd.example.sbom";

/// The repository `a` of a registry.
fn at(registry: &TestRegistry) -> RepositoryClient {
    let client = RegistryClient::builder().retries(Retries::none()).build();
    client.repository(&registry.host(), &"a".parse::<Repository>().expect("a name"))
}

/// The requests, in order of their texts: they are sent at once.
fn lines(server: &TestServer) -> Vec<String> {
    let requests = server.requests().into_iter();
    let mut lines: Vec<_> =
        requests.map(|sent| format!("{} {}", sent.method, sent.path_and_query)).collect();
    lines.sort_unstable();
    lines
}

fn digest_tag(image: &TestImage, suffix: &str) -> Tag {
    format!("sha256-{}{suffix}", image.digest().hex()).parse().expect("a tag")
}

fn tagged(image: &TestImage, suffix: &str, digest: Digest) -> DigestTag {
    DigestTag { tag: digest_tag(image, suffix), digest }
}

/// A subject and three referrers.
fn subject() -> (TestImage, [TestImage; 3]) {
    let subject = fixture::image(1, 2);
    let referrers = [(2, SIGNATURE), (3, BILL), (4, SIGNATURE)]
        .map(|(seed, kind)| fixture::referrer(seed, &subject.descriptor, kind));
    (subject, referrers)
}

/// A subject with two referrers, a signature and a bill of materials by digest tags, and a digest tag of another image.
async fn load(store: &TestRegistry) -> (TestImage, Vec<DigestTag>) {
    let (subject, referrers) = subject();
    let (signature, bill) = (fixture::image(11, 1), fixture::image(12, 1));
    store.load("a", "v1", &subject).await;
    for referrer in &referrers[..2] {
        store.load("a", None, referrer).await;
    }
    store.load("a", digest_tag(&subject, ".sig").as_str(), &signature).await;
    store.load("a", digest_tag(&subject, ".sbom").as_str(), &bill).await;
    store.load("a", digest_tag(&fixture::image(2, 2), ".att").as_str(), &bill).await;
    let tags = [(".sig", signature), (".sbom", bill)];
    let tags = tags.map(|(suffix, image)| tagged(&subject, suffix, image.digest()));
    (subject, tags.into())
}

#[tokio::test]
async fn without_an_inventory_everything_is_requested() {
    let registry = TestRegistry::start().await;
    let (subject, tags) = load(&registry).await;
    let repository = at(&registry);
    let found = list(&repository, &subject.digest(), None).await.expect("a listing");
    assert_eq!((found.tags, found.referrers.len()), (tags, 2));
    let manifest =
        |method, suffix| format!("{method} /v2/a/manifests/{}", digest_tag(&subject, suffix));
    let mut requests = [
        format!("GET /v2/a/referrers/{}", subject.digest()),
        manifest("GET", ""),
        manifest("HEAD", ".sig"),
        manifest("HEAD", ".att"),
        manifest("GET", ".att"),
        manifest("HEAD", ".sbom"),
    ];
    requests.sort_unstable();
    assert_eq!(lines(&registry), requests);
    let none = list(&repository, &Digest::sha256(b"x"), None).await.expect("an empty listing");
    assert_eq!((none.tags, none.referrers), (vec![], vec![]));
}

#[tokio::test]
async fn with_a_list_of_tags_only_listed_tags_are_requested() {
    let registry = TestRegistry::start().await;
    let (subject, tags) = load(&registry).await;
    let repository = at(&registry);
    let inventory = repository.inventory(&[]).await.expect("an inventory");
    registry.clear_requests();
    let found = list(&repository, &subject.digest(), Some(&inventory)).await.expect("a listing");
    assert_eq!((found.tags, found.referrers.len()), (tags, 2));
    let head = |suffix| format!("HEAD /v2/a/manifests/{}", digest_tag(&subject, suffix));
    let api = format!("GET /v2/a/referrers/{}", subject.digest());
    assert_eq!(lines(&registry), [api, head(".sbom"), head(".sig")]);
}

#[tokio::test]
async fn with_a_list_of_manifests_no_digest_tag_is_requested() {
    let settings = RegistrySettings { google_listing: true, ..RegistrySettings::default() };
    let registry = Registry::with(Storage::memory(), settings, None);
    let registry = TestRegistry::over(registry).await;
    let (subject, tags) = load(&registry).await;
    let repository = at(&registry);
    let inventory = repository.inventory(&[]).await.expect("an inventory");
    registry.clear_requests();
    let found = list(&repository, &subject.digest(), Some(&inventory)).await.expect("a listing");
    assert_eq!((found.tags, found.referrers.len()), (tags, 2));
    assert_eq!(lines(&registry), [format!("GET /v2/a/referrers/{}", subject.digest())]);
}

#[tokio::test]
async fn the_api_and_the_index_of_the_tag_are_united() {
    let settings =
        RegistrySettings { allow_missing_references: true, ..RegistrySettings::default() };
    let registry = Registry::with(Storage::memory(), settings, None);
    let registry = TestRegistry::over(registry).await;
    let (subject, [one, two, three]) = subject();
    let repository = at(&registry);
    for referrer in [&one, &two] {
        registry.load("a", None, referrer).await;
    }
    let listed = [&two, &three].map(|referrer| referrer.descriptor.clone());
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_INDEX, "manifests": listed,
    });
    let tag: Reference = digest_tag(&subject, "").into();
    let index = index.to_string().into();
    let put = repository.put_manifest(&tag, oci::media_type::OCI_INDEX, index);
    put.await.expect("it is stored");
    let mut all = [one, two, three].map(|referrer| referrer.digest());
    all.sort_unstable();
    let inventory = repository.inventory(&[]).await.expect("an inventory");
    // The inventory lists that tag.
    for inventory in [None, Some(&inventory)] {
        let found = list(&repository, &subject.digest(), inventory).await.expect("a listing");
        let mut digests: Vec<_> = found.referrers.iter().map(|found| found.digest).collect();
        digests.sort_unstable();
        assert_eq!(digests, all);
    }
}

#[tokio::test]
async fn a_listing_that_cannot_be_read_is_an_error() {
    for path in ["/referrers/", ".att", "manifests/sha256-"] {
        let registry = TestRegistry::start().await;
        let (subject, _) = load(&registry).await;
        registry.fail(Fault::everywhere(path).status(403));
        let found = list(&at(&registry), &subject.digest(), None).await;
        assert!(found.expect_err("a refusal").is_unauthorized(), "{path}");
    }
}

#[tokio::test]
async fn a_sha_512_has_no_digest_tags_of_cosign() {
    let registry = TestRegistry::start().await;
    let digest = Digest::of(oci::Algorithm::Sha512, b"x");
    let found = list(&at(&registry), &digest, None).await.expect("an empty listing");
    assert_eq!((found.tags, found.referrers), (vec![], vec![]));
    assert_eq!(registry.requests().len(), 2, "the API, and the tag that stands in for it");
}

#[tokio::test]
async fn attachments_of_attachments_are_discovered_and_compared() {
    let (source, destination) = (TestRegistry::start().await, TestRegistry::start().await);
    let (subject, [signature, ..]) = subject();
    let nested = fixture::referrer(21, &signature.descriptor, BILL);
    source.load("a", "v1", &subject).await;
    destination.load("a", "v1", &subject).await;
    for referrer in [&signature, &nested] {
        source.load("a", None, referrer).await;
    }
    destination.load("a", None, &signature).await;
    let (from, to) = (at(&source), at(&destination));
    let discovered = discover(&from, None, vec![subject.digest()]).await.expect("attachments");
    let found: Vec<_> = discovered.attachments.iter().map(|it| (it.subject, it.digest)).collect();
    assert_eq!(
        found,
        [(subject.digest(), signature.digest()), (signature.digest(), nested.digest())]
    );
    assert!(discovered.attachments.iter().all(|it| it.by == AttachedBy::Referrer));
    let inventory = to.inventory(&[]).await.expect("an inventory");
    let image = DestinationImage::Exists;
    let comparison = Comparison { from: &from, to: &to, inventory: &inventory, image };
    let compared = comparison.compare(&discovered.attachments).await.expect("a comparison");
    assert!(matches!(compared[..], [Compared::Present, Compared::Missing]), "{compared:?}");
}
