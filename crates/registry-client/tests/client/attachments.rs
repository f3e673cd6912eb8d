//! All that hangs on a digest, with and without an inventory.

use oci::{Digest, Reference};
use registry::{Registry, Settings, Storage};
use registry_client::{DigestTag, RepositoryClient};
use testkit::{TestRegistry, TestServer, fixture, fixture::Image};

use crate::{
    referrers::{Habits, Old, index_of, index_tag, listed, put, subject},
    support::{at, client, digest},
};

fn lines(server: &TestServer) -> Vec<String> {
    let requests = server.requests();
    let line = |method: &http::Method, path: &str| format!("{method} {path}");
    let mut lines: Vec<_> =
        requests.iter().map(|asked| line(&asked.method, &asked.path_and_query)).collect();
    // They are asked for at once.
    lines.sort_unstable();
    lines
}

fn digest_tag(image: &Image, suffix: &str) -> String {
    format!("{}{suffix}", index_tag(image))
}

fn tagged(image: &Image, suffix: &str, digest: Digest) -> DigestTag {
    DigestTag { tag: digest_tag(image, suffix).parse().expect("a tag"), digest }
}

/// A subject with two referrers, a signature and a bill by digest tags, and a bystander.
async fn load(store: &TestRegistry) -> (Image, Vec<DigestTag>) {
    let (subject, referrers) = subject();
    let (signature, bill) = (fixture::image(11, 1), fixture::image(12, 1));
    store.load("a", "v1", &subject).await;
    for referrer in &referrers[..2] {
        store.load("a", None, referrer).await;
    }
    store.load("a", &*digest_tag(&subject, ".sig"), &signature).await;
    store.load("a", &*digest_tag(&subject, ".sbom"), &bill).await;
    store.load("a", &*digest_tag(&fixture::image(2, 2), ".att"), &bill).await;
    let tags = [(".sig", signature), (".sbom", bill)];
    let tags = tags.map(|(suffix, image)| tagged(&subject, suffix, image.digest()));
    (subject, tags.into())
}

async fn digests(repository: &RepositoryClient, of: &Image) -> Vec<Digest> {
    let found = repository.attachments(&of.digest(), None).await.expect("attachments");
    let mut digests: Vec<_> = found.referrers.iter().map(|found| found.digest).collect();
    digests.sort_unstable();
    digests
}

#[tokio::test]
async fn without_an_inventory_everything_is_asked_for() {
    let registry = TestRegistry::start().await;
    let (subject, tags) = load(&registry).await;
    let repository = at(&client(), &registry.host());
    let found = repository.attachments(&subject.digest(), None).await.expect("attachments");
    assert_eq!((found.tags, found.referrers.len()), (tags, 2));
    let manifest =
        |method, suffix| format!("{method} /v2/a/manifests/{}", digest_tag(&subject, suffix));
    let mut asked = [
        format!("GET /v2/a/referrers/{}", subject.digest()),
        manifest("GET", ""),
        manifest("HEAD", ".sig"),
        manifest("HEAD", ".att"),
        manifest("GET", ".att"),
        manifest("HEAD", ".sbom"),
    ];
    asked.sort_unstable();
    assert_eq!(lines(&registry), asked);
    let none = repository.attachments(&digest(), None).await.expect("none");
    assert_eq!((none.tags, none.referrers), (vec![], vec![]));
}

#[tokio::test]
async fn with_a_list_of_tags_only_what_is_listed_is_asked_for() {
    let registry = TestRegistry::start().await;
    let (subject, tags) = load(&registry).await;
    let repository = at(&client(), &registry.host());
    let inventory = repository.inventory(&[]).await.expect("an inventory");
    registry.clear_requests();
    let found = repository.attachments(&subject.digest(), Some(&inventory)).await;
    let found = found.expect("attachments");
    assert_eq!((found.tags, found.referrers.len()), (tags, 2));
    let head = |suffix| format!("HEAD /v2/a/manifests/{}", digest_tag(&subject, suffix));
    let api = format!("GET /v2/a/referrers/{}", subject.digest());
    assert_eq!(lines(&registry), [api, head(".sbom"), head(".sig")]);
}

#[tokio::test]
async fn with_a_list_of_manifests_no_digest_tag_is_asked_for() {
    let settings = Settings { google_listing: true, ..Settings::default() };
    let registry = Registry::with(Storage::memory(), settings, None);
    let registry = TestRegistry::over(registry).await;
    let (subject, tags) = load(&registry).await;
    let repository = at(&client(), &registry.host());
    let inventory = repository.inventory(&[]).await.expect("an inventory");
    registry.clear_requests();
    let found = repository.attachments(&subject.digest(), Some(&inventory)).await;
    let found = found.expect("attachments");
    assert_eq!((found.tags, found.referrers.len()), (tags, 2));
    assert_eq!(lines(&registry), [format!("GET /v2/a/referrers/{}", subject.digest())]);
}

#[tokio::test]
async fn the_api_and_the_index_of_the_tag_are_united() {
    let old = Old::start(Habits { has_api: true, ..Habits::default() }).await;
    let (subject, [one, two, three]) = subject();
    let repository = at(&client(), &old.server.host());
    for referrer in [&one, &two] {
        put(&repository, referrer).await.expect("it is stored");
    }
    let index = index_of(&[listed(&two), listed(&three)]);
    let tag: Reference = index_tag(&subject);
    let put = repository.put_manifest(&tag, oci::media_type::OCI_INDEX, index);
    put.await.expect("it is stored");
    let mut all = [one, two, three].map(|referrer| referrer.digest());
    all.sort_unstable();
    assert_eq!(digests(&repository, &subject).await, all);
    // By the inventory as well, which lists that tag.
    let inventory = repository.inventory(&[]).await.expect("an inventory");
    let found = repository.attachments(&subject.digest(), Some(&inventory)).await;
    assert_eq!(found.expect("attachments").referrers.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_passed_over() {
    for path in ["/referrers/", ".att", "manifests/sha256-"] {
        let registry = TestRegistry::start().await;
        let (subject, _) = load(&registry).await;
        registry.fail(testkit::Fault::everywhere(path).status(403));
        let found = at(&client(), &registry.host()).attachments(&subject.digest(), None).await;
        assert!(found.expect_err("a refusal").is_unauthorized(), "{path}");
    }
}

#[tokio::test]
async fn a_sha_512_has_no_digest_tags_of_cosign() {
    let registry = TestRegistry::start().await;
    let digest = Digest::of(oci::Algorithm::Sha512, b"x");
    let found = at(&client(), &registry.host()).attachments(&digest, None).await.expect("none");
    assert_eq!((found.tags, found.referrers), (vec![], vec![]));
    assert_eq!(registry.requests().len(), 2, "the API, and the tag that stands in for it");
}
