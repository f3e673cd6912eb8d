//! The layout of rows: within the width of a terminal, or each row on one line without a terminal, so that `grep` finds
//! whole rows. Nothing is cut: text that does not fit continues on the next line.

/// The number of columns of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// As many as a line needs.
    Unlimited,
    /// The columns of a terminal.
    Columns(usize),
}

/// The space between two parts of a row.
const GAP: &str = "  ";

impl Width {
    /// Whether a line of so many columns fits.
    #[must_use]
    pub const fn fits(self, columns: usize) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Columns(width) => columns <= width,
        }
    }
}

impl Width {
    /// The indentation of a line, at most `indent`, with which the first word of `text` fits.
    fn indent_of(self, text: &str, indent: usize) -> usize {
        let word = columns(text.split(' ').next().unwrap_or_default());
        match self {
            Self::Columns(width) if word <= width => indent.min(width - word),
            _ => indent,
        }
    }
}

/// The number of columns that `text` takes.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.chars().count()
}

/// A row of `parts` with this indentation, on one line if it fits. Otherwise a part that does not fit begins a new line
/// with more indentation, and is wrapped between words. A word that is longer than a line is not broken. A word that fits
/// only with less indentation, such as a digest tag, gets less.
#[must_use]
pub fn row(indent: usize, parts: &[impl AsRef<str>], width: Width) -> String {
    let first = parts.first().map_or("", AsRef::as_ref);
    let mut used = width.indent_of(first, indent);
    let mut row = " ".repeat(used);
    for (at, part) in parts.iter().map(AsRef::as_ref).enumerate() {
        // Before a reason, which follows a colon, the space is a single one.
        let gap = if row.ends_with(':') { " " } else { GAP };
        if at > 0 && width.fits(used + gap.len() + columns(part)) {
            row.push_str(gap);
            used += gap.len();
        } else if at > 0 {
            used = break_line(&mut row, width.indent_of(part, indent + 2));
        }
        used = words(&mut row, part, used, indent + 4, width);
    }
    row
}

/// Appends `text` to `row`, whose last line has `used` columns. Returns the columns of its last line then.
fn words(row: &mut String, text: &str, mut used: usize, indent: usize, width: Width) -> usize {
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 && width.fits(used + 1 + columns(word)) {
            row.push(' ');
            used += 1;
        } else if at > 0 {
            used = break_line(row, width.indent_of(word, indent));
        }
        row.push_str(word);
        used += columns(word);
    }
    used
}

fn break_line(row: &mut String, indent: usize) -> usize {
    row.push('\n');
    row.push_str(&" ".repeat(indent));
    indent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_or_is_wrapped_and_never_cut() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let parts = ["app:v1", &digest, "at a.example/x, b.example/y:", "tag move: it stays"];
        let one = row(2, &parts, Width::Unlimited);
        assert_eq!(
            one,
            format!("  app:v1  {digest}  at a.example/x, b.example/y: tag move: it stays")
        );
        assert_eq!(row(2, &parts, Width::Columns(columns(&one))), one);
        assert_eq!(
            row(2, &parts, Width::Columns(columns(&one) - 1)),
            format!("  app:v1  {digest}  at a.example/x, b.example/y:\n    tag move: it stays")
        );
        assert_eq!(
            row(2, &parts, Width::Columns(80)),
            format!("  app:v1\n    {digest}\n    at a.example/x, b.example/y: tag move: it stays")
        );
        let narrow = row(2, &parts, Width::Columns(20));
        assert_eq!(
            narrow,
            format!(
                "  app:v1\n    {digest}\n    at a.example/x,\n      b.example/y:\n    tag move: it\n      stays"
            )
        );
    }

    #[test]
    fn a_word_that_fits_a_line_is_not_broken_by_its_indent() {
        let digest_tag = format!("sha256-{}.att", "a".repeat(64));
        let with = format!("with attachments {digest_tag}, x");
        assert_eq!(
            row(2, &["app:v1", &with], Width::Columns(80)),
            format!("  app:v1\n    with attachments\n    {digest_tag},\n      x")
        );
        for (indent, width, begins) in [(4, 80, 4), (6, 80, 5), (6, 75, 0), (6, 74, 6)] {
            let row = row(indent, &[&digest_tag], Width::Columns(width));
            assert_eq!(row, format!("{:begins$}{digest_tag}", ""), "{indent} {width}");
        }
    }
}
