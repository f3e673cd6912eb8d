//! Rules about values that are valid alone. They look at the tree, so that they hold in a file with other problems too.

use std::collections::BTreeSet;

use yaml::YamlNode;

use super::{Serves, report::ConfigReport};

/// Reports what breaks them.
pub(super) fn check(root: &YamlNode<'_>, report: &mut ConfigReport<'_>) {
    let stores = root.get("stores").map_or(&[][..], YamlNode::list);
    let mut names = BTreeSet::new();
    for store in stores {
        if let Some(name) = store.get("name")
            && let Some(text) = name.scalar()
            && !names.insert(text)
        {
            let twice = format!(
                "`stores.name`: duplicate name `{text}`; give each store a name of its own"
            );
            report.problem(Some(name.span()), twice);
        }
        if let Some(serves) = store.get("serves") {
            check_serves(serves, report);
        }
    }
}

fn check_serves(serves: &YamlNode<'_>, report: &mut ConfigReport<'_>) {
    if serves.is_list() && serves.list().is_empty() {
        let empty = "`stores.serves` is empty, so no client would be sent to this store; add a cloud, or `*`";
        report.problem(Some(serves.span()), empty);
    }
    for entry in serves.list() {
        let Some(regions) = entry.get("regions").and_then(YamlNode::present) else { continue };
        if entry.get("cloud").and_then(YamlNode::scalar) == Some(Serves::ALL_CLIENTS) {
            let message =
                "`stores.serves`: `*` is every client and takes no regions; remove `regions`";
            report.problem(Some(regions.span()), message);
        }
        if regions.is_list() && regions.list().is_empty() {
            let empty = "`stores.serves.regions` is empty; leave it out for the whole cloud";
            report.problem(Some(regions.span()), empty);
        }
    }
}
