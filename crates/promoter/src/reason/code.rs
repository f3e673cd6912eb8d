//! The codes of reasons. Programs that read a report match codes. A code never changes its meaning.

use schemars::JsonSchema;
use serde::Serialize;

wording::codes! {
    /// What kind of reason an outcome has.
    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum ReasonCode {
        TagMove = "tag-move": "The tag exists at the destination on another digest.",
        Conflict = "conflict": "Two entries request the same tag on different digests.",
        Lost = "lost": "The digest is neither in its source nor in any destination.",
        InvalidSourceName = "invalid-source-name": "The source prefix and the image name make no valid repository name.",
        Interrupted = "interrupted": "The run was stopped before this was done.",
        Deadline = "deadline": "The `--deadline` stopped the run before this was done.",
        Unreachable = "unreachable": "The registry host did not respond.",
        AuthenticationRequired = "authentication-required": "The registry responded with 401 Unauthorized.",
        LoginRejected = "login-rejected": "The registry rejects the credentials that were sent.",
        CredentialsUnavailable = "credentials-unavailable": "The credentials or the token for the registry could not be obtained.",
        Denied = "denied": "The registry responded with 403 Forbidden.",
        Throttled = "throttled": "The registry refuses requests because there are too many.",
        NotFound = "not-found": "The registry does not have the content that was requested.",
        RegistryError = "registry-error": "The registry responded with another error status.",
        InvalidResponse = "invalid-response": "The response is not what the distribution API requires.",
        TransferFailed = "transfer-failed": "The connection broke or stalled during a request.",
        DigestMismatch = "digest-mismatch": "The bytes of the content do not have its digest.",
        SizeMismatch = "size-mismatch": "The content does not have the size that its manifest states.",
        UnsupportedManifest = "unsupported-manifest": "The manifest is of a kind that is not copied.",
        ImageTooLarge = "image-too-large": "The image has more manifests than are copied.",
        SlowDestination = "slow-destination": "The destination is much slower than the other destinations.",
        SourceFailed = "source-failed": "The content was not written because its source failed.",
        LostRace = "lost-race": "Another client wrote the tag or index at the same time.",
        TagUnreadable = "tag-unreadable": "The registry accepted the tag or says that it exists, and does not return it.",
        TagNotVerified = "tag-not-verified": "The tag was written, and could not be read again at the end of the run.",
        Incomplete = "incomplete": "The destination has the digest, but lacks some of its content.",
        NotChecked = "not-checked": "The content below the digest was not checked.",
        Backfilled = "backfilled": "The image was copied from another destination because its source does not have it.",
        NonDistributable = "non-distributable": "Non-distributable layers were not copied.",
        NotKnownBeforeWriting = "not-known-before-writing": "A dry run cannot read the repository, which may not exist yet.",
        AttachmentsNotCompared = "attachments-not-compared": "The attachments could not be compared because their source cannot be read.",
        AttachmentsUnreadable = "attachments-unreadable": "The attachments of the image cannot be read.",
        AttachmentBroken = "attachment-broken": "An attachment is broken at its source.",
        AttachmentNotCopied = "attachment-not-copied": "An attachment could not be copied.",
        AttachmentMissing = "attachment-missing": "An attachment was written, and was not found at the end of the run.",
        AttachmentNotVerified = "attachment-not-verified": "An attachment was written, and could not be read again at the end of the run.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_lists_every_code_and_no_other() {
        let page = include_str!("../../../../docs/reference/codes.md");
        let section =
            page.split("\n## ").find(|section| section.starts_with("Reasons of outcomes"));
        let rows = section.expect("a section").lines();
        let rows = rows.filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let rows: Vec<&str> = rows.map(|(code, _)| code).collect();
        assert_eq!(rows, ReasonCode::ALL.map(ReasonCode::as_str));
    }

    #[test]
    fn the_report_has_the_codes() {
        for code in ReasonCode::ALL {
            assert_eq!(serde_json::json!(code), code.as_str());
        }
    }
}
