//! The stable codes of what was not mirrored: `docs/reference/codes.md`. A code never changes its meaning.

use schemars::JsonSchema;
use serde::Serialize;

wording::codes! {
    /// What kind of failure it is.
    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
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
        TagTooLarge = "tag-too-large": "The tag reaches more than a bound allows.",
        ContentMissing = "content-missing": "The registry does not have content that it lists.",
        ContentInvalid = "content-invalid": "Content is not what its digest, its size or its media type says.",
        ContentUnreadable = "content-unreadable": "Content cannot be read from the registry.",
        ContentNotStored = "content-not-stored": "Content cannot be written to the store.",
        StoreUnwritable = "store-unwritable": "Nothing can be written to the store.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_lists_every_code_and_no_other() {
        let page = include_str!("../../../docs/reference/codes.md");
        let (_, section) = page.split_once("\n## Failures of a mirror run\n").expect("a section");
        let section = section.split("\n## ").next().expect("the first part");
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let rows: Vec<&str> = rows.map(|(code, _)| code).collect();
        assert_eq!(rows, FailureCode::ALL.map(FailureCode::as_str));
    }

    #[test]
    fn the_report_has_the_codes() {
        for code in FailureCode::ALL {
            assert_eq!(serde_json::json!(code), code.as_str());
        }
    }
}
