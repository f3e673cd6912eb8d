//! The allowed imports between crates: the layers of the workspace. A crate that is not in this table cannot be
//! built upon, and an import that is not in it is an offence. Dev-dependencies are free.

use crate::{
    metadata::{Metadata, Package},
    offence::Offence,
};

/// Which of our crates a crate may import (normal and build dependencies).
enum Allowed {
    /// These.
    Only(&'static [&'static str]),
    /// What every job needs ([`JOB`]), and these.
    Job(&'static [&'static str]),
    /// All that are above it in the table, but for [`TESTS_ONLY`].
    AllAbove,
}

use Allowed::{AllAbove, Job, Only};

/// What every long command needs: its parts of a run, and the promotion manifests that it follows.
const JOB: [&str; 5] = ["oci", "wording", "job", "promotion-manifest", "manifest-source"];

/// A dev-dependency of any crate, and a normal one of none.
const TESTS_ONLY: &str = "testkit";

/// The crates, each below those that it may import. Some do not exist yet: a crate appears when it is first needed, and
/// its layer is agreed here.
const TABLE: &[(&str, Allowed)] = &[
    // Pure: no I/O, no async, no clock, no randomness.
    ("oci", Only(&[])),
    ("wording", Only(&[])),
    ("cloud-ranges", Only(&[])),
    ("yaml", Only(&["wording"])),
    ("promotion-manifest", Only(&["oci", "wording", "yaml"])),
    ("blob-index", Only(&["oci"])),
    // Promotion manifests on the disk and in git.
    ("manifest-source", Only(&["oci", "wording", "promotion-manifest"])),
    ("job", Only(&[])),
    // The ways out and in.
    ("http-client", Only(&["wording"])),
    ("credentials", Only(&["oci", "http-client"])),
    ("http-server", Only(&["wording"])),
    // The protocols.
    ("registry-client", Only(&["oci", "wording", "http-client", "credentials"])),
    ("blob-store", Only(&["oci", "blob-index", "http-client", "credentials"])),
    ("attachments", Only(&["oci", "registry-client"])),
    ("transfer", Only(&["oci", "wording", "registry-client", "blob-store", "job"])),
    ("trust", Only(&["oci", "registry-client", "attachments", "http-client", "credentials"])),
    // The front decides without asking a registry, and never reads what is to be promoted.
    (
        "redirector",
        Only(&[
            "oci",
            "wording",
            "yaml",
            "cloud-ranges",
            "blob-index",
            "http-client",
            "http-server",
        ]),
    ),
    ("promoter", Job(&["registry-client", "blob-store", "attachments", "transfer", "trust"])),
    ("checks", Job(&["registry-client", "attachments", "trust"])),
    ("mirror", Job(&["registry-client", "blob-store", "blob-index", "attachments", "transfer"])),
    // An auditor does not rely on the promoter's own word.
    ("auditor", Job(&["http-client", "http-server", "registry-client", "attachments", "trust"])),
    ("staging", Job(&["http-client", "credentials", "registry-client", "attachments", "checks"])),
    ("images", Job(&["registry-client", "attachments", "transfer"])),
    ("doctor", Only(&["oci", "wording", "http-client", "credentials", "registry-client"])),
    ("registry", Only(&["oci", "wording", "yaml", "http-client", "http-server"])),
    (TESTS_ONLY, Only(&["oci", "registry"])),
    ("portolan", AllAbove),
    ("xtask", Only(&[])),
];

/// The crates that a crate may import; none where it is not in the table.
fn allowed(importer: &str) -> Option<Vec<&'static str>> {
    let at = TABLE.iter().position(|(name, _)| *name == importer)?;
    let above = TABLE[..at].iter().map(|(name, _)| *name);
    Some(match TABLE[at].1 {
        Only(crates) => crates.to_vec(),
        Job(crates) => [&JOB, crates].concat(),
        AllAbove => above.filter(|name| *name != TESTS_ONLY).collect(),
    })
}

/// The offences of all crates.
pub(crate) fn check(metadata: &Metadata) -> Vec<Offence> {
    metadata.packages.iter().flat_map(|package| check_package(metadata, package)).collect()
}

fn check_package(metadata: &Metadata, package: &Package) -> Vec<Offence> {
    let offence = |what| Offence { file: metadata.manifest_of(package), line: 0, what };
    let importer = &package.name;
    let Some(allowed) = allowed(importer) else {
        let what = format!(
            "the crate `{importer}` has no layer; agree where it stands, then add it to {}",
            file!()
        );
        return vec![offence(what)];
    };
    let imports = package.dependencies.iter().filter(|of| of.is_ours() && !of.is_dev());
    let forbidden = imports.filter(|of| !allowed.contains(&of.name.as_str()));
    let allowed = if allowed.is_empty() { "none of ours".to_owned() } else { allowed.join(", ") };
    let what = |imported: &str| {
        format!(
            "`{importer}` may not import `{imported}` (it may: {allowed}); move the code that \
             needs it to a layer above both, or pass in what it takes from there"
        )
    };
    forbidden.map(|of| offence(what(&of.name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offences of a workspace of `crates`, each with its (name, kind) dependencies.
    fn offences(crates: &[(&str, &[(&str, &str)])]) -> Vec<String> {
        let package = |(name, imports): &(&str, &[(&str, &str)])| {
            let dependency = |(name, kind): &(&str, &str)| {
                let kind = if kind.is_empty() { "null".to_owned() } else { format!("{kind:?}") };
                format!(r#"{{"name": "{name}", "kind": {kind}, "path": "/r/crates/{name}"}}"#)
            };
            let imports = imports.iter().map(dependency).collect::<Vec<_>>().join(", ");
            let manifest = format!("/r/crates/{name}/Cargo.toml");
            format!(
                r#"{{"name": "{name}", "manifest_path": "{manifest}", "dependencies": [{imports}]}}"#
            )
        };
        let packages = crates.iter().map(package).collect::<Vec<_>>().join(", ");
        let json = format!(r#"{{"workspace_root": "/r", "packages": [{packages}]}}"#);
        let metadata = Metadata::parse(&json).expect("metadata");
        check(&metadata).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_import_outside_the_table_is_an_offence() {
        for (importer, imported, kind, is_fine) in [
            ("redirector", "cloud-ranges", "", true),
            ("redirector", "registry-client", "", false),
            ("redirector", "registry-client", "build", false),
            ("redirector", "registry-client", "dev", true),
            ("redirector", "promotion-manifest", "", false),
            ("auditor", "promoter", "", false),
            ("oci", "cloud-ranges", "", false),
            ("promoter", "testkit", "dev", true),
            ("promoter", "testkit", "", false),
            ("portolan", "testkit", "", false),
            ("portolan", "redirector", "", true),
            ("xtask", "oci", "", false),
        ] {
            let offences = offences(&[(importer, &[(imported, kind)])]);
            assert_eq!(offences.is_empty(), is_fine, "{importer} {imported} {kind}: {offences:?}");
            let place =
                format!("crates/{importer}/Cargo.toml: `{importer}` may not import `{imported}`");
            assert!(offences.iter().all(|offence| offence.starts_with(&place)), "{offences:?}");
        }
    }

    #[test]
    fn every_offence_is_listed() {
        let forbidden: &[_] = &[("oci", ""), ("promoter", ""), ("testkit", "build")];
        assert_eq!(offences(&[("mirror", forbidden), ("utils", &[])]).len(), 3);
    }

    #[test]
    fn the_table_has_no_circles_and_names_only_its_own() {
        for (place, (name, _)) in TABLE.iter().enumerate() {
            for imported in allowed(name).expect("a row") {
                let at = TABLE.iter().position(|(name, _)| *name == imported);
                assert!(at.is_some_and(|at| at < place), "{name} imports {imported}");
            }
        }
    }
}
