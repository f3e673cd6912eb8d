//! The bound on the files that a store server has open. Over HTTP/1.1 a connection has one at most; over HTTP/2 each of
//! its requests may have one, so that the bound on connections does not bound files.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http_server::{AddressBlock, StalledOf};

/// One address may have this part of the files: a half, as of the connections.
const ADDRESS_DIVISOR: usize = 2;

/// The files that may be open. Cheap to clone; the clones are one bound.
#[derive(Clone, Debug)]
pub(crate) struct FileBudget(Arc<Mutex<OpenFiles>>);

#[derive(Debug)]
struct OpenFiles {
    max: usize,
    open: usize,
    /// There are never more entries than open files.
    by_client: HashMap<AddressBlock, usize>,
}

impl FileBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Mutex::new(OpenFiles { max, open: 0, by_client: HashMap::new() })))
    }

    /// How many files may be open.
    pub(crate) fn max(&self) -> usize {
        self.lock().max
    }

    /// A permit for one file. If all are open, or the client has its share: whose stalled connections hold some that would do.
    pub(crate) fn take(&self, client: IpAddr) -> Result<FilePermit, StalledOf> {
        let client = AddressBlock::of(client);
        let mut files = self.lock();
        let share = files.max.div_ceil(ADDRESS_DIVISOR);
        let own = files.by_client.get(&client).copied().unwrap_or_default();
        if own >= share {
            return Err(StalledOf::SamePeer);
        }
        if files.open >= files.max {
            return Err(StalledOf::All);
        }
        files.open += 1;
        files.by_client.insert(client, own + 1);
        drop(files);
        Ok(FilePermit { budget: self.clone(), client })
    }

    fn lock(&self) -> MutexGuard<'_, OpenFiles> {
        // Counts are changed together, without anything that may panic in between.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit for one file. It lasts until the file is closed.
#[derive(Debug)]
pub(crate) struct FilePermit {
    budget: FileBudget,
    client: AddressBlock,
}

impl Drop for FilePermit {
    fn drop(&mut self) {
        let mut files = self.budget.lock();
        files.open -= 1;
        if let Some(own) = files.by_client.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                files.by_client.remove(&self.client);
            }
        }
    }
}
