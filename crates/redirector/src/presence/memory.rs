//! What is remembered of the stores' answers: one table for what is there and one for what is not,
//! so that requests for digests that do not exist cannot push out those that do. Up to 64 stores
//! share an entry, so that a blob asked for from everywhere is in one place of memory. The time is
//! passed in. Asking is `presence/mod.rs`.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use oci::Digest;

use super::table::{Fingerprint, Member, Table};
use crate::{choose::StoreId, clock::Tick, config::PresenceSettings};

/// Of the capacity, the part that is set aside for what is absent: it is forgotten soon, and comes
/// no faster than stores can be asked.
const ABSENT_SHARE: usize = 8;

/// A blob at a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// What the store is in the table's entry of the blob; other groups of stores have other entries.
    fn member(&self) -> Member {
        Member::new(self.store.number())
    }

    fn group(&self) -> u32 {
        self.store.number() / Member::COUNT
    }
}

/// Whether a store said that it has a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    Present,
    Absent,
}

/// The two tables.
#[derive(Debug)]
pub(crate) struct Memory {
    present: Table,
    absent: Table,
    secret: Secret,
    positive_ttl: Duration,
    negative_ttl: Duration,
}

impl Memory {
    pub(crate) fn new(settings: &PresenceSettings) -> Self {
        Self {
            present: Table::new(settings.capacity),
            absent: Table::new(settings.capacity.div_ceil(ABSENT_SHARE)),
            secret: Secret::random(),
            positive_ttl: settings.positive_ttl,
            negative_ttl: settings.negative_ttl,
        }
    }

    /// The store's last answer, if it is not too old.
    pub(crate) fn recall(&self, key: &Key, now: Tick) -> Option<Remembered> {
        let (blob, store) = (self.secret.fingerprint(&key.digest, key.group()), key.member());
        if self.present.has(blob, store, now) {
            Some(Remembered::Present)
        } else if self.absent.has(blob, store, now) {
            Some(Remembered::Absent)
        } else {
            None
        }
    }

    /// Keeps the store's answer, given at `now`.
    pub(crate) fn remember(&self, key: &Key, answer: Remembered, now: Tick) {
        let (blob, store) = (self.secret.fingerprint(&key.digest, key.group()), key.member());
        let (table, other, ttl) = match answer {
            Remembered::Present => (&self.present, &self.absent, self.positive_ttl),
            Remembered::Absent => (&self.absent, &self.present, self.negative_ttl),
        };
        other.remove(blob, store);
        table.insert(blob, store, now, now.after(ttl));
    }

    /// For how many blobs answers are held: present, absent.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.present.len(), self.absent.len())
    }
}

/// What makes fingerprints unpredictable. A digest is a hash already: mixing it with a secret by two
/// multiplications is enough that nobody can make up digests that share a bucket or a fingerprint,
/// and a fraction of the cost of hashing it again.
#[derive(Debug)]
struct Secret([u64; 4]);

impl Secret {
    fn random() -> Self {
        let random = RandomState::new();
        Self([0, 1, 2, 3].map(|n| random.hash_one(n)))
    }

    fn fingerprint(&self, digest: &Digest, group: u32) -> Fingerprint {
        // Times a large odd number, so that it changes many bits.
        let mut mixed = u128::from(group) * 0x9e37_79b9_7f4a_7c15;
        // SHA-256 is one round of 32 bytes, SHA-512 two.
        for four in digest.as_bytes().as_chunks::<8>().0.as_chunks::<4>().0 {
            let [a, b, c, d] = std::array::from_fn(|n| u64::from_le_bytes(four[n]) ^ self.0[n]);
            let first = u128::from(a ^ low(mixed)) * u128::from(b ^ low(mixed >> 64));
            mixed = first ^ (u128::from(c) * u128::from(d)).rotate_left(64);
        }
        Fingerprint(low(mixed) ^ low(mixed >> 64))
    }
}

fn low(wide: u128) -> u64 {
    u64::try_from(wide & u128::from(u64::MAX)).unwrap_or_default()
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
        memory.remember(&keys[0], Remembered::Present, at(0));
        memory.remember(&keys[1], Remembered::Absent, at(0));
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
            memory.remember(&key, answer, now);
            assert_eq!(memory.recall(&key, now), Some(answer));
            let (present, absent) = memory.len();
            assert_eq!(present + absent, 1);
        }
    }

    #[test]
    fn a_flood_of_absent_digests_is_bounded_and_pushes_out_nothing_present() {
        let memory = Memory::new(&settings(10_000));
        let (all, now) = (keys(50_100), Tick::default());
        let (present, absent) = all.split_at(100);
        present.iter().for_each(|key| memory.remember(key, Remembered::Present, now));
        absent.iter().for_each(|key| memory.remember(key, Remembered::Absent, now));
        // An eighth of the capacity, and at most three times as many places as that.
        assert!(memory.len().1 <= 10_000 / ABSENT_SHARE * 3, "{:?}", memory.len());
        let is_present = |key: &&Key| memory.recall(key, now) == Some(Remembered::Present);
        assert_eq!(present.iter().filter(is_present).count(), memory.len().0);
        assert!(memory.len().0 >= 99, "{:?}", memory.len());
    }

    #[test]
    fn stores_are_told_apart() {
        let memory = Memory::new(&settings(100));
        let (digest, now) = (Digest::sha256(b"x"), Tick::default());
        let keys: Vec<_> = StoreId::all().take(200).map(|id| Key::new(id, digest)).collect();
        for (asked, key) in keys.iter().enumerate() {
            assert_eq!(memory.recall(key, now), None);
            memory.remember(key, Remembered::Present, now);
            let known = keys.iter().filter(|key| memory.recall(key, now).is_some()).count();
            assert_eq!(known, asked + 1);
        }
        assert_eq!(memory.len(), (4, 0), "64 stores share an entry");
    }

    #[test]
    fn fingerprints_depend_on_every_digit_and_on_the_secret() {
        let secret = Secret::random();
        let mut seen = HashSet::new();
        for algorithm in [oci::Algorithm::Sha256, oci::Algorithm::Sha512] {
            let digest = Digest::of(algorithm, b"x");
            assert!(seen.insert(secret.fingerprint(&digest, 0)));
            assert!(seen.insert(secret.fingerprint(&digest, 1)));
            for at in 0..algorithm.hex_len() {
                let mut hex = digest.hex();
                let flipped = if &hex[at..=at] == "0" { "1" } else { "0" };
                hex.replace_range(at..=at, flipped);
                let digest: Digest = format!("{algorithm}:{hex}").parse().expect("a digest");
                assert!(seen.insert(secret.fingerprint(&digest, 0)), "{at}");
            }
        }
        let digest = Digest::sha256(b"x");
        assert_ne!(Secret::random().fingerprint(&digest, 0), secret.fingerprint(&digest, 0));
    }

    #[test]
    fn fingerprints_spread_over_every_half() {
        let secret = Secret::random();
        let prints: Vec<_> =
            keys(1 << 12).iter().map(|key| secret.fingerprint(&key.digest, 0).0).collect();
        for shift in [0, 16, 32, 48] {
            let parts: HashSet<_> = prints.iter().map(|print| (print >> shift) & 0xffff).collect();
            // 4,096 balls in 65,536 bins fill 3,970 of them; clusters would fill far fewer.
            assert!(parts.len() > 3_800, "{shift}: {}", parts.len());
        }
    }
}
