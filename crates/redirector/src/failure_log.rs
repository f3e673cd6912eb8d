//! When a failing dependency is logged: the first failure at once, then one warning an interval, and one line when
//! it works again. Pure: the time is passed in, and the caller writes the log.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::clock::Tick;

/// At most one warning per dependency in this time: often enough to be seen, and a busy front does not flood its log.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The failures of one dependency.
#[derive(Debug, Default)]
pub(crate) struct FailureLog(Mutex<OutageState>);

#[derive(Debug, Default)]
struct OutageState {
    /// Since when it has failed, if a warning was logged.
    since: Option<Tick>,
    /// Before this, failures are counted and not logged.
    next_warning: Tick,
    unlogged: u64,
}

impl FailureLog {
    /// Records a failure. If a warning is due, returns the number of failures since the last one, this one included.
    pub(crate) fn failed(&self, now: Tick) -> Option<u64> {
        let mut state = self.lock();
        state.unlogged += 1;
        if now < state.next_warning {
            return None;
        }
        state.since.get_or_insert(now);
        state.next_warning = now.after(WARNING_INTERVAL);
        Some(std::mem::take(&mut state.unlogged))
    }

    /// Records a success. If it ends an outage that was logged, returns how long that lasted.
    pub(crate) fn succeeded(&self, now: Tick) -> Option<Duration> {
        let since = self.lock().since.take()?;
        Some(now.since(since))
    }

    fn lock(&self) -> MutexGuard<'_, OutageState> {
        // Nothing that is done under the lock can leave the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn an_outage_is_logged_once_an_interval_and_its_end_once() {
        let log = FailureLog::default();
        assert_eq!(log.succeeded(at(1)), None, "nothing has failed");
        assert_eq!(log.failed(at(2)), Some(1));
        assert_eq!((3..62).find_map(|second| log.failed(at(second))), None);
        assert_eq!(log.failed(at(62)), Some(60));
        assert_eq!(log.succeeded(at(70)), Some(Duration::from_secs(68)));
        assert_eq!(log.succeeded(at(71)), None);
    }

    #[test]
    fn a_dependency_that_fails_now_and_then_is_logged_once_an_interval() {
        let log = FailureLog::default();
        let (mut warnings, mut recoveries) = (0, 0);
        for second in 0..600 {
            warnings += u64::from(log.failed(at(second)).is_some());
            recoveries += u64::from(log.succeeded(at(second)).is_some());
        }
        assert_eq!((warnings, recoveries), (10, 10));
    }
}
