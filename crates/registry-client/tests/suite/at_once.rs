//! Many at once.

use futures_util::future::join_all;
use oci::{Digest, Repository};
use registry_client::{Pushed, RegistryClient};

use crate::world::{World, content, differs, push, push_image, put, read, tag};
use testkit::fixture;

/// Prints whether any request was repeated.
fn print_retries(client: &RegistryClient, what: &str) {
    let retries: u64 = client.usage().iter().map(|usage| usage.retries).sum();
    if retries > 0 {
        differs(what, "some requests have to be repeated");
    }
}

#[tokio::test]
async fn thirty_two_pushes_of_one_blob_all_succeed() {
    let world = World::new("one").await;
    let (client, name) = (world.client(), world.name("app"));
    for length in [200_000, 5 << 20] {
        let bytes = content(length);
        let repository = client.repository(&world.host, &name);
        let pushed = join_all((0..32).map(|_| push(&repository, &bytes))).await;
        let pushed: Vec<_> = pushed.into_iter().map(|pushed| pushed.expect("a blob")).collect();
        assert!(pushed.contains(&Pushed::Sent));
        assert_eq!(read(&repository, &Digest::sha256(&bytes)).await.expect("the blob"), bytes);
    }
    print_retries(&client, "32 pushes of one blob at once");
}

#[tokio::test]
async fn a_hundred_blobs_arrive_at_once() {
    let world = World::new("hundred").await;
    let (client, host) = (world.client(), world.host.clone());
    let names: Vec<Repository> = (0..3).map(|at| world.name(&format!("app{at}"))).collect();
    let contents: Vec<_> = (0..100).map(|at| content(1_000 + 997 * at)).collect();
    let each = contents.iter().enumerate().map(|(at, bytes)| {
        let repository = client.repository(&host, &names[at % names.len()]);
        async move {
            assert_eq!(push(&repository, bytes).await.expect("a pushed blob"), Pushed::Sent);
            let digest = Digest::sha256(bytes);
            assert_eq!(read(&repository, &digest).await.expect("the blob"), *bytes);
        }
    });
    join_all(each).await;
    print_retries(&client, "100 blobs at once");
}

#[tokio::test]
async fn a_tag_that_many_put_at_once_is_on_one_of_them() {
    let world = World::new("tag").await;
    let repository = world.repository("app");
    let images: Vec<_> = (0..8).map(|_| fixture::image(crate::world::seed(), 1)).collect();
    join_all(images.iter().map(|image| push_image(&repository, None, image))).await;
    let put = join_all(images.iter().map(|image| put(&repository, tag("latest"), image))).await;
    for (put, image) in put.into_iter().zip(&images) {
        assert_eq!(put.expect("a tag"), image.digest());
    }
    let found = repository.manifest(&tag("latest")).await.expect("one of them");
    assert!(images.iter().any(|image| image.bytes == found.bytes));
    print_retries(repository.client(), "8 writes of one tag at once");
}
