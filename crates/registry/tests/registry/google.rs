//! The extended listing of Google's registries.

use http::StatusCode;
use registry::{Registry, RegistrySettings, Storage};
use serde_json::Value;
use testkit::fixture;

use crate::peer::{Peer, header, refusal, refused};

#[tokio::test]
async fn an_extended_list_has_all_manifests_and_children() {
    let directory = tempfile::tempdir().expect("a directory");
    let on_disk = Storage::directory(directory.path()).expect("a directory of our own");
    for storage in [Storage::memory(), on_disk] {
        let settings = RegistrySettings { google_listing: true, ..RegistrySettings::default() };
        let peer = Peer::of(Registry::with(storage, settings, None)).await;
        let index = fixture::index(1, 2, 2);
        peer.push("a", "v1", &index).await;
        peer.push("a", "latest", &index).await;
        peer.push("a/b/c", "v1", &fixture::image(2, 1)).await;
        peer.push("a/d", "v1", &fixture::image(3, 1)).await;
        peer.push("ab", "v1", &fixture::image(4, 1)).await;
        let found = peer.get("/v2/a/tags/list?n=1").await;
        assert_eq!((found.status(), header(&found, "link")), (StatusCode::OK, String::new()));
        let list: Value = serde_json::from_slice(found.body()).expect("JSON");
        assert_eq!(list["name"], "a");
        assert_eq!(list["tags"], serde_json::json!(["latest", "v1"]));
        assert_eq!(list["child"], serde_json::json!(["b", "d"]));
        assert_eq!(list["manifest"].as_object().expect("an object").len(), 3);
        for (manifest, tags, size) in [
            (&index, serde_json::json!(["latest", "v1"]), index.descriptor.size),
            (&index.children[0], serde_json::json!([]), {
                index.children[0].blobs.iter().map(|blob| blob.descriptor.size).sum()
            }),
        ] {
            let listed = &list["manifest"][manifest.digest().to_string()];
            assert_eq!(listed["tag"], tags);
            assert_eq!(listed["mediaType"], *manifest.descriptor.media_type);
            assert_eq!(listed["imageSizeBytes"], size.to_string());
            let pushed = listed["timeUploadedMs"].as_str().expect("a text");
            assert!(pushed.parse::<u64>().expect("a number") > 1_700_000_000_000);
            assert_eq!(listed["timeCreatedMs"], pushed);
        }
        // A repository may be there only for what is below it.
        let list: Value =
            serde_json::from_slice(peer.get("/v2/a/b/tags/list").await.body()).expect("JSON");
        assert_eq!(list["child"], serde_json::json!(["c"]));
        assert_eq!(list["tags"], serde_json::json!([]));
        assert_eq!(refusal(&peer.get("/v2/x/tags/list").await), refused(404, "NAME_UNKNOWN"));
    }
}
