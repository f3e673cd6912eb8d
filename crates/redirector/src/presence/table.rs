//! A bounded table from fingerprint to a small set, each entry with a time at which it expires. A
//! look-up takes no lock and mostly touches one cache line; and the lines in use lie close together,
//! since the table grows with its content: waiting for main memory costs more than the rest of a
//! decision.
//!
//! A fingerprint has two buckets of [`WAYS`] entries, and lies in the first if there was room. When
//! others have all entries of both, the one that expires first makes room. Fingerprints must be
//! unpredictable, so that a client cannot aim at one bucket.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use crate::clock::Tick;

/// Entries in a bucket: a cache line.
const WAYS: usize = 3;
/// Buckets of a new table, as a power of two: 16 KiB.
const FIRST_BITS: u32 = 8;
/// How often a table can double: up to 400 million entries.
const MAX_LEVEL: u32 = 19;

/// The hash of a key: all of it identifies the entry, and parts of it choose the buckets. With a
/// million entries, an absent key is taken for a present one with a chance of 1 in 2⁴⁴.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(pub(super) u64);

/// A number from 0 to 63, as its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StoreMember(u64);

/// The table. With `n` buckets, a fingerprint's are those whose numbers are its lowest bits, and the
/// lowest bits of its upper half. When the table doubles, what was in bucket `b` is then in `b` or
/// in `b + n`.
#[derive(Debug)]
pub(super) struct Table {
    /// The first has the first buckets, every other as many as all before it.
    segments: [OnceLock<Box<[Bucket]>>; MAX_LEVEL as usize + 1],
    /// How often the table has doubled.
    level: AtomicU32,
    max_level: u32,
    /// The number of entries in use. Every writer holds this lock.
    taken: Mutex<usize>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket {
    tags: [AtomicU64; WAYS],
    members: [AtomicU64; WAYS],
    expire: [AtomicU32; WAYS],
}

/// Where an entry may be. It is free while it expires at the beginning of time.
#[derive(Clone, Copy)]
struct EntryRef<'t> {
    tag: &'t AtomicU64,
    members: &'t AtomicU64,
    expires: &'t AtomicU32,
}

impl StoreMember {
    /// How many there are.
    pub(super) const COUNT: u32 = u64::BITS;

    /// The remainder of `number` by [`StoreMember::COUNT`].
    pub(super) fn new(number: u32) -> Self {
        Self(1 << (number % Self::COUNT))
    }
}

impl Table {
    /// A table with room for at least this many entries, and at most three times as many.
    pub(super) fn new(entries: usize) -> Self {
        let suffices = |level: &u32| comfortable(*level) >= entries;
        let max_level = (0..MAX_LEVEL).find(suffices).unwrap_or(MAX_LEVEL);
        let table = Self {
            segments: std::array::from_fn(|_| OnceLock::new()),
            level: AtomicU32::new(0),
            max_level,
            taken: Mutex::default(),
        };
        table.segment(0);
        table
    }

    /// Whether `member` is in the set of `key`, and that has not expired.
    pub(super) fn has(&self, key: Fingerprint, member: StoreMember, now: Tick) -> bool {
        self.entries(key).any(|entry| entry.has(key.0, member, now))
    }

    /// Puts `member` into the set of `key`. A set that is new expires at `expires`; one that there
    /// is keeps its time.
    pub(super) fn insert(&self, key: Fingerprint, member: StoreMember, now: Tick, expires: Tick) {
        // What has expired already would take a entry that looks free.
        if expires == Tick::default() {
            return;
        }
        let mut taken = self.lock();
        self.grow(*taken);
        let own = self.entries(key).find(|entry| entry.is(key.0));
        if let Some(entry) = own.filter(|entry| now < entry.expires()) {
            entry.members.fetch_or(member.0, Ordering::Release);
            return;
        }
        let free = || self.entries(key).find(|entry| entry.is_free());
        let first_to_expire = || self.entries(key).min_by_key(EntryRef::expires);
        if let Some(entry) = own.or_else(free).or_else(first_to_expire) {
            *taken += usize::from(entry.is_free());
            entry.set(key.0, member.0, expires.number());
            *taken -= usize::from(entry.is_free());
        }
    }

    /// Takes `member` out of the set of `key`.
    pub(super) fn remove(&self, key: Fingerprint, member: StoreMember) {
        let mut taken = self.lock();
        let Some(entry) = self.entries(key).find(|entry| entry.is(key.0)) else { return };
        let before = entry.members.fetch_and(!member.0, Ordering::Release);
        if before & !member.0 == 0 {
            entry.free();
            *taken -= 1;
        }
    }

    /// How many entries it holds, expired ones included.
    pub(super) fn len(&self) -> usize {
        *self.lock()
    }

    /// Doubles the table if it is getting full. The caller holds the lock.
    fn grow(&self, taken: usize) {
        let level = self.level.load(Ordering::Relaxed);
        if taken < comfortable(level) || level == self.max_level {
            return;
        }
        // First the new entries, then the new level, then the old entries: readers miss nothing.
        let (old, new) = (1 << (FIRST_BITS + level), self.segment(level + 1));
        let moving = || {
            (0..old).zip(new).flat_map(move |(number, bucket)| {
                let pairs = self.bucket(number).entries().zip(bucket.entries());
                pairs.filter(move |(from, _)| {
                    let [one, two] = numbers(from.tag.load(Ordering::Relaxed), level + 1);
                    !from.is_free() && one != number && two != number
                })
            })
        };
        moving().for_each(|(from, to)| {
            to.set(
                from.tag.load(Ordering::Relaxed),
                from.members.load(Ordering::Relaxed),
                from.expires.load(Ordering::Relaxed),
            );
        });
        self.level.store(level + 1, Ordering::Release);
        moving().for_each(|(from, _)| from.free());
    }

    /// Where `key` may be, the likeliest entries first.
    fn entries(&self, key: Fingerprint) -> impl Iterator<Item = EntryRef<'_>> {
        let [first, second] = numbers(key.0, self.level.load(Ordering::Acquire));
        // The second is looked at only when the first has not got it.
        [first, second].into_iter().flat_map(|number| self.bucket(number).entries())
    }

    fn bucket(&self, number: usize) -> &Bucket {
        let segment = usize::BITS - (number >> FIRST_BITS).leading_zeros();
        let buckets = self.segment(segment);
        // The first of a segment is its length, or 0.
        &buckets[number & (buckets.len() - 1)]
    }

    fn segment(&self, number: u32) -> &[Bucket] {
        self.segments[number as usize].get_or_init(|| {
            let buckets = 1 << (FIRST_BITS + number.saturating_sub(1));
            std::iter::repeat_with(Bucket::default).take(buckets).collect()
        })
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many entries a table has room for: two thirds of its entries, so that at most one entry in a
/// hundred finds both its buckets taken.
fn comfortable(level: u32) -> usize {
    (WAYS * 2 / 3) << (FIRST_BITS + level)
}

/// The numbers of the buckets for a tag.
fn numbers(tag: u64, level: u32) -> [usize; 2] {
    let mask = (1_u64 << (FIRST_BITS + level)) - 1;
    [tag & mask, (tag >> 32) & mask].map(|number| usize::try_from(number).unwrap_or_default())
}

impl Bucket {
    fn entries(&self) -> impl Iterator<Item = EntryRef<'_>> {
        let entries = self.tags.iter().zip(&self.members).zip(&self.expire);
        entries.map(|((tag, members), expires)| EntryRef { tag, members, expires })
    }
}

/// A writer (there is one at a time) first clears an entry, then sets its tag, then its content. A reader that
/// sees the new tag sees nothing older than the clearing; a reader that sees the new content sees the new
/// tag when it reads the tag again. So a reader never sees a mix of two entries.
impl EntryRef<'_> {
    fn has(&self, tag: u64, member: StoreMember, now: Tick) -> bool {
        self.tag.load(Ordering::Acquire) == tag
            && now < Tick::from_number(self.expires.load(Ordering::Acquire))
            && self.members.load(Ordering::Acquire) & member.0 != 0
            && self.tag.load(Ordering::Relaxed) == tag
    }

    fn set(&self, tag: u64, members: u64, expires: u32) {
        self.free();
        self.members.store(0, Ordering::Relaxed);
        self.tag.store(tag, Ordering::Release);
        self.members.store(members, Ordering::Release);
        self.expires.store(expires, Ordering::Release);
    }

    fn free(&self) {
        self.expires.store(0, Ordering::Relaxed);
    }

    fn is(&self, tag: u64) -> bool {
        self.tag.load(Ordering::Relaxed) == tag && !self.is_free()
    }

    fn is_free(&self) -> bool {
        self.expires() == Tick::default()
    }

    fn expires(&self) -> Tick {
        Tick::from_number(self.expires.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn tick(number: u32) -> Tick {
        Tick::from_number(number)
    }

    /// Few enough keys to meet again, many enough to overflow their buckets, all in a few of them:
    /// the numbers end in the same bits however often the table has doubled.
    fn keys() -> impl Strategy<Value = Fingerprint> {
        (0_u64..40).prop_map(|n| Fingerprint((n << 60) | ((n % 3) << 32) | (n % 2) | (n << 24)))
    }

    proptest! {
        /// Compared with a map that keeps everything: the table may evict, and never invents.
        #[test]
        fn it_holds_only_what_was_put_there(
            steps in prop::collection::vec((keys(), 0_u32..3, 0_u32..4, any::<bool>()), 1..200),
        ) {
            const TTL: u32 = 20;
            let table = Table::new(1);
            let mut model = HashMap::new();
            let mut now = 0;
            for (key, number, pause, is_there) in steps {
                let member = StoreMember::new(number);
                now += pause;
                let is_known = model.get(&(key, member)).is_some_and(|expires| now < *expires);
                prop_assert!(!table.has(key, member, tick(now)) || is_known);
                if is_there {
                    table.insert(key, member, tick(now), tick(now + TTL));
                    model.insert((key, member), now + TTL);
                } else {
                    table.remove(key, member);
                    model.remove(&(key, member));
                }
                prop_assert_eq!(table.has(key, member, tick(now)), is_there);
                prop_assert!(!table.has(key, member, tick(now + TTL)));
                prop_assert!(table.len() <= model.len());
            }
        }
    }

    #[test]
    fn it_grows_with_its_content_and_forgets_nearly_nothing() {
        const ENTRIES: u64 = 20_000;
        let table = Table::new(20_000);
        // Multiples of an odd number scatter evenly.
        let key = |n: u64| Fingerprint(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let member = StoreMember::new(63);
        let mut levels = Vec::new();
        for n in 1..=ENTRIES {
            table.insert(key(n), member, tick(0), tick(1));
            assert!(table.has(key(n), member, tick(0)));
            levels.push(table.level.load(Ordering::Relaxed));
        }
        assert!(levels.is_sorted() && levels[0] == 0 && levels.last() == Some(&table.max_level));
        assert_eq!(table.max_level, 6, "512 times 2⁶ is more than 20,000");
        let held = (1..=ENTRIES).filter(|n| table.has(key(*n), member, tick(0))).count();
        assert_eq!(table.len(), held);
        assert!(held > 19_800, "{held}");
        for n in ENTRIES..10 * ENTRIES {
            table.insert(key(n), member, tick(0), tick(1));
        }
        assert_eq!(table.level.load(Ordering::Relaxed), table.max_level);
        assert!(table.len() <= 3 * 20_000, "{}", table.len());
    }

    #[test]
    fn the_entry_that_expires_first_makes_room() {
        let table = Table::new(1);
        let member = StoreMember::new(0);
        // The last bits are the same, and so are those of the upper half.
        let key = |n: u32| Fingerprint(u64::from(n) << 48);
        for n in 1..=4 {
            table.insert(key(n), member, tick(0), tick(10 + n));
        }
        let held = (1..=4).filter(|n| table.has(key(*n), member, tick(0)));
        assert_eq!(held.collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn a_set_expires_as_a_whole() {
        let (table, key) = (Table::new(1), Fingerprint(1));
        let [one, two] = [StoreMember::new(1), StoreMember::new(2)];
        table.insert(key, one, tick(0), tick(10));
        table.insert(key, two, tick(9), tick(19));
        assert!(table.has(key, one, tick(9)) && table.has(key, two, tick(9)));
        assert!(!table.has(key, one, tick(10)) && !table.has(key, two, tick(10)));
        table.insert(key, two, tick(10), tick(20));
        assert!(!table.has(key, one, tick(10)) && table.has(key, two, tick(10)));
        assert_eq!(table.len(), 1);
        table.remove(key, two);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn what_expires_at_once_takes_no_place() {
        let table = Table::new(1);
        table.insert(Fingerprint(1), StoreMember::new(0), tick(0), tick(0));
        assert_eq!(table.len(), 0);
    }

    /// Odd tags, and odd members of even ones, are never put there.
    #[test]
    fn readers_see_only_entries_that_exist_while_slots_are_reused_and_the_table_grows() {
        let table = Table::new(2_000);
        let key = |n: u32| Fingerprint(u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 1..200_000_u32 {
                    let (tag, member) = (n % 5_000 * 2, n % 8 * 2);
                    table.insert(key(tag), StoreMember::new(member), tick(n), tick(n + 1));
                }
            });
            while !writer.is_finished() {
                for n in 0..5_000 {
                    assert!(!table.has(key(n * 2 + 1), StoreMember::new(0), tick(1)));
                    assert!(!table.has(key(n * 2), StoreMember::new(5), tick(1)));
                }
            }
        });
        assert_eq!(table.level.load(Ordering::Relaxed), table.max_level);
    }

    #[test]
    fn readers_miss_nothing_while_the_table_grows() {
        let table = Table::new(100_000);
        let key = |n: u64| Fingerprint(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let member = StoreMember::new(0);
        (0..100).for_each(|n| table.insert(key(n), member, tick(0), tick(2)));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                (100..60_000).for_each(|n| table.insert(key(n), member, tick(0), tick(1)));
            });
            while !writer.is_finished() {
                let held = (0..100).filter(|n| table.has(key(*n), member, tick(0))).count();
                assert!(held >= 99, "{held}");
            }
        });
    }
}
