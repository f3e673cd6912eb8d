//! Where the values of a configuration file stand, for what is told of them once they are known to be valid.

use super::{Config, check, document::Document};

/// Line and column, from 1.
pub(crate) type Place = Option<(u64, u64)>;

/// Where the values stand that may be valid and still make no sense together. The lists are in the order of
/// the [`Config`]'s.
#[derive(Clone, Debug, Default)]
pub struct ConfigPlaces {
    pub(crate) file: String,
    pub(crate) listen: Place,
    pub(crate) admin: Place,
    pub(crate) keep_upstream: Vec<Place>,
    pub(crate) ranges: Vec<Place>,
    /// Of each store, each entry of `serves`.
    pub(crate) serves: Vec<Vec<Place>>,
}

impl ConfigPlaces {
    /// The places in `text`, which is a valid configuration; none in one that is not.
    #[must_use]
    pub fn of(file: &str, text: &str) -> Self {
        let file = file.to_owned();
        let options = serde_saphyr::options! { with_snippet: false };
        let document: Result<Document, _> = serde_saphyr::from_str_with_options(text, options);
        let Ok(document) = document else { return Self { file, ..Self::default() } };
        let of = |text: &super::document::Text| check::position(text.referenced);
        let serves = |store: &super::document::StoreDocument| {
            store.serves.value.iter().map(|serves| of(&serves.cloud)).collect()
        };
        Self {
            file,
            listen: document.listen.as_ref().and_then(of),
            admin: document.admin.iter().flatten().next().and_then(of),
            keep_upstream: document.keep_upstream.iter().map(of).collect(),
            ranges: document.ranges.iter().map(|ranges| of(&ranges.from)).collect(),
            serves: document.stores.iter().map(serves).collect(),
        }
    }

    /// The places in the built-in configuration.
    #[must_use]
    pub fn built_in() -> Self {
        Self::of(Config::BUILT_IN_NAME, super::BUILT_IN)
    }
}
