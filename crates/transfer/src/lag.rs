//! How long destinations that are done wait for slower ones, so that a slow destination does not hold up the others.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

/// How long destinations wait for one that is slower, beyond what they took themselves. Longer than a lost packet
/// or a busy moment of a registry takes, and short beside the copying of an image. It is spent once, since a destination
/// that is dropped is dropped for the run.
pub const MAX_LAG: Duration = Duration::from_secs(2);

/// Runs all of `work` at once, one future for each destination. When the first result arrives for which `is_done`
/// holds, the others have as much time again, and [`MAX_LAG`]. A future that is not done by then is dropped, and has no
/// result. Results are in the order of `work`.
pub async fn together<W: Future>(
    work: impl IntoIterator<Item = W>,
    is_done: impl Fn(&W::Output) -> bool,
) -> Vec<Option<W::Output>> {
    let began = Instant::now();
    let numbered = |(index, work): (usize, W)| async move { (index, work.await) };
    let mut running: FuturesUnordered<_> = work.into_iter().enumerate().map(numbered).collect();
    let mut results: Vec<_> = (0..running.len()).map(|_| None).collect();
    let mut until: Option<Instant> = None;
    loop {
        let next = match until {
            None => running.next().await,
            Some(until) => timeout_at(until, running.next()).await.unwrap_or_default(),
        };
        let Some((index, result)) = next else { return results };
        if until.is_none() && is_done(&result) {
            until = Some(Instant::now() + began.elapsed() + MAX_LAG);
        }
        results[index] = Some(result);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    async fn after(seconds: u64, result: Result<(), ()>) -> Result<(), ()> {
        sleep(Duration::from_secs(seconds)).await;
        result
    }

    #[tokio::test(start_paused = true)]
    async fn slow_work_is_dropped_and_work_that_is_nearly_as_fast_is_not() {
        let work = [after(10, Ok(())), after(21, Ok(())), after(23, Ok(())), after(11, Err(()))];
        let results = together(work, Result::is_ok).await;
        assert_eq!(results, [Some(Ok(())), Some(Ok(())), None, Some(Err(()))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_does_not_shorten_the_time_of_the_others() {
        let work = [after(0, Err(())), after(60, Ok(()))];
        assert_eq!(together(work, Result::is_ok).await, [Some(Err(())), Some(Ok(()))]);
        assert_eq!(together([after(3600, Ok(()))], Result::is_ok).await, [Some(Ok(()))]);
    }
}
