//! Listings in pages: tags and repositories.
//!
//! Pages are asked for by the `Link` of the one before, as the specification prefers, at the host
//! that served that one.
//!
//! Source: distribution-spec 1.1, "Listing Tags"; Docker registry API v2, "Listing Repositories".

use std::{collections::HashSet, str::FromStr};

use http::{HeaderMap, Method, header};
use serde::Deserialize;
use url::Url;

use crate::{
    Client, Error, RedactedUrl,
    error::{Fault, Pointer, Refusal},
    exchange::{Answer, Request, resolve},
    link::next_link,
};

/// How many names are asked for at once: more than 1000 are refused by some registries (ECR).
pub(crate) const PAGE_SIZE: usize = 1000;
/// How many pages are read: as many names, even where a page has only a hundred of them.
const MAX_PAGES: usize = 10_000;
/// How many names a listing may have: some 100 MB of memory.
const MAX_NAMES: usize = 1_000_000;
/// The longest page, in bytes. Google's registries put every manifest of the repository on one,
/// at some 300 bytes each, up to 10,000 of them; this is ten times that.
const MAX_PAGE_BYTES: usize = 32 << 20;

/// A page of `tags/list` or of `_catalog`.
#[derive(Deserialize)]
struct Page {
    #[serde(default, rename = "tags", alias = "repositories")]
    names: Option<Vec<String>>,
}

impl Client {
    /// Reads all pages, of which this is the first. Names that are no `T` are left out.
    pub(crate) async fn list<T: FromStr>(&self, first: Answer) -> Result<Vec<T>, Error> {
        let mut names = Vec::new();
        let mut been = HashSet::from([first.request.url.clone()]);
        let mut answer = first;
        loop {
            let next = next_page(&answer.request.url, &answer.headers);
            let (asked, bytes) = answer.bytes(MAX_PAGE_BYTES).await?;
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|cause| asked.fails(Fault::NotJson { cause }))?;
            names.extend(page.names.into_iter().flatten().filter_map(|name| name.parse().ok()));
            let Some(next) = next.map_err(|fault| asked.fails(fault))? else { return Ok(names) };
            let reason = if been.len() >= MAX_PAGES {
                Refusal::TooMany { limit: MAX_PAGES, of: "pages" }
            } else if names.len() >= MAX_NAMES {
                Refusal::TooMany { limit: MAX_NAMES, of: "names" }
            } else if !been.insert(next.clone()) {
                Refusal::Loop
            } else {
                answer = self.send(Request::new(Method::GET, next)).await?;
                continue;
            };
            return Err(asked.fails(not_followed(&next, reason)));
        }
    }
}

/// The page after the one at `url`, if there is one.
fn next_page(url: &Url, headers: &HeaderMap) -> Result<Option<Url>, Fault> {
    let links = headers.get_all(header::LINK);
    let target = links.iter().filter_map(|link| link.to_str().ok()).find_map(next_link);
    let Some(target) = target else { return Ok(None) };
    let (pointer, reason) = (Pointer::NextPage, Refusal::NotHttp);
    let refused = Fault::NotFollowed { pointer, to: None, reason };
    let next = resolve(url, target).ok_or(refused)?;
    if next.origin() == url.origin() {
        Ok(Some(next))
    } else {
        Err(not_followed(&next, Refusal::OtherHost))
    }
}

fn not_followed(to: &Url, reason: Refusal) -> Fault {
    Fault::NotFollowed { pointer: Pointer::NextPage, to: Some(RedactedUrl::new(to)), reason }
}
