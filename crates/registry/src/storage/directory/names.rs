//! Which repositories hold something. Read from the directory once, when somebody asks first, and kept
//! up from then on: nobody else writes there. It takes some hundred bytes a repository.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use oci::Repository;

use super::super::{Done, Known, StorageError};

#[derive(Debug, Default)]
pub(super) struct RepositoryNames(Mutex<Option<BTreeSet<Repository>>>);

impl RepositoryNames {
    fn lock(&self) -> MutexGuard<'_, Option<BTreeSet<Repository>>> {
        // Every change is one call on the set.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was put into `name`.
    pub(super) fn grew(&self, name: &Repository) {
        if let Some(names) = &mut *self.lock()
            && !names.contains(name)
        {
            names.insert(name.clone());
        }
    }

    /// Something was deleted from `name`.
    pub(super) fn shrank(
        &self,
        name: &Repository,
        holds_something: impl FnOnce() -> Known,
    ) -> Done {
        // Under the lock, so that who puts something there meanwhile adds it afterwards.
        if let Some(names) = &mut *self.lock()
            && !holds_something()?
        {
            names.remove(name);
        }
        Ok(())
    }

    /// Shows all names, in ASCII order.
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
