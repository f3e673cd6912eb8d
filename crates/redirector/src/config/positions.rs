//! Where the values of a configuration file are, for findings about values that are valid.

use super::{
    Config, check,
    document::ConfigDocument,
    field::{Field, FieldKind},
};

/// Line and column, from 1.
pub(crate) type ConfigPosition = Option<(u64, u64)>;

/// Where the values are that may be valid and still make no sense together. The lists are in the order of
/// the [`Config`]'s.
#[derive(Clone, Debug, Default)]
pub struct ConfigPositions {
    pub(crate) file: String,
    pub(crate) listen: ConfigPosition,
    pub(crate) admin: ConfigPosition,
    pub(crate) trusted_hops: ConfigPosition,
    pub(crate) trusted_peers: ConfigPosition,
    pub(crate) keep_upstream: Vec<ConfigPosition>,
    pub(crate) ranges: Vec<ConfigPosition>,
    /// Of each store, each entry of `serves`.
    pub(crate) serves: Vec<Vec<ConfigPosition>>,
}

fn of<K: FieldKind>(field: &Field<K>) -> ConfigPosition {
    check::position(field.at)
}

impl ConfigPositions {
    /// The positions in `text`, which is a valid configuration; none in one that is not.
    #[must_use]
    pub fn of(file: &str, text: &str) -> Self {
        let file = file.to_owned();
        let options = serde_saphyr::options! { with_snippet: false };
        let document: Result<ConfigDocument, _> =
            serde_saphyr::from_str_with_options(text, options);
        let Ok(document) = document else { return Self { file, ..Self::default() } };
        let serves = |store: &super::document::StoreDocument| {
            store.serves.value.iter().map(|serves| of(&serves.cloud)).collect()
        };
        let client_ip = document.client_ip.as_ref();
        let trusted_hops = client_ip.and_then(|client_ip| client_ip.trusted_hops.as_ref());
        let trusted_peers = client_ip.and_then(|client_ip| client_ip.trusted_peers.first());
        Self {
            file,
            trusted_hops: trusted_hops.and_then(|hops| check::position(hops.0.referenced)),
            trusted_peers: trusted_peers.and_then(of),
            listen: document.listen.as_ref().and_then(of),
            admin: document.admin.iter().flatten().next().and_then(of),
            keep_upstream: document.keep_upstream.iter().map(of).collect(),
            ranges: document.ranges.iter().map(|ranges| of(&ranges.from)).collect(),
            serves: document.stores.iter().map(serves).collect(),
        }
    }

    /// What the file is called.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The positions in the built-in configuration.
    #[must_use]
    pub fn built_in() -> Self {
        Self::of(Config::BUILT_IN_NAME, super::BUILT_IN)
    }
}
