//! Lists of names: the repositories of the registry, and the tags of a repository.
//!
//! Source: distribution-spec 1.1, "Listing Tags"; `_catalog` is the Docker registry's.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue,
    header::{CONTENT_TYPE, LINK},
};
use oci::{Repository, Tag};

use crate::{
    access::{Requester, Right},
    limits::MAX_PAGE,
    refusal::Refusal,
    storage::Storage,
};

/// The requested page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageRequest {
    limit: usize,
    after: Option<String>,
}

impl PageRequest {
    /// The largest number of names on it.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether `name` is on an earlier page.
    pub(crate) fn is_before(&self, name: &str) -> bool {
        self.after.as_deref().is_some_and(|after| name <= after)
    }

    pub(crate) fn new(limit: Option<usize>, after: Option<String>) -> Self {
        Self { limit: limit.unwrap_or(MAX_PAGE).min(MAX_PAGE), after }
    }

    /// This page of `names`, in ASCII order, and its last name if there are more.
    fn of(&self, mut names: Vec<String>) -> (Vec<String>, Option<String>) {
        names.sort_unstable();
        let start = match &self.after {
            Some(after) => names.partition_point(|name| name <= after),
            None => 0,
        };
        names.drain(..start);
        let more = names.len() > self.limit;
        names.truncate(self.limit);
        // An empty page has no last name, so no next page.
        let last = if more { names.last().cloned() } else { None };
        (names, last)
    }
}

pub(crate) async fn catalog(
    storage: &Storage,
    requester: Requester,
    page: PageRequest,
) -> Result<Response, Refusal> {
    let (after, one_more) = (page.after.clone(), page.limit + 1);
    let names = storage.run(move |backend| {
        let may_pull = |name: &Repository| requester.may(Right::Pull, name);
        backend.repositories(after.as_deref(), one_more, &may_pull)
    });
    let names = names.await?;
    let (names, last) = page.of(names.iter().map(Repository::to_string).collect());
    let json = serde_json::json!({ "repositories": names });
    Ok(response(&json, "/v2/_catalog", &page, last))
}

pub(crate) async fn tags(
    storage: &Storage,
    name: Repository,
    page: PageRequest,
) -> Result<Response, Refusal> {
    let path = format!("/v2/{name}/tags/list");
    let repository = name.clone();
    let tags = storage.run(move |backend| backend.tags(&repository)).await?;
    let tags = tags.ok_or_else(|| Refusal::NameUnknown(name.clone()))?;
    let (tags, last) = page.of(tags.iter().map(Tag::to_string).collect());
    let json = serde_json::json!({ "name": name, "tags": tags });
    Ok(response(&json, &path, &page, last))
}

fn response(
    json: &serde_json::Value,
    path: &str,
    page: &PageRequest,
    last: Option<String>,
) -> Response {
    // Names and tags need no escape in a query.
    let next = last.map(|last| format!("{path}?n={}&last={last}", page.limit));
    let json = ([(CONTENT_TYPE, "application/json")], json.to_string());
    with_link(next, json.into_response())
}

/// The response with a `Link` to the next page.
pub(crate) fn with_link(next: Option<String>, mut response: Response) -> Response {
    let link = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok());
    response.headers_mut().extend(link.map(|link| (LINK, link)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_part_of_the_sorted_names() {
        let page = |limit, after: Option<&str>| {
            let names = ["b", "a", "B", "c"].map(String::from).to_vec();
            let (names, last) = PageRequest::new(limit, after.map(Into::into)).of(names);
            (names.concat(), last)
        };
        for (limit, after, names, last) in [
            (None, None, "Babc", None),
            (Some(4), None, "Babc", None),
            (Some(3), None, "Bab", Some("b")),
            (Some(3), Some("b"), "c", None),
            (Some(1), Some("B"), "a", Some("a")),
            (Some(9), Some("aa"), "bc", None),
            (Some(9), Some("c"), "", None),
            (Some(0), None, "", None),
            (Some(usize::MAX), None, "Babc", None),
        ] {
            assert_eq!(
                page(limit, after),
                (names.into(), last.map(Into::into)),
                "{limit:?} {after:?}"
            );
        }
        assert_eq!(PageRequest::new(Some(usize::MAX), None).limit, MAX_PAGE);
    }
}
