//! The `provenance` of a promotion manifest: what images must prove of their making. It is kept as it is
//! written, with the place of each value, for whoever judges by it; here only its keys and
//! the types of its values are checked.
//!
//! Source: the promoter manifests of Kubernetes' promo-tools since 2026.

use crate::{Written, problem::Report, yaml::Node};

/// What images must prove of their making, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Its members that are there and not null, in the order of [`Provenance::KEYS`].
    pub members: Vec<(&'static str, Written)>,
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
    let [mode, signers, builders, sources, predicate_types, level, levels] = fields;
    check_text(mode, "`mode`", report);
    check_texts(signers, "`signers`", report);
    check_texts(sources, "`sources`", report);
    check_texts(predicate_types, "`predicateTypes`", report);
    check_level(level, report);
    let keys = ["id", "level", "signers", "caller"];
    for [id, level, signers, caller] in entries(builders, "`builders`", keys, report) {
        check_text(id, "the `id` of a builder", report);
        check_level(level, report);
        check_texts(signers, "`signers`", report);
        caller.map(|caller| caller.mapping("`caller` must be a mapping", report));
    }
    for [images, level] in entries(levels, "`levels`", ["images", "level"], report) {
        check_texts(images, "`images`", report);
        check_level(level, report);
    }
    let members = Provenance::KEYS.into_iter().zip(fields);
    let members = members.filter_map(|(key, value)| Some((key, value?.written())));
    Some(Provenance { members: members.collect() })
}

/// The values of each of `list`'s mappings by `keys`, if it is a list of mappings with these keys and no others.
fn entries<'n, const N: usize>(
    list: Option<&'n Node<'n>>,
    what: &str,
    keys: [&str; N],
    report: &mut Report,
) -> Vec<[Option<&'n Node<'n>>; N]> {
    let rule = format!("{what} must be a list of mappings");
    let items = list.and_then(|list| list.items(&rule, report)).unwrap_or_default();
    items.iter().filter_map(|entry| entry.fields(&rule, keys, report)).collect()
}

fn check_text(value: Option<&Node<'_>>, what: &str, report: &mut Report) {
    value.map(|value| value.text(&format!("{what} must be text"), report));
}

fn check_texts(list: Option<&Node<'_>>, what: &str, report: &mut Report) {
    let rule = format!("{what} must be a list of text");
    for item in list.and_then(|list| list.items(&rule, report)).unwrap_or_default() {
        item.text(&rule, report);
    }
}

fn check_level(value: Option<&Node<'_>>, report: &mut Report) {
    value.map(|value| value.number("level", report));
}
