//! "Moving an image".

use std::collections::HashSet;

use http::Method;
use testkit::{
    Fault, RecordedRequest, TestRegistry, TestServer,
    fixture::{self, TestImage},
};
use transfer::{Copied, Destination, Error, Image, TransferState};

use crate::world::{
    REPOSITORY, TestDestinations, kill_when, repository, repository_named, source_of,
};

async fn copy(
    source: &TestServer,
    image: &TestImage,
    destinations: &[Destination],
) -> Vec<Result<Copied, Error>> {
    let image = Image::load(&repository(source), &image.digest()).await.expect("it loads");
    image.copy_to(&TransferState::new(), destinations).await
}

fn is_read(request: &RecordedRequest) -> bool {
    request.method == Method::GET
}

fn is_write(request: &RecordedRequest) -> bool {
    !matches!(request.method, Method::GET | Method::HEAD)
}

fn is_manifest_put(request: &RecordedRequest) -> bool {
    request.method == Method::PUT && request.path_and_query.contains("/manifests/")
}

/// Three platforms of two layers each, of which they share one: seven blobs in all.
fn multi() -> TestImage {
    fixture::index(7, 3, 2)
}

#[tokio::test]
async fn everything_arrives_and_the_source_is_read_once() {
    for image in
        [multi(), fixture::docker_list(8, 2, 2), fixture::image(9, 3), fixture::helm_chart(1)]
    {
        let (source, targets) = (source_of(&image).await, TestDestinations::new(3).await);
        let copied = copy(&source, &image, &targets.destinations()).await;
        assert!(targets.hold(&image).await);
        let of = |manifest: &TestImage| manifest.blobs.clone();
        let blobs = image.manifests().into_iter().flat_map(of);
        let blobs: HashSet<_> =
            blobs.map(|blob| (blob.descriptor.digest, blob.descriptor.size)).collect();
        let all = Copied {
            blobs: blobs.len() as u64,
            bytes: blobs.iter().map(|(_, size)| size).sum(),
            mounted: 0,
            manifests: image.manifests().len() as u64,
        };
        assert!(copied.iter().all(|one| *one.as_ref().expect("it is copied") == all), "{copied:?}");
        assert_eq!(source.count(is_read), image.digests().len(), "each digest once, for all");
        let is_of_blobs = |request: &RecordedRequest| request.path_and_query.contains("/blobs/");
        for registry in &targets.registries {
            let of_blobs = registry.count(is_of_blobs);
            assert_eq!(
                of_blobs,
                2 * blobs.len(),
                "each blob takes a request that opens its upload, and a PUT"
            );
            assert_eq!(registry.tags(REPOSITORY).await, [""; 0], "tags are the caller's");
        }
    }
}

#[tokio::test]
async fn what_is_there_is_not_moved_again() {
    let image = multi();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(1).await);
    copy(&source, &image, &targets.destinations()).await;
    source.clear_requests();
    targets.registries[0].clear_requests();
    let again = copy(&source, &image, &targets.destinations()).await;
    assert!(
        again.iter().all(|one| *one.as_ref().expect("a success") == Copied::default()),
        "{again:?}"
    );
    assert_eq!(source.count(|request| request.path_and_query.contains("/blobs/")), 0);
    let requests = targets.registries[0].requests();
    assert_eq!(requests.len(), image.digests().len(), "each digest is requested once");
    assert!(requests.iter().all(|request| request.method == Method::HEAD));
}

#[tokio::test]
async fn only_what_is_absent_is_moved() {
    let image = multi();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(1).await);
    targets.registries[0].load(REPOSITORY, None, &image.children[0]).await;
    let copied = copy(&source, &image, &targets.destinations()).await;
    assert!(targets.hold(&image).await);
    let first = copied[0].as_ref().expect("it is copied");
    assert_eq!((first.blobs, first.manifests), (4, 3), "the first platform was there");
    assert_eq!(copied[1].as_ref().expect("it is copied").blobs, 7, "the store had nothing");
}

#[tokio::test]
async fn manifests_come_after_all_blobs_children_first() {
    let image = multi();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(1).await);
    copy(&source, &image, &targets.destinations()).await;
    let puts = targets.registries[0].requests();
    let puts: Vec<_> = puts.iter().filter(|request| request.method == Method::PUT).collect();
    let (blobs, manifests) = puts.split_at(puts.len() - 4);
    assert!(!blobs.iter().any(|put| is_manifest_put(put)));
    assert!(manifests.iter().all(|put| is_manifest_put(put)));
    assert!(manifests[3].path_and_query.ends_with(&image.digest().to_string()), "the root is last");
}

#[tokio::test]
async fn a_destination_that_failed_gets_no_manifest_and_stops_no_other() {
    let image = multi();
    let layer = image.children[2].blobs[2].descriptor.digest.hex();
    for (case, fault) in [
        ("a blob is refused", Fault::on(Method::PUT, &layer).status(400)),
        ("the upload of a blob cannot be opened", Fault::on(Method::POST, "/uploads/").status(500)),
        ("a manifest cannot be found", Fault::everywhere("/manifests/").times(2).status(500)),
    ] {
        let (source, targets) = (source_of(&image).await, TestDestinations::new(2).await);
        targets.registries[0].fail(fault);
        let copied = copy(&source, &image, &targets.destinations()).await;
        let error = copied[0].as_ref().expect_err(case);
        assert!(!error.is_source(), "{case}: {error}");
        assert_eq!(targets.registries[0].count(is_manifest_put), 0, "{case}");
        assert!(copied[1].is_ok() && copied[2].is_ok(), "{case}: {copied:?}");
        assert!(targets.registries[1].holds(REPOSITORY, &image).await, "{case}");
        assert!(targets.store_holds(&image).await, "{case}");
        targets.registries[0].clear_faults();
        let again = copy(&source, &image, &targets.destinations()).await;
        assert!(again.iter().all(Result::is_ok) && targets.hold(&image).await, "{case}: {again:?}");
    }
}

#[tokio::test]
async fn a_refused_child_keeps_the_root_away() {
    let image = multi();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(1).await);
    let child = image.children[0].digest().to_string();
    targets.registries[0].fail(Fault::on(Method::PUT, &child).status(400));
    let copied = copy(&source, &image, &targets.destinations()).await;
    assert!(
        copied[0].as_ref().is_err_and(|error| error.to_string().contains(&child)),
        "{copied:?}"
    );
    let root = image.digest().to_string();
    assert_eq!(targets.registries[0].digest_of(REPOSITORY, &root).await, None);
}

#[tokio::test]
async fn a_source_failure_writes_no_manifest_and_what_moved_is_found_next_time() {
    let image = multi();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(2).await);
    let layer = image.children[1].blobs[2].descriptor.digest.to_string();
    source.fail(Fault::on(Method::GET, &layer).corrupt());
    let copied = copy(&source, &image, &targets.destinations()).await;
    for one in &copied {
        assert!(
            one.as_ref()
                .is_err_and(|error| error.is_source() && error.to_string().contains(&layer))
        );
    }
    for registry in &targets.registries {
        assert_eq!(registry.count(is_manifest_put), 0);
    }
    assert_eq!(
        blob_store::found(targets.store.head(&image.digest()).await).expect("a response"),
        None
    );
    source.clear_faults();
    let again = copy(&source, &image, &targets.destinations()).await;
    assert!(again.iter().all(Result::is_ok) && targets.hold(&image).await, "{again:?}");
    let blob_reads =
        |request: &RecordedRequest| is_read(request) && request.path_and_query.contains("/blobs/");
    assert_eq!(source.count(blob_reads), 7 + 1, "only the broken one is read twice");
}

#[tokio::test]
async fn an_image_that_another_repository_of_the_registry_holds_is_mounted() {
    let image = multi();
    let source = source_of(&image).await;
    let to = Destination::Registry(repository_named(&source, "prod/app"));
    let copied = copy(&source, &image, &[to]).await;
    let expected = Copied { blobs: 0, bytes: 0, mounted: 7, manifests: 4 };
    assert_eq!(*copied[0].as_ref().expect("it is copied"), expected);
    assert!(source.holds("prod/app", &image).await);
    assert_eq!(
        source.count(|request| is_read(request) && request.path_and_query.contains("/blobs/")),
        0
    );
}

#[tokio::test]
async fn images_copied_at_once_share_what_they_share() {
    let image = multi();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(1).await);
    let (source, destinations) = (repository(&source), targets.destinations());
    let run = TransferState::new();
    let each = image.children.iter().map(|child| {
        let (run, source, destinations) = (run.clone(), source.clone(), destinations.clone());
        let digest = child.digest();
        // Each in a task of its own: so the whole must be able to move between threads.
        tokio::spawn(async move {
            let child = Image::load(&source, &digest).await.expect("it loads");
            child.copy_to(&run, &destinations).await
        })
    });
    let mut sent = 0;
    for task in each.collect::<Vec<_>>() {
        for copied in task.await.expect("no panic") {
            sent += copied.expect("it is copied").blobs;
        }
    }
    assert_eq!(sent, 7 * 2, "each of the seven blobs once to each of the two destinations");
    let uploads = |request: &RecordedRequest| request.method == Method::POST;
    assert_eq!(
        targets.registries[0].count(uploads),
        7,
        "content that is known to be present is not requested"
    );
}

#[tokio::test]
async fn a_kill_leaves_no_manifest_and_the_next_run_does_the_rest() {
    let image = multi();
    let (source, targets) = (source_of(&image).await, TestDestinations::new(2).await);
    let layer = image.children[2].blobs[2].descriptor.digest.to_string();
    source.fail(Fault::on(Method::GET, &layer).times(1).hang());
    let destinations = targets.destinations();
    // The other six have arrived everywhere, and the last one is waited for.
    let stuck = || {
        let put = |request: &RecordedRequest| request.method == Method::PUT;
        targets.registries.iter().all(|registry| registry.count(put) == 6)
            && source.count(|request| request.path_and_query.ends_with(&layer)) == 1
    };
    kill_when(copy(&source, &image, &destinations), stuck).await;
    for registry in &targets.registries {
        assert_eq!(registry.count(is_manifest_put), 0);
        registry.clear_requests();
    }
    source.clear_requests();
    let again = copy(&source, &image, &destinations).await;
    assert!(again.iter().all(Result::is_ok) && targets.hold(&image).await, "{again:?}");
    assert_eq!(targets.partial_files(), [""; 0]);
    for registry in &targets.registries {
        assert!(registry.count(is_write) >= 2 + 4, "one blob and four manifests");
    }
}

#[tokio::test]
async fn a_child_of_two_indexes_that_are_copied_at_once_is_written_once() {
    let (one, two) = (fixture::index(7, 1, 2), fixture::index(7, 2, 2));
    let child = one.children[0].digest();
    assert!(two.children.iter().any(|other| other.digest() == child));
    let (source, to) = (source_of(&one).await, TestRegistry::start().await);
    source.load(REPOSITORY, None, &two).await;
    let transfer_state = TransferState::new();
    let copy = async |image: &TestImage| {
        let loaded = Image::load(&repository(&source), &image.digest()).await.expect("it loads");
        let destination = Destination::Registry(repository(&to));
        let copied = loaded.copy_to(&transfer_state, &[destination]).await.pop();
        copied.expect("a result").expect("it is copied");
    };
    tokio::join!(copy(&one), copy(&two));
    let puts =
        to.count(|it| it.method == Method::PUT && it.path_and_query.ends_with(&child.to_string()));
    assert_eq!(puts, 1);
    assert!(to.holds(REPOSITORY, &one).await && to.holds(REPOSITORY, &two).await);
}
