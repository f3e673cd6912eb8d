//! How long to wait before what was just written is read once more: a registry may show it only shortly afterwards, or
//! another client may be replacing it.

use std::time::Duration;

use tokio::time::sleep;

use crate::Run;

/// How often it is read once more. An attachment that others replaced needs one repair where the other client merges;
/// the others are for a third and a fourth run at the same time. A client that does not merge would win each time.
pub(crate) const MAX_REREADS: u32 = 3;

/// The longest wait before the first of them; each further one is twice as long. All together last at least half as
/// long as that, 0.9 s: replicas of registries are usually later than the write by less.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Waits before it is read once more, when it was so often already. Two runs that write at the same moment do not read
/// at the same moment.
pub(crate) async fn wait(run: &Run<'_>, rereads: u32) {
    let half = LONGEST_WAIT * 2_u32.pow(rereads) / 2;
    sleep(half + run.hosts.client(None).jitter(half)).await;
}
