//! Time, for expiry: tenths of a second since the front was made. The clock is advanced ten times a second
//! while the front serves, and whenever a store has answered; a request reads what it then says,
//! which is cheaper than asking the machine each time.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// The unit of time.
pub(crate) const RESOLUTION: Duration = Duration::from_millis(100);

/// A moment: so many times [`RESOLUTION`] since the beginning. Enough for thirteen years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

impl Tick {
    pub(crate) fn from_number(number: u32) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The time from an earlier moment to this one.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        RESOLUTION * self.0.saturating_sub(earlier.0)
    }

    /// The moment `duration` after this one, or a little later.
    pub(crate) fn after(self, duration: Duration) -> Self {
        let ticks = duration.as_millis().div_ceil(RESOLUTION.as_millis());
        Self(self.0.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }
}

/// Tells the time since it was made.
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

    /// Asks the machine for the time.
    pub(crate) fn advance(&self) -> Tick {
        let ticks = self.start.elapsed().as_millis() / RESOLUTION.as_millis();
        let now = Tick(u32::try_from(ticks).unwrap_or(u32::MAX));
        // Of two that advance it at once, the later one counts.
        self.now.fetch_max(now.0, Ordering::Relaxed);
        now
    }
}
