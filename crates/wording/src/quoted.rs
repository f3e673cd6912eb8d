//! Text of others, such as a value of a file or the name of a project, as messages show it.
//!
//! Source: Unicode Standard Annex #9 §2 (directional formatting characters), Unicode 16.0 §23.

/// How many characters of a value a message quotes: enough to recognize it, and little of a file that holds something
/// else than what was expected, such as a secret.
const QUOTED: usize = 40;

/// Whether a character controls a terminal, begins a new line, or is invisible and changes how the text around it looks.
#[must_use]
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` with such characters escaped. Text of untrusted authors must neither control a terminal, nor begin a new line in
/// a log, nor look like another text.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\r' | '\n' => line.extend(c.escape_default()),
            c if is_control(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    line
}

/// `text` in backquotes, and cut if it is long.
#[must_use]
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_can_neither_control_a_terminal_nor_change_its_direction() {
        let text = "a\u{1b}[31m\n\u{202e}b\u{2066}\u{200b}\u{feff}\u{2028}é";
        let shown = "a\\u{1b}[31m\\n\\u{202e}b\\u{2066}\\u{200b}\\u{feff}\\u{2028}é";
        assert_eq!(one_line(text), shown);
        assert!(!shown.chars().any(is_control));
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(quoted(&"é".repeat(40)), format!("`{}`", "é".repeat(40)));
        assert_eq!(quoted(&"é".repeat(41)), format!("`{}…`", "é".repeat(40)));
    }
}
