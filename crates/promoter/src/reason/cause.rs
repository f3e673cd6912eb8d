//! How reasons of the same cause are recognized, so that a report shows them as one.

use oci::Host;

use super::{Reason, ReasonCode, Remedy, RemoteCause};

/// What two reasons of the same cause have in common, for any image, tag and digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CauseKey {
    code: ReasonCode,
    remote: Option<RemoteCause>,
    hosts: Vec<Host>,
}

impl Reason {
    /// What it has in common with other reasons of the same cause.
    pub(crate) fn cause(&self) -> CauseKey {
        let hosts = match self {
            Self::Interrupted { last_failures, .. } => {
                last_failures.iter().map(|(host, _)| host.clone()).collect()
            }
            _ => Vec::new(),
        };
        CauseKey { code: self.code(), remote: self.remote_cause(), hosts }
    }

    pub(super) fn remote_cause(&self) -> Option<RemoteCause> {
        match self {
            Self::Host { error, .. }
            | Self::Remote(error)
            | Self::NotKnownBeforeWriting { error, .. } => Some(error.cause()),
            Self::Unread { first: cause, .. }
            | Self::TagNotVerified { cause }
            | Self::NotChecked { cause }
            | Self::AttachmentsNotCompared { cause }
            | Self::Incomplete { remedy: Remedy::SourceUnread { cause }, .. } => {
                cause.remote_cause()
            }
            Self::AttachmentsUnreadable { problem, .. } | Self::Attachment { problem, .. } => {
                problem.remote_cause()
            }
            Self::Several { first, .. } => first.remote_cause(),
            _ => None,
        }
    }
}
