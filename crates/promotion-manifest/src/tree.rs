//! The values of a file, each with the bytes that it takes. For editors: they replace the bytes of one value, and so leave
//! the order of entries, comments and all other bytes as they are.
//!
//! Not here: what the values mean (`parse`); editing.

use std::{ops::Range, str::FromStr};

use granit_parser::ScalarStyle;

use crate::{
    Problem, Span,
    problem::Problems,
    yaml::{self, NodeValue, YamlNode},
};

/// Parses the text of a file of a project into its values.
///
/// # Errors
/// The problems of the YAML, if there are any: what an editor would make of such a file is unclear.
pub fn parse_tree<'t>(
    project: &str,
    (file, text): (&str, &'t str),
) -> Result<YamlNode<'t>, Vec<Problem>> {
    let mut problems = Problems::new(project, &file.into());
    let root = yaml::read(text, &mut problems);
    let problems = problems.into_problems();
    root.filter(|_| problems.is_empty()).ok_or(problems)
}

/// A value of a file.
#[derive(Clone, Copy, Debug)]
pub enum YamlValue<'n, 't> {
    /// `null`, `~` or nothing.
    Null,
    /// A scalar, without its quotes.
    Text(&'n str),
    /// The items of a list.
    List(&'n [YamlNode<'t>]),
    /// The entries of a mapping, each a key and its value, in the order written.
    Mapping(&'n [[YamlNode<'t>; 2]]),
}

impl<'t> YamlNode<'t> {
    /// The value.
    #[must_use]
    pub fn value(&self) -> YamlValue<'_, 't> {
        match &self.value {
            NodeValue::List(items) => YamlValue::List(items),
            NodeValue::Mapping(_) => YamlValue::Mapping(self.entries()),
            NodeValue::Scalar { .. } | NodeValue::Refused => {
                self.scalar().map_or(YamlValue::Null, YamlValue::Text)
            }
        }
    }

    /// Its span: of a scalar with its quotes, of a flow collection with its brackets, and of a block collection from its
    /// first key or `-` to the end of its last value. Where nothing is written, the empty span behind the `:` or `-`.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// The bytes of its span. `None` for a block scalar (`|` or `>`): the parser does not say where its indicator is, so
    /// it cannot be replaced alone.
    #[must_use]
    pub fn bytes(&self) -> Option<Range<usize>> {
        let is_block = matches!(
            &self.value,
            NodeValue::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. }
        );
        let [start, end] = self.span.bytes.filter(|_| !is_block)?;
        Some(start as usize..end as usize)
    }

    /// The node at the end of a path that begins here; `None` if there is none.
    #[must_use]
    pub fn find(&self, path: &YamlPath) -> Option<&Self> {
        path.0.iter().try_fold(self, |node, step| match (step, node.value()) {
            (PathStep::Item(index), YamlValue::List(items)) => items.get(*index),
            (PathStep::Key(key), YamlValue::Mapping(entries)) => {
                let mut entries = entries.iter();
                entries.find(|[name, _]| name.scalar() == Some(key)).map(|[_, value]| value)
            }
            _ => None,
        })
    }
}

/// The way to a value, such as `images[3].dmap["sha256:…"][0]`: keys, in quotes or not, and indices of items from 0. A
/// quoted key ends at `"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlPath(pub Vec<PathStep>);

/// One step of a [`YamlPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// To the value of this key.
    Key(String),
    /// To the item at this index.
    Item(usize),
}

/// A text that is no [`YamlPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid path `{path}`: write it as `images[3].dmap[\"sha256:…\"][0]`")]
pub struct InvalidYamlPath {
    /// The text.
    pub path: String,
}

impl FromStr for YamlPath {
    type Err = InvalidYamlPath;

    fn from_str(path: &str) -> Result<Self, InvalidYamlPath> {
        let (mut steps, mut rest) = (Vec::new(), path);
        while !rest.is_empty() {
            // A dot separates a key from what is before it.
            let key = if steps.is_empty() { Some(rest) } else { rest.strip_prefix('.') };
            let next = in_brackets(rest).or_else(|| plain_key(key?));
            let (step, behind) = next.ok_or_else(|| InvalidYamlPath { path: path.to_owned() })?;
            steps.push(step);
            rest = behind;
        }
        Ok(Self(steps))
    }
}

/// The step in brackets at the beginning of a path, and what follows it.
fn in_brackets(path: &str) -> Option<(PathStep, &str)> {
    if let Some(quoted) = path.strip_prefix("[\"") {
        let (key, behind) = quoted.split_once("\"]")?;
        return Some((PathStep::Key(key.to_owned()), behind));
    }
    let (index, behind) = path.strip_prefix('[')?.split_once(']')?;
    Some((PathStep::Item(index.parse().ok()?), behind))
}

fn plain_key(path: &str) -> Option<(PathStep, &str)> {
    let (key, behind) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
    (!key.is_empty()).then(|| (PathStep::Key(key.to_owned()), behind))
}
