//! Disjoint intervals that cover all the addresses of one family, each with a value; found by
//! tables over the leading bits and a short binary search behind them.
//!
//! It has no notion of prefixes and locations. The tables follow the addresses: the first is indexed
//! by 16 bits; where more than a few intervals share these, another by the next 8 bits follows, and
//! so on. One table alone leaves a thousand intervals to search under `2600::/16`, where half of the
//! IPv6 prefixes of the clouds are; that took three times as long.

/// How many intervals may share a slot before they get a table of their own. Measured on the real
/// lists: from 1 to 8 equally fast, and 4 takes a quarter less memory than 1.
const FEW: usize = 4;

const ROOT_BITS: u32 = 16;
const TABLE_BITS: u32 = 8;

/// An address as a number.
pub(crate) trait AddressKey: Copy + Ord {
    /// The lowest address.
    const ZERO: Self;
    /// The bits of an address.
    const BITS: u32;
    /// The bits that no table looks at: for IPv6 the host part, since tables for single hosts
    /// cost more memory (some KiB each) than lookups among them are worth.
    const HOST_BITS: u32;

    /// The `bits` bits that have `shift` bits behind them.
    fn slot(self, bits: u32, shift: u32) -> usize;

    /// This address with `slot` in the bits that have `shift` bits behind them, so far zero.
    fn with_slot(self, slot: u16, shift: u32) -> Self;

    /// This address with the last `shift` bits set. `shift` is less than [`AddressKey::BITS`], since a
    /// shift by the full width wraps.
    fn filled(self, shift: u32) -> Self;

    /// The address behind this one; none behind the last.
    fn next(self) -> Option<Self>;
}

macro_rules! key {
    ($number:ty, $host_bits:literal) => {
        impl AddressKey for $number {
            const ZERO: Self = 0;
            const BITS: u32 = <$number>::BITS;
            const HOST_BITS: u32 = $host_bits;

            #[inline]
            fn slot(self, bits: u32, shift: u32) -> usize {
                (self >> shift) as usize & ((1 << bits) - 1)
            }

            fn with_slot(self, slot: u16, shift: u32) -> Self {
                self | Self::from(slot) << shift
            }

            fn filled(self, shift: u32) -> Self {
                self | ((1 << shift) - 1)
            }

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
        }
    };
}

key!(u32, 0);
key!(u128, 64);

/// Every address has a value or none.
#[derive(Clone, Debug)]
pub(crate) struct IntervalMap<K, V> {
    /// The lowest address of each interval, ascending; the first is [`AddressKey::ZERO`].
    starts: Box<[K]>,
    /// The value of each interval.
    values: Box<[Option<V>]>,
    /// All the tables, one behind the other, the root first.
    slots: Box<[TableEntry]>,
}

/// The entry of a table for the addresses with certain leading bits.
#[derive(Clone, Copy, Debug)]
enum TableEntry {
    /// They are in these intervals, first and last.
    Intervals(u32, u32),
    /// The next table, for more bits, begins at this index.
    Table(u32),
}

impl<K: AddressKey, V: Copy + PartialEq> IntervalMap<K, V> {
    /// The value of the smallest of the `ranges` (first and last address) around each address.
    /// Any two ranges must be disjoint or nested, and come in the order of their first addresses,
    /// larger before smaller.
    pub(crate) fn nested(ranges: impl IntoIterator<Item = (K, K, V)>) -> Self {
        let mut intervals = Intervals { starts: vec![K::ZERO], values: vec![None] };
        let mut open = Vec::new();
        for (first, last, value) in ranges {
            intervals.close(&mut open, |end| end < first);
            intervals.begin(first, Some(value));
            open.push((last, value));
        }
        intervals.close(&mut open, |_| true);
        let mut tables = Tables { starts: &intervals.starts, slots: Vec::new() };
        tables.push(K::ZERO, ROOT_BITS, K::BITS - ROOT_BITS);
        let slots = tables.slots.into();
        Self { starts: intervals.starts.into(), values: intervals.values.into(), slots }
    }

    /// The value at `key`.
    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<V> {
        let mut shift = K::BITS - ROOT_BITS;
        let mut slot = self.slots[key.slot(ROOT_BITS, shift)];
        loop {
            match slot {
                TableEntry::Table(table) => {
                    shift -= TABLE_BITS;
                    slot = self.slots[table as usize + key.slot(TABLE_BITS, shift)];
                }
                TableEntry::Intervals(first, last) => {
                    let (first, last) = (first as usize, last as usize);
                    let later = &self.starts[first + 1..=last];
                    return self.values[first + later.partition_point(|start| *start <= key)];
                }
            }
        }
    }

    /// The bytes on the heap.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.values) + size_of_val(&*self.slots)
    }
}

/// The intervals so far, while they are being laid out from low to high addresses.
struct Intervals<K, V> {
    starts: Vec<K>,
    values: Vec<Option<V>>,
}

impl<K: AddressKey, V: Copy + PartialEq> Intervals<K, V> {
    /// From `start` on the value is this one; it replaces an earlier one at `start`.
    fn begin(&mut self, start: K, value: Option<V>) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// Ends those of the `open` ranges (last address and value, the innermost last) of which
    /// `is_over` says so; behind each the value is that of the one around it.
    fn close(&mut self, open: &mut Vec<(K, V)>, is_over: impl Fn(K) -> bool) {
        while let Some((last, _)) = open.pop_if(|(last, _)| is_over(*last)) {
            if let Some(behind) = last.next() {
                self.begin(behind, open.last().map(|(_, value)| *value));
            }
        }
    }
}

/// The tables so far.
struct Tables<'a, K> {
    starts: &'a [K],
    slots: Vec<TableEntry>,
}

impl<K: AddressKey> Tables<'_, K> {
    /// Adds the table of the addresses that begin as `first` does, indexed by the `bits` bits that
    /// have `shift` bits behind them, and the tables below it. Returns where it begins.
    fn push(&mut self, first: K, bits: u32, shift: u32) -> u32 {
        let table = self.slots.len();
        self.slots.resize(table + (1 << bits), TableEntry::Intervals(0, 0));
        let mut interval = self.starts.partition_point(|start| *start <= first) - 1;
        for (index, slot) in (table..self.slots.len()).zip(0..=u16::MAX) {
            let low = first.with_slot(slot, shift);
            let begin = self.advanced(interval, low);
            interval = self.advanced(begin, low.filled(shift));
            self.slots[index] = if interval - begin > FEW && shift > K::HOST_BITS {
                TableEntry::Table(self.push(low, TABLE_BITS, shift - TABLE_BITS))
            } else {
                TableEntry::Intervals(to_u32(begin), to_u32(interval))
            };
        }
        to_u32(table)
    }

    /// The interval that `key` is in, at or behind the one given.
    fn advanced(&self, interval: usize, key: K) -> usize {
        interval + self.starts[interval + 1..].iter().take_while(|start| **start <= key).count()
    }
}

#[expect(clippy::expect_used, reason = "4 thousand million intervals or slots fit in no memory")]
fn to_u32(index: usize) -> u32 {
    u32::try_from(index).expect("an index that a u32 holds")
}
