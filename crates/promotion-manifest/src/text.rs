//! The text of a file of a project, as a tree.

use yaml::{Aliases, MAX_FILE_BYTES, YamlNode};

use crate::{Problem, line_break, problem::Problems};

/// Parses the text of a file of a project into its values, for editors.
///
/// # Errors
/// The problems of the YAML, if there are any: what an editor would make of such a file is unclear.
pub fn parse_tree<'t>(
    project: &str,
    (file, text): (&str, &'t str),
) -> Result<YamlNode<'t>, Vec<Problem>> {
    let mut problems = Problems::new(project, &file.into());
    let root = read(text, &mut problems);
    let problems = problems.into_problems();
    root.filter(|_| problems.is_empty()).ok_or(problems)
}

/// The tree of `text`, without line breaks that YAML readers disagree on and without aliases. `None` only after a problem
/// was reported.
pub(crate) fn read<'t>(text: &'t str, problems: &mut Problems) -> Option<YamlNode<'t>> {
    let is_fine = text.len() > MAX_FILE_BYTES || line_break::check(text, problems);
    if is_fine { yaml::read(text, Aliases::Refused, problems) } else { None }
}
