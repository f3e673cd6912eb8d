//! The `provenance` of a promotion manifest: how images must have been built. It is kept as it is written, with the
//! position of each value, for the code that verifies images. Only its keys and the types of its values are checked here.
//!
//! Source: the promoter manifests of Kubernetes' promo-tools since 2026.

use yaml::YamlNode;

use crate::{RawYaml, problem::Problems};

/// How images must have been built, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Its members that are present and not null, in the order of [`Provenance::KEYS`].
    pub members: Vec<(&'static str, RawYaml)>,
}

impl Provenance {
    /// Its keys.
    pub const KEYS: [&str; 7] =
        ["mode", "signers", "builders", "sources", "predicateTypes", "level", "levels"];

    /// The member with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&RawYaml> {
        self.members.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// Reads the value of `provenance`.
pub(crate) fn read(node: &YamlNode<'_>, problems: &mut Problems) -> Option<Provenance> {
    let fields = node.fields("`provenance` must be a mapping", Provenance::KEYS, problems)?;
    let [mode, signers, builders, sources, predicate_types, level, levels] = fields;
    check_text(mode, "`mode`", problems);
    check_texts(signers, "`signers`", problems);
    check_texts(sources, "`sources`", problems);
    check_texts(predicate_types, "`predicateTypes`", problems);
    check_level(level, problems);
    let keys = ["id", "level", "signers", "caller"];
    for [id, level, signers, caller] in entries(builders, "`builders`", keys, problems) {
        check_text(id, "the `id` of a builder", problems);
        check_level(level, problems);
        check_texts(signers, "`signers`", problems);
        caller.map(|caller| caller.mapping("`caller` must be a mapping", problems));
    }
    for [images, level] in entries(levels, "`levels`", ["images", "level"], problems) {
        check_texts(images, "`images`", problems);
        check_level(level, problems);
    }
    let members = Provenance::KEYS.into_iter().zip(fields);
    let members = members.filter_map(|(key, value)| Some((key, RawYaml::of(value?))));
    Some(Provenance { members: members.collect() })
}

/// The values of each of `list`'s mappings by `keys`, if it is a list of mappings with these keys and no others.
fn entries<'n, const N: usize>(
    list: Option<&'n YamlNode<'n>>,
    what: &str,
    keys: [&str; N],
    problems: &mut Problems,
) -> Vec<[Option<&'n YamlNode<'n>>; N]> {
    let expected = format!("{what} must be a list of mappings");
    let items = list.and_then(|list| list.items(&expected, problems)).unwrap_or_default();
    items.iter().filter_map(|entry| entry.fields(&expected, keys, problems)).collect()
}

fn check_text(value: Option<&YamlNode<'_>>, what: &str, problems: &mut Problems) {
    value.map(|value| value.text(&format!("{what} must be text"), problems));
}

fn check_texts(list: Option<&YamlNode<'_>>, what: &str, problems: &mut Problems) {
    let expected = format!("{what} must be a list of text");
    for item in list.and_then(|list| list.items(&expected, problems)).unwrap_or_default() {
        item.text(&expected, problems);
    }
}

fn check_level(value: Option<&YamlNode<'_>>, problems: &mut Problems) {
    value.map(|value| value.number("level", problems));
}
