//! The cached results of probes: one table for present blobs and one for absent ones, so that requests
//! for digests that do not exist cannot evict those that do. Up to 64 stores share the entry of a
//! blob, so that a blob requested from many regions needs one cache line. The time is passed in.
//! Probing is `presence/mod.rs`.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use oci::Digest;

use super::table::{Fingerprint, StoreMember, Table};
use crate::{clock::Tick, config::PresenceSettings, store_id::StoreId};

/// Of the capacity, the part that is set aside for what is absent: it expires soon, and arrives
/// no faster than stores can be probed.
const ABSENT_SHARE: usize = 8;

/// A blob at a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PresenceKey {
    store: StoreId,
    digest: Digest,
}

impl PresenceKey {
    pub(crate) fn new(store: StoreId, digest: Digest) -> Self {
        Self { store, digest }
    }

    /// The store's bit in the table entry of the blob; other groups of stores have other entries.
    fn member(&self) -> StoreMember {
        StoreMember::new(self.store.number())
    }

    fn group(&self) -> u32 {
        self.store.number() / StoreMember::COUNT
    }
}

/// Whether a store has a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Present,
    Absent,
}

/// The two tables.
#[derive(Debug)]
pub(crate) struct PresenceCache {
    present: Table,
    absent: Table,
    secret: FingerprintKey,
    positive_ttl: Duration,
    negative_ttl: Duration,
}

impl PresenceCache {
    pub(crate) fn new(settings: &PresenceSettings) -> Self {
        Self {
            present: Table::new(settings.capacity),
            absent: Table::new(settings.capacity.div_ceil(ABSENT_SHARE)),
            secret: FingerprintKey::random(),
            positive_ttl: settings.positive_ttl,
            negative_ttl: settings.negative_ttl,
        }
    }

    /// The store's last presence, if it is not too old.
    pub(crate) fn get(&self, key: &PresenceKey, now: Tick) -> Option<Presence> {
        let (blob, store) = (self.secret.fingerprint(&key.digest, key.group()), key.member());
        if self.present.has(blob, store, now) {
            Some(Presence::Present)
        } else if self.absent.has(blob, store, now) {
            Some(Presence::Absent)
        } else {
            None
        }
    }

    /// Keeps the store's presence, given at `now`.
    pub(crate) fn insert(&self, key: &PresenceKey, presence: Presence, now: Tick) {
        let (blob, store) = (self.secret.fingerprint(&key.digest, key.group()), key.member());
        let (table, other, ttl) = match presence {
            Presence::Present => (&self.present, &self.absent, self.positive_ttl),
            Presence::Absent => (&self.absent, &self.present, self.negative_ttl),
        };
        other.remove(blob, store);
        table.insert(blob, store, now, now.after(ttl));
    }

    /// The number of blobs with cached results: present, absent.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.present.len(), self.absent.len())
    }
}

/// Makes fingerprints unpredictable. A digest is a hash already: mixing it with a secret by two
/// multiplications is enough to prevent crafted digests that share a bucket or a fingerprint,
/// and a fraction of the cost of hashing it again.
#[derive(Debug)]
struct FingerprintKey([u64; 4]);

impl FingerprintKey {
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

    fn keys(count: u32) -> Vec<PresenceKey> {
        let store = StoreId::new(0);
        (0..count).map(|n| PresenceKey::new(store, Digest::sha256(&n.to_le_bytes()))).collect()
    }

    #[test]
    fn answers_are_kept_for_their_time() {
        let cache = PresenceCache::new(&settings(100));
        let keys = keys(3);
        let at = |seconds| Tick::default().after(Duration::from_secs(seconds));
        cache.insert(&keys[0], Presence::Present, at(0));
        cache.insert(&keys[1], Presence::Absent, at(0));
        for (key, seconds, expected) in [
            (0, 0, Some(Presence::Present)),
            (0, 99, Some(Presence::Present)),
            (0, 100, None),
            (1, 0, Some(Presence::Absent)),
            (1, 9, Some(Presence::Absent)),
            (1, 10, None),
            (2, 0, None),
        ] {
            assert_eq!(cache.get(&keys[key], at(seconds)), expected, "{key} at {seconds}");
        }
    }

    #[test]
    fn the_newest_result_counts() {
        let cache = PresenceCache::new(&settings(100));
        let (key, now) = (keys(1)[0], Tick::default());
        for presence in [Presence::Absent, Presence::Present, Presence::Absent] {
            cache.insert(&key, presence, now);
            assert_eq!(cache.get(&key, now), Some(presence));
            let (present, absent) = cache.len();
            assert_eq!(present + absent, 1);
        }
    }

    #[test]
    fn a_flood_of_absent_digests_is_bounded_and_pushes_out_nothing_present() {
        let cache = PresenceCache::new(&settings(10_000));
        let (all, now) = (keys(50_100), Tick::default());
        let (present, absent) = all.split_at(100);
        present.iter().for_each(|key| cache.insert(key, Presence::Present, now));
        absent.iter().for_each(|key| cache.insert(key, Presence::Absent, now));
        // An eighth of the capacity, and at most three times as many entries as that.
        assert!(cache.len().1 <= 10_000 / ABSENT_SHARE * 3, "{:?}", cache.len());
        let is_present = |key: &&PresenceKey| cache.get(key, now) == Some(Presence::Present);
        assert_eq!(present.iter().filter(is_present).count(), cache.len().0);
        assert!(cache.len().0 >= 99, "{:?}", cache.len());
    }

    #[test]
    fn stores_are_distinguished() {
        let cache = PresenceCache::new(&settings(100));
        let (digest, now) = (Digest::sha256(b"x"), Tick::default());
        let keys: Vec<_> =
            (0..200).map(StoreId::new).map(|id| PresenceKey::new(id, digest)).collect();
        for (inserted, key) in keys.iter().enumerate() {
            assert_eq!(cache.get(key, now), None);
            cache.insert(key, Presence::Present, now);
            let cached = keys.iter().filter(|key| cache.get(key, now).is_some()).count();
            assert_eq!(cached, inserted + 1);
        }
        assert_eq!(cache.len(), (4, 0), "64 stores share an entry");
    }

    #[test]
    fn fingerprints_depend_on_every_digit_and_on_the_secret() {
        let secret = FingerprintKey::random();
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
        assert_ne!(
            FingerprintKey::random().fingerprint(&digest, 0),
            secret.fingerprint(&digest, 0)
        );
    }

    #[test]
    fn fingerprints_spread_over_every_half() {
        let secret = FingerprintKey::random();
        let prints: Vec<_> =
            keys(1 << 12).iter().map(|key| secret.fingerprint(&key.digest, 0).0).collect();
        for shift in [0, 16, 32, 48] {
            let parts: HashSet<_> = prints.iter().map(|print| (print >> shift) & 0xffff).collect();
            // 4,096 balls in 65,536 bins fill 3,970 of them; clusters would fill far fewer.
            assert!(parts.len() > 3_800, "{shift}: {}", parts.len());
        }
    }
}
