//! Logs damaged files, each at most once a minute, however often clients request them.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::super::StorageError;

/// The interval between two log events of one file: clients retry within seconds.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The number of files that are logged within [`LOG_INTERVAL`]: enough to show that a whole disk is bad, and few
/// enough to bound the log and the memory.
const MAX_LOGGED: usize = 1_000;

/// The files that were logged within the last [`LOG_INTERVAL`].
#[derive(Debug, Default)]
pub(super) struct DamageLog(Mutex<HashMap<PathBuf, Instant>>);

impl DamageLog {
    /// Returns `result`, and logs a damaged file or an obstruction.
    pub(super) fn log<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        match &result {
            Err(StorageError::Damaged(path)) if self.is_due(path, Instant::now()) => {
                tracing::error!(
                    path = %path.display(),
                    "the stored copy is damaged, and clients get 404 for it; push it again"
                );
            }
            Err(error @ StorageError::Obstructed { path, .. })
                if self.is_due(path, Instant::now()) =>
            {
                tracing::error!(%error, "content is absent to clients and cannot be pushed");
            }
            _ => {}
        }
        result
    }

    /// None if one of the directories above is obstructed.
    pub(super) fn if_reachable<T>(
        &self,
        found: Result<T, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        match self.log(found) {
            Err(StorageError::Obstructed { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Logs an entry of a directory that is left out of a list.
    pub(super) fn skipped(&self, path: &Path) {
        if self.is_due(path, Instant::now()) {
            tracing::error!(path = %path.display(), "skipped: it is not a regular file");
        }
    }

    fn is_due(&self, path: &Path, now: Instant) -> bool {
        let is_recent = |logged: &Instant| now.duration_since(*logged) < LOG_INTERVAL;
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.get(path).is_some_and(is_recent) {
            return false;
        }
        if logged.len() >= MAX_LOGGED {
            logged.retain(|_, logged| is_recent(logged));
        }
        let has_room = logged.len() < MAX_LOGGED;
        if has_room {
            logged.insert(path.to_owned(), now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damaged_file_is_logged_once_a_minute_and_not_too_many() {
        let (log, start) = (DamageLog::default(), Instant::now());
        let due =
            |name: &str, seconds| log.is_due(Path::new(name), start + Duration::from_secs(seconds));
        assert!(due("a", 0) && due("b", 1));
        assert!(!due("a", 59) && due("a", 60) && !due("b", 60));
        for number in 2..MAX_LOGGED {
            assert!(due(&number.to_string(), 60), "{number}");
        }
        assert!(!due("one more", 60));
        assert!(due("one more", 120), "the others are old");
    }
}
