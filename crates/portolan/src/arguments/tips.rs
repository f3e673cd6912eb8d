//! Tips for arguments of other programs, and for flags that one would expect.

use clap::{
    Error,
    error::{ContextKind, ContextValue},
};

/// What to write instead of an argument. Source: `kpromo --help` of Kubernetes' promo-tools.
const TIPS: [(&str, &str); 10] = [
    ("--dry-run", "a dry run is the default; leave out --dry-run, and write with --confirm"),
    ("--use-prow-manifest-diff", "write --changed-in \"$PULL_BASE_SHA..HEAD\""),
    ("--manifest-diff-since", "write --since TIME, such as --since \"7 days\""),
    ("--parse-only", "a run without --confirm checks the manifests, and writes nothing"),
    ("--sign", "signatures that exist are copied, and none are made; sign with cosign"),
    ("--signer-account", "signatures that exist are copied, and none are made; sign with cosign"),
    ("--key-files", "write --credentials NAME=FILE for each service account"),
    ("--threads", "the rate is found by itself; limit it with --quota HOST=N"),
    ("cip", "write portolan promote in place of kpromo cip"),
    ("kpromo", "write portolan promote in place of kpromo cip"),
];

/// The same error, with a tip if there is one.
pub(crate) fn with_tip(mut error: Error) -> Error {
    let given = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    let given = given.into_iter().find_map(|kind| match error.get(kind) {
        Some(ContextValue::String(given)) => Some(given.split(['=', ' ']).next().unwrap_or(given)),
        _ => None,
    });
    let tip = given.and_then(|given| TIPS.iter().find(|(argument, _)| *argument == given));
    if let Some((_, tip)) = tip {
        // What is merely spelled alike is no better tip.
        for alike in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            error.remove(alike);
        }
        let tip = ContextValue::StyledStrs(vec![(*tip).into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}
