//! Text that is quoted in errors.

/// How many characters of a text an error quotes: enough to recognize it, and little of a secret that was taken for a name.
const SHOWN: usize = 40;

/// `text`, cut if it is long.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
