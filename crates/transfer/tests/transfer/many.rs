//! Several destinations: those of one registry, those that are slow, and those that the run knows already. The rows of
//! `docs/internals/transfer.md`, "Moving a blob".

use std::time::Duration;

use http::Method;
use oci::Repository;
use registry_client::{RegistryClient, RepositoryClient, Retries};
use testkit::{Fault, RecordedRequest, TestLink, TestRegistry, fixture};
use transfer::{Copied, Destination, Image, TransferState};

use crate::world::{REPOSITORY, repository, repository_named, source_of};

fn to(registry: &TestRegistry, name: &str) -> Destination {
    Destination::Registry(repository_named(registry, name))
}

fn reads_blob(it: &RecordedRequest) -> bool {
    it.method == Method::GET && it.path_and_query.contains("/blobs/")
}

fn puts_blob(it: &RecordedRequest) -> bool {
    it.method == Method::PUT && it.path_and_query.contains("/blobs/")
}

#[tokio::test]
async fn within_a_registry_blobs_are_mounted() {
    let image = fixture::index(1, 2, 2);
    let (source, registry) = (source_of(&image).await, TestRegistry::start().await);
    let loaded = Image::load(&repository(&source), &image.digest()).await.expect("it loads");
    let all = ["a", "b/c", "d"].map(|name| to(&registry, name));
    let copied = loaded.copy_to(&TransferState::new(), &all).await;
    let blobs = loaded.blobs().count() as u64;
    let first = copied[0].clone().expect("copied");
    assert_eq!((first.blobs, first.mounted), (blobs, 0));
    for copied in &copied[1..] {
        let copied = copied.clone().expect("copied");
        assert_eq!((copied.blobs, copied.mounted, copied.bytes), (0, blobs, 0));
    }
    assert_eq!(source.count(reads_blob) as u64, blobs);
    for name in ["a", "b/c", "d"] {
        assert!(registry.holds(name, &image).await, "{name}");
    }
}

#[tokio::test]
async fn the_next_leads_where_the_first_is_refused() {
    let image = fixture::image(1, 2);
    let (source, registry) = (source_of(&image).await, TestRegistry::start().await);
    registry.fail(Fault::on(Method::POST, "/v2/a/").status(403));
    let loaded = Image::load(&repository(&source), &image.digest()).await.expect("it loads");
    let all = ["a", "b"].map(|name| to(&registry, name));
    let copied = loaded.copy_to(&TransferState::new(), &all).await;
    assert!(copied[0].as_ref().is_err_and(|error| !error.is_source() && !error.is_lagging()));
    assert_eq!(copied[1].as_ref().expect("copied").blobs, 3);
    assert!(registry.holds("b", &image).await && !registry.holds("a", &image).await);
}

#[tokio::test]
async fn what_a_run_knows_to_be_there_is_not_moved_again_and_a_lost_place_is_found_out() {
    let image = fixture::image(1, 2);
    let (source, registry) = (source_of(&image).await, TestRegistry::start().await);
    let loaded = Image::load(&repository(&source), &image.digest()).await.expect("it loads");
    let run = TransferState::new();
    let copy = async |name: &str| {
        let copied = loaded.copy_to(&run, &[to(&registry, name)]).await.pop();
        copied.expect("one").expect("copied")
    };
    assert_eq!(copy("a").await.blobs, 3);
    let mounted = Copied { mounted: 3, manifests: 1, ..Copied::default() };
    assert_eq!(copy("b").await, mounted);
    assert_eq!((source.count(reads_blob), registry.count(puts_blob)), (3, 3));
    // For a registry that refuses mounts the bytes are copied from its own repository.
    registry.fail(Fault::on(Method::POST, "/v2/c/").refuse_mount());
    assert_eq!(copy("c").await.blobs, 3);
    assert_eq!((source.count(reads_blob), registry.count(reads_blob)), (3, 3));
    // And from the source, where it lost them meanwhile.
    registry.clear_faults();
    registry.fail(Fault::on(Method::POST, "/v2/d/").refuse_mount());
    registry.fail(Fault::on(Method::GET, "/v2/a/blobs/").status(404));
    assert_eq!(copy("d").await.blobs, 3);
    assert_eq!(source.count(reads_blob), 6);
    assert!(registry.holds("d", &image).await);
}

#[tokio::test]
async fn the_slow_are_left_behind_and_fed_afterwards_from_one_that_is_done() {
    let image = fixture::image_with_layers(1, &[8 << 20, 100]);
    let source = source_of(&image).await;
    let (fast, slow) = (TestRegistry::start().await, TestRegistry::start().await);
    let link = TestLink::to(&slow.host()).await;
    link.slow_down(200_000);
    // A patient client: the destination is slow, not broken.
    let client = RegistryClient::builder().retries(Retries::none()).build();
    let name: Repository = REPOSITORY.parse().expect("a name");
    let behind = |host| Destination::Registry(client.repository(&host, &name));
    let from = client.repository(&source.host(), &name);
    let loaded = Image::load(&from, &image.digest()).await.expect("it loads");
    let run = TransferState::new();
    let all = [behind(fast.host()), behind(link.host())];
    let copied = loaded.copy_to(&run, &all).await;
    assert!(copied[0].is_ok() && fast.holds(REPOSITORY, &image).await);
    let error = copied[1].as_ref().expect_err("it lags");
    assert!(error.is_lagging() && !error.is_source() && !error.is_unreachable(), "{error}");
    assert!(error.to_string().contains("more slowly than the other destinations"), "{error}");
    assert!(!slow.holds(REPOSITORY, &image).await);
    link.slow_down(0);
    source.clear_requests();
    let done: RepositoryClient = client.repository(&fast.host(), &name);
    let copied = loaded.at(done).copy_to(&run, &all[1..]).await;
    assert_eq!(copied[0].as_ref().expect("copied").manifests, 1);
    assert!(slow.holds(REPOSITORY, &image).await);
    assert!(source.requests().is_empty(), "no request is sent to the source again");
}

#[tokio::test]
async fn who_falls_silent_is_left_behind_wherever_it_does() {
    let image = fixture::index(1, 2, 2);
    let source = source_of(&image).await;
    let client = RegistryClient::builder().retries(Retries::none()).build();
    let name: Repository = REPOSITORY.parse().expect("a name");
    let from = client.repository(&source.host(), &name);
    let loaded = Image::load(&from, &image.digest()).await.expect("it loads");
    for silent_at in [
        Fault::on(Method::HEAD, "/manifests/"),
        Fault::on(Method::POST, "/uploads/"),
        Fault::on(Method::PUT, "/uploads/"),
        Fault::on(Method::PUT, "/manifests/"),
    ] {
        let (fine, silent) = (TestRegistry::start().await, TestRegistry::start().await);
        silent.fail(silent_at.hang());
        let all =
            [&fine, &silent].map(|it| Destination::Registry(client.repository(&it.host(), &name)));
        let run = TransferState::new();
        let copied = loaded.copy_to(&run, &all);
        // The client's own patience is 30 s.
        let copied = tokio::time::timeout(Duration::from_secs(15), copied).await.expect("in time");
        assert!(copied[0].is_ok() && fine.holds(REPOSITORY, &image).await);
        assert!(copied[1].as_ref().is_err_and(transfer::Error::is_lagging));
    }
}
