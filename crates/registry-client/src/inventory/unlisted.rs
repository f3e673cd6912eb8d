//! Repositories without a list of tags: whether there is nothing, or only no list.
//!
//! Some registries have no `tags/list`, and respond with 404, as to a repository that does not exist.

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use oci::{ErrorCode, Reference};

use crate::{Error, Existence, RepositoryClient};

/// How many wanted references are looked for, all at once, where 404 may mean either: enough to find a repository that
/// was promoted to before, few beside the requests that a first promotion makes.
const MAX_PROBED: usize = 8;

/// What a request for the list of tags says that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NoList {
    /// The repository does not exist.
    Nothing,
    /// Either that, or the registry has no such list.
    Either,
    /// The registry has no such list.
    Unsupported,
}

fn no_list(error: &Error) -> Option<NoList> {
    match error.status() {
        Some(StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)
            if !error.is_elsewhere() =>
        {
            Some(NoList::Unsupported)
        }
        _ if !error.is_not_found() => None,
        _ if error.has_code(ErrorCode::NameUnknown) => Some(NoList::Nothing),
        _ => Some(NoList::Either),
    }
}

/// Whether `repository` may hold something though its tags cannot be listed, for this reason.
///
/// # Errors
/// `error` itself, where it says nothing of that.
pub(crate) async fn may_hold(
    repository: &RepositoryClient,
    wanted: &[Reference],
    error: Error,
) -> Result<bool, Error> {
    match no_list(&error) {
        None => Err(error),
        Some(NoList::Nothing) => Ok(false),
        Some(NoList::Unsupported) => Ok(true),
        Some(NoList::Either) => {
            let probed: Vec<_> = wanted.iter().take(MAX_PROBED).cloned().collect();
            let probed = stream::iter(probed)
                .map(|wanted| async move { repository.hint_manifest(&wanted).await });
            // What cannot be read is requested again later, and its error is reported.
            let may_exist = probed
                .buffer_unordered(MAX_PROBED)
                .any(async |found| !matches!(found, Ok(Existence::Absent | Existence::Unknown)));
            Ok(may_exist.await)
        }
    }
}
