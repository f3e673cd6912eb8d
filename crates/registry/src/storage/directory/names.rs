//! The names of the repositories that are not empty: read from the directory at the first request and updated from
//! then on, since no other process writes there. Some hundred bytes for each repository.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use oci::Repository;

use super::super::{StorageError, StorageResult};

#[derive(Debug, Default)]
pub(super) struct RepositoryNames(Mutex<Option<BTreeSet<Repository>>>);

impl RepositoryNames {
    fn lock(&self) -> MutexGuard<'_, Option<BTreeSet<Repository>>> {
        // Every change is one call on the set.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a repository after a write.
    pub(super) fn grew(&self, name: &Repository) {
        if let Some(names) = &mut *self.lock()
            && !names.contains(name)
        {
            names.insert(name.clone());
        }
    }

    /// Removes a repository after a delete, if it is empty.
    pub(super) fn shrank(
        &self,
        name: &Repository,
        holds_something: impl FnOnce() -> StorageResult<bool>,
    ) -> StorageResult {
        // Under the lock, so that a concurrent write adds the name afterwards.
        if let Some(names) = &mut *self.lock()
            && !holds_something()?
        {
            names.remove(name);
        }
        Ok(())
    }

    /// Reads all names, in ASCII order.
    pub(super) fn read<T>(
        &self,
        load: impl FnOnce() -> Result<BTreeSet<Repository>, StorageError>,
        of: impl FnOnce(&BTreeSet<Repository>) -> T,
    ) -> Result<T, StorageError> {
        let mut names = self.lock();
        let names = match names.take() {
            Some(known) => names.insert(known),
            None => names.insert(load()?),
        };
        Ok(of(names))
    }
}
