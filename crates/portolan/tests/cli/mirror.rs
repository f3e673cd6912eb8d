//! `portolan mirror` and `portolan store serve`.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use tempfile::TempDir;
use testkit::{Body, Fault, TestRegistry, TestServer, fixture};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{end_of, portolan, run, signal};

#[tokio::test]
async fn a_mirror_is_made_once_and_the_store_serves_it() {
    let registry = TestRegistry::start().await;
    let image = fixture::index(1, 2, 2);
    registry.load("images/app", "v1", &image).await;
    let directory = TempDir::new().expect("a temporary directory");
    let store = directory.path().join("store");
    let (from, to) = (format!("{}/images", registry.host()), format!("file://{}", store.display()));
    let arguments = ["mirror", "--from", &from, "--to", &to, "--output", "json"];

    let dry = run(&arguments).await.expect(0).json();
    assert_eq!(dry["confirmed"], false);
    assert_eq!(dry["manifests"], 3);
    assert!(!store.exists(), "a dry run makes nothing");
    let plan = dry["plan"].as_array().expect("a list");
    let planned: BTreeSet<_> = plan.iter().filter_map(|it| it["digest"].as_str()).collect();
    let digests: Vec<_> = image.digests().iter().map(ToString::to_string).collect();
    assert_eq!(planned, digests.iter().map(String::as_str).collect());
    assert!(plan.iter().all(|it| it["action"] == "copy"), "{dry}");
    let sizes: u64 = plan.iter().filter_map(|it| it["size"].as_u64()).sum();
    assert_eq!((plan.len(), dry["bytes"].as_u64()), (digests.len(), Some(sizes)));
    assert_eq!(plan.last().expect("a write")["kind"], "manifest", "blobs come first");
    let table = run(&arguments[..5]).await.expect(0).stdout;
    assert_eq!(table.lines().filter(|line| line.starts_with("copy ")).count(), digests.len());
    assert!(table.contains(&format!("copy manifest {} (", image.digest())), "{table}");

    let detailed = [&arguments[..], &["--detailed-exitcode"]].concat();
    run(&detailed).await.expect(3);
    let both = run(&[&detailed[..], &["--confirm"]].concat()).await.expect(2);
    assert!(both.stderr.contains("cannot be used with '--confirm'"), "{}", both.stderr);

    let confirmed = [&arguments[..], &["--confirm"]].concat();
    let done = run(&confirmed).await.expect(0).json();
    assert_eq!(
        done["manifests"].as_u64().zip(done["blobs"].as_u64()).map(|(a, b)| a + b),
        Some(image.digests().len() as u64)
    );
    let again = run(&confirmed).await.expect(0).json();
    assert_eq!(
        (&again["manifests"], &again["blobs"], &again["bytes"]),
        (&0.into(), &0.into(), &0.into())
    );

    let held = run(&detailed).await.expect(0).json();
    assert_eq!([&done["plan"], &again["plan"], &held["plan"]], [&serde_json::json!([]); 3]);

    let mut child =
        portolan(&["store", "serve", store.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"])
            .spawn()
            .expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let host = loop {
        let line = log.next_line().await.expect("UTF-8").expect("it says where it listens");
        let said: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
        if let Some(address) = said["address"].as_str() {
            break address.parse().expect("a host");
        }
    };
    let path = format!("/containers/images/{}", image.digest());
    let found = testkit::get(&host, &path).await.expect("a response");
    assert_eq!(found.body(), &image.bytes);
    signal(&child, "TERM").await;
    end_of(child).await.expect(0);
}

#[tokio::test]
async fn what_could_not_be_mirrored_ends_with_1_and_is_named() {
    let registry = TestRegistry::start().await;
    let (bad, good) = (fixture::image(1, 1), fixture::image(2, 1));
    registry.load("images/bad", "v1", &bad).await;
    registry.load("images/good", "v1", &good).await;
    registry
        .fail(Fault::everywhere(&format!("/blobs/{}", bad.blobs[1].descriptor.digest)).corrupt());
    let directory = TempDir::new().expect("a temporary directory");
    let from = format!("{}/images", registry.host());
    let to = format!("file://{}", directory.path().display());
    let ended = run(&["mirror", "--from", &from, "--to", &to, "--confirm"]).await.expect(1);
    assert!(ended.stdout.contains(&bad.blobs[1].descriptor.digest.to_string()), "{}", ended.stdout);
    let has = |digest: &oci::Digest| key(directory.path(), digest).is_file();
    assert!(good.digests().iter().all(has));
    assert!(!has(&bad.digest()) && !has(&bad.blobs[1].descriptor.digest));
    for file in fs::read_dir(directory.path().join("containers/images")).expect("a store").flatten()
    {
        let digest: oci::Digest =
            file.file_name().to_str().expect("UTF-8").parse().expect("a digest");
        assert!(digest.matches(&fs::read(file.path()).expect("a file")));
    }
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_one_cause_for_all_tags() {
    let registry = TestRegistry::start().await;
    let tags: Vec<_> = (1..=7).map(|at| format!("v{at}")).collect();
    for (seed, tag) in (1..).zip(&tags) {
        registry.load("images/app", &**tag, &fixture::image(seed, 2)).await;
    }
    let from = format!("{}/images", registry.host());
    // Nothing can be made in this directory, by root neither.
    let arguments = ["mirror", "--from", &from, "--to", "file:///proc/x", "--confirm"];
    let ended = run(&arguments).await.expect(1);
    let cause = "failed: 7 tags: file:///proc/x cannot be written to: cannot create the directory `/proc/x/";
    assert!(ended.stdout.starts_with(cause), "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), 7, "{}", ended.stdout);
    assert!(ended.stdout.contains("\n    images/app:v"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("\n    and 2 more; --output json names each\n"));
    assert!(ended.stderr.contains("7 failed."), "{}", ended.stderr);
    let json = run(&[&arguments[..], &["--output", "json"]].concat()).await.expect(1).json();
    let failed = json["failed"].as_array().expect("a list");
    assert!(failed.iter().all(|failure| failure["code"] == "store-unwritable"), "{json}");
    let mut named: Vec<_> =
        failed.iter().map(|it| it["reference"].as_str().expect("a tag")).collect();
    named.sort_unstable();
    assert_eq!(named, tags);
}

#[tokio::test]
async fn a_registry_that_refuses_or_lacks_all_blobs_is_one_cause_and_not_the_stores() {
    for (status, how, code) in [
        (403, "could not be read", "content-unreadable"),
        (404, "is missing from the registry", "content-missing"),
    ] {
        let registry = TestRegistry::start().await;
        for seed in 1..=4 {
            let repository = format!("images/app{seed}");
            registry.load(&repository, "v1", &fixture::image(seed, 2)).await;
        }
        registry.fail(Fault::everywhere("/blobs/").status(status));
        let directory = TempDir::new().expect("a temporary directory");
        let from = format!("{}/images", registry.host());
        let to = format!("file://{}", directory.path().display());
        let ended = run(&["mirror", "--from", &from, "--to", &to, "--confirm"]).await.expect(1);
        let causes: Vec<_> =
            ended.stdout.lines().filter(|line| line.starts_with("failed: ")).collect();
        let [blobs, tags] = causes[..] else { panic!("{}", ended.stdout) };
        assert!(blobs.starts_with("failed: 12 items, such as: "), "{blobs}");
        assert!(
            tags.starts_with("failed: 4 tags, such as: it is incomplete: blob sha256:"),
            "{tags}"
        );
        assert!(tags.ends_with(how), "{tags}");
        let arguments = ["mirror", "--from", &from, "--to", &to, "--confirm", "--output", "json"];
        let json = run(&arguments).await.expect(1).json();
        let failed = json["failed"].as_array().expect("a list");
        let count = |code: &str| failed.iter().filter(|failure| failure["code"] == code).count();
        assert_eq!((count(code), count("tag-incomplete")), (12, 4), "{json}");
    }
}

#[tokio::test]
async fn a_store_that_is_a_file_or_below_one_ends_with_2_before_anything_is_read() {
    let registry = TestRegistry::start().await;
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("m.yaml");
    fs::write(&file, "x").expect("a file");
    for below in ["", "/store"] {
        let to = format!("file://{}{below}", file.display());
        let from = format!("{}/images", registry.host());
        let ended = run(&["mirror", "--from", &from, "--to", &to]).await.expect(2);
        let said = format!("`{}` is a file, not a directory; name a directory\n", file.display());
        assert!(ended.stderr.ends_with(&format!("--to {to}: {said}")), "{}", ended.stderr);
    }
    assert!(registry.requests().is_empty());
}

#[tokio::test]
async fn an_unknown_kind_of_store_ends_with_2() {
    let ended = run(&["mirror", "--from", "127.0.0.1:1/x", "--to", "s3://bucket"]).await.expect(2);
    assert!(ended.stderr.contains("file://"), "{}", ended.stderr);
}

#[tokio::test]
async fn credentials_of_a_manifests_service_account_are_refused_where_there_is_no_manifest() {
    let directory = TempDir::new().expect("a temporary directory");
    let to = format!("file://{}", directory.path().display());
    let arguments = ["mirror", "--from", "127.0.0.1:1/x", "--to", &to, "--credentials", "a@b=f"];
    let ended = run(&arguments).await.expect(2);
    assert!(ended.stderr.contains("unexpected argument '--credentials'"), "{}", ended.stderr);
}

fn key(store: &Path, digest: &oci::Digest) -> std::path::PathBuf {
    store.join("containers/images").join(digest.to_string())
}

#[tokio::test]
async fn a_closed_pipe_does_not_hide_that_mirroring_failed() {
    let directory = TempDir::new().expect("a temporary directory");
    let from = format!("{}/x", testkit::TestHost::unreachable());
    let to = format!("file://{}", directory.path().display());
    let mut child = portolan(&["mirror", "--from", &from, "--to", &to]).spawn().expect("it starts");
    drop(child.stdout.take());
    end_of(child).await.expect(1);
}

/// The arguments of a mirror run, a mirror that has been made, and what it is of.
async fn mirrored(image: &fixture::TestImage, directory: &TempDir) -> (TestRegistry, Vec<String>) {
    let registry = TestRegistry::start().await;
    registry.load("images/app", "v1", image).await;
    let from = format!("{}/images", registry.host());
    let to = format!("file://{}", directory.path().display());
    let arguments = ["mirror", "--from", &from, "--to", &to, "--output", "json", "--confirm"];
    run(&arguments).await.expect(0);
    (registry, arguments.map(str::to_owned).to_vec())
}

#[tokio::test]
async fn damaged_content_of_a_store_is_repaired_and_counted() {
    let directory = TempDir::new().expect("a temporary directory");
    let image = fixture::index(1, 2, 2);
    let (_registry, arguments) = mirrored(&image, &directory).await;
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let path = |digest: &oci::Digest| key(directory.path(), digest);
    let is_whole =
        |digest: &oci::Digest| digest.matches(&fs::read(path(digest)).expect("it is there"));

    let child = &image.children[0];
    let [cut, empty] = [1, 2].map(|index| path(&child.blobs[index].descriptor.digest));
    fs::write(&cut, &fs::read(&cut).expect("a blob")[..1]).expect("it is cut off");
    fs::write(&empty, b"").expect("it is emptied");
    let other = vec![b'x'; child.bytes.len()];
    fs::write(path(&child.digest()), other).expect("it is damaged");
    let longer = [&image.bytes[..], b" "].concat();
    fs::write(path(&image.digest()), longer).expect("it is damaged");

    let (confirm, dry) = arguments.split_last().expect("flags");
    assert_eq!(*confirm, "--confirm");
    let planned = run(dry).await.expect(0);
    let counts = |json: &serde_json::Value| {
        ["repaired", "manifests", "blobs", "already_there"].map(|key| json[key].as_u64())
    };
    let there = image.digests().len() as u64 - 4;
    assert_eq!(counts(&planned.json()), [Some(4), Some(0), Some(0), Some(there)]);
    assert!(planned.stderr.contains("4 to repair"), "{}", planned.stderr);
    let json = planned.json();
    let plan = json["plan"].as_array().expect("a list");
    assert_eq!(plan.iter().filter(|write| write["action"] == "repair").count(), 4, "{json}");
    assert!(!is_whole(&image.digest()), "a dry run changes nothing");
    run(&[dry, &["--detailed-exitcode"]].concat()).await.expect(3);

    let repaired = run(&arguments).await.expect(0);
    assert_eq!(counts(&repaired.json()), counts(&planned.json()));
    assert_eq!(repaired.json()["bytes"], planned.json()["bytes"]);
    assert!(repaired.stderr.contains("4 repaired"), "{}", repaired.stderr);
    assert!(image.digests().iter().all(is_whole));
    let again = run(&arguments).await.expect(0).json();
    assert_eq!(counts(&again), [Some(0), Some(0), Some(0), Some(there + 4)]);
}

#[tokio::test]
async fn what_is_not_a_regular_file_in_a_store_is_a_named_failure_and_does_not_block() {
    let directory = TempDir::new().expect("a temporary directory");
    let image = fixture::image(1, 2);
    let (_registry, arguments) = mirrored(&image, &directory).await;
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let path = |digest: &oci::Digest| key(directory.path(), digest);
    let [config, layer] = [0, 1].map(|index| path(&image.blobs[index].descriptor.digest));
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(&config, &elsewhere).expect("it is moved");
    std::os::unix::fs::symlink(&elsewhere, &config).expect("a link");
    fs::remove_file(&layer).expect("it is removed");
    fs::create_dir(&layer).expect("a directory");
    let within = Duration::from_secs(20);
    let ended = tokio::time::timeout(within, run(&arguments)).await.expect("it ends").expect(1);
    for (path, is) in [(&config, "a symbolic link"), (&layer, "a directory")] {
        let says = format!("cannot use `{}`: it is {is}, not a regular file", path.display());
        assert!(ended.stdout.contains(&says), "{}", ended.stdout);
    }
    assert!(config.is_symlink() && layer.is_dir() && elsewhere.is_file(), "nothing is replaced");

    let manifest = path(&image.digest());
    fs::remove_file(&manifest).expect("it is removed");
    let made = std::process::Command::new("mkfifo").arg(&manifest).status().expect("mkfifo");
    assert!(made.success());
    let ended = tokio::time::timeout(within, run(&arguments)).await.expect("it ends").expect(1);
    let says = format!("cannot use `{}`: it is a FIFO", manifest.display());
    assert!(ended.stdout.contains(&says), "{}", ended.stdout);
}

/// A registry that lists what `listing` says for a path and its query, each with a `Link`, and has an image of no
/// layers under every tag.
async fn listing_registry(
    listing: impl Fn(&str) -> Option<(String, Option<String>)> + Send + Sync + 'static,
) -> TestServer {
    let image = fixture::image(1, 0);
    TestServer::start(move |request| {
        let path = request.uri().path_and_query().map_or("", |it| it.as_str()).to_owned();
        let blob =
            image.blobs.iter().find(|blob| path.ends_with(&blob.descriptor.digest.to_string()));
        let mut response = http::Response::builder();
        let body = match (listing(&path), blob) {
            (Some((body, link)), _) => {
                if let Some(link) = link {
                    response = response.header("link", link);
                }
                Some(Body::from(body))
            }
            (None, Some(blob)) => Some(Body::from(blob.bytes.clone())),
            (None, None) if path.contains("/manifests/") => {
                let described = &image.descriptor;
                response = response
                    .header("content-type", &described.media_type)
                    .header("content-length", described.size)
                    .header("docker-content-digest", described.digest.to_string());
                Some(Body::from(image.bytes.clone()))
            }
            (None, None) => None,
        };
        let response = match body {
            Some(body) => response.body(body),
            None => response.status(404).body(Body::empty()),
        };
        async move { response.expect("a response") }
    })
    .await
}

/// Mirrors all of the registry; gives the report, and how it ended.
async fn mirror_all(registry: &TestServer) -> (serde_json::Value, Option<i32>) {
    let directory = TempDir::new().expect("a temporary directory");
    let (from, to) =
        (registry.host().to_string(), format!("file://{}", directory.path().display()));
    let arguments = ["mirror", "--from", &from, "--to", &to, "--confirm", "--output", "json"];
    let ended = tokio::time::timeout(Duration::from_secs(60), run(&arguments)).await;
    let ended = ended.expect("it ends");
    (ended.json(), ended.code)
}

#[tokio::test]
async fn repositories_and_tags_of_invalid_names_are_failures_that_name_them() {
    let registry = listing_registry(|path| match path.split('?').next().unwrap_or_default() {
        "/v2/_catalog" => {
            Some((r#"{"repositories":["app","Bad/Name","a\u001b[31m"]}"#.to_owned(), None))
        }
        "/v2/app/tags/list" => Some((r#"{"tags":["v1","-bad","a b"]}"#.to_owned(), None)),
        _ => None,
    })
    .await;
    let (report, code) = mirror_all(&registry).await;
    assert_eq!((code, &report["tags"], &report["manifests"]), (Some(1), &1.into(), &1.into()));
    let failed = report["failed"].as_array().expect("a list");
    let said: Vec<_> = failed
        .iter()
        .map(|it| (it["repository"].as_str(), it["reason"].as_str().expect("a reason")))
        .collect();
    for (repository, words) in [
        (None, "the listed repository `Bad/Name` is skipped: the name is invalid"),
        (None, "the listed repository `a\\u{1b}[31m` is skipped"),
        (Some("app"), "the listed tag `-bad` is skipped: the name is invalid"),
        (Some("app"), "the listed tag `a b` is skipped"),
    ] {
        let is_said =
            said.iter().any(|(of, reason)| *of == repository && reason.starts_with(words));
        assert!(is_said, "{words}: {said:?}");
    }
    assert_eq!(said.len(), 4, "{said:?}");
}

#[tokio::test]
async fn a_listing_with_a_malformed_link_or_without_an_end_is_a_named_failure() {
    for (case, catalog_link, tags_link) in [
        ("catalog", Some("</v2/_catalog?last=x; rel=\"next\""), None),
        ("tags", None, Some("</v2/app/tags/list?last=x; rel=\"next\"")),
        ("endless catalog", Some("</v2/_catalog?n=1000&last=app>; rel=\"next\""), None),
        ("endless tags", None, Some("</v2/app/tags/list?n=1000&last=v1>; rel=\"next\"")),
    ] {
        let registry =
            listing_registry(move |path| match path.split('?').next().unwrap_or_default() {
                "/v2/_catalog" => Some((
                    r#"{"repositories":["app"]}"#.to_owned(),
                    catalog_link.map(str::to_owned),
                )),
                "/v2/app/tags/list" => {
                    Some((r#"{"tags":["v1"]}"#.to_owned(), tags_link.map(str::to_owned)))
                }
                _ => None,
            })
            .await;
        let (report, code) = mirror_all(&registry).await;
        assert_eq!(code, Some(1), "{case}: {report}");
        let failed = report["failed"].as_array().expect("a list");
        let words = if catalog_link.is_some() { "_catalog" } else { "/v2/app/tags/list" };
        let is_said =
            |it: &serde_json::Value| it["reason"].as_str().is_some_and(|it| it.contains(words));
        assert!(failed.iter().any(is_said), "{case}: {report}");
    }
}
