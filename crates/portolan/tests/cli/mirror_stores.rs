//! `portolan mirror` to several stores: one read of the registry, and a result for each store.

use std::{fs, os::unix::fs::symlink, path::PathBuf, sync::Arc, time::Duration};

use http::Method;
use oci::Digest;
use registry::{Registry, Storage};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    Body, Fault, RecordedRequest, TestRegistry, TestServer, fixture, fixture::TestImage,
};
use tokio::{sync::watch, time::timeout};

use crate::harness::{Ended, end_of, portolan, run};

/// Longer than anything takes here.
const LIMIT: Duration = Duration::from_secs(60);

/// A registry with one image, and directories for stores.
struct World {
    registry: TestRegistry,
    image: TestImage,
    directory: TempDir,
    from: String,
}

impl World {
    async fn new() -> Self {
        let registry = TestRegistry::start().await;
        let image = fixture::index(1, 2, 2);
        registry.load("images/app", "v1", &image).await;
        let from = format!("{}/images", registry.host());
        Self { registry, image, directory: TempDir::new().expect("a temporary directory"), from }
    }

    fn path(&self, store: &str) -> PathBuf {
        self.directory.path().join(store)
    }

    fn url(&self, store: &str) -> String {
        format!("file://{}", self.path(store).display())
    }

    /// The command line that mirrors to these stores.
    fn arguments(&self, stores: &[&str]) -> Vec<String> {
        let mut arguments = ["mirror", "--from", &self.from].map(str::to_owned).to_vec();
        for store in stores {
            let url = if store.contains("://") { (*store).to_owned() } else { self.url(store) };
            arguments.extend(["--to".to_owned(), url]);
        }
        arguments
    }

    async fn mirror(&self, stores: &[&str], flags: &[&str]) -> Ended {
        let arguments = self.arguments(stores);
        let arguments = arguments.iter().map(String::as_str).chain(flags.iter().copied());
        let arguments: Vec<_> = arguments.collect();
        timeout(LIMIT, run(&arguments)).await.expect("it ends")
    }

    fn file(&self, store: &str, digest: &Digest) -> PathBuf {
        self.path(store).join("containers/images").join(digest.to_string())
    }

    /// Whether the store has the whole image.
    fn is_complete(&self, store: &str) -> bool {
        self.image.digests().iter().all(|digest| {
            fs::read(self.file(store, digest)).is_ok_and(|content| digest.matches(&content))
        })
    }

    /// How often the content of this digest was read from the registry.
    fn reads_of(&self, digest: &Digest) -> usize {
        let is_read = |request: &RecordedRequest| {
            request.method == Method::GET && request.path_and_query.ends_with(&digest.to_string())
        };
        self.registry.count(is_read)
    }

    fn reads(&self) -> usize {
        self.image.digests().iter().map(|digest| self.reads_of(digest)).sum()
    }
}

/// The entry of a store in the report.
fn store<'a>(report: &'a Value, url: &str) -> &'a Value {
    let stores = report["stores"].as_array().expect("a list");
    stores.iter().find(|store| store["store"] == url).unwrap_or_else(|| panic!("{url}: {report}"))
}

#[tokio::test]
async fn each_object_is_read_once_for_all_stores_and_a_complete_store_is_not_written() {
    let world = World::new().await;
    let objects = world.image.digests().len() as u64;
    world.mirror(&["a", "b", "c"], &["--confirm"]).await.expect(0);
    assert!(["a", "b", "c"].iter().all(|store| world.is_complete(store)));
    assert!(world.image.digests().iter().all(|digest| world.reads_of(digest) == 1));

    world.registry.clear_requests();
    let report = world.mirror(&["a", "new"], &["--confirm", "--output", "json"]).await;
    let report = report.expect(0).json();
    assert!(world.is_complete("new"));
    let blobs = world.image.digests().len() - world.image.manifests().len();
    assert_eq!(world.reads(), blobs, "manifests are read from the store that has them");
    let (a, new) = (store(&report, &world.url("a")), store(&report, &world.url("new")));
    assert_eq!((&a["already_there"], &a["bytes"]), (&json!(objects), &json!(0)));
    assert_eq!((&new["already_there"], &new["failed"]), (&json!(0), &json!(0)));
    let written = |of: &Value| of["blobs"].as_u64().zip(of["manifests"].as_u64());
    assert_eq!(written(new).map(|(blobs, manifests)| blobs + manifests), Some(objects));
    // The totals are those of all stores.
    assert_eq!((written(&report), &report["bytes"]), (written(new), &new["bytes"]));
    assert_eq!(report["already_there"], json!(objects));
}

#[tokio::test]
async fn a_dry_run_prints_the_plan_of_each_store() {
    let world = World::new().await;
    world.mirror(&["a"], &["--confirm"]).await.expect(0);
    let ended = world.mirror(&["a", "b"], &[]).await.expect(0);
    let planned = ended.stdout.lines().filter(|line| {
        line.starts_with("copy ") && line.ends_with(&format!(" to {}", world.url("b")))
    });
    assert_eq!(planned.count(), world.image.digests().len(), "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), world.image.digests().len(), "{}", ended.stdout);
    for (name, words) in [("a", "0 blobs and 0 manifests to copy"), ("b", "3 manifests to copy")] {
        let line = ended.stderr.lines().find(|line| line.starts_with(&world.url(name)));
        assert!(line.is_some_and(|line| line.contains(words)), "{name}: {}", ended.stderr);
    }
    assert!(!world.path("b").exists(), "a dry run makes nothing");
    let report = world.mirror(&["a", "b"], &["--output", "json"]).await.expect(0).json();
    let plan = report["plan"].as_array().expect("a list");
    assert_eq!(plan.len(), world.image.digests().len());
    assert!(plan.iter().all(|write| write["store"] == json!(world.url("b"))), "{report}");
    world.mirror(&["a", "b"], &["--detailed-exitcode"]).await.expect(3);
}

#[tokio::test]
async fn a_store_that_fails_does_not_stop_the_others() {
    let world = World::new().await;
    // Nothing can be made in this directory, not even by root.
    let broken = "file:///proc/x";
    let ended = world.mirror(&["a", broken, "b"], &["--confirm", "--output", "json"]).await;
    let report = ended.expect(1).json();
    assert!(world.is_complete("a") && world.is_complete("b"));
    assert!(world.image.digests().iter().all(|digest| world.reads_of(digest) == 1));
    let failed = report["failed"].as_array().expect("a list");
    assert_eq!(failed.len(), 1, "{report}");
    assert_eq!(
        (&failed[0]["stores"], &failed[0]["code"]),
        (&json!([broken]), &json!("store-unwritable"))
    );
    assert_eq!(store(&report, broken)["failed"], json!(1));
    assert_eq!(store(&report, &world.url("a"))["failed"], json!(0));

    let words = world.mirror(&["a", broken], &["--confirm"]).await.expect(1);
    let cause = format!("failed: images/app:v1: {broken} cannot be written to: ");
    assert!(words.stdout.starts_with(&cause), "{}", words.stdout);
}

#[tokio::test]
async fn one_object_that_a_store_does_not_take_is_missing_there_only() {
    let world = World::new().await;
    let blob = world.image.children[0].blobs[2].descriptor.digest;
    let file = world.file("b", &blob);
    fs::create_dir_all(&file).expect("a directory in the place of the blob");
    let ended = world.mirror(&["a", "b"], &["--confirm"]).await.expect(1);
    assert!(world.is_complete("a"));
    let in_b = format!("failed in {}: images/app", world.url("b"));
    assert!(ended.stdout.lines().all(|line| line.starts_with(&in_b)), "{}", ended.stdout);
    assert!(ended.stdout.contains("it is incomplete: blob "), "{}", ended.stdout);
    assert!(!world.file("b", &world.image.digest()).exists(), "the root is not complete there");
    assert!(world.file("b", &world.image.children[1].digest()).exists(), "the other child is");

    fs::remove_dir(&file).expect("it is empty");
    world.registry.clear_requests();
    world.mirror(&["a", "b"], &["--confirm"]).await.expect(0);
    assert!(world.is_complete("b"));
    assert_eq!((world.reads(), world.reads_of(&blob)), (1, 1), "only that blob is read");
}

#[tokio::test]
async fn content_that_the_registry_lacks_is_one_failure_for_the_stores_that_need_it() {
    let world = World::new().await;
    world.mirror(&["a"], &["--confirm"]).await.expect(0);
    let blob = world.image.children[0].blobs[1].descriptor.digest;
    world.registry.fail(Fault::everywhere(&format!("/blobs/{blob}")).status(404));
    let ended = world.mirror(&["a", "b", "c"], &["--confirm", "--output", "json"]).await;
    let report = ended.expect(1).json();
    let failed = report["failed"].as_array().expect("a list");
    let codes: Vec<_> = failed.iter().filter_map(|failure| failure["code"].as_str()).collect();
    assert_eq!(codes, ["content-missing", "tag-incomplete"], "{report}");
    let needing = json!([world.url("b"), world.url("c")]);
    assert!(failed.iter().all(|failure| failure["stores"] == needing), "{report}");
    assert_eq!(store(&report, &world.url("a"))["failed"], json!(0));
}

#[tokio::test]
async fn the_same_store_twice_ends_with_2_before_anything_is_read() {
    let world = World::new().await;
    fs::create_dir(world.path("a")).expect("a directory");
    symlink(world.path("a"), world.path("link")).expect("a link");
    for second in ["a", "a/", "../../b/../a", "link"] {
        let second = if second.starts_with("..") {
            format!("{}/b/../a", world.url("").trim_end_matches('/'))
        } else {
            world.url(second)
        };
        let ended = world.mirror(&["a", &second], &["--confirm"]).await.expect(2);
        let says = "are the same store; name each store once";
        assert!(ended.stderr.contains(says), "{second}: {}", ended.stderr);
        assert!(ended.stderr.contains(&world.url("a")), "{second}: {}", ended.stderr);
    }
    assert!(world.registry.requests().is_empty());
}

#[tokio::test]
async fn more_stores_than_a_run_can_write_to_end_with_2() {
    let world = World::new().await;
    let names: Vec<_> = (0..65).map(|at| format!("store{at}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let ended = world.mirror(&names, &[]).await.expect(2);
    assert!(ended.stderr.contains("65 stores are given"), "{}", ended.stderr);
    world.mirror(&names[..64], &["--confirm"]).await.expect(0);
    assert!(names[..64].iter().all(|store| world.is_complete(store)));
    assert!(world.image.digests().iter().all(|digest| world.reads_of(digest) == 1));
}

#[tokio::test]
async fn a_run_that_is_killed_is_finished_by_the_next_in_every_store() {
    for at in 0..2 {
        let world = World::new().await;
        let blob = world.image.children[at].blobs[at].descriptor.digest;
        world.registry.fail(Fault::on(Method::GET, &blob.hex()).stall_after(10));
        let arguments = [world.arguments(&["a", "b"]), vec!["--confirm".to_owned()]].concat();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut child = portolan(&arguments).spawn().expect("it starts");
        let reached = async {
            while world.reads_of(&blob) == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, reached).await.expect("it is read");
        child.kill().await.expect("it can be killed");
        for store in ["a", "b"] {
            assert!(!world.file(store, &world.image.digest()).exists(), "the root comes last");
            for digest in world.image.digests() {
                let content = fs::read(world.file(store, &digest));
                assert!(content.map_or(true, |content| digest.matches(&content)), "{digest}");
            }
        }
        world.registry.clear_faults();
        world.mirror(&["a", "b"], &["--confirm"]).await.expect(0);
        assert!(world.is_complete("a") && world.is_complete("b"));
    }
}

#[tokio::test]
async fn a_store_that_is_much_slower_is_written_when_the_others_are_done() {
    let world = World::new().await;
    // A write to the store waits for this lock, as it waits while another process cleans the store.
    let hidden = world.path("slow").join(".portolan");
    fs::create_dir_all(&hidden).expect("a directory");
    let lock = fs::File::create(hidden.join("lock")).expect("a lock");
    lock.lock().expect("it is free");
    let arguments = world.arguments(&["slow", "fast"]);
    let arguments = [&arguments[..], &["--confirm".to_owned()]].concat();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let child = portolan(&arguments).spawn().expect("it starts");
    let is_done = async {
        while !world.is_complete("fast") {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, is_done).await.expect("the other store does not wait");
    assert!(!world.file("slow", &world.image.digest()).exists());
    lock.unlock().expect("it was locked");
    timeout(LIMIT, end_of(child)).await.expect("it ends").expect(0);
    assert!(world.is_complete("slow"));
    for digest in world.image.digests() {
        assert!(world.reads_of(&digest) <= 2, "{digest}");
    }
}

/// A registry with one image in two repositories. It does not have the blobs of the first, and gives the tag of the second
/// only after `damage` was done on the first request for such a blob.
async fn two_repositories(
    image: &TestImage,
    damage: impl Fn() + Send + Sync + 'static,
) -> TestServer {
    let registry = Registry::new(Storage::memory());
    let loaded = TestRegistry::over(registry.clone()).await;
    for repository in ["images/app", "images/backup"] {
        loaded.load(repository, "v1", image).await;
    }
    let (done, damage) = (Arc::new(watch::Sender::new(false)), Arc::new(damage));
    TestServer::start(move |request: http::Request<Body>| {
        let (registry, done, damage) = (registry.clone(), Arc::clone(&done), Arc::clone(&damage));
        async move {
            let path = request.uri().path();
            if path.starts_with("/v2/images/app/blobs/") {
                done.send_if_modified(|is_done| {
                    let is_first = !std::mem::replace(is_done, true);
                    is_first.then(&*damage);
                    is_first
                });
                let absent = http::Response::builder().status(404).body(Body::empty());
                return absent.expect("a response");
            }
            if path == "/v2/images/backup/manifests/v1" {
                done.subscribe().wait_for(|is_done| *is_done).await.expect("its sender is kept");
            }
            registry.respond(request).await
        }
    })
    .await
}

#[tokio::test]
async fn a_stored_manifest_that_cannot_be_read_is_named_in_the_log_and_read_from_the_registry() {
    let world = World::new().await;
    world.mirror(&["a"], &["--confirm"]).await.expect(0);
    let image = world.image.children[0].clone();
    let file = world.file("a", &image.digest());
    let damage = move || {
        fs::remove_file(&file).expect("the manifest");
        fs::create_dir(&file).expect("a directory in its place");
    };
    let registry = two_repositories(&image, damage).await;
    let (from, a, b) = (format!("{}/images", registry.host()), world.url("a"), world.url("b"));
    let arguments = ["mirror", "--from", &from, "--to", &a, "--to", &b, "--confirm"];
    let ended = timeout(LIMIT, run(&arguments)).await.expect("it ends").expect(1);
    let warning = "cannot read a stored manifest; reading the registry instead";
    let line = ended.stderr.lines().find(|line| line.contains(warning)).expect(&ended.stderr);
    for part in [&a, &image.digest().to_string(), "it is a directory, not a regular file"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // The first repository fails in the new store; the second one completes it.
    assert!(ended.stdout.contains("images/app:v1") && !ended.stdout.contains("images/backup"));
    let is_whole = |digest: &Digest| {
        fs::read(world.file("b", digest)).is_ok_and(|content| digest.matches(&content))
    };
    assert!(image.digests().iter().all(is_whole));
    let path = format!("/v2/images/backup/manifests/{}", image.digest());
    let is_read = |it: &RecordedRequest| it.method == Method::GET && it.path_and_query == path;
    assert_eq!(registry.count(is_read), 1);
}

#[tokio::test]
async fn a_directory_that_no_mirror_made_is_refused_and_a_mirror_is_not() {
    let world = World::new().await;
    let tree = world.path("tree");
    fs::create_dir_all(tree.join("manifests")).expect("a directory");
    for flags in [&[][..], &["--confirm"]] {
        let refused = world.mirror(&["tree"], flags).await.expect(2);
        let said = "is not a mirror: it has `manifests`, and no `containers/images`; name an empty directory, or create";
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
        assert_eq!(fs::read_dir(&tree).expect("a directory").count(), 1, "nothing was written");
    }
    // As a mirror of an earlier version, beside a file of the operator's own.
    fs::create_dir_all(tree.join("containers/images")).expect("a directory");
    world.mirror(&["tree"], &["--confirm"]).await.expect(0);
    world.mirror(&["tree"], &["--confirm"]).await.expect(0);
    fs::create_dir_all(world.path("disk/lost+found")).expect("a directory");
    world.mirror(&["disk"], &["--confirm"]).await.expect(0);
}

#[tokio::test]
async fn a_store_that_is_a_link_to_nothing_is_refused_before_anything_is_read() {
    let world = World::new().await;
    symlink("absent", world.path("link")).expect("a link");
    for store in ["link", "link/below"] {
        let refused = world.mirror(&[store], &["--confirm"]).await.expect(2);
        let link = world.path("link");
        let said = format!(
            "`{}` is a symbolic link to `absent`, which cannot be found; create that directory, or correct the link",
            link.display()
        );
        assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    }
    assert_eq!(world.registry.requests().len(), 0);
}

#[tokio::test]
async fn a_lock_that_is_not_a_file_is_one_unwritable_store() {
    let world = World::new().await;
    for store in ["link", "pipe"] {
        fs::create_dir_all(world.path(store).join(".portolan")).expect("a directory");
    }
    symlink("elsewhere", world.path("link/.portolan/lock")).expect("a link");
    let pipe = world.path("pipe/.portolan/lock");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("it runs").success());
    for (store, is) in [("link", "a symbolic link"), ("pipe", "a FIFO")] {
        let ended = world.mirror(&[store], &["--confirm"]).await.expect(1);
        let failed: Vec<_> =
            ended.stdout.lines().filter(|line| line.starts_with("failed: ")).collect();
        let said = format!("cannot be written to: cannot use `{}/", world.path(store).display());
        assert!(failed.iter().any(|line| line.contains(&said) && line.contains(is)), "{failed:?}");
        assert_eq!(failed.len(), 1, "{failed:?}");
    }
}
