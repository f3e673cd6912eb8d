//! Listings in pages: tags, repositories, referrers.
//!
//! Pages are requested by the `Link` of the one before, as the specification prefers, at the host
//! that served that one.
//!
//! Not here: the content of pages other than plain names.
//!
//! Source: distribution-spec 1.1, "Listing Tags"; Docker registry API v2, "Listing Repositories".

use std::{collections::HashSet, hash::Hash, str::FromStr};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_client::RedactedUrl;
use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

use crate::{
    Error, RegistryClient, SharedPermit,
    api::link::{MalformedLink, next_link},
    auth::RequiredAccess,
    error::{
        fault::RequestFault,
        pointer::{Pointer, PointerRefusal},
    },
    exchange::{
        pointer::{header_text, resolve},
        request::{Request, RequestTarget},
        response::FullResponse,
        substitute::Substitute,
    },
};

/// How many names are requested in one page: some registries (ECR) reject more than 1000.
pub(crate) const PAGE_SIZE: usize = 1000;
/// The most pages that are read: enough for all names at a hundred in a page.
const MAX_PAGES: usize = 10_000;
/// The most names of a listing: some 200 MB of memory, since each is held twice to remove duplicates.
const MAX_NAMES: usize = 1_000_000;
/// The longest page, in bytes. Google's registries put every manifest of the repository on one,
/// at some 300 bytes each, up to 10,000 of them; this is ten times that.
const MAX_PAGE_BYTES: usize = 32 << 20;

/// The most characters of an invalid name that are kept: the longest valid name has 255.
const MAX_SHOWN_NAME: usize = 300;

/// The most bytes of an invalid page that are shown: enough to recognize an error or another API.
const MAX_SHOWN_BYTES: usize = 100;

/// The names on a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameList<T> {
    /// The valid names, in the registry's order.
    pub names: Vec<T>,
    /// The names outside the specification's grammar, truncated at 300 characters. No request can use them.
    pub unusable: Vec<String>,
}

impl<T> Default for NameList<T> {
    fn default() -> Self {
        Self { names: Vec::new(), unusable: Vec::new() }
    }
}

/// The limit of a listing, in the units of its reader, at which no further page is read.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) limit: usize,
    pub(crate) of: &'static str,
}

/// The bound of listings of names.
pub(crate) const NAMES: Bound = Bound { limit: MAX_NAMES, of: "names" };

/// The pages of a listing, one after the other.
pub(crate) struct ListingPages {
    client: RegistryClient,
    bound: Bound,
    been: HashSet<Url>,
    /// The headers of the request for every page.
    access: Option<RequiredAccess>,
    headers: HeaderMap,
    permit: Option<SharedPermit>,
    at: At,
}

enum At {
    /// This is the next page.
    Received(Box<FullResponse>),
    /// This page was read. The next one is there, or its link cannot be followed.
    Read(Box<RequestTarget>, Result<Url, RequestFault>),
    End,
}

/// A page of a listing as received.
pub(crate) struct ListingPage {
    /// Its request, for an error.
    pub(crate) target: RequestTarget,
    pub(crate) headers: HeaderMap,
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
    /// Whether another one follows.
    pub(crate) has_next: bool,
}

impl ListingPages {
    /// Requests the first page.
    pub(crate) async fn begin(
        client: &RegistryClient,
        first: Request,
        bound: Bound,
    ) -> Result<Self, Error> {
        let (access, headers) = (first.access.clone(), first.headers.clone());
        let permit = first.permit.clone();
        let response = client.fetch(first, MAX_PAGE_BYTES).await?;
        let been = HashSet::from([response.target.url.clone()]);
        let (client, at) = (client.clone(), At::Received(Box::new(response)));
        Ok(Self { client, bound, been, access, headers, permit, at })
    }

    /// The media type of the next page; empty if there is none, or if it was not requested yet.
    pub(crate) fn media_type(&self) -> String {
        match &self.at {
            At::Received(response) => response.media_type(),
            At::Read(..) | At::End => String::new(),
        }
    }

    /// The next page; none after the last one. `held` is the size of the pages so far.
    pub(crate) async fn next(&mut self, held: usize) -> Result<Option<ListingPage>, Error> {
        let response = match std::mem::replace(&mut self.at, At::End) {
            At::Received(response) => *response,
            At::Read(before, next) => self.follow(*before, next, held).await?,
            At::End => return Ok(None),
        };
        let next = next_page(&response.target.url, &response.headers).transpose();
        let media_type = response.media_type();
        let FullResponse { target, headers, bytes } = response;
        let has_next = next.is_some();
        if let Some(next) = next {
            self.at = At::Read(Box::new(target.clone()), next);
        }
        Ok(Some(ListingPage { target, headers, media_type, bytes, has_next }))
    }

    async fn follow(
        &mut self,
        before: RequestTarget,
        next: Result<Url, RequestFault>,
        held: usize,
    ) -> Result<FullResponse, Error> {
        let next = next.map_err(|fault| before.fails(fault))?;
        let reason = if self.been.len() >= MAX_PAGES {
            PointerRefusal::TooMany { limit: MAX_PAGES, of: "pages" }
        } else if held >= self.bound.limit {
            PointerRefusal::TooMany { limit: self.bound.limit, of: self.bound.of }
        } else if !self.been.insert(next.clone()) {
            PointerRefusal::Loop
        } else {
            let mut request = Request::bare(Method::GET, next);
            request.guard = before.guard;
            // No authorization goes to another host, as with the redirect that led there.
            if !before.elsewhere {
                request.access.clone_from(&self.access);
            }
            request.headers.clone_from(&self.headers);
            request.permit.clone_from(&self.permit);
            return self.client.fetch(request, MAX_PAGE_BYTES).await;
        };
        Err(before.fails(not_followed(&next, reason)))
    }

    /// All names of all pages of `tags/list` or `_catalog`, which have them in `member`: each once, since pages may
    /// overlap.
    pub(crate) async fn names<T: FromStr + Clone + Eq + Hash>(
        mut self,
        member: NamesMember,
    ) -> Result<NameList<T>, Error> {
        let mut listed = NameList::default();
        let (mut seen, mut seen_unusable) = (HashSet::new(), HashSet::new());
        while let Some(page) = self.next(listed.names.len() + listed.unusable.len()).await? {
            let names = member.names(&page.bytes).map_err(|cause| page.unreadable(cause))?;
            for name in names {
                match name.parse() {
                    Ok(name) => push_once(&mut listed.names, &mut seen, name),
                    Err(_) => {
                        let shown: String = name.chars().take(MAX_SHOWN_NAME).collect();
                        push_once(&mut listed.unusable, &mut seen_unusable, shown);
                    }
                }
            }
        }
        Ok(listed)
    }
}

fn push_once<T: Clone + Eq + Hash>(names: &mut Vec<T>, seen: &mut HashSet<T>, name: T) {
    if seen.insert(name.clone()) {
        names.push(name);
    }
}

impl ListingPage {
    /// The error for a page that is not the JSON of a listing, with what it is instead.
    pub(crate) fn unreadable(&self, cause: serde_json::Error) -> Error {
        self.target.fails(self.substitute().unwrap_or_else(|| {
            let shown = &self.bytes[..self.bytes.len().min(MAX_SHOWN_BYTES)];
            RequestFault::NotJson { cause, begins: String::from_utf8_lossy(shown).into_owned() }
        }))
    }

    /// The fault for a substitute in place of a listing, if the page looks like one.
    pub(crate) fn substitute(&self) -> Option<RequestFault> {
        Substitute::of_whole(&self.headers, &self.bytes).map(|it| it.fault("a listing"))
    }
}

/// The member of a page that has the names.
#[derive(Clone, Copy)]
pub(crate) enum NamesMember {
    /// `tags`, of `tags/list`.
    Tags,
    /// `repositories`, of `_catalog`.
    Repositories,
}

impl NamesMember {
    /// The names on a page. The member is required, since other JSON, such as an error, is no empty listing. `null` is
    /// an empty listing: CNCF distribution sends it for a repository without tags.
    fn names(self, json: &[u8]) -> Result<Vec<String>, serde_json::Error> {
        let page: NamesPage = serde_json::from_slice(json)?;
        let (names, name) = match self {
            Self::Tags => (page.tags, "tags"),
            Self::Repositories => (page.repositories, "repositories"),
        };
        names.map(Option::unwrap_or_default).ok_or_else(|| serde_json::Error::missing_field(name))
    }
}

/// A page of `tags/list` or of `_catalog`.
#[derive(Deserialize)]
struct NamesPage {
    #[serde(default, deserialize_with = "present")]
    tags: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    repositories: Option<Option<Vec<String>>>,
}

/// Reads an existing member, `null` included. A missing member is the default, none.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The page after the one at `url`, if there is one.
fn next_page(url: &Url, headers: &HeaderMap) -> Result<Option<Url>, RequestFault> {
    let refused =
        |reason| RequestFault::NotFollowed { pointer: Pointer::NextPage, to: None, reason };
    let mut next = Ok(None);
    for link in headers.get_all(header::LINK) {
        match header_text(link).ok_or(MalformedLink).and_then(next_link) {
            Ok(None) => {}
            Ok(target) => {
                next = Ok(target);
                break;
            }
            Err(malformed) => next = Err(malformed),
        }
    }
    let target = next.map_err(|MalformedLink| refused(PointerRefusal::MalformedLink))?;
    let Some(target) = target else { return Ok(None) };
    let next = resolve(url, target).ok_or_else(|| refused(PointerRefusal::NotHttp))?;
    if next.origin() == url.origin() {
        Ok(Some(next))
    } else {
        Err(not_followed(
            &next,
            PointerRefusal::of_scheme(url, &next).unwrap_or(PointerRefusal::OtherHost),
        ))
    }
}

fn not_followed(to: &Url, reason: PointerRefusal) -> RequestFault {
    RequestFault::NotFollowed { pointer: Pointer::NextPage, to: Some(RedactedUrl::new(to)), reason }
}
