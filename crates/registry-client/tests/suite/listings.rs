//! Lists: tags, repositories, and what a repository holds.

use futures_util::{StreamExt as _, stream};
use oci::{Digest, Reference, Tag};
use registry_client::{Existence, RegistryClient};
use testkit::fixture;

use crate::world::{World, content, differs, push_image, put, refusal, seed, tag};

/// The number of reading requests of this client.
fn reads(client: &RegistryClient) -> u64 {
    client.usage().iter().map(|usage| usage.reads).sum()
}

#[tokio::test]
async fn tags_are_listed_none_one_and_more_than_a_page() {
    let world = World::new("tags").await;
    let client = world.client();
    let repository = client.repository(&world.host, &world.name("app"));
    assert_eq!(repository.tags().await.expect("a list").names, []);

    let image = fixture::image(seed(), 1);
    push_image(&repository, Some("only"), &image).await;
    let only: Tag = "only".parse().expect("a tag");
    assert_eq!(repository.tags().await.expect("a list").names, std::slice::from_ref(&only));

    let mut all: Vec<Tag> =
        (1..1_200).map(|at| format!("v{at}").parse().expect("a tag")).chain([only]).collect();
    stream::iter(&all)
        .for_each_concurrent(16, |tag| async {
            put(&repository, tag.clone().into(), &image).await.expect("a tag");
        })
        .await;
    let before = reads(&client);
    let listed = repository.tags().await.expect("a list").names;
    let pages = reads(&client) - before;
    if pages != 2 {
        differs("1,200 tags in pages of 1,000", format!("it makes {pages} of them"));
    }
    let mut sorted = listed.clone();
    sorted.sort();
    all.sort();
    assert_eq!(sorted, all, "each once");
    if listed != all {
        differs("the order of tags", "it is not that of ASCII");
    }
}

#[tokio::test]
async fn repositories_are_listed() {
    let world = World::new("catalog").await;
    let names = ["one", "two/deep", "two/deep/er"];
    for name in names {
        push_image(&world.repository(name), Some("v1"), &fixture::image(seed(), 1)).await;
    }
    match world.client().catalog(&world.host).await {
        Ok(all) => {
            for name in names.map(|name| world.name(name)) {
                let found = all.names.iter().filter(|found| **found == name).count();
                assert_eq!(found, 1, "{name}");
            }
            assert!(!all.names.contains(&world.name("two")), "it holds nothing");
        }
        Err(error) => differs("the list of repositories", refusal(&error)),
    }
}

#[tokio::test]
async fn an_inventory_is_sure_of_what_is_wanted() {
    let world = World::new("inventory").await;
    let repository = world.repository("app");
    let [tagged, untagged, absent] = [1, 2, 3].map(|layers| fixture::image(seed(), layers));
    push_image(&repository, Some("v1"), &tagged).await;
    push_image(&repository, Some("v2"), &tagged).await;
    push_image(&repository, None, &untagged).await;
    let images = [&tagged, &untagged, &absent];
    let mut wanted: Vec<Reference> = ["v1", "v2", "v3"].map(tag).into();
    wanted.extend(images.map(|image| Reference::from(image.digest())));

    let inventory = repository.inventory(&wanted).await.expect("an inventory");
    for (name, digest) in [("v1", Some(&tagged)), ("v2", Some(&tagged)), ("v3", None)] {
        let digest = digest.map(fixture::TestImage::digest);
        let expected = digest.as_ref().map_or(Existence::Absent, Existence::Present);
        assert_eq!(inventory.tag(&name.parse().expect("a tag")), expected, "{name}");
    }
    for (image, expected) in
        images.into_iter().zip([Existence::Present(()), Existence::Present(()), Existence::Absent])
    {
        assert_eq!(inventory.holds(&image.digest()), expected);
    }
    assert_eq!(inventory.tags().map(Tag::as_str).collect::<Vec<_>>(), ["v1", "v2"]);
    assert!(!inventory.is_truncated());
    if inventory.lists_digests() {
        differs("an inventory", "it lists digests with the tags");
        assert!(inventory.manifests().contains_key(&tagged.digest()));
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there_holds_nothing() {
    let world = World::new("nothing").await;
    let digest = Digest::sha256(&content(10));
    let wanted = [tag("v1"), digest.into()];
    let inventory = world.repository("app").inventory(&wanted).await.expect("an inventory");
    assert!(inventory.tag(&"v1".parse().expect("a tag")).is_absent());
    assert!(inventory.holds(&digest).is_absent());
    assert_eq!(inventory.tags().count(), 0);
}
