//! The `provenance` of a promotion manifest: what images must prove of their making. It is kept as it is
//! written, with the place of each value, for whoever judges by it; here only its keys are checked.
//!
//! Source: the promoter manifests of Kubernetes' promo-tools since 2026.

use crate::{Position, problem::Report, yaml::Node};

/// What images must prove of their making, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Its members that are there and not null, in the order of [`Provenance::KEYS`].
    pub members: Vec<(&'static str, Written)>,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it begins.
    pub position: Position,
    /// What it is.
    pub value: WrittenValue,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenValue {
    /// A text, a number or a truth value, as it is written; nothing is an empty text.
    Text(String),
    /// A list.
    List(Vec<Written>),
    /// A mapping, in the order written.
    Mapping(Vec<(String, Written)>),
}

impl Provenance {
    /// What may stand in it.
    pub const KEYS: [&str; 7] =
        ["mode", "signers", "builders", "sources", "predicateTypes", "level", "levels"];

    /// The member of that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Written> {
        self.members.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// Reads the value of `provenance`.
pub(crate) fn read(node: &Node<'_>, report: &mut Report) -> Option<Provenance> {
    let fields = node.fields("`provenance` must be a mapping", Provenance::KEYS, report)?;
    let [_, _, builders, _, _, _, levels] = fields;
    check_entries(builders, "`builders`", ["id", "level", "signers"], report);
    check_entries(levels, "`levels`", ["images", "level"], report);
    let members = Provenance::KEYS.into_iter().zip(fields);
    let members = members.filter_map(|(key, value)| Some((key, value?.written())));
    Some(Provenance { members: members.collect() })
}

/// Looks whether `list` is a list of mappings with these keys and no others.
fn check_entries<const N: usize>(
    list: Option<&Node<'_>>,
    what: &str,
    keys: [&str; N],
    report: &mut Report,
) {
    let rule = format!("{what} must be a list of mappings");
    for entry in list.and_then(|list| list.items(&rule, report)).into_iter().flatten() {
        entry.fields(&rule, keys, report);
    }
}
