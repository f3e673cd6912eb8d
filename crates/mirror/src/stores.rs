//! The blob stores that a run writes to, and sets of them.

use blob_store::BlobStore;

/// How many stores one run can write to: a set of them is one machine word in the record of each digest.
pub const MAX_STORES: usize = u64::BITS as usize;

/// The blob stores that a run writes to: at least one, at most [`MAX_STORES`], and none of them twice.
#[derive(Clone, Debug)]
pub struct Stores(Vec<BlobStore>);

/// Why a run cannot write to these stores.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoresError {
    /// There is none.
    #[error("no store is given; name at least one")]
    Empty,
    /// There are more than [`MAX_STORES`].
    #[error(
        "{count} stores are given, but a run can write to {MAX_STORES} at most; use several runs"
    )]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// Two of them are one.
    #[error("{first} and {second} are the same store; name each store once")]
    Same {
        /// The URL of the first.
        first: String,
        /// The URL of the second, which may be equal.
        second: String,
    },
}

impl Stores {
    /// The stores of a run. It compares their directories, and follows links for that.
    ///
    /// # Errors
    /// When there are none, too many, or two of them are one.
    pub fn new(stores: Vec<BlobStore>) -> Result<Self, StoresError> {
        if stores.is_empty() {
            return Err(StoresError::Empty);
        }
        if stores.len() > MAX_STORES {
            return Err(StoresError::TooMany { count: stores.len() });
        }
        for (index, second) in stores.iter().enumerate() {
            if let Some(first) = stores.iter().take(index).find(|first| first.is_same(second)) {
                let (first, second) = (first.to_string(), second.to_string());
                return Err(StoresError::Same { first, second });
            }
        }
        Ok(Self(stores))
    }

    /// The stores, in the order in which they were given.
    #[must_use]
    pub fn as_slice(&self) -> &[BlobStore] {
        &self.0
    }

    /// All of them.
    pub(crate) fn all(&self) -> StoreSet {
        self.0.iter().enumerate().fold(StoreSet::EMPTY, |set, (store, _)| set.with(store))
    }
}

/// A set of the stores of a run, each by its position in [`Stores`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreSet(u64);

impl StoreSet {
    /// No store.
    pub const EMPTY: Self = Self(0);

    /// One store.
    pub(crate) const fn one(store: usize) -> Self {
        Self::EMPTY.with(store)
    }

    /// The same set, and this store.
    pub(crate) const fn with(self, store: usize) -> Self {
        Self(self.0 | (1 << store))
    }

    /// Whether the store is one of them.
    #[must_use]
    pub const fn contains(self, store: usize) -> bool {
        store < MAX_STORES && self.0 & (1 << store) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The stores of either set.
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The stores of both sets.
    pub(crate) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The stores of this set that are not in the other.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Their positions, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MAX_STORES).filter(move |store| self.contains(*store))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_room_for_every_store_of_a_run() {
        let last = MAX_STORES - 1;
        let set = StoreSet::one(0).with(last);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, last]);
        assert!(set.contains(last) && !set.contains(1) && !set.contains(MAX_STORES));
        assert_eq!(set.without(StoreSet::one(last)), StoreSet::one(0));
        assert_eq!(set.intersection(StoreSet::one(last)), StoreSet::one(last));
        let full = (0..MAX_STORES).fold(StoreSet::EMPTY, StoreSet::with);
        assert_eq!(full.iter().count(), MAX_STORES);
    }

    #[test]
    fn a_run_has_at_least_one_store_at_most_64_and_none_twice() {
        let memory = |count| (0..count).map(|_| BlobStore::in_memory()).collect::<Vec<_>>();
        assert_eq!(Stores::new(Vec::new()).err(), Some(StoresError::Empty));
        assert!(Stores::new(memory(MAX_STORES)).is_ok());
        let count = MAX_STORES + 1;
        assert_eq!(Stores::new(memory(count)).err(), Some(StoresError::TooMany { count }));
        let open = |url| BlobStore::open(url).expect("a store");
        for second in ["file:///srv/a", "file:///srv/a/", "file:///srv/./b/../a"] {
            let same = Stores::new(vec![open("file:///srv/a"), open(second)]).err();
            assert!(matches!(same, Some(StoresError::Same { .. })), "{second}");
        }
        assert!(Stores::new(vec![open("file:///srv/a"), open("file:///srv/b")]).is_ok());
    }
}
