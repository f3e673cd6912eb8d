//! The least rate at which a blob must move: the pause between two pieces alone would let a peer that
//! sends a byte now and then hold a transfer for ever.

use std::time::Duration;

/// The least rate, in bytes a second: below any line that images are moved over (128 kbit/s).
pub const LEAST_RATE: u64 = 16 << 10;
/// The time over which the rate is taken: twice the longest pause that is allowed, so that one such
/// pause is made up for.
pub const RATE_WINDOW: Duration = Duration::from_secs(60);

/// How slow is too slow.
#[derive(Clone, Copy, Debug)]
pub struct LeastRate {
    /// Bytes in each second.
    pub bytes_a_second: u64,
    /// The time over which the rate is taken.
    pub window: Duration,
}

/// Bytes moved, and how long the other side was waited for, in the current window. Time in which we
/// ourselves were not ready is not the other side's.
#[derive(Debug)]
pub struct Meter {
    least: LeastRate,
    moved: u64,
    waited: Duration,
}

/// A window in which too little moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow {
    /// How many bytes moved.
    pub moved: u64,
    /// How long the other side was waited for.
    pub after: Duration,
    /// The least rate, in bytes a second.
    pub least: u64,
}

impl Meter {
    /// A meter at the beginning of its first window.
    pub const fn new(least: LeastRate) -> Self {
        Self { least, moved: 0, waited: Duration::ZERO }
    }

    /// Counts a piece of `bytes` that was waited for.
    pub fn count(&mut self, bytes: usize, waited: Duration) -> Result<(), TooSlow> {
        self.moved += bytes as u64;
        self.waited += waited;
        if self.waited < self.least.window {
            return Ok(());
        }
        let Self { least, moved, waited: after } = *self;
        *self = Self::new(least);
        if u128::from(moved) * 1000 < u128::from(least.bytes_a_second) * after.as_millis() {
            return Err(TooSlow { moved, after, least: least.bytes_a_second });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_with_too_little_in_it_is_too_slow() {
        let second = Duration::from_secs(1);
        let least = LeastRate { bytes_a_second: 10, window: 4 * second };
        let slow = |moved, seconds| Err(TooSlow { moved, after: seconds * second, least: 10 });
        for (case, pieces, ends) in [
            ("steady", &[(10, 1); 9][..], Ok(())),
            ("too slow, but not for long", &[(1, 3)], Ok(())),
            ("too slow", &[(9, 1); 4], slow(36, 4)),
            ("a pause that is made up for", &[(1, 3), (39, 1)], Ok(())),
            ("a pause over the window's end", &[(10, 1), (10, 9)], slow(20, 10)),
            ("fast at first only", &[(1000, 4), (9, 4)], slow(9, 4)),
            ("our own pauses", &[(1, 0); 99], Ok(())),
        ] {
            let mut meter = Meter::new(least);
            let counted = |&(bytes, seconds)| meter.count(bytes, seconds * second);
            assert_eq!(pieces.iter().try_for_each(counted), ends, "{case}");
        }
    }
}
