//! The values of a file, each with the bytes that it takes. An editor replaces the bytes of one value, and so leaves the
//! order of entries, comments and all other bytes as they are.
//!
//! Not here: what the values mean; editing.

use std::{borrow::Cow, ops::Range};

use granit_parser::ScalarStyle;

use crate::{PathStep, Position, Span, YamlPath};

/// A value and its span.
#[derive(Clone, Debug)]
pub struct YamlNode<'t> {
    pub(crate) span: Span,
    pub(crate) value: NodeValue<'t>,
}

#[derive(Clone, Debug)]
pub(crate) enum NodeValue<'t> {
    Scalar {
        text: Cow<'t, str>,
        style: ScalarStyle,
    },
    List(Vec<YamlNode<'t>>),
    /// Alternating keys and values.
    Mapping(Vec<YamlNode<'t>>),
    /// An alias, which has been reported.
    Refused,
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
            (PathStep::Key(key), YamlValue::Mapping(_)) => node.get(key),
            _ => None,
        })
    }

    /// The position of its first character.
    pub const fn position(&self) -> Position {
        self.span.start
    }

    /// Whether it is null: `null`, `~` or empty.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar { text, style: ScalarStyle::Plain }
            if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// `self`, unless it is null.
    pub fn present(&self) -> Option<&Self> {
        (!self.is_null()).then_some(self)
    }

    /// The items of a list; empty for any other value.
    pub fn list(&self) -> &[Self] {
        match &self.value {
            NodeValue::List(items) => items,
            _ => &[],
        }
    }

    /// The items of a list, or the keys and values of a mapping.
    pub(crate) fn children(&self) -> &[Self] {
        match &self.value {
            NodeValue::List(items) | NodeValue::Mapping(items) => items,
            NodeValue::Scalar { .. } | NodeValue::Refused => &[],
        }
    }

    /// The keys and values of a mapping; empty for any other value.
    pub fn entries(&self) -> &[[Self; 2]] {
        match &self.value {
            NodeValue::Mapping(flat) => flat.as_chunks().0,
            _ => &[],
        }
    }

    /// The value of this key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let mut entries = self.entries().iter();
        entries.find(|[name, _]| name.scalar() == Some(key)).map(|[_, value]| value)
    }

    /// Whether a mapping has this key, with any value.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The text of a scalar, if it is one and not null.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Whether it is a scalar without quotes, which may be a number or a truth value.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        matches!(self.value, NodeValue::Scalar { style: ScalarStyle::Plain, .. })
    }

    /// Whether it is a list.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        matches!(self.value, NodeValue::List(_))
    }

    /// Whether it is an alias that was refused and reported.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self.value, NodeValue::Refused)
    }

    /// The number of values in it, itself included.
    pub(crate) fn count(&self) -> usize {
        1 + self.children().iter().map(Self::count).sum::<usize>()
    }
}
