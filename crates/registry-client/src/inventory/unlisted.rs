//! Repositories without a list of tags: whether the repository is empty, or the registry has no list.
//!
//! Some registries have no `tags/list`, and respond with 404, as to a repository that does not exist.

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use oci::{ErrorCode, Reference};

use crate::{Error, Existence, RepositoryClient};

/// The number of wanted references that are requested, all at once, if a 404 may mean either: enough to find a
/// repository of an earlier promotion, few compared with the requests of a first promotion.
const MAX_PROBED: usize = 8;

/// What a failed request for the list of tags shows.
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

/// Whether `repository` may have content although its tags cannot be listed, given this error.
///
/// # Errors
/// `error` itself, if it does not show that.
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
            // An unreadable reference is requested again later, and its error is reported.
            let may_exist = probed
                .buffer_unordered(MAX_PROBED)
                .any(async |found| !matches!(found, Ok(Existence::Absent | Existence::Unknown)));
            Ok(may_exist.await)
        }
    }
}
