//! Names that a line of the report shows, and the number of others.

use wording::and_more;

/// How many destinations and attachments a line names, and how many edges a cause of failure names. Others are counted.
pub(super) const NAMED: usize = 5;

/// The number of things, and the names of the first.
#[derive(Default)]
pub(super) struct CountedNames {
    count: u64,
    pub names: Vec<String>,
}

impl CountedNames {
    pub(super) fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.names.len() < NAMED {
            self.names.push(name());
        }
    }

    /// Keeps the first names in their own order, not in the order in which they are added.
    pub(super) fn add_in_order(&mut self, name: String) {
        self.count += 1;
        let at = self.names.partition_point(|other| *other < name);
        self.names.insert(at, name);
        self.names.truncate(NAMED);
    }

    pub(super) fn more(&self) -> u64 {
        self.count - self.names.len() as u64
    }

    /// The first names, and the number of others.
    pub(super) fn listed(&self) -> String {
        and_more(&self.names, self.more())
    }
}
