//! No file names a place of the machine that it was written on.

use crate::offence::Offence;

/// Directories that only a developer's checkout may be in, and no user's files.
const PLACES: [&str; 3] = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];

/// The lines of a file that name one.
pub(crate) fn check(file: &str, text: &str) -> Vec<Offence> {
    // Written by cargo, and full of names that are not ours.
    if file.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let places = |line| PLACES.into_iter().filter(move |place| names(line, place));
    let offence = |(line, place): (usize, &str)| Offence {
        file: file.to_owned(),
        line,
        what: format!("`{place}` is on one machine only; use a relative path or a placeholder"),
    };
    let found = (1..).zip(text.lines());
    found.flat_map(|(n, line)| places(line).map(move |place| (n, place))).map(offence).collect()
}

/// Whether `place` stands in `line` as the beginning of a path, not within one or within a URL.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~})".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_path_counts() {
        for (line, place, is_offence) in [
            ("cd {}x", 0, true),
            ("\"{}.cargo\"", 0, true),
            ("file://{}x", 1, true),
            ("{}x", 2, true),
            ("https://example.org{}x", 2, false),
            ("..{}x", 2, false),
            ("~{}x", 2, false),
            ("${{dir}}{}x", 2, false),
            ("the work/ of", 2, false),
        ] {
            let line = line.replace("{}", PLACES[place]);
            assert_eq!(check("a.md", &line).len(), usize::from(is_offence), "{line}");
        }
        let text = format!("fine\n{}x {}y\n", PLACES[0], PLACES[2]);
        assert_eq!(check("a.md", &text).iter().map(|of| of.line).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(check("fuzz/Cargo.lock", &text), []);
    }
}
