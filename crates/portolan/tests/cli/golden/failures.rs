//! An example of each code of a failure in the report of a mirroring, made from the typed cause: kept as `mod.rs` says.
//! A new code does not compile without an example.

use std::{fs, sync::Arc};

use blob_store::{BlobStore, key};
use bytes::Bytes;
use http::Method;
use mirror::{FailedContent, FailureCause, FailureCode};
use oci::{Digest, RegistryPrefix};
use tempfile::TempDir;
use testkit::Fault;
use transfer::{BoundExceeded, Content, DestinationError, SourceError};

use super::{
    compare,
    failed_requests::{FailedRequests, REPOSITORY},
};

/// The content that is put in stores.
const CONTENT: &[u8] = b"a layer";

fn blob() -> Content {
    Content::Blob(Digest::sha256(CONTENT))
}

fn prefix() -> RegistryPrefix {
    "registry.example/images".parse().expect("a registry prefix")
}

/// The error of a store in this directory that cannot store [`CONTENT`].
async fn store_error(directory: &TempDir, store: &str) -> Arc<blob_store::Error> {
    let url = format!("file://{}/{store}", directory.path().display());
    let store = BlobStore::open(&url).expect("a store");
    let put = store.put(&Digest::sha256(CONTENT), Bytes::from_static(CONTENT)).await;
    Arc::new(put.expect_err("it cannot be stored"))
}

/// The causes with this code: one for each text that differs in more than its parts.
async fn examples(
    code: FailureCode,
    requests: &mut FailedRequests,
    directory: &TempDir,
) -> Vec<FailureCause> {
    match code {
        FailureCode::Interrupted => vec![FailureCause::Interrupted],
        FailureCode::NoTags => vec![FailureCause::NoTags { prefix: prefix() }],
        FailureCode::LoginRejected => unlisted(requests.rejected().await),
        FailureCode::LoginRequired => unlisted(requests.status(403).await),
        FailureCode::CatalogNotOffered => unlisted(requests.status(404).await),
        FailureCode::CatalogUnreadable => unlisted(requests.status(500).await),
        FailureCode::InvalidRepositoryName => {
            vec![FailureCause::InvalidRepositoryName { name: "images/App".to_owned() }]
        }
        FailureCode::InvalidTagName => {
            vec![FailureCause::InvalidTagName { name: "-bad".to_owned() }]
        }
        FailureCode::TagsNotListed => {
            vec![FailureCause::TagsNotListed { error: Arc::new(requests.status(500).await) }]
        }
        FailureCode::Unreachable => {
            let error = Arc::new(requests.unreachable().await);
            let host = prefix().host;
            vec![
                FailureCause::RegistryUnreachable {
                    host: host.clone(),
                    tags: 0,
                    error: error.clone(),
                },
                FailureCause::RegistryUnreachable { host, tags: 2, error },
            ]
        }
        FailureCode::TagNotResolved => {
            vec![FailureCause::TagNotResolved { error: Arc::new(requests.status(403).await) }]
        }
        FailureCode::TagIncomplete => [
            FailureCode::ContentMissing,
            FailureCode::ContentUnreadable,
            FailureCode::ContentInvalid,
            FailureCode::ContentNotStored,
        ]
        .map(|code| FailureCause::TagIncomplete(FailedContent { content: blob(), code }))
        .into(),
        FailureCode::TagTooLarge => {
            vec![FailureCause::TagTooLarge(BoundExceeded::Levels)]
        }
        FailureCode::ContentMissing
        | FailureCode::ContentInvalid
        | FailureCode::ContentUnreadable
        | FailureCode::ContentNotStored
        | FailureCode::StoreUnwritable => of_content(code, requests, directory).await,
    }
}

fn unlisted(error: registry_client::Error) -> Vec<FailureCause> {
    vec![FailureCause::RepositoriesUnknown { prefix: prefix(), error: Arc::new(error) }]
}

/// Those of blobs and manifests.
async fn of_content(
    code: FailureCode,
    requests: &mut FailedRequests,
    directory: &TempDir,
) -> Vec<FailureCause> {
    let (repository, content) = (REPOSITORY.to_owned(), blob());
    let parent = Digest::sha256(b"an image");
    let of_source = |error: SourceError| FailureCause::NotCopied(error.into());
    match code {
        FailureCode::ContentMissing => {
            vec![of_source(SourceError::Missing { repository, content, parent: Some(parent) })]
        }
        FailureCode::ContentInvalid => {
            let cause = requests.get(|_| Fault::on(Method::GET, "/manifests/").corrupt()).await;
            let content = Content::Manifest(requests.image());
            let schema1 = Arc::new(oci::ManifestError::Schema1);
            vec![
                of_source(SourceError::Read { repository, content, cause }),
                FailureCause::InvalidManifest(schema1),
            ]
        }
        FailureCode::ContentUnreadable => {
            let (content, cause) =
                (Content::Manifest(requests.image()), requests.status(500).await);
            vec![of_source(SourceError::Read { repository, content, cause })]
        }
        FailureCode::ContentNotStored => {
            let cause = store_error(directory, "obstructed").await;
            let destination = format!("file://{}/obstructed", directory.path().display());
            let not_copied = DestinationError::Store {
                destination,
                action: "write",
                content,
                cause: Arc::clone(&cause),
            };
            vec![FailureCause::NotCopied(not_copied.into()), FailureCause::NotStored(cause)]
        }
        _ => {
            let error = store_error(directory, "file/store").await;
            let store = format!("file://{}/file/store", directory.path().display());
            vec![FailureCause::StoreUnwritable { store, error }]
        }
    }
}

#[tokio::test]
async fn each_code_of_a_mirroring_has_an_example() {
    let directory = TempDir::new().expect("a directory");
    let obstacle = directory.path().join("obstructed").join(key(&Digest::sha256(CONTENT)));
    fs::create_dir_all(obstacle).expect("a directory where the blob should be");
    fs::write(directory.path().join("file"), "").expect("a file where a directory should be");
    let (mut shown, mut requests) = (String::new(), FailedRequests::new());
    for code in FailureCode::ALL {
        shown.push_str(&format!("## {code}\n\n"));
        for cause in examples(code, &mut requests, &directory).await {
            assert_eq!(cause.code(), code, "{cause}");
            shown.push_str(&format!("{cause}\n\n"));
        }
    }
    let shown = shown.replace(&directory.path().display().to_string(), "/srv");
    compare("reasons/mirror.txt", &requests.named(&shown));
}
