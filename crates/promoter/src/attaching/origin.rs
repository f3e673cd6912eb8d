//! Reads an attachment at its source, and checks it there.

use attachments::{Attachment, Defect, check_subject};
use registry_client::RepositoryClient;
use transfer::{Content, Image, TransferState};

use crate::reason::AttachmentProblem;

/// Why an attachment cannot be read at its source.
pub(super) enum Unreadable {
    /// It, or a manifest that it lists, cannot be read.
    Transfer(transfer::Error),
    /// It is not an attachment of the manifest that it is listed for.
    Unrelated(AttachmentProblem),
}

impl Unreadable {
    /// What is wrong with it, if it is permanently broken.
    fn broken(self) -> Result<AttachmentProblem, transfer::Error> {
        match self {
            Self::Transfer(error) if !error.is_broken() => Err(error),
            Self::Transfer(error) => Ok(AttachmentProblem::Remote(error.into())),
            Self::Unrelated(problem) => Ok(problem),
        }
    }
}

/// The manifests of an attachment. The subject of a referrer must be the manifest that it is listed for, since a
/// destination lists it for its subject.
pub(super) async fn load(
    from: &RepositoryClient,
    attachment: &Attachment,
) -> Result<Image, Unreadable> {
    let image = Image::load(from, &attachment.digest).await.map_err(Unreadable::Transfer)?;
    let unrelated = |found| {
        let repository = from.to_string();
        Unreadable::Unrelated(Defect::Unrelated { repository, found }.into())
    };
    check_subject(attachment, image.root()).map_err(unrelated)?;
    Ok(image)
}

/// What is wrong with an attachment at its source, if it is permanently broken: twice in a row.
///
/// # Errors
/// When it cannot be read for the moment.
pub(crate) async fn fault(
    transfer_state: &TransferState,
    from: &RepositoryClient,
    attachment: &Attachment,
) -> Result<Option<AttachmentProblem>, transfer::Error> {
    match fault_now(transfer_state, from, attachment).await? {
        Some(_) => fault_now(transfer_state, from, attachment).await,
        None => Ok(None),
    }
}

/// What is wrong with an attachment at its source, by a single read.
pub(super) async fn fault_now(
    transfer_state: &TransferState,
    from: &RepositoryClient,
    attachment: &Attachment,
) -> Result<Option<AttachmentProblem>, transfer::Error> {
    let image = match load(from, attachment).await {
        Ok(image) => image,
        Err(unreadable) => return unreadable.broken().map(Some),
    };
    let missing = image.missing_at_source(transfer_state).await?;
    let fault = |content: Content| AttachmentProblem::Incomplete {
        content,
        repository: from.to_string(),
        manifest: attachment.digest,
    };
    Ok(missing.into_iter().next().map(fault))
}
