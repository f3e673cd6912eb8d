//! The stable codes of what was not mirrored: `docs/reference/codes.md`. A code never changes its meaning.

wording::report_codes! {
    /// What kind of failure it is.
    pub enum FailureCode {
        Interrupted = "interrupted": "The run was interrupted.",
        NoTags = "no-tags": "No repository with tags at or below the prefix.",
        LoginRejected = "login-rejected": "The registry rejects the credentials.",
        LoginRequired = "login-required": "The registry lists its repositories only after a login.",
        CatalogNotOffered = "catalog-not-offered": "The registry does not list its repositories.",
        CatalogUnreadable = "catalog-unreadable": "The list of repositories cannot be read.",
        InvalidRepositoryName = "invalid-repository-name": "A listed repository whose name is not valid.",
        InvalidTagName = "invalid-tag-name": "A listed tag whose name is not valid.",
        TagsNotListed = "tags-not-listed": "The tags of a repository cannot be listed.",
        Unreachable = "unreachable": "The registry does not respond.",
        TagNotResolved = "tag-not-resolved": "The digest of a tag cannot be read.",
        TagIncomplete = "tag-incomplete": "Content that the tag reaches is not in the store.",
        TagTooLarge = "tag-too-large": "The tag reaches more levels, manifests or bytes of manifests than are followed.",
        ContentMissing = "content-missing": "The registry does not have a blob or manifest that it lists.",
        ContentInvalid = "content-invalid": "A blob or manifest is not what its digest, its size or its media type says.",
        ContentUnreadable = "content-unreadable": "A blob or manifest cannot be read from the registry.",
        ContentNotStored = "content-not-stored": "A blob or manifest cannot be written to the store.",
        StoreUnwritable = "store-unwritable": "Nothing can be written to the store.",
    }
}
