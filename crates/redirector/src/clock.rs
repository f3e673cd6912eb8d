//! Time, for expiry: tenths of a second since the front was made. The clock is advanced ten times a second
//! while the front serves, and whenever a store has responded. A request reads the stored value,
//! which is cheaper than a system call.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// The unit of time.
pub(crate) const RESOLUTION: Duration = Duration::from_millis(100);

/// A time, in units of [`RESOLUTION`] since the start. Enough for thirteen years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

impl Tick {
    pub(crate) fn from_number(number: u32) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The duration since an earlier time.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        RESOLUTION * self.0.saturating_sub(earlier.0)
    }

    /// The time `duration` after this one, rounded up.
    pub(crate) fn after(self, duration: Duration) -> Self {
        let ticks = duration.as_millis().div_ceil(RESOLUTION.as_millis());
        Self(self.0.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }
}

/// The time since the front was made.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    now: AtomicU32,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), now: AtomicU32::new(0) }
    }

    /// The time when the clock was last advanced.
    pub(crate) fn now(&self) -> Tick {
        Tick(self.now.load(Ordering::Relaxed))
    }

    /// Reads the system's clock.
    pub(crate) fn advance(&self) -> Tick {
        let ticks = self.start.elapsed().as_millis() / RESOLUTION.as_millis();
        let now = Tick(u32::try_from(ticks).unwrap_or(u32::MAX));
        // Of two that advance it at once, the later one counts.
        self.now.fetch_max(now.0, Ordering::Relaxed);
        now
    }
}
