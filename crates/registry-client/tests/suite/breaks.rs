//! A link that is cut under a blob, on its way there and back.

use oci::Digest;
use registry_client::{BlobPush, Pushed};
use testkit::TestLink;

use crate::world::{World, client_at, content, differs, push, read};

/// Enough for the cuts.
const LENGTH: usize = 32 << 20;
const CUTS: usize = 3;
/// How much of a blob may move twice, in hundredths of it, where a registry keeps what arrived: what was
/// under way at the cuts, in the buffers of both ends.
const AGAIN: u64 = 25;

/// Whether much more passed than the blob.
fn moved_again(link: &TestLink) -> bool {
    assert_eq!(link.cuts(), CUTS);
    link.passed() * 100 / LENGTH as u64 > 100 + AGAIN
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_gets_there_over_a_link_that_is_cut() {
    let (world, bytes) = (World::new("cut-push").await, content(LENGTH));
    let link = TestLink::to(&world.host).await;
    let client = client_at(&link.host(), world.credential().cloned());
    let repository = client.repository(&link.host(), &world.name("a"));
    link.cut_every(LENGTH as u64 / (CUTS as u64 + 1), CUTS);
    let wanted = BlobPush::new(Digest::sha256(&bytes), bytes.len() as u64);
    let pushed = repository.push_blob(&wanted, &bytes).await.expect("it arrives");
    assert_eq!(pushed, Pushed::Sent);
    if moved_again(&link) {
        differs("an upload whose link is cut", "begins anew, and what had arrived is sent again");
    }
    let stored = read(&world.repository("a"), &wanted.digest).await.expect("it is there");
    assert!(stored == bytes, "other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_comes_over_a_link_that_is_cut() {
    let (world, bytes) = (World::new("cut-read").await, content(LENGTH));
    push(&world.repository("a"), &bytes).await.expect("it is pushed");
    let link = TestLink::to(&world.host).await;
    let client = client_at(&link.host(), world.credential().cloned());
    let repository = client.repository(&link.host(), &world.name("a"));
    link.cut_every(LENGTH as u64 / (CUTS as u64 + 1), CUTS);
    let stored = read(&repository, &Digest::sha256(&bytes)).await.expect("it comes");
    assert!(stored == bytes, "other bytes");
    if moved_again(&link) {
        differs("a read whose link is cut", "begins anew, and what had come is sent again");
    }
}
