//! Text that a server chose, as it is shown to people.

use std::fmt;

/// How many characters are shown: a sentence or two.
const SHOWN: usize = 300;

/// A server's text: on one line, without what a terminal would obey, and short.
#[derive(Clone, Copy, Debug)]
pub struct ForeignText<'a>(pub &'a str);

impl fmt::Display for ForeignText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.chars().take(SHOWN);
        let shown = shown.map(|c| if wording::is_control(c) { ' ' } else { c });
        for c in shown {
            fmt::Write::write_char(f, c)?;
        }
        f.write_str(if self.0.chars().nth(SHOWN).is_some() { "…" } else { "" })
    }
}
