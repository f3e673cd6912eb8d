//! The delays before content that was just written is read again. A registry may return it only shortly afterwards, or
//! another client may be replacing it.

use std::time::Duration;

use tokio::time::sleep;

use crate::PromotionRun;

/// How often it is read again. An attachment that another client replaced needs one repair if that client merges. The
/// other two are for a third and a fourth run at the same time. A client that does not merge wins each time.
pub(crate) const MAX_REREADS: u32 = 3;

/// The longest delay before the first read; each further delay is twice as long. Together they last 0.9 s or more, since
/// each is at least half of its longest. Replicas of registries are usually not later than that.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Waits before it is read again, after `rereads` reads. The delay is random, so that two runs that write at the same
/// time do not read at the same time.
pub(crate) async fn wait(run: &PromotionRun<'_>, rereads: u32) {
    let half = LONGEST_WAIT * 2_u32.pow(rereads) / 2;
    sleep(half + run.hosts.client(None).jitter(half)).await;
}
