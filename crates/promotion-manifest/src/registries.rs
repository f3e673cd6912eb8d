//! The `registries` of a promotion manifest: one source, and destinations.
//!
//! Every problem here leaves out the whole project, because destinations must not be guessed.

use std::collections::HashMap;

use oci::{RegistryPrefix, RegistryPrefixError, RepositoryError};
use wording::quoted;
use yaml::{Position, YamlNode};

use crate::{RegistryEntry, Rule, problem::Problems};

/// How many destinations a project may have. The largest real project has 66: 22 regions times three paths. The number
/// of edges is images times destinations, so a mistake here could fill the memory.
const MAX_DESTINATIONS: usize = 1000;

/// The registries of a project.
#[derive(Debug)]
pub(crate) struct Registries {
    pub(crate) source: RegistryEntry,
    pub(crate) destinations: Vec<RegistryEntry>,
}

/// Reads the value of `registries`, if there is one. `at` is the position of the first key of the file. `None` only if a
/// problem was reported.
pub(crate) fn read(
    list: Option<&YamlNode<'_>>,
    at: Position,
    problems: &mut Problems,
) -> Option<Registries> {
    let Some(list) = list else {
        problems.leave_out_project(
            Rule::MissingRegistries,
            at,
            "no `registries`; list the source (`src: true`) and the destinations",
        );
        return None;
    };
    let expected = "`registries` must be a list of `- name: HOST/PATH`";
    let entries: Vec<ParsedRegistry> =
        list.items(expected, problems)?.iter().filter_map(|item| entry(item, problems)).collect();
    // Which one is missing cannot be said while one has a `src` that cannot be read.
    let are_known = entries.iter().all(|entry| entry.is_source.is_some());
    let entries = entries.into_iter().filter(|entry| entry.is_source.is_some());
    let (sources, destinations): (Vec<ParsedRegistry>, Vec<ParsedRegistry>) =
        entries.partition(|entry| entry.is_source == Some(true));
    if are_known {
        check_numbers(at, &sources, &destinations, problems);
    }
    let source = sources.into_iter().next().and_then(|entry| entry.registry);
    let destinations: Vec<RegistryEntry> =
        destinations.into_iter().filter_map(|entry| entry.registry).collect();
    check_names(source.as_ref(), &destinations, problems);
    Some(Registries { source: source?, destinations })
}

/// An entry of the list.
struct ParsedRegistry {
    position: Position,
    /// `None` if its `src` is not valid, which has been reported.
    is_source: Option<bool>,
    /// `None` if its name is not valid, which has been reported.
    registry: Option<RegistryEntry>,
}

fn entry(node: &YamlNode<'_>, problems: &mut Problems) -> Option<ParsedRegistry> {
    let expected = "a registry must be a mapping with a `name`";
    let [name, account, source] =
        node.fields(expected, ["name", "service-account", "src"], problems)?;
    let prefix = prefix(node, name, problems);
    let expected = "`service-account` must be text";
    let service_account = account.and_then(|node| node.text(expected, problems)).map(str::to_owned);
    let is_source = source.map_or(Some(false), |node| node.truth("src", problems));
    let position = node.position();
    let registry = prefix.map(|prefix| RegistryEntry { prefix, service_account, position });
    Some(ParsedRegistry { position, is_source, registry })
}

fn prefix(
    registry: &YamlNode<'_>,
    name: Option<&YamlNode<'_>>,
    problems: &mut Problems,
) -> Option<RegistryPrefix> {
    let Some(name) = name else {
        let message = "this registry has no `name`; add its host and path: `name: HOST/PATH`";
        problems.leave_out_project(Rule::MissingName, registry.span(), message);
        return None;
    };
    let text = name.text("the `name` of a registry must be text", problems)?;
    match text.parse() {
        Ok(prefix) => Some(prefix),
        Err(error) => {
            let text = quoted(text);
            let message = match error {
                RegistryPrefixError::Path(RepositoryError::BadComponent(_)) => {
                    format!("{text} is not a registry `name`: {error}; correct it")
                }
                // The other errors say what to do.
                _ => format!("{text} is not a registry `name`: {error}"),
            };
            problems.leave_out_project(Rule::InvalidRegistry, name.span(), message);
            None
        }
    }
}

fn check_numbers(
    at: Position,
    sources: &[ParsedRegistry],
    destinations: &[ParsedRegistry],
    problems: &mut Problems,
) {
    if sources.is_empty() {
        let message = "no source registry; add `src: true` to the one to promote from";
        problems.leave_out_project(Rule::MissingSource, at, message);
    }
    for again in sources.iter().skip(1) {
        let line = sources[0].position.line;
        let message = format!(
            "second source registry: the first is on line {line}; keep `src: true` at one of them"
        );
        problems.leave_out_project(Rule::SecondSource, again.position, message);
    }
    if destinations.is_empty() {
        let message = "no destination registry; add those to promote to, without `src`";
        problems.leave_out_project(Rule::MissingDestination, at, message);
    }
    if let Some(beyond) = destinations.get(MAX_DESTINATIONS) {
        let message = format!(
            "too many destinations: a project may have {MAX_DESTINATIONS}; split the project"
        );
        problems.leave_out_project(Rule::TooManyDestinations, beyond.position, message);
    }
}

fn check_names(
    source: Option<&RegistryEntry>,
    destinations: &[RegistryEntry],
    problems: &mut Problems,
) {
    let mut seen = HashMap::new();
    for RegistryEntry { prefix, position, .. } in destinations {
        if let Some(source) = source.map(|source| &source.prefix)
            && let Some(how) = is_in(prefix, source)
        {
            let message =
                format!("the destination `{prefix}` is {how}; remove it or correct its name");
            problems.leave_out_project(Rule::DestinationInSource, *position, message);
        }
        if let Some(line) = seen.insert(prefix, position.line) {
            let message = format!(
                "duplicate destination `{prefix}`: it is already on line {line}; remove one"
            );
            problems.leave_out_project(Rule::DuplicateDestination, *position, message);
        }
    }
}

/// How a destination is inside the source, if it is. Promoted images would then be staged again.
fn is_in(destination: &RegistryPrefix, source: &RegistryPrefix) -> Option<String> {
    if destination == source {
        return Some("the source itself".to_owned());
    }
    let path = destination.path.as_ref().filter(|_| destination.host == source.host)?;
    source.relative(path).map(|_| format!("inside the source `{source}`"))
}
