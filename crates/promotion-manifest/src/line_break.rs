//! Line breaks that are not LF or CRLF.
//!
//! Source: YAML 1.1 §4.1.4 and YAML 1.2.2 §5.4. The characters here end a line for one of the two versions, for some
//! editors or for terminals, and not for the others. Line numbers, comments and indentation would then depend on the
//! program that reads the file, and a reviewer might see something else than what is promoted.

use yaml::Position;

use crate::{Rule, problem::Problems};

/// The characters, with their names.
const BREAKS: [(char, &str); 6] = [
    ('\u{0B}', "line tabulation"),
    ('\u{0C}', "form feed"),
    ('\r', "carriage return without a line feed"),
    ('\u{85}', "next line"),
    ('\u{2028}', "line separator"),
    ('\u{2029}', "paragraph separator"),
];

/// Reports each of them. Returns whether there is none.
pub(crate) fn check(text: &str, problems: &mut Problems) -> bool {
    // The first bytes of all of them in UTF-8. Nearly no file has any, and this looks at many bytes at once.
    if !text.bytes().any(|byte| matches!(byte, 0x0B..=0x0D | 0xC2 | 0xE2)) {
        return true;
    }
    let mut at = Position::START;
    let mut is_fine = true;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let starts_crlf = character == '\r' && characters.peek() == Some(&'\n');
        let found = BREAKS.iter().find(|(it, _)| *it == character && !starts_crlf);
        if let Some((_, name)) = found {
            is_fine = false;
            let number = u32::from(character);
            let message = format!(
                "ambiguous line break: U+{number:04X} ({name}) ends a line for some YAML readers and not for \
                 others; remove it, or end the line with LF or CRLF"
            );
            problems.leave_out_project(Rule::AmbiguousLineBreak, at, message);
        }
        // A position counts what the parser counts: lines that end with LF.
        at = match character {
            '\n' => Position { line: at.line.saturating_add(1), column: 1 },
            _ => Position { column: at.column.saturating_add(1), ..at },
        };
    }
    is_fine
}
