//! The `registries` of a promotion manifest: one source, and destinations.
//!
//! Every fault here leaves out the whole project: where images go must not be guessed.

use std::collections::HashMap;

use oci::{RegistryPrefix, RegistryPrefixError, RepositoryError};

use crate::{
    Position, Registry, Rule,
    problem::{Report, quoted},
    yaml::Node,
};

/// How many destinations a project may have: the most that is real is 66, 22 regions by three
/// paths. Edges are images times destinations, so that a slip here must not fill the memory.
const MAX_DESTINATIONS: usize = 1000;

/// The registries of a project.
#[derive(Debug)]
pub(crate) struct Registries {
    pub(crate) source: Registry,
    pub(crate) destinations: Vec<Registry>,
}

/// Reads the value of `registries`, if there is one. `at` is where the file's keys begin. Nothing only
/// if something has been reported.
pub(crate) fn read(
    list: Option<&Node<'_>>,
    at: Position,
    report: &mut Report,
) -> Option<Registries> {
    let Some(list) = list else {
        report.leave_out_project(
            Rule::MissingRegistries,
            at,
            "no `registries`; list the source (`src: true`) and the destinations",
        );
        return None;
    };
    let rule = "`registries` must be a list of `- name: HOST/PATH`";
    let entries: Vec<Entry> =
        list.items(rule, report)?.iter().filter_map(|item| entry(item, report)).collect();
    let (sources, destinations): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.is_source);
    check_numbers(at, &sources, &destinations, report);
    let source = sources.into_iter().next().and_then(|entry| entry.registry);
    let destinations: Vec<Registry> =
        destinations.into_iter().filter_map(|entry| entry.registry).collect();
    check_names(source.as_ref(), &destinations, report);
    Some(Registries { source: source?, destinations })
}

/// An entry of the list.
struct Entry {
    position: Position,
    is_source: bool,
    /// Nothing if its name is at fault, which has been reported.
    registry: Option<Registry>,
}

fn entry(node: &Node<'_>, report: &mut Report) -> Option<Entry> {
    let rule = "a registry must be a mapping with a `name`";
    let [name, account, source] = node.fields(rule, ["name", "service-account", "src"], report)?;
    let prefix = prefix(node, name, report);
    let rule = "`service-account` must be text";
    let service_account = account.and_then(|node| node.text(rule, report)).map(str::to_owned);
    let is_source = source.and_then(|node| node.truth("src", report)).unwrap_or(false);
    let position = node.position();
    let registry = prefix.map(|prefix| Registry { prefix, service_account, position });
    Some(Entry { position, is_source, registry })
}

fn prefix(
    registry: &Node<'_>,
    name: Option<&Node<'_>>,
    report: &mut Report,
) -> Option<RegistryPrefix> {
    let Some(name) = name else {
        let message = "this registry has no `name`; add its host and path: `name: HOST/PATH`";
        report.leave_out_project(Rule::MissingName, registry.span, message);
        return None;
    };
    let text = name.text("the `name` of a registry must be text", report)?;
    match text.parse() {
        Ok(prefix) => Some(prefix),
        Err(error) => {
            let text = quoted(text);
            let message = match error {
                RegistryPrefixError::Path(RepositoryError::BadComponent(_)) => {
                    format!("{text} is not a registry `name`: {error}; correct it")
                }
                // The others say what to do.
                _ => format!("{text} is not a registry `name`: {error}"),
            };
            report.leave_out_project(Rule::InvalidRegistry, name.span, message);
            None
        }
    }
}

fn check_numbers(at: Position, sources: &[Entry], destinations: &[Entry], report: &mut Report) {
    if sources.is_empty() {
        let message = "no source registry; add `src: true` to the one to promote from";
        report.leave_out_project(Rule::MissingSource, at, message);
    }
    for again in sources.iter().skip(1) {
        let line = sources[0].position.line;
        let message = format!(
            "second source registry: the first is on line {line}; keep `src: true` at one of them"
        );
        report.leave_out_project(Rule::SecondSource, again.position, message);
    }
    if destinations.is_empty() {
        let message = "no destination registry; add those to promote to, without `src`";
        report.leave_out_project(Rule::MissingDestination, at, message);
    }
    if let Some(beyond) = destinations.get(MAX_DESTINATIONS) {
        let message = format!(
            "too many destinations: a project may have {MAX_DESTINATIONS}; split the project"
        );
        report.leave_out_project(Rule::TooManyDestinations, beyond.position, message);
    }
}

fn check_names(source: Option<&Registry>, destinations: &[Registry], report: &mut Report) {
    let mut seen = HashMap::new();
    for Registry { prefix, position, .. } in destinations {
        if let Some(source) = source.map(|source| &source.prefix)
            && let Some(how) = is_in(prefix, source)
        {
            let message =
                format!("the destination `{prefix}` is {how}; remove it or correct its name");
            report.leave_out_project(Rule::DestinationInSource, *position, message);
        }
        if let Some(line) = seen.insert(prefix, position.line) {
            let message = format!(
                "duplicate destination `{prefix}`: it is already on line {line}; remove one"
            );
            report.leave_out_project(Rule::DuplicateDestination, *position, message);
        }
    }
}

/// How a destination lies in the source, if it does: what is promoted would be staged again.
fn is_in(destination: &RegistryPrefix, source: &RegistryPrefix) -> Option<String> {
    if destination == source {
        return Some("the source itself".to_owned());
    }
    let path = destination.path.as_ref().filter(|_| destination.host == source.host)?;
    source.relative(path).map(|_| format!("inside the source `{source}`"))
}
