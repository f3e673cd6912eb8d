//! Chance, for waits that must not end all at once. From a seed it is the same each time.
//!
//! Not here: secrets. What this gives can be guessed.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

/// A source of numbers by chance, shared by all requests of a client.
#[derive(Debug)]
pub struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    /// The numbers that follow from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    /// The next number: at least 0, and less than 1.
    pub fn next(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}

/// A seed of the system's, another one each time. The standard library has it at hand, from the same
/// source as all others, and cannot fail to.
impl Default for Chance {
    fn default() -> Self {
        Self::seeded(RandomState::new().hash_one(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_the_system_has_many() {
        let three = |chance: &Chance| [chance.next(), chance.next(), chance.next()];
        let first = three(&Chance::seeded(7));
        assert!(first.iter().all(|number| (0.0..1.0).contains(number)), "{first:?}");
        assert_eq!(first.map(f64::to_bits), three(&Chance::seeded(7)).map(f64::to_bits));
        let (one, other) = (three(&Chance::default()), three(&Chance::default()));
        assert_ne!(one.map(f64::to_bits), other.map(f64::to_bits));
    }
}
