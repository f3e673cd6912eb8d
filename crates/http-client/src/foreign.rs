//! Text that a server chose, as it is shown to people.

use std::fmt;

/// How many characters are shown: a sentence or two.
const SHOWN: usize = 300;

/// A server's text: on one line, without what a terminal would obey, and short.
#[derive(Clone, Copy, Debug)]
pub struct ForeignText<'a>(pub &'a str);

impl fmt::Display for ForeignText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_obeyed = |c: char| c.is_control() || is_bidirectional(c);
        let shown = self.0.chars().take(SHOWN).map(|c| if is_obeyed(c) { ' ' } else { c });
        for c in shown {
            fmt::Write::write_char(f, c)?;
        }
        f.write_str(if self.0.chars().nth(SHOWN).is_some() { "…" } else { "" })
    }
}

/// Whether it changes the direction of the text around it (Unicode Standard Annex #9, §2), so that a message could
/// look like another one.
const fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
