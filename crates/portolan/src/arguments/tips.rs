//! Tips for arguments of other programs, and for flags that one would expect.

use clap::{
    Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// What to write instead of an argument. Source: `kpromo --help` of Kubernetes' promo-tools.
const TIPS: [(&str, &str); 16] = [
    ("--dry-run", "a dry run is the default; leave out --dry-run, and write with --confirm"),
    ("--use-prow-manifest-diff", "write --changed-in \"$PULL_BASE_SHA..HEAD\""),
    ("--manifest-diff-since", "write --since TIME, such as --since \"7 days\""),
    ("--parse-only", "a run without --confirm checks the manifests, and writes nothing"),
    ("--sign", "signatures that exist are copied, and none are made; sign with cosign"),
    ("--signer-account", "signatures that exist are copied, and none are made; sign with cosign"),
    ("--key-files", "write --credentials NAME=FILE for each service account"),
    ("--threads", "the rate is found by itself; limit it with --quota HOST=N"),
    ("--force", "tags are never moved and nothing is ever deleted; there is no flag for it"),
    ("-o", "write --output json"),
    ("--listen", "the front's address is `listen` in its configuration, or the variable PORT"),
    (
        "--port",
        "write --listen ADDRESS:PORT; the front's is `listen` in its configuration, or the variable PORT",
    ),
    ("--storage", "name the directory without a flag: portolan store serve DIR"),
    ("version", "write portolan --version"),
    ("cip", "write portolan promote in place of kpromo cip"),
    ("kpromo", "write portolan promote in place of kpromo cip"),
];

/// What to write instead of a file or directory without its flag.
const PROMOTE_INPUT: &str = "write --thin-manifest-dir DIR, or --manifest FILE";

/// The same error, with a tip if there is one.
pub(crate) fn with_tip(mut error: Error) -> Error {
    let given = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    let given = given.into_iter().find_map(|kind| match error.get(kind) {
        Some(ContextValue::String(given)) => Some(given.split(['=', ' ']).next().unwrap_or(given)),
        _ => None,
    });
    if let Some(tip) = given.and_then(|given| tip(given, &error)) {
        // What is merely spelled alike is no better tip.
        for alike in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            error.remove(alike);
        }
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

fn tip(given: &str, error: &Error) -> Option<&'static str> {
    // A flag that exists, with a bad value, has an error of its own.
    let unknown = [ErrorKind::UnknownArgument, ErrorKind::InvalidSubcommand];
    if !unknown.contains(&error.kind()) {
        return None;
    }
    if let Some((_, tip)) = TIPS.iter().find(|(argument, _)| *argument == given) {
        return Some(tip);
    }
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let is_of_promote = error.kind() == ErrorKind::UnknownArgument && usage.contains(" promote ");
    (is_of_promote && !given.starts_with('-')).then_some(PROMOTE_INPUT)
}
