//! Images of which a destination has a manifest, but not all that it lists.

use blob_store::BlobStore;
use http::Method;
use oci::{Descriptor, Digest, ImageIndex, media_type};
use testkit::{
    Fault, RecordedRequest, TestRegistry,
    fixture::{self, TestImage},
};
use transfer::{Content, Copied, Destination, Error, Image, TransferState};
use wording::Chain;

use crate::world::{REPOSITORY, repository, repository_named, source_of};

/// Two platforms of two layers each, of which they share the first.
fn two() -> TestImage {
    fixture::index(7, 2, 2)
}

async fn copy(
    transfer_state: &TransferState,
    source: &TestRegistry,
    image: &TestImage,
    to: &TestRegistry,
) -> Result<Copied, Error> {
    let loaded = Image::load(&repository(source), &image.digest()).await.expect("it loads");
    let to = Destination::Registry(repository(to));
    loaded.copy_to(transfer_state, &[to]).await.pop().expect("a response")
}

fn heads_of_blobs(registry: &TestRegistry) -> usize {
    let is_head =
        |it: &RecordedRequest| it.method == Method::HEAD && it.path_and_query.contains("/blobs/");
    registry.count(is_head)
}

#[tokio::test]
async fn a_child_that_was_there_without_a_layer_is_completed() {
    let image = two();
    for child in &image.children {
        let (source, to) = (source_of(&image).await, TestRegistry::start().await);
        to.load(REPOSITORY, None, child).await;
        to.delete_blob(REPOSITORY, &child.blobs[2].descriptor.digest).await;
        let transfer_state = TransferState::new();
        copy(&transfer_state, &source, &image, &to).await.expect("it is copied");
        assert!(to.holds(REPOSITORY, &image).await);
        // In the same run nothing that was found or written is looked up again.
        to.clear_requests();
        let again = copy(&transfer_state, &source, &image, &to).await.expect("it is there");
        assert_eq!((again, heads_of_blobs(&to)), (Copied::default(), 0));
    }
}

#[tokio::test]
async fn a_root_that_is_there_is_checked_down_to_its_blobs() {
    let image = two();
    let (source, to) = (source_of(&image).await, TestRegistry::start().await);
    to.load(REPOSITORY, None, &image).await;
    let loaded = Image::load(&repository(&source), &image.digest()).await.expect("it loads");
    let destination = Destination::Registry(repository(&to));
    let missing =
        async || loaded.missing_at(&TransferState::new(), &destination).await.expect("it says");
    assert_eq!(missing().await, []);
    let layer = image.children[1].blobs[2].descriptor.digest;
    to.delete_blob(REPOSITORY, &layer).await;
    assert_eq!(missing().await, [Content::Blob(layer)]);
    let copied = copy(&TransferState::new(), &source, &image, &to).await.expect("it is copied");
    assert_eq!((copied.blobs, copied.manifests), (1, 0));
    assert_eq!(missing().await, []);
}

#[tokio::test]
async fn a_manifest_that_is_refused_for_an_unknown_blob_is_put_again_after_its_blobs() {
    // The run has found the shared layer, which is then deleted.
    let (first, second) = (fixture::index(7, 1, 2), two());
    let (source, to) = (source_of(&second).await, TestRegistry::start().await);
    source.load(REPOSITORY, None, &first).await;
    let transfer_state = TransferState::new();
    copy(&transfer_state, &source, &first, &to).await.expect("it is copied");
    let shared = second.children[1].blobs[1].descriptor.digest;
    assert!(first.digests().contains(&shared));
    to.delete_blob(REPOSITORY, &shared).await;
    to.clear_requests();
    copy(&transfer_state, &source, &second, &to).await.expect("it is copied");
    assert!(to.holds(REPOSITORY, &second).await);
    let refused = second.children[1].digest().to_string();
    let puts = to.count(|it| it.method == Method::PUT && it.path_and_query.ends_with(&refused));
    assert_eq!(puts, 2);
}

#[tokio::test]
async fn a_blob_that_head_wrongly_says_is_there_is_sent_nevertheless() {
    let image = fixture::image(1, 1);
    let (source, to) = (source_of(&image).await, TestRegistry::start().await);
    // A mount and HEAD get their responses from a cache that still has a deleted blob.
    let layer = image.blobs[1].descriptor.digest;
    let path = format!("/blobs/{layer}");
    to.fail(Fault::on(Method::HEAD, &path).status(200));
    to.fail(
        Fault::on(Method::POST, &format!("mount={}", layer.to_string().replace(':', "%3A")))
            .status(201),
    );
    copy(&TransferState::new(), &source, &image, &to).await.expect("it is copied");
    to.clear_faults();
    assert!(to.holds(REPOSITORY, &image).await);
}

#[tokio::test]
async fn what_is_refused_for_ever_is_given_up_after_two_repairs() {
    let image = fixture::image(1, 1);
    let (source, to) = (source_of(&image).await, TestRegistry::start().await);
    let layer = image.blobs[1].descriptor.digest;
    // It takes the layer and forgets it.
    to.fail(
        Fault::on(Method::PUT, &format!("digest={}", layer.to_string().replace(':', "%3A")))
            .status(201),
    );
    let error = copy(&TransferState::new(), &source, &image, &to).await.expect_err("it fails");
    let text = Chain(&error).to_string();
    assert!(text.contains("MANIFEST_BLOB_UNKNOWN"), "{text}");
    let puts = to.count(|it| it.method == Method::PUT && it.path_and_query.contains("/manifests/"));
    assert_eq!(puts, 3);
}

#[tokio::test]
async fn what_only_head_does_not_find_is_not_missing() {
    let image = two();
    let (source, to) = (source_of(&image).await, source_of(&image).await);
    let loaded = Image::load(&repository(&source), &image.digest()).await.expect("it loads");
    let destination = Destination::Registry(repository(&to));
    to.fail(Fault::on(Method::HEAD, "").status(404));
    let missing =
        async || loaded.missing_at(&TransferState::new(), &destination).await.expect("it says");
    assert_eq!(missing().await, []);
    let layer = image.children[1].blobs[2].descriptor.digest;
    to.delete_blob(REPOSITORY, &layer).await;
    assert_eq!(missing().await, [Content::Blob(layer)]);
}

/// An index of this child alone; the annotation makes it different from others.
fn index_of(child: &TestImage, name: &str) -> TestImage {
    let index = ImageIndex {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: vec![child.descriptor.clone()],
        subject: None,
        annotations: [("name".to_owned(), name.to_owned())].into(),
    };
    let bytes: bytes::Bytes = serde_json::to_vec(&index).expect("JSON").into();
    let descriptor = Descriptor::of(media_type::OCI_INDEX, &bytes);
    TestImage { descriptor, bytes, blobs: Vec::new(), children: vec![child.clone()] }
}

#[tokio::test]
async fn a_child_that_two_indexes_find_gone_is_written_again_once() {
    let child = fixture::image(1, 1);
    let [one, two] = ["one", "two"].map(|name| index_of(&child, name));
    let (source, to) = (source_of(&one).await, TestRegistry::start().await);
    source.load(REPOSITORY, None, &two).await;
    // It takes the child and forgets it, so that it refuses both indexes.
    let path = format!("/manifests/{}", child.digest());
    to.fail(Fault::on(Method::PUT, &path).times(1).status(201));
    let transfer_state = TransferState::new();
    let (first, second) = tokio::join!(
        copy(&transfer_state, &source, &one, &to),
        copy(&transfer_state, &source, &two, &to)
    );
    first.and(second).expect("both are copied");
    assert!(to.holds(REPOSITORY, &one).await && to.holds(REPOSITORY, &two).await);
    let puts = to.count(|it| it.method == Method::PUT && it.path_and_query.ends_with(&path));
    assert_eq!(puts, 2, "the one that was forgotten, and one more");
}

#[tokio::test]
async fn a_root_that_a_store_has_is_checked_down_to_its_blobs() {
    let image = two();
    let source = source_of(&image).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let store = BlobStore::open(&format!("file://{}", directory.path().display()));
    let to = [Destination::Store(store.expect("a store"))];
    let loaded = Image::load(&repository(&source), &image.digest()).await.expect("it loads");
    let copy = async || {
        let copied = loaded.copy_to(&TransferState::new(), &to).await.pop();
        copied.expect("a result").expect("it is copied")
    };
    assert_eq!(copy().await.manifests, 3);
    let layer = &image.children[1].blobs[2].descriptor;
    let path = directory.path().join(blob_store::key(&layer.digest));
    std::fs::remove_file(&path).expect("it was there");
    let expected = Copied { blobs: 1, bytes: layer.size, ..Copied::default() };
    assert_eq!(copy().await, expected);
    assert!(path.exists());
}

/// Says of a blob, so many times, that three bytes of it are there, to HEAD and to the GET that confirms it.
fn truncate(registry: &TestRegistry, blob: &Digest, times: usize) {
    let path = format!("/blobs/{blob}");
    let length = Fault::on(Method::HEAD, &path).times(times).status(200);
    registry.fail(length.header("content-length", "3"));
    let range = Fault::on(Method::GET, &path).times(times).status(206);
    registry.fail(range.header("content-range", "bytes 0-0/3"));
}

#[tokio::test]
async fn a_blob_of_another_length_is_not_present_and_is_sent_again() {
    let image = two();
    let (source, to) = (source_of(&image).await, TestRegistry::start().await);
    to.load(REPOSITORY, None, &image).await;
    let layer = image.children[1].blobs[2].descriptor.digest;
    truncate(&to, &layer, 2);
    let loaded = Image::load(&repository(&source), &image.digest()).await.expect("it loads");
    let destination = Destination::Registry(repository(&to));
    let missing = loaded.missing_at(&TransferState::new(), &destination).await.expect("it says");
    assert_eq!(missing, [Content::Blob(layer)]);
    let copied = copy(&TransferState::new(), &source, &image, &to).await.expect("it is copied");
    assert_eq!((copied.blobs, copied.mounted), (1, 0), "it is neither mounted nor skipped");
}

#[tokio::test]
async fn a_registry_that_keeps_a_truncated_blob_fails_and_says_what_to_do() {
    let image = two();
    let child = &image.children[0];
    let (source, to) = (source_of(&image).await, TestRegistry::start().await);
    to.load(REPOSITORY, None, child).await;
    let layer = &child.blobs[2].descriptor;
    truncate(&to, &layer.digest, usize::MAX);
    let error = copy(&TransferState::new(), &source, &image, &to).await.expect_err("it is damaged");
    let text = Chain(&error).to_string();
    assert!(text.contains(&format!("it has 3 bytes, the manifest says {}", layer.size)), "{text}");
    assert!(text.contains("remove the blob from the registry's storage"), "{text}");
    assert!(!error.is_source(), "no other source helps");
    let is_manifest = |it: &RecordedRequest| {
        it.method == Method::PUT && it.path_and_query.contains("/manifests/")
    };
    assert_eq!(to.count(is_manifest), 0);
}

/// The registry has `first`, whose shared layer is truncated, and gets `second`.
async fn copy_beside_a_truncated_layer(times: usize, name: &str) -> Result<Copied, Error> {
    let (first, second) = (fixture::index(7, 1, 2), two());
    let (source, to) = (source_of(&second).await, TestRegistry::start().await);
    source.load(REPOSITORY, None, &first).await;
    let transfer_state = TransferState::new();
    copy(&transfer_state, &source, &first, &to).await.expect("it is copied");
    truncate(&to, &first.children[0].blobs[1].descriptor.digest, times);
    let loaded = Image::load(&repository(&source), &second.digest()).await.expect("it loads");
    // What a later run does that knows nothing of the first, or the same run.
    let transfer_state = if name == REPOSITORY { TransferState::new() } else { transfer_state };
    let destination = Destination::Registry(repository_named(&to, name));
    loaded.copy_to(&transfer_state, &[destination]).await.pop().expect("a result")
}

#[tokio::test]
async fn a_truncated_blob_that_is_mounted_is_sent_again_and_fails_where_the_registry_keeps_it() {
    for name in [REPOSITORY, "prod/app"] {
        let copied = copy_beside_a_truncated_layer(1, name).await.expect("it is replaced");
        assert_eq!(copied.blobs, 3, "{name}: the shared layer, and two blobs of the second image");
        let error = copy_beside_a_truncated_layer(usize::MAX, name).await.expect_err("it is kept");
        let text = Chain(&error).to_string();
        assert!(text.contains("it has 3 bytes, the manifest says "), "{name}: {text}");
    }
}
