//! All that is in effect, as YAML with comments: every field with its value, where a value comes from if not from the
//! file, the identity of each store, and which list each entry of `ranges` is read from. Pure.
//!
//! The fields are those that [`Config`] serializes, so that none can be missing here.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use super::{BUILT_IN, Config};
use crate::{metrics::FrontMetrics, ranges::RangesSource, store::StoreTable};

/// The configuration in effect, as YAML that [`Config::from_yaml`] reads. Values that `text` does not give are marked
/// as defaults. `text` is the file's; without one, the built-in configuration is meant, and values that
/// the environment overrides are marked too. `sources` are those of the loaded ranges.
#[must_use]
pub fn effective_yaml(config: &Config, text: Option<&str>, sources: &[RangesSource]) -> String {
    let parse = |text: &str| serde_saphyr::from_str::<SettingNode>(text);
    let (in_file, before) = match text {
        Some(text) => (parse(text), parse(&config.to_yaml())),
        None => (parse(BUILT_IN), parse(&Config::built_in().to_yaml())),
    };
    let (Ok(SettingNode::Map(fields)), Ok(before)) = (parse(&config.to_yaml()), before) else {
        return config.to_yaml();
    };
    let mut lines = Lines::default();
    let stores = StoreTable::default().update(&config.stores, &FrontMetrics::new());
    let notes = |path: &[Step<'_>]| match *path {
        [Step::Key("stores"), Step::Entry(at), Step::Key("name")] => {
            stores.get(at).map(|store| format!("store id {}", store.id().number()))
        }
        [Step::Key("ranges"), Step::Entry(at), Step::Key("from")] => {
            let cloud = &config.ranges.get(at)?.cloud;
            sources.iter().find(|source| source.is_for(at, cloud)).map(RangesSource::summary)
        }
        _ => None,
    };
    let mut path = Vec::new();
    let origin = Origin { in_file: in_file.as_ref().ok(), before: Some(&before) };
    lines.fields(&fields, origin, &mut path, &notes);
    lines.text.push('\n');
    lines.text
}

/// A YAML value. A scalar is kept as it is written.
#[derive(Debug, PartialEq, Eq)]
enum SettingNode {
    Scalar(String),
    List(Vec<SettingNode>),
    Map(Vec<(String, SettingNode)>),
}

impl SettingNode {
    fn at(&self, step: Step<'_>) -> Option<&Self> {
        match (self, step) {
            (Self::Map(fields), Step::Key(name)) => {
                fields.iter().find(|(key, _)| key == name).map(|(_, node)| node)
            }
            (Self::List(entries), Step::Entry(at)) => entries.get(at),
            _ => None,
        }
    }

    /// The value of a scalar or of an empty list, as it is written behind its key.
    fn inline(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text),
            Self::List(entries) if entries.is_empty() => Some("[]"),
            Self::List(_) | Self::Map(_) => None,
        }
    }
}

/// A step from a value to one in it.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Entry(usize),
}

/// What a value is compared with, to say where it comes from.
#[derive(Clone, Copy)]
struct Origin<'a> {
    /// The same value in the file, if it is there.
    in_file: Option<&'a SettingNode>,
    /// The same value before the environment was applied.
    before: Option<&'a SettingNode>,
}

impl Origin<'_> {
    fn at(self, step: Step<'_>) -> Self {
        Self {
            in_file: self.in_file.and_then(|node| node.at(step)),
            before: self.before.and_then(|node| node.at(step)),
        }
    }

    fn mark(self, value: &SettingNode) -> Option<&'static str> {
        match self {
            Self { before, .. } if before != Some(value) => Some("environment"),
            Self { in_file: None, .. } => Some("default"),
            Self { .. } => None,
        }
    }
}

type Notes<'n> = dyn Fn(&[Step<'_>]) -> Option<String> + 'n;

/// The lines written so far. The last one has no end yet.
#[derive(Default)]
struct Lines {
    text: String,
    /// Whether the last line has the dash of an entry only.
    after_dash: bool,
}

impl Lines {
    fn fields<'n>(
        &mut self,
        fields: &'n [(String, SettingNode)],
        origin: Origin<'_>,
        path: &mut Vec<Step<'n>>,
        notes: &Notes<'_>,
    ) {
        for (name, value) in fields {
            let step = Step::Key(name);
            path.push(step);
            self.begin(path, &format!("{name}:"));
            self.value(value, origin.at(step), path, notes);
            path.pop();
        }
    }

    fn value<'n>(
        &mut self,
        value: &'n SettingNode,
        origin: Origin<'_>,
        path: &mut Vec<Step<'n>>,
        notes: &Notes<'_>,
    ) {
        if let Some(inline) = value.inline() {
            let comments = [origin.mark(value).map(str::to_owned), notes(path)];
            let comments: Vec<_> = comments.into_iter().flatten().collect();
            self.after_dash = false;
            self.text.push_str(&format!(" {inline}"));
            if !comments.is_empty() {
                // A path may have a line break in its name.
                let comment = comments.join(", ").replace(char::is_control, "?");
                self.text.push_str(&format!("  # {comment}"));
            }
        }
        match value {
            SettingNode::Scalar(_) => {}
            SettingNode::Map(fields) => self.fields(fields, origin, path, notes),
            SettingNode::List(entries) => {
                for (at, entry) in entries.iter().enumerate() {
                    path.push(Step::Entry(at));
                    self.begin(path, "-");
                    self.value(entry, origin.at(Step::Entry(at)), path, notes);
                    path.pop();
                }
            }
        }
    }

    /// Begins a line for the value at `path`, unless it follows the dash of its entry.
    fn begin(&mut self, path: &[Step<'_>], text: &str) {
        if self.after_dash {
            self.text.push(' ');
        } else {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            self.text.push_str(&"  ".repeat(path.len() - 1));
        }
        self.text.push_str(text);
        self.after_dash = text == "-";
    }
}

impl<'de> Deserialize<'de> for SettingNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = SettingNode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<SettingNode, E> {
        Ok(SettingNode::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<SettingNode, E> {
        Ok(SettingNode::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<SettingNode, E> {
        Ok(SettingNode::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<SettingNode, E> {
        Ok(SettingNode::Scalar(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<SettingNode, E> {
        Ok(SettingNode::Scalar("null".to_owned()))
    }

    fn visit_none<E>(self) -> Result<SettingNode, E> {
        Ok(SettingNode::Scalar("null".to_owned()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SettingNode, E> {
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        let written = serde_saphyr::to_string_with_options(&text, options);
        written.map(|text| SettingNode::Scalar(text.trim_end().to_owned())).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SettingNode, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(SettingNode::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SettingNode, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(SettingNode::Map(fields))
    }
}
