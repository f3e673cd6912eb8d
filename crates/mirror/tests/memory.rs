//! Memory does not grow with what manifests list, but for a record a digest. In a process of its own,
//! since it reads the peak of the whole process.
#![expect(clippy::expect_used, reason = "helpers of tests")]

mod served;

use blob_store::BlobStore;
use job::{Confirm, Silent, stop};
use mirror::{LIGHT_TREE_BYTES, MirrorOptions, Stores, mirror};
use oci::{Digest, RegistryPrefix};
use registry_client::RegistryClient;

/// How many layers each manifest lists: thousands of times what images have.
const LAYERS: usize = 50_000;

/// How many such manifests are tagged.
const TAGS: usize = 8;

/// How much more memory may be used at the peak: one of the manifests as text and parsed, twice on its
/// way, and the records of all digests. A future for each layer of one manifest would be 400 MB.
const ALLOWED: usize = 96 << 20;

/// The peak of this process's resident memory so far, in bytes; none on a system without it.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok().map(|kib| kib << 10)
}

#[tokio::test]
async fn manifests_that_list_very_much_are_held_one_at_a_time() {
    let layers: Vec<_> = (0..LAYERS).map(served::layer).collect();
    let manifests: Vec<_> = (0..TAGS).map(|note| served::image(note, &layers)).collect();
    assert!(manifests[0].len() > LIGHT_TREE_BYTES);
    let tagged = manifests.iter().map(|text| Digest::sha256(text.as_bytes())).collect();
    let registry = served::registry(manifests, tagged).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let store =
        BlobStore::open(&format!("file://{}", directory.path().display())).expect("a store");
    let options = MirrorOptions {
        from: RegistryPrefix { host: registry.host(), path: None },
        to: Stores::new(vec![store]).expect("one store"),
        confirm: Confirm::DryRun,
    };
    drop(layers);
    let Some(before) = peak() else {
        return eprintln!("skipped: this system has no /proc/self/status");
    };
    let (_stopper, stop) = stop();
    let totals = mirror(&RegistryClient::builder().build(), &options, &stop, &Silent).await;
    let grown = peak().expect("it was read before") - before;
    assert!(totals.failed.is_empty(), "{:?}", totals.failed);
    assert_eq!((totals.counts().manifests, totals.counts().blobs), (TAGS as u64, LAYERS as u64));
    assert_eq!(registry.count(|request| request.method == http::Method::HEAD), TAGS);
    assert!(grown < ALLOWED, "{grown} bytes more at the peak");
    eprintln!("{grown} bytes more at the peak");
}
