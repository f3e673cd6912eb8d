//! The last line of `portolan promote`: the counts in words, and what they come to.

use std::collections::BTreeSet;

use job::{Confirm, StopCause};
use oci::Host;
use promoter::{Ending, OutcomeKind, Unchecked, UnreadSources, report::in_bytes};
use wording::counted;

use crate::arguments::{Promote, SelectionFlags, Verify};

/// The summary as a release manager would read it aloud.
pub(super) fn in_words(ending: &Ending, promote: &Promote) -> String {
    let of = |kind| ending.summary.count(kind);
    let done = match ending.confirm {
        Confirm::Write => format!(
            "{} copied, {} tagged, {} attached",
            of(OutcomeKind::Copied),
            of(OutcomeKind::Tagged),
            of(OutcomeKind::Attached)
        ),
        Confirm::DryRun => format!(
            "{} to copy, {} to tag, {} to attach",
            of(OutcomeKind::ToCopy),
            of(OutcomeKind::ToTag),
            of(OutcomeKind::ToAttach)
        ),
    };
    let mut text = format!(
        "{}: {} present, {done}, {} lost, {} refused, {} failed; {} in manifests. \
         {}, {} read and {} written in {:.1} s.",
        counted(ending.summary.edges(), "edge"),
        of(OutcomeKind::Present),
        of(OutcomeKind::Lost),
        of(OutcomeKind::Refused),
        of(OutcomeKind::Failed),
        counted(ending.problems as u64, "problem"),
        counted(ending.requests(), "request"),
        in_bytes(ending.bytes_received()),
        in_bytes(ending.bytes_sent()),
        ending.time.as_secs_f64(),
    );
    if !ending.public_name_failures.is_empty() {
        let tags = counted(ending.public_name_failures.len() as u64, "tag");
        text.push_str(&format!(" The public name does not serve {tags}."));
    }
    let left_out = ending.left_out;
    let attachments = counted(left_out.attachments, "attachment");
    let destinations = counted(left_out.destinations, "destination");
    if left_out.attachments > 0 && !says_only_attachments(ending) {
        text.push_str(&format!(
            " Broken at their source and left out: {attachments} at {destinations}."
        ));
    }
    text.push_str(&unread_sources(ending));
    match ending.stopped {
        Some(cause) if !ending.all_holds() => text.push_str(&incomplete(ending.confirm, cause)),
        None if ending.summary.edges() == 0 && ending.requests() == 0 => {
            text.push_str(&nothing_selected(ending, &promote.selection));
        }
        _ if says_only_attachments(ending) => text.push_str(&format!(
            " All tags are in place; broken at their source and left out: {attachments} at {destinations}; repair or \
             remove them there."
        )),
        _ => text.push_str(&conclusion(ending, promote.verify)),
    }
    text.push_str(&unchecked(&ending.unchecked, ending.summary.edges()));
    text
}

/// Whether broken attachments are all that there is to say at the end.
fn says_only_attachments(ending: &Ending) -> bool {
    ending.lacks_only_attachments() && ending.summary.pending() == 0 && ending.stopped.is_none()
}

/// What a dry run could not check.
fn unchecked(Unchecked { edges, hosts }: &Unchecked, of: u64) -> String {
    if *edges == 0 {
        return String::new();
    }
    format!(
        " {edges} of {} could not be checked; log in to {} with docker login.",
        counted(of, "edge"),
        named(hosts),
    )
}

/// The edges that hold, or would hold, although their source failed.
fn unread_sources(Ending { confirm, unread_sources, .. }: &Ending) -> String {
    let UnreadSources { edges, hosts } = unread_sources;
    if *edges == 0 {
        return String::new();
    }
    let verb = match (confirm, edges) {
        (Confirm::DryRun, _) => "would be copied",
        (Confirm::Write, 1) => "was copied",
        (Confirm::Write, _) => "were copied",
    };
    format!(
        " {} {verb} from another destination, because the source could not be read; check {}.",
        counted(*edges, "edge"),
        named(hosts),
    )
}

/// The hosts in a sentence.
fn named(hosts: &BTreeSet<Host>) -> String {
    /// As many hosts as one reads in a sentence.
    const NAMED: usize = 3;
    let named: Vec<_> = hosts.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match hosts.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    named.join(", ") + &more
}

/// What a run that was stopped comes to.
fn incomplete(confirm: Confirm, cause: StopCause) -> String {
    let what = match confirm {
        Confirm::DryRun => "plan",
        Confirm::Write => "promotion",
    };
    let why = match cause {
        StopCause::Interrupted => "interrupted".to_owned(),
        StopCause::Deadline(after) => {
            format!("stopped by --deadline after {} s", after.as_secs_f64())
        }
    };
    format!(" The {what} is incomplete: {why}; run again.")
}

/// What a run comes to that had no edges, and so contacted no registry.
fn nothing_selected(ending: &Ending, flags: &SelectionFlags) -> String {
    let SelectionFlags { project, changed_since, changed_in, since } = flags;
    let projects = project.iter().map(|glob| format!("--project {glob}"));
    let changes =
        [("--changed-since", changed_since), ("--changed-in", changed_in), ("--since", since)];
    let changes = changes.into_iter();
    let changes = changes.filter_map(|(flag, given)| Some(format!("{flag} {}", given.as_ref()?)));
    let flags: Vec<_> = projects.chain(changes).collect();
    match (flags.is_empty(), ending.problems > 0) {
        (true, false) => " The manifests have no edges; no registry was contacted.".to_owned(),
        (true, true) => {
            " Nothing can be promoted until the problems above are fixed; no registry was contacted."
                .to_owned()
        }
        (false, has_problems) => {
            let unread = if has_problems {
                " Not everything could be read; see the problems above."
            } else {
                ""
            };
            let flags = flags.join(", ");
            format!(" No edge was selected ({flags}); no registry was contacted.{unread}")
        }
    }
}

/// What a whole run comes to.
fn conclusion(ending: &Ending, verify: Verify) -> String {
    let of = |kind| ending.summary.count(kind);
    let has_pending = ending.summary.pending() > 0;
    let text = match (ending.confirm, ending.all_holds()) {
        (Confirm::DryRun, _) if has_pending => return pending(ending),
        (Confirm::DryRun, false) => return nothing_to_promote(ending),
        (Confirm::Write, false) => " Not everything the manifests ask for is in place; see above.",
        // What a run writes is checked on its way; what it finds is checked only with `--verify deep`.
        (_, true)
            if verify == Verify::Shallow
                && of(OutcomeKind::Present) + of(OutcomeKind::Attached) > 0 =>
        {
            " All tags and digests are in place. The content of images already present was not checked; \
             --verify deep checks it."
        }
        (_, true) => " All tags and digests are in place, and their content was checked.",
    };
    text.to_owned()
}

/// What a dry run comes to that found something to write.
fn pending(ending: &Ending) -> String {
    let text = " Nothing was written: this was a dry run; use --confirm to write.";
    match not_promotable(ending) {
        0 => text.to_owned(),
        others => {
            let edges = counted(ending.summary.edges(), "edge");
            format!("{text} {others} of {edges} cannot be promoted; see above.")
        }
    }
}

/// The edges that no run of these manifests would put in place.
fn not_promotable(ending: &Ending) -> u64 {
    let kinds = [OutcomeKind::Lost, OutcomeKind::Refused, OutcomeKind::Failed];
    kinds.into_iter().map(|kind| ending.summary.count(kind)).sum()
}

/// What a dry run comes to that found nothing to write, although not everything is in place.
fn nothing_to_promote(ending: &Ending) -> String {
    let of = |kind| ending.summary.count(kind);
    let edges = ending.summary.edges();
    let (lost, refused, failed) =
        (of(OutcomeKind::Lost), of(OutcomeKind::Refused), of(OutcomeKind::Failed));
    let all = |what: &str| match edges {
        1 => format!(" Nothing can be promoted: the edge {what}."),
        _ => format!(" Nothing can be promoted: all {edges} edges {what}."),
    };
    match not_promotable(ending) {
        0 => " Nothing is left to promote, but not everything is in order; see above.".to_owned(),
        _ if failed == edges => all("failed"),
        _ if refused == edges && edges == 1 => all("was refused"),
        _ if refused == edges => all("were refused"),
        _ if lost == edges && edges == 1 => all("is lost"),
        _ if lost == edges => all("are lost"),
        others if others == edges => all("failed, were refused or are lost"),
        others => {
            let edges = counted(edges, "edge");
            format!(
                " Nothing is left to promote; {others} of {edges} cannot be promoted; see above."
            )
        }
    }
}
