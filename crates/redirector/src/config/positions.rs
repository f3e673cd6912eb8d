//! Where the values of a configuration file are, for findings about values that are valid.

use yaml::{Aliases, YamlNode};

use super::{Config, report::ConfigReport};

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

fn of(node: &YamlNode<'_>) -> ConfigPosition {
    let start = node.present()?.span().start;
    Some((start.line.into(), start.column.into()))
}

/// The position of each item of a list.
fn of_items(list: Option<&YamlNode<'_>>, key: &str) -> Vec<ConfigPosition> {
    let items = list.map_or(&[][..], YamlNode::list).iter();
    items.map(|item| item.get(key).and_then(of)).collect()
}

impl ConfigPositions {
    /// The positions in `text`, which is a valid configuration; none in one that is not.
    #[must_use]
    pub fn of(file: &str, text: &str) -> Self {
        let root = yaml::read(text, Aliases::Copied, &mut ConfigReport::new(file));
        let file = file.to_owned();
        let Some(root) = root else { return Self { file, ..Self::default() } };
        let client_ip = |key| root.get("client_ip").and_then(|client_ip| client_ip.get(key));
        let clouds = root.get("keep_upstream").map_or(&[][..], YamlNode::list).iter();
        let stores = root.get("stores").map_or(&[][..], YamlNode::list).iter();
        Self {
            file,
            trusted_hops: client_ip("trusted_hops").and_then(of),
            trusted_peers: client_ip("trusted_peers").and_then(|peers| of(peers.list().first()?)),
            listen: root.get("listen").and_then(of),
            admin: root.get("admin").and_then(of),
            keep_upstream: clouds.map(of).collect(),
            ranges: of_items(root.get("ranges"), "from"),
            serves: stores.map(|store| of_items(store.get("serves"), "cloud")).collect(),
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
