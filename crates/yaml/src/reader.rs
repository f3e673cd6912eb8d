//! From a text to its tree.
//!
//! Source: YAML 1.2.2, as events of granit-parser. Not supported, and reported as problems: explicit tags (`!!int`) and a
//! second document. Plain scalars stay text, so that the tag `1.20` is not a number; only `null` and its synonyms are
//! recognized.

use std::{borrow::Cow, collections::HashMap};

use granit_parser::{Event, Marker, Parser, ScalarStyle};
use wording::quoted;

use crate::{
    Position, Span, YamlNode, YamlReport, YamlRule,
    node::NodeValue,
    syntax::UNRESOLVED_ALIAS,
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

/// What an alias means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aliases {
    /// It is a problem: a reviewer must see what is meant, and nothing may expand.
    Refused,
    /// A copy of the value at its anchor. The values of copies count too.
    Copied,
}

impl Aliases {
    const fn message(self) -> &'static str {
        match self {
            Self::Refused => {
                "an unquoted `*` is a YAML alias, and aliases are not supported; quote the asterisk"
            }
            Self::Copied => UNRESOLVED_ALIAS,
        }
    }
}

/// Parses the only document of `text`; an empty document is null. `None` only if it cannot be parsed, which is reported.
/// Duplicate keys are reported at any depth.
pub fn read<'t>(
    text: &'t str,
    aliases: Aliases,
    report: &mut impl YamlReport,
) -> Option<YamlNode<'t>> {
    if text.len() > MAX_FILE_BYTES {
        let (size, max) = (text.len(), MAX_FILE_BYTES);
        let message = format!("file too large: it has {size} bytes (maximum {max}); split it");
        report.add(YamlRule::FileTooLarge, Position::START.into(), message);
        return None;
    }
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
    };
    let mut tree = TreeBuilder {
        text,
        aliases,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        values: 0,
        report,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((Event::DocumentStart(..), span)) if tree.root.is_some() => {
                let message = "second YAML document: a file may have only one; remove the `---` or \
                               split the file";
                let at = position(span.start).into();
                tree.report.add(YamlRule::SecondDocument, at, message.to_owned());
                break;
            }
            Ok((event, span)) => tree.take(event, self::span(&span)),
            Err(error) => {
                tree.report.syntax(text, position(*error.marker()), &error.info());
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
struct TreeBuilder<'t, 'r, R> {
    text: &'t str,
    aliases: Aliases,
    /// The collections that are not complete, outermost first, each with the number of its anchor, if it has one.
    open: Vec<(YamlNode<'t>, Option<usize>)>,
    /// The values that aliases may refer to, by the numbers of their anchors.
    anchors: HashMap<usize, YamlNode<'t>>,
    root: Option<YamlNode<'t>>,
    /// The number of values so far, including open collections.
    values: usize,
    report: &'r mut R,
}

impl<'t, R: YamlReport> TreeBuilder<'t, '_, R> {
    fn take(&mut self, event: Event<'t>, span: Span) {
        if event.tag().is_some() {
            let message = "YAML tags (`!…`) are not supported; write the value without it";
            self.report.add(YamlRule::Tag, span, message.to_owned());
        }
        if event_is_value(&event) && !self.count(1, span) {
            return;
        }
        let anchor = event.anchor_id();
        match event {
            Event::Scalar(text, style, ..) => {
                let span = if self.is_after_key() { behind_colon(self.text, span) } else { span };
                self.place(YamlNode { span, value: NodeValue::Scalar { text, style } }, anchor);
            }
            Event::SequenceStart(..) => {
                self.open.push((YamlNode { span, value: NodeValue::List(Vec::new()) }, anchor));
            }
            Event::MappingStart(..) => {
                self.open.push((YamlNode { span, value: NodeValue::Mapping(Vec::new()) }, anchor));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((mut node, anchor)) = self.open.pop() else { return };
                node.span = self.collection(&node, span);
                check_keys(&node, self.report);
                self.place(node, anchor);
            }
            Event::Alias(anchor) => self.alias(Some(anchor), span),
            Event::UnresolvedAlias(_) => self.alias(None, span),
            _ => {} // begin and end of stream and document; an anchor alone means nothing
        }
    }

    /// Counts more values. Returns whether they are within the limit; otherwise that is reported.
    fn count(&mut self, values: usize, span: Span) -> bool {
        self.values += values;
        let are_within = self.values <= MAX_VALUES;
        if !are_within {
            let message = format!("too many YAML values: a file may have {MAX_VALUES}; split it");
            self.report.add(YamlRule::TooManyValues, span, message);
        }
        are_within
    }

    /// An alias is a copy of the value at its anchor, with the position of the alias; or it is refused.
    fn alias(&mut self, anchor: Option<usize>, span: Span) {
        let size = anchor.and_then(|anchor| Some(self.anchors.get(&anchor)?.count()));
        if !self.count(size.unwrap_or_default(), span) {
            return;
        }
        let node = anchor.and_then(|anchor| self.anchors.get(&anchor));
        let value = node.map_or(NodeValue::Refused, |node| node.value.clone());
        if matches!(value, NodeValue::Refused) {
            let message = self.aliases.message();
            self.report.add(YamlRule::Alias, span, message.to_owned());
        }
        self.place(YamlNode { span, value }, None);
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
        let open = self.open.last().map(|(open, _)| &open.value);
        matches!(open, Some(NodeValue::Mapping(flat)) if flat.len() % 2 == 1)
    }

    fn place(&mut self, node: YamlNode<'t>, anchor: Option<usize>) {
        if let (Aliases::Copied, Some(anchor)) = (self.aliases, anchor) {
            if !self.count(node.count(), node.span) {
                return;
            }
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|(open, _)| &mut open.value) {
            Some(NodeValue::List(items) | NodeValue::Mapping(items)) => items.push(node),
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

fn check_keys(node: &YamlNode<'_>, report: &mut impl YamlReport) {
    let mut seen = HashMap::new();
    for [key, _] in node.entries() {
        let Some(text) = key.text("a key must be text", report) else { continue };
        if let Some(line) = seen.insert(text, key.position().line) {
            let text = quoted(text);
            let message = format!("duplicate key {text}: it is already on line {line}; merge them");
            report.add(YamlRule::DuplicateKey, key.span, message);
        }
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
