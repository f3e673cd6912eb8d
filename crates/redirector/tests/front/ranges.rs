//! `docs/reference/configuration.md`, "ranges": which list is used, and that it is said.

use std::{fs, path::Path};

use http::Method;
use redirector::{Config, load_ranges};
use testkit::{Fault, TestBucket};

const LIST: &str = "192.0.2.0/24 here\n198.51.100.0/24 there\n";

fn config(cache_dir: &Path, from: &str) -> Config {
    let yaml = format!(
        "upstream: {{endpoint: https://up.example}}\ncache_dir: '{}'\n\
         ranges: [{{cloud: corp, format: cidr, from: '{from}'}}]",
        cache_dir.display()
    );
    Config::from_yaml("test.yaml", &yaml).unwrap()
}

/// What is said of the only source, and how many prefixes are known.
async fn load(config: &Config) -> (String, usize) {
    let (ranges, sources) = load_ranges(&crate::harness::outbound(), config, &[]).await;
    let [source] = &sources[..] else { panic!("one source: {sources:?}") };
    assert_eq!(source.cloud(), "corp");
    assert_eq!(source.is_unavailable(), ranges.is_empty());
    (source.to_string(), ranges.len())
}

#[tokio::test]
async fn a_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list");
    fs::write(&path, LIST).unwrap();
    let path = path.to_str().unwrap();
    let said = format!("corp: 2 prefixes from {path}");
    assert_eq!(load(&config(dir.path(), path)).await, (said, 2));
}

#[tokio::test]
async fn a_file_that_cannot_be_used_loads_no_ranges_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list");
    let name = path.to_str().unwrap();
    let (said, known) = load(&config(dir.path(), name)).await;
    assert!(
        said.starts_with(&format!("no ranges loaded for `corp` ({name} does not exist)")),
        "{said}"
    );
    assert_eq!(known, 0);
    fs::write(&path, "192.0.2.0/24 here\nnonsense\n").unwrap();
    let (said, known) = load(&config(dir.path(), name)).await;
    assert!(said.contains(&format!("{name}: line 2: `nonsense`")), "{said}");
    assert_eq!(known, 0);
}

#[tokio::test]
async fn what_was_fetched_is_kept_and_used_when_the_provider_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    // The directory is made if need be.
    let cache = dir.path().join("deep/cache");
    let server = TestBucket::start().await;
    server.put("list", LIST);
    let url = format!("{}/list", server.url());
    let config = config(&cache, &url);
    assert_eq!(load(&config).await, (format!("corp: 2 prefixes from {url}"), 2));
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "nothing is left beside the copy");

    for (fault, reason) in [
        (Fault::everywhere("").status(503), "the response is 503"),
        (Fault::everywhere("").status(302), "the response is 302"),
        (Fault::everywhere("").reset(), ""),
        (Fault::on(Method::GET, "").truncate_after(10), "the response ended early"),
    ] {
        server.fail(fault);
        let (said, known) = load(&config).await;
        assert!(said.starts_with("corp: 2 prefixes from the last good copy "), "{said}");
        assert!(said.contains(&format!("({url}: {reason}")), "{said}");
        assert_eq!(known, 2);
        server.clear_faults();
    }

    server.put("list", "<html>");
    let (said, known) = load(&config).await;
    assert!(said.contains("the last good copy") && said.contains("line 1: `<html>`"), "{said}");
    assert_eq!(known, 2);

    server.put("list", "192.0.2.0/24\n");
    assert_eq!(load(&config).await.1, 1);
    drop(server);
    let (said, known) = load(&config).await;
    assert!(said.contains("the last good copy") && said.contains(&url), "{said}");
    assert_eq!(known, 1, "the copy is the newest good one");
}

/// With the clock standing still but for what is waited for, the deadline comes at once.
#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_respond_does_not_delay_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestBucket::start().await;
    server.put("list", LIST);
    for fault in [Fault::everywhere("").hang(), Fault::everywhere("").stall_after(5)] {
        server.fail(fault);
        let begin = tokio::time::Instant::now();
        let (said, _) = load(&config(dir.path(), &format!("{}/list", server.url()))).await;
        assert!(said.contains("no response within 5s"), "{said}");
        assert!(begin.elapsed().as_secs() <= 6, "{:?}", begin.elapsed());
        server.clear_faults();
    }
}

#[tokio::test]
async fn a_list_beyond_all_measure_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestBucket::start().await;
    server.put("list", vec![b'#'; 16 * 1024 * 1024 + 1]);
    let (said, _) = load(&config(dir.path(), &format!("{}/list", server.url()))).await;
    assert!(said.contains("it has more than 16 MiB"), "{said}");
    let path = dir.path().join("list");
    fs::write(&path, vec![b'#'; 16 * 1024 * 1024 + 1]).unwrap();
    let (said, _) = load(&config(dir.path(), path.to_str().unwrap())).await;
    assert!(said.contains("it has more than 16 MiB"), "{said}");
}

#[tokio::test]
async fn ranges_are_used_though_their_copy_cannot_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let server = TestBucket::start().await;
    server.put("list", LIST);
    let (said, known) = load(&config(&file, &format!("{}/list", server.url()))).await;
    assert!(said.contains("cannot save a copy as "), "{said}");
    assert_eq!(known, 2);
}

#[tokio::test]
async fn an_override_is_all_that_counts_for_its_cloud() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    fs::write(&one, LIST).unwrap();
    fs::write(&two, "203.0.113.0/24\n").unwrap();
    let yaml = format!(
        "upstream: {{endpoint: https://up.example}}\nkeep_upstream: [elsewhere]\nranges:\n\
         - {{cloud: a, format: cidr, from: '{0}'}}\n- {{cloud: b, format: cidr, from: '{0}'}}",
        one.display()
    );
    let config = Config::from_yaml("test.yaml", &yaml).unwrap();
    let overrides = [("a".to_owned(), two.clone()), ("new".to_owned(), dir.path().join("none"))];
    let (ranges, sources) = load_ranges(&crate::harness::outbound(), &config, &overrides).await;
    let said: Vec<_> = sources.iter().map(ToString::to_string).collect();
    assert_eq!(said[0], format!("a: 1 prefix from {}", two.display()));
    assert!(said[1].starts_with("no ranges loaded for `new` ("), "{}", said[1]);
    assert_eq!(said[2], format!("b: 2 prefixes from {}", one.display()));
    assert_eq!(said[3], "no ranges loaded for `elsewhere` (`ranges` has no list for it)");
    assert_eq!((sources.len(), ranges.len()), (4, 3));
    let location = ranges.lookup("203.0.113.9".parse().unwrap()).unwrap();
    assert_eq!(ranges.location(location).cloud, "a");
}
