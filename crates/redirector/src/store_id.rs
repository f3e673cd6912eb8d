//! The identity of a blob store in caches. It follows the store, not its position in the configuration.

/// A store, for as long as the process serves it. A number is never used for another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(u32);

impl StoreId {
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}
