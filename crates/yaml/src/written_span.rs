//! Spans as they are written, where those of the parser differ: an editor inserts at their ends.

use crate::{Position, Span};

/// The span of the value of a key. The parser finds an empty value in front of the `:`.
pub(crate) fn behind_colon(text: &str, value: Span) -> Span {
    match value.bytes {
        Some([at, _]) if value.is_empty() && text.as_bytes().get(at as usize) == Some(&b':') => {
            let behind = Position { column: value.start.column.saturating_add(1), ..value.start };
            empty(behind, at + 1)
        }
        _ => value,
    }
}

/// The beginning of a block list with this first item: its first `-`. The parser begins it behind that `-` if it is not
/// indented more than the key of the list.
pub(crate) fn from_dash(text: &str, list: Span, first: Span) -> Span {
    let Some((before, behind)) = list.bytes.and_then(|[at, _]| text.split_at_checked(at as usize))
    else {
        return list;
    };
    if behind.starts_with('-') && first.start != list.start {
        return list;
    }
    // Then it is the first character of its line but for spaces.
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let indent = before.as_bytes()[line..].iter().take_while(|byte| **byte == b' ').count();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let dash = Position { column: number(indent + 1), ..list.start };
    empty(dash, number(line + indent))
}

const fn empty(at: Position, byte: u32) -> Span {
    Span { start: at, end: at, bytes: Some([byte; 2]) }
}
