//! YAML as a small tree whose nodes have positions, and typed access to it.
//!
//! Source: YAML 1.2.2, as events of granit-parser. Not supported, and reported as problems: aliases (a reviewer must see
//! what is meant, and nothing may expand), explicit tags (`!!int`), and a second document. Plain scalars stay text, so
//! that the tag `1.20` is not a number; only `null` and its synonyms are recognized.

use std::{borrow::Cow, collections::HashMap, str::FromStr};

use granit_parser::{Event, Marker, Parser, ScalarStyle};
use wording::quoted;

use crate::{
    Position, RawYaml, RawYamlValue, Rule, Span, line_break,
    problem::Problems,
    syntax,
    written_span::{behind_colon, from_dash},
};

/// The longest text that is parsed, in bytes. The longest real file has 1.2 MB. A longer file cannot be reviewed.
pub const MAX_FILE_BYTES: usize = 32 << 20;

/// How deep block collections may nest, and flow collections in them. Promotion manifests need
/// five levels; `provenance` may take some more.
const MAX_DEPTH: usize = 32;

/// How many values one file may have, including keys and collections. Each takes about 100 bytes of memory, even if it
/// takes two bytes of the file (`a,`). The largest real file has 38,000.
const MAX_VALUES: usize = 1_000_000;

/// A value and its span. What is public is in `tree`.
#[derive(Debug)]
pub struct YamlNode<'t> {
    pub(crate) span: Span,
    pub(crate) value: NodeValue<'t>,
}

#[derive(Debug)]
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

/// Parses the only document of `text`; an empty document is null. `None` only if it cannot be parsed, which is reported.
/// Duplicate keys are reported at any depth.
pub(crate) fn read<'t>(text: &'t str, problems: &mut Problems) -> Option<YamlNode<'t>> {
    if text.len() > MAX_FILE_BYTES {
        let (size, max) = (text.len(), MAX_FILE_BYTES);
        let message = format!("file too large: it has {size} bytes (maximum {max}); split it");
        problems.leave_out_project(Rule::FileTooLarge, Position::START, message);
        return None;
    }
    if !line_break::check(text, problems) {
        return None;
    }
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
    };
    let mut tree = Tree { text, open: Vec::new(), root: None, values: 0, problems };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((Event::DocumentStart(..), span)) if tree.root.is_some() => {
                let message = "second YAML document: a file may have only one; remove the `---` or \
                               split the file";
                tree.problems.leave_out_project(
                    Rule::SecondDocument,
                    position(span.start),
                    message,
                );
                break;
            }
            Ok((event, span)) => tree.take(event, self::span(&span)),
            Err(error) => {
                let (at, message) = syntax::problem(text, position(*error.marker()), &error.info());
                tree.problems.leave_out_project(Rule::YamlSyntax, at, message);
                return None;
            }
        }
        if tree.values > MAX_VALUES {
            return None;
        }
    }
    let nothing = NodeValue::Scalar { text: Cow::Borrowed(""), style: ScalarStyle::Plain };
    let span = Span { bytes: Some([0, 0]), ..Position::START.into() };
    Some(tree.root.unwrap_or(YamlNode { span, value: nothing }))
}

/// The tree while it is built from events.
struct Tree<'t, 'r> {
    text: &'t str,
    /// The collections that are not complete, outermost first.
    open: Vec<YamlNode<'t>>,
    root: Option<YamlNode<'t>>,
    /// The number of values so far, including open collections.
    values: usize,
    problems: &'r mut Problems,
}

impl<'t> Tree<'t, '_> {
    fn take(&mut self, event: Event<'t>, span: Span) {
        if event.tag().is_some() {
            let message = "YAML tags (`!…`) are not supported; write the value without it";
            self.problems.leave_out_project(Rule::YamlTag, span, message);
        }
        if event_is_value(&event) {
            self.values += 1;
        }
        if self.values > MAX_VALUES {
            let message = format!("too many YAML values: a file may have {MAX_VALUES}; split it");
            self.problems.leave_out_project(Rule::TooManyValues, span, message);
            return;
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let span = if self.is_after_key() { behind_colon(self.text, span) } else { span };
                self.place(YamlNode { span, value: NodeValue::Scalar { text, style } });
            }
            Event::SequenceStart(..) => {
                self.open.push(YamlNode { span, value: NodeValue::List(Vec::new()) });
            }
            Event::MappingStart(..) => {
                self.open.push(YamlNode { span, value: NodeValue::Mapping(Vec::new()) });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut node) = self.open.pop() else { return };
                node.span = self.collection(&node, span);
                check_keys(&node, self.problems);
                self.place(node);
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.problems.leave_out_project(Rule::YamlAlias, span, syntax::ASTERISK);
                self.place(YamlNode { span, value: NodeValue::Refused });
            }
            _ => {} // begin and end of stream and document; an anchor alone means nothing
        }
    }

    /// The span of a collection whose end the parser finds at `end`: that of a block collection is at the next token,
    /// which may be many comments later.
    fn collection(&self, node: &YamlNode<'t>, end: Span) -> Span {
        let Some(last) = node.children().last().filter(|_| end.is_empty()) else {
            return node.span.to(end);
        };
        let start = match &node.value {
            NodeValue::List(items) => {
                items.first().map(|first| from_dash(self.text, node.span, first.span))
            }
            _ => None,
        };
        start.unwrap_or(node.span).to(last.span)
    }

    /// Whether the next value is that of a key.
    fn is_after_key(&self) -> bool {
        let open = self.open.last().map(|open| &open.value);
        matches!(open, Some(NodeValue::Mapping(flat)) if flat.len() % 2 == 1)
    }

    fn place(&mut self, node: YamlNode<'t>) {
        match self.open.last_mut() {
            Some(YamlNode {
                value: NodeValue::List(items) | NodeValue::Mapping(items), ..
            }) => {
                items.push(node);
            }
            _ => self.root = Some(node),
        }
    }
}

const fn event_is_value(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::MappingStart(..)
            | Event::Alias(_)
            | Event::UnresolvedAlias(_)
    )
}

fn check_keys(node: &YamlNode<'_>, problems: &mut Problems) {
    let mut seen = HashMap::new();
    for [key, _] in node.entries() {
        let Some(text) = key.text("a key must be text", problems) else { continue };
        if let Some(line) = seen.insert(text, key.position().line) {
            let text = quoted(text);
            let message = format!("duplicate key {text}: it is already on line {line}; merge them");
            problems.leave_out_project(Rule::DuplicateKey, key.span, message);
        }
    }
}

impl<'t> YamlNode<'t> {
    /// The position of its first character.
    pub(crate) const fn position(&self) -> Position {
        self.span.start
    }

    /// Whether it is null: `null`, `~` or empty.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar { text, style: ScalarStyle::Plain }
            if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// `self`, unless it is null.
    pub(crate) fn present(&self) -> Option<&Self> {
        (!self.is_null()).then_some(self)
    }

    /// The items of a list, or the keys and values of a mapping.
    fn children(&self) -> &[Self] {
        match &self.value {
            NodeValue::List(items) | NodeValue::Mapping(items) => items,
            NodeValue::Scalar { .. } | NodeValue::Refused => &[],
        }
    }

    /// The keys and values of a mapping; empty for any other value.
    pub(crate) fn entries(&self) -> &[[Self; 2]] {
        match &self.value {
            NodeValue::Mapping(flat) => flat.as_chunks().0,
            _ => &[],
        }
    }

    /// Whether a mapping has this key, with any value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries().iter().any(|[name, _]| name.scalar() == Some(key))
    }

    /// The text of a scalar, if it is one and not null.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar. `expected` is the beginning of the message if it is something else.
    pub(crate) fn text(&self, expected: &str, problems: &mut Problems) -> Option<&str> {
        self.scalar().or_else(|| self.is_wrong(expected, problems))
    }

    /// The unquoted `true` or `false` of this key.
    pub(crate) fn truth(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        self.unquoted(key, "`true` or `false`", problems)
    }

    /// The unquoted whole number of this key, in decimal digits.
    pub(crate) fn number(&self, key: &str, problems: &mut Problems) -> Option<u32> {
        self.unquoted(key, "a whole number", problems)
    }

    /// A value that is not text. `what` names the expected value.
    fn unquoted<T: FromStr>(&self, key: &str, what: &str, problems: &mut Problems) -> Option<T> {
        let value = self.scalar().and_then(|text| text.parse::<T>().ok());
        match (&self.value, value) {
            (NodeValue::Scalar { style: ScalarStyle::Plain, .. }, Some(value)) => Some(value),
            (NodeValue::Scalar { text, .. }, Some(_)) => {
                let message = format!("`{key}: \"{text}\"` is text; remove the quotes");
                problems.leave_out_project(Rule::QuotedValue, self.span, message);
                None
            }
            _ => self.is_wrong(&format!("`{key}` must be {what}"), problems),
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self, expected: &str, problems: &mut Problems) -> Option<&[Self]> {
        match &self.value {
            NodeValue::List(items) => Some(items),
            _ => self.is_wrong(expected, problems),
        }
    }

    pub(crate) const fn is_list(&self) -> bool {
        matches!(self.value, NodeValue::List(_))
    }

    /// The keys and values of a mapping.
    pub(crate) fn mapping(&self, expected: &str, problems: &mut Problems) -> Option<&[[Self; 2]]> {
        match &self.value {
            NodeValue::Mapping(_) => Some(self.entries()),
            _ => self.is_wrong(expected, problems),
        }
    }

    /// A copy of the value as it is written.
    pub(crate) fn written(&self) -> RawYaml {
        let value = match &self.value {
            NodeValue::Scalar { .. } if self.is_null() => RawYamlValue::Text(String::new()),
            NodeValue::Scalar { text, .. } => RawYamlValue::Text(text.clone().into_owned()),
            NodeValue::List(items) => RawYamlValue::List(items.iter().map(Self::written).collect()),
            NodeValue::Mapping(_) => {
                let entries = self.entries().iter();
                let kept = entries
                    .filter_map(|[key, value]| Some((key.scalar()?.to_owned(), value.written())));
                RawYamlValue::Mapping(kept.collect())
            }
            // An alias was reported, and its project is left out.
            NodeValue::Refused => RawYamlValue::Text(String::new()),
        };
        RawYaml { position: self.position(), value }
    }

    /// The values of a mapping by `names`: `None` for those absent or null. Other keys are reported.
    pub(crate) fn fields<const N: usize>(
        &self,
        expected: &str,
        names: [&str; N],
        problems: &mut Problems,
    ) -> Option<[Option<&Self>; N]> {
        let mut fields = [None; N];
        for [key, value] in self.mapping(expected, problems)? {
            let Some(text) = key.scalar() else { continue };
            match names.iter().position(|name| *name == text) {
                Some(index) => fields[index] = value.present(),
                None if names.contains(&"dmap") && syntax::is_digest_key(text) => {
                    problems.leave_out_project(
                        Rule::DigestOutsideDmap,
                        key.span,
                        syntax::UNDER_INDENTED,
                    );
                }
                None => {
                    let (text, known) = (quoted(text), names.join("`, `"));
                    let message = format!("unknown key {text}; use one of `{known}`");
                    problems.leave_out_project(Rule::UnknownKey, key.span, message);
                }
            }
        }
        Some(fields)
    }

    /// Reports that the value is not what `expected` says.
    fn is_wrong<T>(&self, expected: &str, problems: &mut Problems) -> Option<T> {
        let is = match &self.value {
            NodeValue::Refused => return None,
            NodeValue::Scalar { .. } if self.is_null() => "empty".to_owned(),
            NodeValue::Scalar { text, .. } => quoted(text),
            NodeValue::List(_) => "a list".to_owned(),
            NodeValue::Mapping(_) => "a mapping".to_owned(),
        };
        problems.leave_out_project(
            Rule::WrongType,
            self.span,
            format!("{expected}, but it is {is}"),
        );
        None
    }
}

fn position(marker: Marker) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}

fn span(span: &granit_parser::Span) -> Span {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let bytes = span.byte_range().map(|bytes| [number(bytes.start), number(bytes.end)]);
    Span { start: position(span.start), end: position(span.end), bytes }
}
