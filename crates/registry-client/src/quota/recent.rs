//! How many requests a second there were of late, counted without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Over how many seconds the rate is taken: long enough to even out pauses, short enough to be the
/// rate that a refusal was about.
const SECONDS: usize = 4;

/// Requests of the last seconds, one counter for each. A counter holds its second in the upper half,
/// and how many there were in the lower one, so that one swap changes both.
#[derive(Debug)]
pub(super) struct Recent {
    begin: Instant,
    counters: [AtomicU64; SECONDS],
}

impl Recent {
    pub(super) fn new(now: Instant) -> Self {
        Self { begin: now, counters: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Counts one request.
    pub(super) fn count(&self, now: Instant) {
        let second = self.age(now).as_secs();
        let index = usize::try_from(second % SECONDS as u64).unwrap_or_default();
        let one_more =
            |held| Some(if parts(held).0 == second { held + 1 } else { second << 32 | 1 });
        // Nothing else is read by it, so its order does not matter.
        let _ = self.counters[index].fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    /// Requests a second, from the first of the last seconds in which there were any until now.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let age = self.age(now);
        let is_recent = |second: u64| second + SECONDS as u64 > age.as_secs();
        let held = self.counters.iter().map(|counter| parts(counter.load(Ordering::Relaxed)));
        let recent = held.filter(|&(second, count)| count > 0 && is_recent(second));
        let (first, all) = recent.fold((age.as_secs(), 0), |(first, all), (second, count)| {
            (first.min(second), all + count)
        });
        // A part of a second is taken as a whole one: what has just begun says nothing of its rate.
        let over = age.saturating_sub(Duration::from_secs(first)).max(Duration::from_secs(1));
        Duration::from_secs(all).div_duration_f64(over)
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begin)
    }
}

/// The second and the count of a counter.
const fn parts(held: u64) -> (u64, u64) {
    (held >> 32, held & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let begin = Instant::now();
        for (case, asked, now, rate) in [
            ("nothing", &[][..], 9000, 0.0),
            ("a burst that has just begun", &[(0, 200)], 50, 200.0),
            ("a burst, a little later", &[(0, 200)], 2000, 100.0),
            ("a burst long ago", &[(0, 200)], 4000, 0.0),
            ("steady", &[(0, 10), (1000, 10), (2000, 10), (3000, 10)], 4000, 10.0),
            ("faster of late", &[(0, 1), (1000, 10), (2000, 10), (3000, 20)], 4000, 40.0 / 3.0),
            ("round the ring", &[(0, 5), (4000, 7), (5000, 7)], 6000, 7.0),
        ] {
            let recent = Recent::new(begin);
            for &(at, count) in asked {
                (0..count).for_each(|_| recent.count(begin + Duration::from_millis(at)));
            }
            let found = recent.rate(begin + Duration::from_millis(now));
            assert!((found - rate).abs() < 1e-9, "{case}: {found}");
        }
    }
}
