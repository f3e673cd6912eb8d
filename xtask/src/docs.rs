//! Every page in `docs/` is linked from where readers begin: `README.md`, `ARCHITECTURE.md` or `docs/README.md`. A page
//! of a folder may instead be linked from that folder's own `README.md`, which is itself a page.

use crate::offence::{Files, Offence};

const ENTRANCES: [&str; 2] = ["README.md", "ARCHITECTURE.md"];

/// The table of contents.
const CONTENTS: &str = "docs/README.md";

/// The pages that nothing links to; none while there is no `README.md` to link from.
pub(crate) fn check(files: &Files) -> Vec<Offence> {
    if !files.contains_key(ENTRANCES[0]) {
        return Vec::new();
    }
    let is_page = |file: &&String| file.starts_with("docs/") && file.ends_with(".md");
    let entrances: Vec<&String> = ENTRANCES.iter().filter_map(|file| files.get(*file)).collect();
    let is_linked = |page: &&String| {
        let folder = page.rsplit_once('/');
        let index = folder
            .and_then(|(folder, name)| Some((files.get(&format!("{folder}/README.md"))?, name)));
        let in_contents = files.get(CONTENTS).zip(page.strip_prefix("docs/"));
        entrances.iter().any(|text| links_to(text, page))
            || in_contents.is_some_and(|(text, name)| name != "README.md" && links_to(text, name))
            || index.is_some_and(|(text, name)| name != "README.md" && links_to(text, name))
    };
    let pages = files.keys().filter(is_page).filter(|page| !is_linked(page));
    let what = format!("no link leads here; add one to {}", ENTRANCES.join(" or "));
    pages.map(|page| Offence { file: page.clone(), line: 0, what: what.clone() }).collect()
}

/// Inline links, with or without an anchor, and the definitions of reference links.
fn links_to(text: &str, page: &str) -> bool {
    [format!("]({page})"), format!("]({page}#"), format!("]: {page}")]
        .iter()
        .any(|link| text.contains(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_needs_a_link() {
        let pages =
            ["docs/a.md", "docs/b.md", "docs/c.md", "docs/d/e.md", "docs/x.svg", "other.md"];
        let mut files: Files =
            pages.iter().map(|page| ((*page).to_owned(), String::new())).collect();
        assert_eq!(check(&files), []);
        files.insert("README.md".into(), "[a](docs/a.md) and `docs/d/e.md`, docs/c.md".into());
        files.insert("ARCHITECTURE.md".into(), "[b](docs/b.md#how)\n[c]: docs/c.md\n".into());
        let offences: Vec<_> = check(&files).into_iter().map(|offence| offence.file).collect();
        assert_eq!(offences, ["docs/d/e.md"]);
        // The table of contents needs a link itself.
        files.insert(CONTENTS.into(), "[e](d/e.md) [contents](README.md)".into());
        let offences: Vec<_> = check(&files).into_iter().map(|offence| offence.file).collect();
        assert_eq!(offences, [CONTENTS]);
        files.remove(CONTENTS);
        // So does the index of a folder.
        files.insert("docs/d/README.md".into(), "[e](e.md) [index](README.md)".into());
        let offences: Vec<_> = check(&files).into_iter().map(|offence| offence.file).collect();
        assert_eq!(offences, ["docs/d/README.md"]);
    }
}
