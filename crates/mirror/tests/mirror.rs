//! The tables "What is mirrored" and "How" of `docs/reference/mirror.md`, against a real registry in this process
//! and a real directory.
#![expect(clippy::expect_used, reason = "helpers of tests")]

mod served;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use blob_store::{BlobStore, key};
use bytes::Bytes;
use http::Method;
use job::{Confirm, Progress, Silent, Stop, stop};
use mirror::{MirrorOptions, Stores, TAGS_AT_ONCE, Totals, WriteCounts, mirror};
use oci::{Descriptor, Digest, RegistryPrefix, media_type};
use registry_client::{RegistryClient, Retries};
use tempfile::TempDir;
use testkit::{
    Fault, RecordedRequest, TestRegistry,
    fixture::{self, TestImage},
};
use transfer::{MAX_DEPTH, MAX_MANIFESTS};

/// How long clients here wait: long enough for a busy machine, short enough for a test of silence.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);

/// A registry and the directory that it is mirrored into.
struct World {
    registry: TestRegistry,
    directory: TempDir,
}

impl World {
    /// A registry with images at `repository:tag`.
    async fn with(images: &[(&str, &str, &TestImage)]) -> Self {
        let registry = TestRegistry::start().await;
        for (repository, tag, image) in images {
            registry.load(repository, *tag, image).await;
        }
        Self { registry, directory: TempDir::new().expect("a directory") }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn store(&self) -> BlobStore {
        BlobStore::open(&format!("file://{}", self.root().display())).expect("a store")
    }

    async fn mirror(&self) -> Totals {
        self.run("prod", Confirm::Write).await
    }

    async fn run(&self, prefix: &str, confirm: Confirm) -> Totals {
        let (_stopper, stop) = stop();
        self.run_until(&stop, &Silent, prefix, confirm).await
    }

    async fn run_until(
        &self,
        stop: &Stop,
        progress: &dyn Progress,
        prefix: &str,
        confirm: Confirm,
    ) -> Totals {
        let client = RegistryClient::builder()
            .retries(Retries::none())
            .request_timeout(CLIENT_TIMEOUT)
            .idle_timeout(CLIENT_TIMEOUT)
            .build();
        let to = Stores::new(vec![self.store()]).expect("one store");
        let options = MirrorOptions { from: self.registry.prefix(prefix), to, confirm };
        mirror(&client, &options, stop, progress).await
    }

    /// What the store shows: keys, with the time of the last change.
    fn shown(&self) -> BTreeMap<String, SystemTime> {
        let Ok(entries) = fs::read_dir(self.root().join("containers/images")) else {
            return BTreeMap::new();
        };
        let shown = entries.map(|entry| {
            let entry = entry.expect("an entry");
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            (entry.file_name().to_string_lossy().into_owned(), changed.expect("a time"))
        });
        shown.collect()
    }

    /// Whether the store holds exactly `images`, and every file is what its name says.
    fn holds_exactly(&self, images: &[&TestImage]) -> bool {
        let expected: BTreeSet<_> = images.iter().flat_map(|image| image.digests()).collect();
        let shown = self.shown();
        let names: BTreeSet<Digest> =
            shown.keys().map(|name| name.parse().expect("a digest")).collect();
        let is_whole = |digest: &Digest| {
            digest.matches(&fs::read(self.root().join(key(digest))).expect("it reads"))
        };
        names == expected && names.iter().all(is_whole)
    }

    /// How often content was read from the registry.
    fn reads(&self) -> usize {
        self.registry.count(is_content)
    }
}

fn is_content(request: &RecordedRequest) -> bool {
    let path = &request.path_and_query;
    request.method == Method::GET && (path.contains("/blobs/") || path.contains("/manifests/"))
}

fn is_blob(request: &RecordedRequest) -> bool {
    request.method == Method::GET && request.path_and_query.contains("/blobs/")
}

fn reasons(totals: &Totals) -> String {
    totals.failed.iter().map(|failure| format!("{failure}\n")).collect()
}

/// Everything that a run counts.
fn counts(totals: &Totals) -> [u64; 7] {
    let Totals { repositories, tags, .. } = totals;
    let WriteCounts { manifests, blobs, repaired, bytes, already_there } = totals.counts();
    [*repositories, *tags, manifests, blobs, repaired, bytes, already_there]
}

fn assert_complete(totals: &Totals) {
    assert_eq!(reasons(totals), "");
}

#[tokio::test]
async fn everything_below_the_prefix_arrives_each_digest_read_once() {
    let (multi, chart, outside) =
        (fixture::index(1, 3, 2), fixture::helm_chart(2), fixture::image(3, 1));
    let world = World::with(&[
        ("prod/app", "1.0", &multi),
        ("prod/app", "latest", &multi),
        ("prod/app", "1.0-amd64", &multi.children[0]),
        ("prod/deep/er/copy", "1.0", &multi),
        ("prod", "chart", &chart),
        ("prod-x/app", "1.0", &outside),
        ("other", "1.0", &outside),
    ])
    .await;
    let totals = world.mirror().await;
    assert_complete(&totals);
    assert!(world.holds_exactly(&[&multi, &chart]));
    let digests: BTreeSet<_> = multi.digests().union(&chart.digests()).copied().collect();
    assert_eq!(world.reads(), digests.len(), "each once in the whole run");
    assert_eq!((totals.repositories, totals.tags), (3, 5));
    assert_eq!((totals.counts().manifests, totals.counts().blobs), (4 + 1, 7 + 2));
    let on_disk = digests
        .iter()
        .map(|digest| fs::metadata(world.root().join(key(digest))).expect("it is there").len());
    assert_eq!((totals.counts().bytes, totals.counts().already_there), (on_disk.sum(), 0));
}

#[tokio::test]
async fn a_second_run_reads_tags_only_and_writes_nothing() {
    let multi = fixture::index(1, 2, 2);
    let world = World::with(&[("prod/a", "1", &multi), ("prod/a", "2", &multi)]).await;
    assert_complete(&world.mirror().await);
    let before = world.shown();
    world.registry.clear_requests();
    let again = world.mirror().await;
    assert_complete(&again);
    assert_eq!((again.counts().manifests, again.counts().blobs, again.counts().bytes), (0, 0, 0));
    assert_eq!(again.counts().already_there, multi.digests().len() as u64);
    assert_eq!(world.shown(), before);
    let heads = |request: &RecordedRequest| request.method == Method::HEAD;
    assert_eq!((world.reads(), world.registry.count(heads)), (0, 2));
}

#[tokio::test]
async fn a_run_that_is_not_confirmed_says_what_would_be_copied_and_writes_nothing() {
    let (multi, chart) = (fixture::index(1, 2, 2), fixture::helm_chart(2));
    let world = World::with(&[("prod/a", "1", &multi), ("prod/b", "1", &chart)]).await;
    let planned = world.run("prod", Confirm::DryRun).await;
    assert!(!world.root().exists(), "not even the directory");
    assert_eq!(world.registry.count(is_blob), 0);
    let written = world.mirror().await;
    assert_eq!(counts(&planned), counts(&written), "and then it is so");
    let nothing = world.run("prod", Confirm::DryRun).await;
    assert_eq!(
        (nothing.counts().manifests, nothing.counts().blobs, nothing.counts().bytes),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn content_that_fails_is_never_in_the_store_and_stops_nothing_else() {
    let (bad, good) = (fixture::index(1, 2, 2), fixture::image(2, 2));
    let layer = bad.children[1].blobs[2].descriptor.digest;
    let get = || Fault::on(Method::GET, &layer.hex());
    for (case, fault) in [
        ("other bytes", get().corrupt()),
        ("fewer bytes", get().wrong_length()),
        ("broken off", get().truncate_after(500)),
        ("silence", get().stall_after(500)),
        ("refused", get().status(500)),
        ("not there", get().status(404)),
    ] {
        let world = World::with(&[("prod/bad", "1", &bad), ("prod/good", "1", &good)]).await;
        world.registry.fail(fault);
        let totals = world.mirror().await;
        let said = reasons(&totals);
        assert_eq!(totals.failed.len(), 2, "{case}: the blob and the tag: {said}");
        assert!(said.contains(&format!("prod/bad@{layer}: ")), "{case}: {said}");
        assert!(said.contains("prod/bad:1: "), "{case}: {said}");
        // The other platform is complete; the root and the broken one are not there.
        let shown = world.shown();
        let is_shown = |digest: &Digest| shown.contains_key(&digest.to_string());
        assert!(good.digests().iter().all(is_shown), "{case}");
        assert!(bad.children[0].digests().iter().all(is_shown), "{case}");
        for absent in [layer, bad.children[1].digest(), bad.digest()] {
            assert!(!is_shown(&absent), "{case}: {absent}");
        }
        world.registry.clear_faults();
        world.registry.clear_requests();
        assert_complete(&world.mirror().await);
        assert!(world.holds_exactly(&[&bad, &good]), "{case}");
        assert_eq!(world.reads(), 3, "{case}: the blob and the two manifests that wait for it");
    }
}

#[tokio::test]
async fn content_that_one_repository_cannot_give_comes_from_another() {
    let image = fixture::index(1, 2, 2);
    let world = World::with(&[("prod/a", "1", &image), ("prod/b", "1", &image)]).await;
    let layer = &image.children[0].blobs[1].descriptor.digest;
    world.registry.fail(Fault::on(Method::GET, &format!("/v2/prod/a/blobs/{layer}")).status(404));
    let totals = world.mirror().await;
    assert!(world.holds_exactly(&[&image]));
    let said = reasons(&totals);
    assert!(said.is_empty() || said.contains("prod/a@"), "{said}");
    assert!(!said.contains("prod/b"), "{said}");
}

#[tokio::test]
async fn a_tag_that_fails_is_named_and_stops_nothing_else() {
    let images = [fixture::image(1, 1), fixture::image(2, 1), fixture::image(3, 1)];
    for (case, fault, says) in [
        ("gone", Fault::everywhere("/manifests/v1").status(404), "although the registry lists it"),
        ("refused", Fault::everywhere("/manifests/v1").status(403), "403"),
        ("cut off", Fault::on(Method::HEAD, "/manifests/v1").reset(), "HEAD http://127.0.0.1"),
    ] {
        let tags = ["v0", "v1", "v2"].into_iter().zip(&images);
        let tags: Vec<_> = tags.map(|(tag, image)| ("prod/a", tag, image)).collect();
        let world = World::with(&tags).await;
        world.registry.fail(fault);
        let totals = world.mirror().await;
        let said = reasons(&totals);
        assert!(totals.failed.len() == 1 && said.starts_with("prod/a:v1: "), "{case}: {said}");
        assert!(said.contains(says), "{case}: {said}");
        assert!(world.holds_exactly(&[&images[0], &images[2]]), "{case}");
    }
}

#[tokio::test]
async fn a_repository_that_fails_is_named_and_stops_nothing_else() {
    let (one, other) = (fixture::image(1, 1), fixture::image(2, 1));
    let world = World::with(&[("prod/a", "1", &one), ("prod/b", "1", &other)]).await;
    world.registry.fail(Fault::on(Method::GET, "/v2/prod/a/tags/list").status(500));
    let totals = world.mirror().await;
    let said = reasons(&totals);
    assert!(said.starts_with("prod/a: ") && said.contains("500"), "{said}");
    assert!(world.holds_exactly(&[&other]));
}

#[tokio::test]
async fn an_image_that_is_served_as_an_index_is_refused() {
    let image = fixture::image(1, 1);
    let mut content: serde_json::Value = serde_json::from_slice(&image.bytes).expect("JSON");
    content.as_object_mut().expect("an object").remove("mediaType");
    let content = content.to_string();
    let digest = Digest::sha256(content.as_bytes());
    let world = World::with(&[("prod/a", "1", &image)]).await;
    let served = Fault::everywhere("/manifests/").status(200).body(&content);
    let served = served.header("content-type", media_type::OCI_INDEX);
    world.registry.fail(served.header("docker-content-digest", &digest.to_string()));
    let totals = world.mirror().await;
    let said = reasons(&totals);
    assert!(said.contains("ambiguous"), "{said}");
    assert!(world.holds_exactly(&[]));
}

#[tokio::test]
async fn without_a_catalogue_the_repository_that_the_prefix_is_suffices() {
    let (own, below) = (fixture::image(1, 1), fixture::image(2, 1));
    for status in [404, 401, 403, 405] {
        let world = World::with(&[("prod", "1", &own), ("prod/a", "1", &below)]).await;
        let host = world.registry.host().to_string();
        world.registry.fail(Fault::on(Method::GET, "/_catalog").status(status));
        assert_complete(&world.mirror().await);
        assert!(world.holds_exactly(&[&own]));
        let totals = world.run("other", Confirm::Write).await;
        let (said, prefix) = (reasons(&totals), world.registry.prefix("other").to_string());
        let cause = match status {
            401 | 403 => format!("{host} requires a login for it ("),
            _ => format!("{host} has no list of repositories ("),
        };
        assert!(said.contains(&cause), "{said}");
        let advice = format!("run `docker login {host}`, or use a repository as the prefix");
        assert_eq!(said.contains(&advice), matches!(status, 401 | 403), "{said}");
        assert!(said.contains(&prefix) && said.contains(&status.to_string()), "{said}");
    }
}

#[tokio::test]
async fn a_catalogue_that_fails_is_reported_and_the_prefix_itself_is_mirrored() {
    let own = fixture::image(1, 1);
    for status in [500, 503, 429] {
        let world = World::with(&[("prod", "1", &own)]).await;
        world.registry.fail(Fault::on(Method::GET, "/_catalog").status(status));
        let said = reasons(&world.mirror().await);
        assert!(
            said.contains("cannot list the repositories below")
                && said.contains(&status.to_string()),
            "{said}"
        );
        assert!(world.holds_exactly(&[&own]));
    }
}

#[tokio::test]
async fn the_tags_of_the_prefix_itself_are_listed_only_if_the_catalogue_lists_it() {
    let image = fixture::image(1, 1);
    for (repository, requests) in [("prod/a", 0), ("prod", 1)] {
        let world = World::with(&[(repository, "1", &image)]).await;
        assert_complete(&world.mirror().await);
        let of_prefix =
            |request: &RecordedRequest| request.path_and_query.starts_with("/v2/prod/tags/list");
        assert_eq!(world.registry.count(of_prefix), requests, "{repository}");
    }
}

#[tokio::test]
async fn a_prefix_with_nothing_below_it_is_a_failure() {
    let world = World::with(&[("prod/a", "1", &fixture::image(1, 1))]).await;
    for prefix in ["prod/b", "pro"] {
        let totals = world.run(prefix, Confirm::Write).await;
        let said = reasons(&totals);
        assert!(said.contains("no repository") && said.contains(prefix), "{said}");
    }
    assert!(!world.root().exists());
    assert_complete(&world.run("", Confirm::Write).await);
}

#[tokio::test]
async fn a_blob_lost_from_the_store_comes_back_alone() {
    let image = fixture::index(1, 2, 2);
    let world = World::with(&[("prod/a", "1", &image)]).await;
    assert_complete(&world.mirror().await);
    fs::remove_file(world.root().join(key(&image.children[0].blobs[1].descriptor.digest)))
        .expect("it is removed");
    world.registry.clear_requests();
    let totals = world.mirror().await;
    assert_complete(&totals);
    assert_eq!((totals.counts().blobs, totals.counts().manifests, world.reads()), (1, 0, 1));
    assert!(world.holds_exactly(&[&image]));
}

#[tokio::test]
async fn a_run_that_is_killed_leaves_whole_content_and_the_next_does_the_rest() {
    let image = fixture::index(1, 2, 2);
    for digest in image.digests() {
        for fault in [Fault::hang, |fault: Fault| fault.stall_after(300)] {
            let world = World::with(&[("prod/a", "1", &image)]).await;
            world.registry.fail(fault(Fault::on(Method::GET, &digest.hex())));
            let is_stuck = |request: &RecordedRequest| {
                is_content(request) && request.path_and_query.contains(&digest.hex())
            };
            tokio::select! {
                _ = world.mirror() => panic!("it ended without {digest}"),
                () = async {
                    while world.registry.count(is_stuck) == 0 {
                        tokio::task::yield_now().await;
                    }
                } => {}
            }
            let shown = world.shown();
            assert!(!shown.contains_key(&digest.to_string()));
            assert!(!shown.contains_key(&image.digest().to_string()), "the root comes last");
            let is_whole = |name: &String| {
                let digest: Digest = name.parse().expect("nothing but content is shown");
                digest.matches(&fs::read(world.root().join(key(&digest))).expect("it reads"))
            };
            assert!(shown.keys().all(is_whole));
            world.registry.clear_faults();
            let totals = world.mirror().await;
            assert_complete(&totals);
            assert!(world.holds_exactly(&[&image]));
            assert!(
                totals.counts().already_there >= shown.len() as u64,
                "what was there is not moved again"
            );
        }
    }
}

/// Counts the steps of the stage.
#[derive(Default)]
struct Steps(AtomicU64);

impl Progress for Steps {
    fn stage(&self, _: &'static str, _: u64) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn advance(&self, steps: u64) {
        self.0.fetch_add(steps, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_reports_what_it_did_and_that_it_was_stopped() {
    let (stuck, done) = (fixture::image(1, 1), fixture::image(2, 1));
    let world = World::with(&[("prod/a", "1", &done), ("prod/b", "1", &stuck)]).await;
    let hex = stuck.blobs[1].descriptor.digest.hex();
    world.registry.fail(Fault::on(Method::GET, &hex).hang());
    let (stopper, stop) = stop();
    let steps = Steps::default();
    let stuck_there = |request: &RecordedRequest| request.path_and_query.contains(&hex);
    let run = world.run_until(&stop, &steps, "prod", Confirm::Write);
    let (totals, ()) = tokio::join!(run, async {
        // One tag is done, and the other cannot be.
        while world.registry.count(stuck_there) == 0 || steps.0.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        stopper.stop();
    });
    assert_eq!(reasons(&totals), "interrupted; run again to continue\n");
    assert_eq!((totals.repositories, totals.tags, totals.counts().manifests), (2, 2, 1));
    world.registry.clear_faults();
    assert_complete(&world.mirror().await);
    assert!(world.holds_exactly(&[&stuck, &done]));
}

/// An index of `child`, described as something else than it is, in other ways than in its digest.
fn index_of(child: &TestImage, described_as: &str) -> TestImage {
    let mut listed = child.descriptor.clone();
    listed.media_type = described_as.to_owned();
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": [listed],
    });
    let bytes = Bytes::from(index.to_string());
    let digest = Digest::sha256(&bytes);
    TestImage {
        descriptor: Descriptor::new(media_type::OCI_INDEX, digest, bytes.len() as u64),
        bytes,
        blobs: Vec::new(),
        children: vec![child.clone()],
    }
}

#[tokio::test]
async fn a_child_whose_index_contradicts_it_is_read_from_the_store_as_from_the_registry() {
    let image = index_of(&fixture::image(1, 2), media_type::DOCKER_MANIFEST);
    let world = World::with(&[("prod/a", "1", &image)]).await;
    for _ in 0..2 {
        assert_complete(&world.mirror().await);
        assert!(world.holds_exactly(&[&image]));
    }
}

#[tokio::test]
async fn what_lies_too_deep_below_one_tag_is_not_held_against_another() {
    let direct = index_of(&fixture::image(1, 1), media_type::OCI_MANIFEST);
    let nest = |inner, _| index_of(&inner, media_type::OCI_INDEX);
    let deep = (0..MAX_DEPTH - 1).fold(direct.clone(), nest);
    // As many deep tags as are followed at once: the other one is only begun when one of them has failed.
    let names: Vec<_> = (0..TAGS_AT_ONCE).map(|n| format!("deep{n:02}")).collect();
    let mut tags: Vec<_> = names.iter().map(|name| ("prod/a", name.as_str(), &deep)).collect();
    tags.push(("prod/a", "direct", &direct));
    let world = World::with(&tags).await;
    let totals = world.mirror().await;
    let said = reasons(&totals);
    assert!(said.contains(": it is refused: it reaches more than 8 levels"), "{said}");
    assert!(totals.failed.iter().all(|failure| failure.to_string().contains(":deep")), "{said}");
    let shown = world.shown();
    assert!(direct.digests().iter().all(|digest| shown.contains_key(&digest.to_string())));
}

#[tokio::test]
async fn a_tag_that_reaches_too_many_manifests_is_refused_and_stops_nothing_else() {
    let blob = [served::layer(0)];
    let mut manifests: Vec<_> = (0..=MAX_MANIFESTS).map(|n| served::image(n, &blob)).collect();
    let other = Digest::sha256(manifests[0].as_bytes());
    let listed = manifests.iter().map(|text| {
        let digest = Digest::sha256(text.as_bytes());
        Descriptor::new(media_type::OCI_MANIFEST, digest, text.len() as u64)
    });
    let listed: Vec<_> = listed.collect();
    let root = serde_json::json!({ "schemaVersion": 2, "manifests": listed }).to_string();
    let tagged = vec![Digest::sha256(root.as_bytes()), other];
    manifests.push(root);
    let registry = served::registry(manifests, tagged).await;
    let directory = TempDir::new().expect("a directory");
    let store =
        BlobStore::open(&format!("file://{}", directory.path().display())).expect("a store");
    let options = MirrorOptions {
        from: RegistryPrefix { host: registry.host(), path: None },
        to: Stores::new(vec![store]).expect("one store"),
        confirm: Confirm::DryRun,
    };
    let (_stopper, stop) = stop();
    let totals = mirror(&RegistryClient::builder().build(), &options, &stop, &Silent).await;
    let said = reasons(&totals);
    assert_eq!(said, "prod/a:t0: it is refused: it reaches more than 2048 manifests\n");
}

#[tokio::test]
async fn a_host_that_stops_responding_gets_no_more_requests_and_is_named_once_for_each_repository()
{
    let image = fixture::image(1, 1);
    let names: Vec<_> = (0..2 * TAGS_AT_ONCE).map(|n| format!("v{n:02}")).collect();
    let tags = |repository| names.iter().map(move |name| (repository, name.as_str()));
    let tags = tags("prod/a").chain(tags("prod/b"));
    let tags: Vec<_> = tags.map(|(repository, tag)| (repository, tag, &image)).collect();
    let listed = format!("{} tags not mirrored", names.len());
    let unlisted = "cannot list its tags".to_owned();
    for (case, fault, path, says) in [
        ("tags", Fault::on(Method::HEAD, ""), "/manifests/", &listed),
        ("manifests", Fault::on(Method::GET, "/manifests/"), "/manifests/sha256", &listed),
        ("blobs", Fault::on(Method::GET, "/blobs/"), "/blobs/", &listed),
        ("listings", Fault::on(Method::GET, "/tags/"), "/tags/", &unlisted),
    ] {
        let world = World::with(&tags).await;
        world.registry.fail(fault.hang());
        let totals = world.mirror().await;
        let said = reasons(&totals);
        assert_eq!(totals.failed.len(), 2, "{case}: {said}");
        let host = world.registry.host();
        for (failure, repository) in totals.failed.iter().zip(["prod/a", "prod/b"]) {
            let start = format!("{repository}: {says}: {host} does not respond (");
            assert!(failure.to_string().starts_with(&start), "{case}: {said}");
            assert!(
                failure.cause.to_string().contains(": no response within 2s"),
                "{case}: {said}"
            );
        }
        let requests = world.registry.count(|request| request.path_and_query.contains(path));
        assert!(requests <= TAGS_AT_ONCE, "{case}: {requests} times");
    }
}

#[tokio::test]
async fn a_tag_whose_head_fails_is_mirrored() {
    for status in [403, 404, 405, 500] {
        let image = fixture::image(1, 1);
        let world = World::with(&[("prod/app", "v1", &image)]).await;
        world.registry.fail(Fault::on(Method::HEAD, "/manifests/v1").status(status));
        let totals = world.mirror().await;
        assert!(totals.failed.is_empty(), "{status}: {:?}", totals.failed);
        assert_eq!((totals.tags, totals.counts().manifests), (1, 1), "{status}");
    }
}

#[tokio::test]
async fn an_index_that_lists_a_child_with_another_size_is_not_mirrored() {
    let sound = fixture::index(1, 2, 1);
    let length = sound.children[1].bytes.len();
    let wrong = fixture::with_child_size(&sound, 1, length + 1);
    let world = World::with(&[("prod/app", "sound", &sound), ("prod/app", "wrong", &wrong)]).await;
    for confirm in [Confirm::DryRun, Confirm::Write, Confirm::Write] {
        let totals = world.run("prod", confirm).await;
        let failed: Vec<_> = totals.failed.iter().map(ToString::to_string).collect();
        let said = format!("has {length} bytes, but manifest {} says", wrong.digest());
        assert!(failed.iter().any(|failure| failure.contains(&said)), "{failed:?}");
        let of_tag = |tag: &str| failed.iter().any(|failure| failure.contains(tag));
        assert!(of_tag("app:wrong") && !of_tag("app:sound"), "{failed:?}");
    }
    assert!(world.holds_exactly(&[&sound]));
}
