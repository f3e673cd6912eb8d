//! Files of a crate whose imports lead back to them. Parent and child modules are left out: each is part of the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    metadata::Metadata,
    modules::{Mention, ModulePath, Modules},
    offence::{Files, Offence},
};

/// The cycles of all crates, each once.
///
/// # Errors
/// When a file is not Rust.
pub(crate) fn check(metadata: &Metadata, files: &Files) -> anyhow::Result<Vec<Offence>> {
    let mut offences = Vec::new();
    for package in &metadata.packages {
        let manifest = metadata.manifest_of(package);
        let src = manifest.replace("Cargo.toml", "src/");
        offences.extend(of_crate(&src, files)?);
    }
    Ok(offences)
}

/// Which file names which others, and where first.
type Graph = BTreeMap<String, BTreeMap<String, Mention>>;

fn of_crate(src: &str, files: &Files) -> anyhow::Result<Vec<Offence>> {
    let sources = files.iter().filter(|(file, _)| file.starts_with(src));
    let modules = Modules::read(src, sources)?;
    let mut graph = Graph::new();
    for mention in modules.mentions().filter(|of| !are_related(&of.from, &of.to)) {
        let [from, to] = [&mention.from, &mention.to].map(|path| modules.file(path).to_owned());
        if from != to {
            graph.entry(from).or_default().entry(to).or_insert(mention);
        }
    }
    Ok(cycles(&graph).iter().map(|cycle| offence(&graph, cycle)).collect())
}

/// Whether one is the other one's parent, or a parent's parent.
fn are_related(a: &ModulePath, b: &ModulePath) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// A shortest cycle through each file that is in one, as long as it shares no file with one that was found before.
fn cycles(graph: &Graph) -> Vec<Vec<&str>> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut shortest: Vec<_> =
        graph.keys().filter_map(|file| shortest_cycle(graph, file)).collect();
    shortest.sort_by_key(Vec::len);
    for cycle in shortest {
        if !cycle.iter().any(|file| seen.contains(file)) {
            seen.extend(cycle.iter().copied());
            found.push(cycle);
        }
    }
    found
}

/// The files of a shortest way from `start` back to it.
fn shortest_cycle<'a>(graph: &'a Graph, start: &'a str) -> Option<Vec<&'a str>> {
    let mut reached_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(file) = next.pop_front() {
        for to in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if to == start {
                let back =
                    std::iter::successors(Some(file), |file| reached_from.get(file).copied());
                let mut cycle: Vec<_> = back.collect();
                cycle.reverse();
                return Some(cycle);
            }
            if !reached_from.contains_key(to.as_str()) {
                reached_from.insert(to, file);
                next.push_back(to);
            }
        }
    }
    None
}

fn offence(graph: &Graph, cycle: &[&str]) -> Offence {
    let next = cycle.iter().cycle().skip(1);
    let steps: Vec<&Mention> =
        cycle.iter().zip(next).filter_map(|(from, to)| graph.get(*from)?.get(*to)).collect();
    let step = |(mention, from): (&&Mention, &&str)| {
        format!("{from}:{} uses `{}`", mention.line, mention.path)
    };
    let all: Vec<_> = steps.iter().zip(cycle).map(step).collect();
    let what = format!(
        "the imports of {} files form a cycle: {}; move what they share to a file of its own, or make one of them \
         take it as an argument",
        cycle.len(),
        all.join(", ")
    );
    let (file, line) = (cycle.first(), steps.first().map_or(0, |mention| mention.line));
    Offence { file: file.copied().unwrap_or_default().to_owned(), line, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offences(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(file, text)| (format!("src/{file}"), (*text).to_owned()));
        let files: Files = files.collect();
        let offences = of_crate("src/", &files).expect("it is Rust");
        offences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_cycle_of_files_is_named_step_by_step() {
        let root = ("lib.rs", "mod a;\nmod b;\nmod c;\n");
        let found = offences(&[
            root,
            ("a.rs", "use crate::b::B;\npub struct A(B);\n"),
            ("b.rs", "\npub struct B;\nfn b() -> crate::c::C { C }\n"),
            ("c.rs", "use super::a::A;\npub struct C(A);\n"),
        ]);
        let [found] = &found[..] else { panic!("{found:?}") };
        assert!(found.starts_with("src/a.rs:1: the imports of 3 files form a cycle: "), "{found}");
        let steps = "src/a.rs:1 uses `crate::b::B`, src/b.rs:3 uses `crate::c::C`, src/c.rs:1 uses `super::a::A`; ";
        assert!(found.contains(steps), "{found}");
    }

    #[test]
    fn what_is_no_cycle() {
        for (name, files) in [
            ("one way", [("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")]),
            (
                "in the tests only",
                [
                    ("a.rs", "use crate::b::B; pub struct A;"),
                    ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
                ],
            ),
            (
                "parent and child",
                [
                    ("a/mod.rs", "mod x; use x::X; pub struct A;"),
                    ("a/x.rs", "use super::A; pub struct X;"),
                ],
            ),
            (
                "another crate of the same name",
                [("a.rs", "use crate::b::B; pub struct A;"), ("b.rs", "use a::A; pub struct B;")],
            ),
        ] {
            let root = ("lib.rs", "mod a;\nmod b;\n");
            let found = offences(&[&[root][..], &files].concat());
            assert!(found.is_empty(), "{name}: {found:?}");
        }
    }

    #[test]
    fn names_are_followed_to_where_they_come_from() {
        for (name, files) in [
            (
                "a re-export of the root",
                [
                    ("lib.rs", "mod a; mod b; pub use a::A;"),
                    ("a.rs", "use crate::b::B; pub struct A;"),
                    ("b.rs", "use crate::A; pub struct B;"),
                ],
            ),
            (
                "a module that is imported",
                [
                    ("lib.rs", "mod a; mod b;"),
                    ("a.rs", "use crate::b; fn a() { b::b() }"),
                    ("b.rs", "use crate::a; fn b() { a::a() }"),
                ],
            ),
            (
                "all names of a module",
                [
                    ("lib.rs", "mod a; mod b; pub use a::*;"),
                    ("a.rs", "use crate::b::B; pub struct A;"),
                    ("b.rs", "use crate::A; pub struct B;"),
                ],
            ),
            (
                "in a macro",
                [
                    ("lib.rs", "mod a; mod b;"),
                    ("a.rs", "fn a() { println!(\"{}\", crate::b::B) }"),
                    ("b.rs", "const B: u8 = crate::a::A;"),
                ],
            ),
            (
                "a child's brother",
                [
                    ("lib.rs", "mod a; pub mod b { mod x; pub use x::X; }"),
                    ("a.rs", "use crate::b::X; pub struct A;"),
                    ("b/x.rs", "use crate::a::A; pub struct X;"),
                ],
            ),
        ] {
            assert_eq!(offences(&files).len(), 1, "{name}");
        }
    }
}
