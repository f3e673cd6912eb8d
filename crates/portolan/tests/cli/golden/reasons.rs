//! An example of each code of a reason in the report of a promotion, made from the typed reason: kept as `mod.rs` says.
//! A new code does not compile without an example.

use std::{sync::Arc, time::Duration};

use http::Method;
use oci::{Digest, Host, RegistryPrefix, Repository, Tag};
use promoter::{
    AttachmentName, AttachmentProblem, AttachmentStep, DigestTagUse, Reason, ReasonCode, Remedy,
    RemoteError, SourceFault, TagMoveRemedy, TagWas,
};
use testkit::Fault;
use transfer::{BoundExceeded, Content, DestinationError, SourceError};

use super::{
    compare,
    coverage::names_a_digest_tag_twice,
    failed_requests::{FailedRequests, REPOSITORY},
};

fn digest(of: &str) -> Digest {
    Digest::sha256(of.as_bytes())
}

fn blob() -> Content {
    Content::Blob(digest("a layer"))
}

fn prefix(text: &str) -> RegistryPrefix {
    text.parse().expect("a registry prefix")
}

fn source() -> RegistryPrefix {
    prefix("staging.example/team")
}

/// A registry host other than the one of the failed requests.
fn host() -> Host {
    source().host
}

fn of_source(error: SourceError) -> Reason {
    Reason::Remote(transfer::Error::from(error).into())
}

fn of_destination(error: DestinationError) -> Reason {
    Reason::Remote(transfer::Error::from(error).into())
}

/// The reasons with this code: one for each text that differs in more than its parts.
async fn examples(code: ReasonCode, requests: &mut FailedRequests) -> Vec<Reason> {
    match code {
        ReasonCode::TagMove
        | ReasonCode::Conflict
        | ReasonCode::Lost
        | ReasonCode::InvalidSourceName
        | ReasonCode::Backfilled
        | ReasonCode::SourceUnread => of_plan(code, requests).await,
        ReasonCode::Interrupted
        | ReasonCode::Deadline
        | ReasonCode::LostRace
        | ReasonCode::TagUnreadable
        | ReasonCode::TagNotVerified => of_run(code, requests).await,
        ReasonCode::Unreachable
        | ReasonCode::AuthenticationRequired
        | ReasonCode::LoginRejected
        | ReasonCode::CredentialsUnavailable
        | ReasonCode::Denied
        | ReasonCode::Throttled
        | ReasonCode::NotFound
        | ReasonCode::RegistryError
        | ReasonCode::InvalidResponse
        | ReasonCode::TransferFailed => of_registry(code, requests).await,
        ReasonCode::DigestMismatch
        | ReasonCode::SizeMismatch
        | ReasonCode::UnsupportedManifest
        | ReasonCode::ImageTooLarge
        | ReasonCode::SlowDestination
        | ReasonCode::SourceFailed => of_content(code, requests).await,
        ReasonCode::Incomplete
        | ReasonCode::NotChecked
        | ReasonCode::NonDistributable
        | ReasonCode::NotKnownBeforeWriting => of_checks(code, requests).await,
        ReasonCode::AttachmentsNotCompared
        | ReasonCode::AttachmentsUnreadable
        | ReasonCode::AttachmentBroken
        | ReasonCode::AttachmentNotCopied
        | ReasonCode::AttachmentMissing
        | ReasonCode::AttachmentNotVerified => of_attachments(code, requests).await,
    }
}

/// Those that the plan finds.
async fn of_plan(code: ReasonCode, requests: &mut FailedRequests) -> Vec<Reason> {
    let (image, current) = (digest("an image"), digest("another image"));
    let (file, line, column) = ("images/team/images.yaml".to_owned(), 3, 81);
    let from = prefix("registry.example/images");
    let backfilled = |fault| Reason::Backfilled { from: from.clone(), source: source(), fault };
    match code {
        ReasonCode::TagMove => {
            let check = TagMoveRemedy::CheckDigest { source: source() };
            [TagMoveRemedy::NewTag, check, TagMoveRemedy::RemoveTag]
                .map(|remedy| Reason::TagMove { current, remedy })
                .into()
        }
        ReasonCode::Conflict => {
            let by = [DigestTagUse::Attachment(current), DigestTagUse::ReferrersIndex];
            let tags = by.map(|by| Reason::DigestTagConflict {
                file: file.clone(),
                line,
                column,
                subject: image,
                by,
            });
            let conflict = Reason::Conflict { file: file.clone(), line, column, digest: current };
            [conflict].into_iter().chain(tags).collect()
        }
        ReasonCode::Lost => vec![Reason::Lost { source: source() }],
        ReasonCode::InvalidSourceName => {
            let error = "a".repeat(256).parse::<Repository>().expect_err("too long");
            let image = "app".parse().expect("a name");
            vec![Reason::InvalidSourceName { source: source(), image, error }]
        }
        ReasonCode::Backfilled => {
            let missing = SourceError::Missing {
                repository: "staging.example/team/app".to_owned(),
                content: blob(),
                parent: Some(image),
            };
            let cause = Arc::new(of_source(missing));
            [SourceFault::Lost, SourceFault::Incomplete { cause }].map(backfilled).into()
        }
        _ => {
            let cause = Arc::new(Reason::Remote(requests.status(503).await.into()));
            vec![backfilled(SourceFault::Unread { cause })]
        }
    }
}

/// Those of a run that writes, or that was stopped.
async fn of_run(code: ReasonCode, requests: &mut FailedRequests) -> Vec<Reason> {
    let current = digest("another image");
    match code {
        ReasonCode::Interrupted => {
            vec![Reason::Interrupted { deadline: None, last_failures: Vec::new() }]
        }
        ReasonCode::Deadline => {
            let throttled =
                |_: &_| Fault::everywhere("/v2/").status(429).header("retry-after", "60");
            let last_failures = vec![(host(), requests.get(throttled).await)];
            vec![Reason::Interrupted { deadline: Some(Duration::from_secs(30)), last_failures }]
        }
        ReasonCode::LostRace => [None, Some(digest("an image"))]
            .map(|subject| Reason::LostRace { current, subject })
            .into(),
        ReasonCode::TagUnreadable => {
            [TagWas::Accepted, TagWas::Existing, TagWas::ReadBack].map(Reason::TagUnreadable).into()
        }
        _ => {
            let cause = Arc::new(Reason::Remote(requests.status(500).await.into()));
            vec![Reason::TagNotVerified { cause }]
        }
    }
}

/// What registries do.
async fn of_registry(code: ReasonCode, requests: &mut FailedRequests) -> Vec<Reason> {
    let get = || Fault::on(Method::GET, "/manifests/");
    let remote = |error: registry_client::Error| Arc::new(Reason::Remote(error.into()));
    let error = match code {
        ReasonCode::Unreachable => {
            let error = requests.unreachable().await;
            return vec![Reason::Host { host: host(), error: error.into() }];
        }
        ReasonCode::AuthenticationRequired => requests.status(401).await,
        ReasonCode::LoginRejected => requests.rejected().await,
        ReasonCode::CredentialsUnavailable => {
            requests
                .get(|registry| {
                    let realm = format!(r#"Bearer realm="http://{}/no-token""#, registry.host());
                    get().status(401).header("www-authenticate", &realm)
                })
                .await
        }
        ReasonCode::Denied => requests.status(403).await,
        ReasonCode::Throttled => requests.status(429).await,
        ReasonCode::NotFound => requests.status(404).await,
        ReasonCode::RegistryError => {
            let [first, other] =
                [requests.status(500).await, requests.status(502).await].map(remote);
            let unread = Reason::Unread { first: Arc::clone(&first), more: 2 };
            let several = Reason::Several { first, others: vec![other] };
            return vec![unread, several];
        }
        ReasonCode::InvalidResponse => {
            let login = |_: &_| get().status(200).header("content-type", "text/html").body("<p>");
            requests.get(login).await
        }
        _ => requests.get(|_| get().truncate_after(3)).await,
    };
    vec![Reason::Remote(error.into())]
}

/// What is wrong with content, or with the way it is sent.
async fn of_content(code: ReasonCode, requests: &mut FailedRequests) -> Vec<Reason> {
    let (root, repository) = (digest("an image"), REPOSITORY.to_owned());
    match code {
        ReasonCode::DigestMismatch => {
            let cause = requests.get(|_| Fault::on(Method::GET, "/manifests/").corrupt()).await;
            let content = Content::Manifest(requests.image());
            vec![
                of_source(SourceError::Read { repository, content, cause }),
                Reason::StoredOnOtherDigest { stored: digest("another image") },
                Reason::OtherDigest { found: digest("another image") },
            ]
        }
        ReasonCode::SizeMismatch => {
            let (described, found) = (111, 110);
            let size =
                SourceError::Size { repository, content: blob(), parent: root, described, found };
            let digest = digest("a layer");
            vec![of_source(size), Reason::BlobSize { digest, found, described }]
        }
        ReasonCode::UnsupportedManifest => {
            let cause = oci::ManifestError::Schema1;
            vec![of_source(SourceError::Manifest { repository, digest: root, cause })]
        }
        ReasonCode::ImageTooLarge => {
            let bound = BoundExceeded::Manifests;
            vec![of_source(SourceError::TooLarge { repository, root, bound })]
        }
        ReasonCode::SlowDestination => {
            let slow = DestinationError::Lags { destination: repository, content: blob() };
            vec![of_destination(slow)]
        }
        _ => {
            let aborted = DestinationError::Aborted { destination: repository, content: blob() };
            vec![of_destination(aborted)]
        }
    }
}

/// What is checked, or not.
async fn of_checks(code: ReasonCode, requests: &mut FailedRequests) -> Vec<Reason> {
    let layers = || vec![digest("a layer")];
    match code {
        ReasonCode::Incomplete => {
            let cause = Arc::new(Reason::Remote(requests.status(503).await.into()));
            [Remedy::Copy, Remedy::None, Remedy::SourceUnread { cause }]
                .map(|remedy| Reason::Incomplete { missing: vec![blob()], remedy })
                .into()
        }
        ReasonCode::NotChecked => {
            let cause = SourceError::Manifest {
                repository: REPOSITORY.to_owned(),
                digest: digest("an image"),
                cause: oci::ManifestError::Schema1,
            };
            vec![Reason::NotChecked { cause: Arc::new(of_source(cause)) }]
        }
        ReasonCode::NonDistributable => vec![Reason::NonDistributable {
            with_urls: layers(),
            without_urls: vec![digest("another layer")],
        }],
        _ => vec![Reason::NotKnownBeforeWriting {
            host: prefix("registry.example").host,
            repository: "images/app".parse().expect("a name"),
            error: requests.status(401).await.into(),
        }],
    }
}

/// Those of attachments.
async fn of_attachments(code: ReasonCode, requests: &mut FailedRequests) -> Vec<Reason> {
    let image = digest("an image");
    let remote = RemoteError::from(requests.status(503).await);
    let problem = || Arc::new(AttachmentProblem::Remote(remote.clone()));
    let tag = Tag::of_attachments(&image).next().expect("the tag of a signature");
    let tag = AttachmentName::Tag(tag);
    let referrer = AttachmentName::Referrer { digest: digest("a referrer"), subject: image };
    let attachment =
        |attachment, failed, problem| Reason::Attachment { attachment, failed, problem };
    match code {
        ReasonCode::AttachmentsNotCompared => {
            let cause = Arc::new(Reason::Remote(remote));
            vec![Reason::AttachmentsNotCompared { cause }]
        }
        ReasonCode::AttachmentsUnreadable => {
            vec![Reason::AttachmentsUnreadable { image, problem: problem() }]
        }
        ReasonCode::AttachmentBroken => {
            let problem = AttachmentProblem::Incomplete {
                content: blob(),
                repository: "staging.example/team/app".to_owned(),
                manifest: digest("a signature"),
            };
            vec![attachment(tag, AttachmentStep::BrokenAtSource, Arc::new(problem))]
        }
        ReasonCode::AttachmentNotCopied => vec![
            attachment(tag, AttachmentStep::CannotCopy, problem()),
            attachment(referrer, AttachmentStep::Copy, problem()),
        ],
        ReasonCode::AttachmentMissing => {
            let replaced = Arc::new(AttachmentProblem::ReplacedEachTime);
            vec![
                attachment(tag, AttachmentStep::Keep, Arc::new(AttachmentProblem::TagNotFound)),
                attachment(referrer, AttachmentStep::Keep, replaced),
            ]
        }
        _ => vec![attachment(tag, AttachmentStep::ReadAgain, problem())],
    }
}

#[tokio::test]
async fn each_code_of_a_promotion_has_an_example() {
    let (mut shown, mut requests) = (String::new(), FailedRequests::new());
    for code in ReasonCode::ALL {
        shown.push_str(&format!("## {code}\n\n"));
        for reason in examples(code, &mut requests).await {
            assert_eq!(reason.code(), code, "{reason}");
            assert!(!names_a_digest_tag_twice(&reason.to_string()), "{reason}");
            shown.push_str(&format!("{reason}\n\n"));
        }
    }
    compare("reasons/promotion.txt", &requests.named(&shown));
}
