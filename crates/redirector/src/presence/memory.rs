//! What is remembered of the stores' answers: two bounded caches, one for what is there and one for
//! what is not, so that requests for digests that do not exist cannot push out those that do. The
//! time is passed in. Asking is `presence/mod.rs`.

use std::{
    hash::{BuildHasher, Hash, Hasher, RandomState},
    time::Duration,
};

use oci::Digest;
use quick_cache::{UnitWeighter, sync::Cache};

use crate::{choose::StoreId, clock::Tick, config::PresenceSettings};

/// A blob at a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    store: StoreId,
    digest: Digest,
}

impl Key {
    pub(crate) fn new(store: StoreId, digest: Digest) -> Self {
        Self { store, digest }
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.digest.as_bytes());
        state.write_u32(self.store.number());
    }
}

/// Whether a store said that it has a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    Present,
    Absent,
}

/// The two caches. A value is the time at which the answer is too old.
#[derive(Debug)]
pub(crate) struct Memory {
    present: Answers,
    absent: Answers,
    positive_ttl: Duration,
    negative_ttl: Duration,
}

type Answers = Cache<Key, Tick, UnitWeighter, DigestHash>;

impl Memory {
    pub(crate) fn new(settings: &PresenceSettings) -> Self {
        let hash = DigestHash::new();
        let capacity = settings.capacity;
        let cache = || {
            Cache::with(capacity, capacity as u64, UnitWeighter, hash.clone(), Default::default())
        };
        Self {
            present: cache(),
            absent: cache(),
            positive_ttl: settings.positive_ttl,
            negative_ttl: settings.negative_ttl,
        }
    }

    /// The store's last answer, if it is not too old.
    pub(crate) fn recall(&self, key: &Key, now: Tick) -> Option<Remembered> {
        let fresh = |answers: &Answers| answers.get(key).is_some_and(|expires| now < expires);
        if fresh(&self.present) {
            Some(Remembered::Present)
        } else if fresh(&self.absent) {
            Some(Remembered::Absent)
        } else {
            None
        }
    }

    /// Keeps the store's answer, given at `now`.
    pub(crate) fn remember(&self, key: Key, answer: Remembered, now: Tick) {
        match answer {
            Remembered::Present => self.present.insert(key, now.after(self.positive_ttl)),
            Remembered::Absent => {
                self.present.remove(&key);
                self.absent.insert(key, now.after(self.negative_ttl));
            }
        }
    }

    /// How many answers are held: present, absent.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.present.len(), self.absent.len())
    }
}

/// Takes what a digest already is, a hash, and mixes in a secret with two multiplications: enough
/// that nobody can make up digests that all fall into one place of the table, and a fraction of the
/// cost of hashing them again.
#[derive(Clone, Debug)]
struct DigestHash {
    secret: [u64; 4],
}

impl DigestHash {
    fn new() -> Self {
        let random = RandomState::new();
        Self { secret: [0, 1, 2, 3].map(|n| random.hash_one(n)) }
    }
}

impl BuildHasher for DigestHash {
    type Hasher = DigestHasher;

    fn build_hasher(&self) -> DigestHasher {
        DigestHasher { secret: self.secret, state: 0 }
    }
}

struct DigestHasher {
    secret: [u64; 4],
    state: u64,
}

impl Hasher for DigestHasher {
    fn write(&mut self, digest: &[u8]) {
        // The first 32 bytes: all of a SHA-256.
        let mut words = self.secret;
        for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
            *word ^= u64::from_le_bytes(*bytes);
        }
        self.state ^= fold(words[0], words[1]) ^ fold(words[2], words[3]).rotate_left(32);
    }

    fn write_u32(&mut self, store: u32) {
        self.state = fold(self.state ^ u64::from(store), 0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

/// Both halves of the product, so that every bit of the factors counts.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let (low, high) = (product & u128::from(u64::MAX), product >> 64);
    u64::try_from(low ^ high).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn settings(capacity: usize) -> PresenceSettings {
        PresenceSettings {
            timeout: Duration::from_secs(1),
            positive_ttl: Duration::from_secs(100),
            negative_ttl: Duration::from_secs(10),
            capacity,
        }
    }

    fn keys(count: u32) -> Vec<Key> {
        let store = StoreId::all().next().expect("a store");
        (0..count).map(|n| Key::new(store, Digest::sha256(&n.to_le_bytes()))).collect()
    }

    #[test]
    fn answers_are_kept_for_their_time() {
        let memory = Memory::new(&settings(100));
        let keys = keys(3);
        let at = |seconds| Tick::default().after(Duration::from_secs(seconds));
        memory.remember(keys[0], Remembered::Present, at(0));
        memory.remember(keys[1], Remembered::Absent, at(0));
        for (key, seconds, expected) in [
            (0, 0, Some(Remembered::Present)),
            (0, 99, Some(Remembered::Present)),
            (0, 100, None),
            (1, 0, Some(Remembered::Absent)),
            (1, 9, Some(Remembered::Absent)),
            (1, 10, None),
            (2, 0, None),
        ] {
            assert_eq!(memory.recall(&keys[key], at(seconds)), expected, "{key} at {seconds}");
        }
    }

    #[test]
    fn the_newest_answer_counts() {
        let memory = Memory::new(&settings(100));
        let (key, now) = (keys(1)[0], Tick::default());
        for answer in [Remembered::Absent, Remembered::Present, Remembered::Absent] {
            memory.remember(key, answer, now);
            assert_eq!(memory.recall(&key, now), Some(answer));
        }
    }

    #[test]
    fn stores_are_told_apart() {
        let memory = Memory::new(&settings(100));
        let stores: Vec<_> = StoreId::all().take(2).collect();
        let digest = Digest::sha256(b"x");
        memory.remember(Key::new(stores[0], digest), Remembered::Present, Tick::default());
        assert_eq!(memory.recall(&Key::new(stores[1], digest), Tick::default()), None);
    }

    #[test]
    fn a_flood_of_absent_digests_is_bounded_and_pushes_out_nothing_present() {
        let memory = Memory::new(&settings(1_000));
        let now = Tick::default();
        let (present, absent) = {
            let all = keys(50_500);
            (all[..500].to_vec(), all[500..].to_vec())
        };
        present.iter().for_each(|key| memory.remember(*key, Remembered::Present, now));
        absent.iter().for_each(|key| memory.remember(*key, Remembered::Absent, now));
        assert!(memory.len().1 <= 1_000, "{:?}", memory.len());
        assert!(present.iter().all(|key| memory.recall(key, now) == Some(Remembered::Present)));
    }

    #[test]
    fn hashes_spread_and_depend_on_every_word() {
        let hash = DigestHash::new();
        let mut low = HashSet::new();
        let keys = keys(1 << 12);
        for key in &keys {
            low.insert(hash.hash_one(key) & 0xffff);
        }
        // 4,096 balls in 65,536 bins fill 3,970 of them on average; clustering fills far fewer.
        assert!(low.len() > 3_800, "{}", low.len());
        let zero = hash.hash_one(Key { digest: Digest::sha256(b""), ..keys[0] });
        for word in 0..4 {
            let mut hex = Digest::sha256(b"").hex();
            let flipped = if &hex[word * 16..=word * 16] == "0" { "1" } else { "0" };
            hex.replace_range(word * 16..=word * 16, flipped);
            let digest = format!("sha256:{hex}").parse().expect("a digest");
            assert_ne!(hash.hash_one(Key { digest, ..keys[0] }), zero, "word {word}");
        }
    }
}
