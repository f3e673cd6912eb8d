//! All open connections of a server: their shares, and which are closed when.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::counter::Counter;

use crate::{
    AddressBlock, ServerSettings, StalledBody, Timeouts,
    watch::{Order, Phase, ServerState, Watch},
};

/// This part of what is in use is freed at once at a limit: a sixty-fourth. Searching for connections to close costs as
/// much for many as for one.
const EVICTION_DIVISOR: usize = 64;
/// The milliseconds that a client has to end its connection after `GOAWAY` and `PING` (RFC 9113 §6.8), once no request is
/// under way: more than a round trip. hyper itself waits for the response to its `PING` without a limit.
const GOAWAY_GRACE: u64 = 2_000;

/// All open connections of a server.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) state: Arc<ServerState>,
    settings: ServerSettings,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    entries: HashMap<u64, ConnectionEntry>,
    blocks: HashMap<AddressBlock, Block>,
    fruitless: FruitlessSearches,
    /// Connections closed for others.
    evicted: Counter,
}

/// The state of an open connection.
#[derive(Debug)]
struct ConnectionEntry {
    watch: Arc<Watch>,
    /// The block that it counts for; none for a trusted peer.
    block: Option<AddressBlock>,
    /// It was ordered to end. It counts until it is closed: a request that arrived first is finished.
    is_ending: bool,
}

/// The connections of one block of addresses.
#[derive(Debug, Default)]
struct Block {
    count: usize,
    /// The last time when none of them could be closed: a flood does not start a search for each connection.
    busy_at: Option<u64>,
}

/// The evictions that found no connection at this time: a flood of requests does not start a search for each.
#[derive(Debug, Default)]
struct FruitlessSearches {
    at: u64,
    /// Of each address block only for its own connections, so that there are no more entries than connections.
    found_none: HashSet<Eviction>,
}

/// Which stalled connections are closed for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Eviction {
    /// Only those of this block, if there is one.
    pub(crate) block: Option<AddressBlock>,
    pub(crate) body: StalledBody,
}

/// In which order connections are closed for others: those without a request first, since it costs their clients
/// least; and of each kind those that have been so longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EvictionRank {
    Idle { since: u64 },
    Stalled { since: u64 },
}

impl ConnectionEntry {
    /// Whether it was ordered to end, and has not said that it goes on.
    fn is_closing(&self) -> bool {
        let goes_on = || self.watch.goes_on_since().is_some();
        self.is_ending && (self.watch.is_ordered(Order::Close) || !goes_on())
    }

    /// If it goes on although it was ordered to end: until when it may without a request.
    fn grace_end(&self) -> Option<u64> {
        Some(self.watch.goes_on_since()?.saturating_add(GOAWAY_GRACE))
    }

    /// When the connection has lost its right to go on.
    fn deadline(&self, phase: Phase, timeouts: &Timeouts) -> Option<u64> {
        let grace_end = self.grace_end().filter(|_| phase.without_request().is_some());
        grace_end.into_iter().chain(phase.deadline(timeouts)).min()
    }

    /// The order that ends it where no request is under way, and none that arrives just now is lost. A client that was
    /// told before to send no more is not waited for again.
    fn end_without_request(&self) -> Order {
        if self.watch.goes_on_since().is_some() { Order::Close } else { Order::EndIfIdle }
    }

    /// What is stalled, if it has been since `until` at least, and since when.
    fn stalled(&self, until: Option<u64>) -> Option<(StalledBody, u64)> {
        let until = until?;
        self.watch.stalled().filter(|(_, since)| *since <= until)
    }

    /// None if the connection may not be closed for others.
    fn eviction_rank(&self, now: u64, stalled_until: Option<u64>) -> Option<EvictionRank> {
        if let Some(since) = self.watch.phase().without_request() {
            let may_end = self.grace_end().is_none_or(|end| end <= now);
            return may_end.then_some(EvictionRank::Idle { since });
        }
        self.stalled(stalled_until).map(|(_, since)| EvictionRank::Stalled { since })
    }
}

/// An admitted connection. Dropping it frees its share.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    connections: Arc<Connections>,
    id: u64,
    pub(crate) watch: Arc<Watch>,
}

impl Connections {
    /// Counts the connections that are closed for others in `evicted`.
    pub(crate) fn new(settings: ServerSettings, evicted: Counter) -> Self {
        let open = Open { evicted, ..Open::default() };
        Self { state: Arc::default(), settings, open: Mutex::new(open) }
    }

    /// Admits a connection of this peer. If its address block has used its share, the connections of that block that have been
    /// idle longest are closed, and then those that have been stalled longest; if there are none, the connection is refused. It
    /// waits only until those connections have been polled, never for a client. One call at a time.
    pub(crate) async fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionSlot> {
        let Some(block) = self.block(peer) else {
            return Some(self.add(&mut self.open(), None));
        };
        let max = self.settings.max_connections_per_address;
        loop {
            let ending = {
                let (now, stalled_until) = (self.state.now(), self.stalled_until());
                let mut open = self.open();
                match open.capacity(block, max, (now, stalled_until)) {
                    Capacity::Free => return Some(self.add(&mut open, Some(block))),
                    Capacity::None => return None,
                    Capacity::Ending(ending) => ending,
                }
            };
            self.settled(&ending).await;
        }
    }

    /// The block whose share a connection of this peer counts for; none for a trusted peer.
    pub(crate) fn block(&self, peer: IpAddr) -> Option<AddressBlock> {
        (!self.settings.trusted_peers.contain(peer)).then(|| AddressBlock::of(peer))
    }

    /// Waits until each of these has ended, or goes on with a request.
    async fn settled(&self, ending: &[u64]) {
        while !self.are_settled(ending) {
            self.state.settled.notified().await;
        }
    }

    /// Whether each of these has ended, or goes on with a request.
    pub(crate) fn are_settled(&self, ending: &[u64]) -> bool {
        let open = self.open();
        let entry = |id| open.entries.get(id);
        ending.iter().all(|id| entry(id).is_none_or(|entry| !entry.is_closing()))
    }

    /// A connection that has been stalled since then may be closed for others.
    fn stalled_until(&self) -> Option<u64> {
        let limit = self.settings.timeouts.eviction_stall.as_millis();
        self.state.now().checked_sub(u64::try_from(limit).unwrap_or(u64::MAX))
    }

    fn add(self: &Arc<Self>, open: &mut Open, block: Option<AddressBlock>) -> ConnectionSlot {
        let watch = Arc::new(Watch::new(&self.state));
        let id = open.next;
        open.next += 1;
        block.into_iter().for_each(|block| open.blocks.entry(block).or_default().count += 1);
        open.entries
            .insert(id, ConnectionEntry { watch: Arc::clone(&watch), block, is_ending: false });
        ConnectionSlot { connections: Arc::clone(self), id, watch }
    }

    /// Closes a part of all allowed connections: the longest idle first, and then the longest stalled. Returns how many.
    pub(crate) fn evict(&self) -> usize {
        let most = self.settings.max_connections.div_ceil(EVICTION_DIVISOR);
        let (now, stalled_until) = (self.state.now(), self.stalled_until());
        self.open().close_for_others(most, |entry| entry.eviction_rank(now, stalled_until)).len()
    }

    /// Closes a part of the connections that use up a bound of `max`: the longest stalled first. Returns which.
    pub(crate) fn evict_stalled(&self, eviction: Eviction, max: usize) -> Vec<u64> {
        let (now, stalled_until) = (self.state.now(), self.stalled_until());
        let mut open = self.open();
        if open.fruitless.contain(eviction, now) {
            return Vec::new();
        }
        let Eviction { block, body } = eviction;
        let closed = open.close_for_others(max.div_ceil(EVICTION_DIVISOR), |entry| {
            let is_meant = block.is_none() || entry.block == block;
            let (found, since) = entry.stalled(stalled_until).filter(|_| is_meant)?;
            (found == body).then_some(EvictionRank::Stalled { since })
        });
        if closed.is_empty() {
            open.fruitless.found_none.insert(eviction);
        }
        closed
    }

    /// Closes connections whose deadline has passed.
    pub(crate) fn close_expired(&self) {
        let now = self.state.now();
        for entry in self.open().entries.values() {
            let phase = entry.watch.phase();
            let deadline = entry.deadline(phase, &self.settings.timeouts);
            if deadline.is_some_and(|deadline| deadline <= now) {
                // A request that arrives just now is responded to.
                let is_idle = matches!(phase, Phase::Idle { .. });
                entry.watch.order(if is_idle { entry.end_without_request() } else { Order::Close });
            }
        }
    }

    /// Gives every connection an order. Returns how many there are.
    pub(crate) fn order(&self, order: Order) -> usize {
        let open = self.open();
        open.entries.values().for_each(|entry| entry.watch.order(order));
        open.entries.len()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a block of addresses may have one more connection.
#[derive(Debug)]
enum Capacity {
    Free,
    /// Not before some of these have ended.
    Ending(Vec<u64>),
    /// All its connections have requests under way.
    None,
}

impl Open {
    fn capacity(
        &mut self,
        block: AddressBlock,
        max: usize,
        (now, stalled_until): (u64, Option<u64>),
    ) -> Capacity {
        let Some(found) = self.blocks.get(&block).filter(|found| found.count >= max) else {
            return Capacity::Free;
        };
        if found.busy_at == Some(now) {
            return Capacity::None;
        }
        let mut ending = self.close_for_others(max.div_ceil(EVICTION_DIVISOR), |entry| {
            (entry.block == Some(block)).then(|| entry.eviction_rank(now, stalled_until)).flatten()
        });
        if ending.is_empty() {
            // Those that made room for all addresses.
            let entries = self.entries.iter().filter(|(_, entry)| entry.block == Some(block));
            let entries = entries.filter(|(_, entry)| entry.is_closing());
            ending = entries.map(|(id, _)| *id).collect();
        }
        if !ending.is_empty() {
            return Capacity::Ending(ending);
        }
        if let Some(found) = self.blocks.get_mut(&block) {
            found.busy_at = Some(now);
        }
        Capacity::None
    }

    /// Orders up to `count` of the connections that have a rank to end, the lowest first. Returns which.
    fn close_for_others(
        &mut self,
        count: usize,
        rank: impl Fn(&ConnectionEntry) -> Option<EvictionRank>,
    ) -> Vec<u64> {
        let candidates = self.entries.iter().filter(|(_, entry)| !entry.is_closing());
        // Of those with the same rank, the one that came first.
        let mut ranked: Vec<_> =
            candidates.filter_map(|(id, entry)| Some((rank(entry)?, *id))).collect();
        if ranked.len() > count {
            ranked.select_nth_unstable(count);
            ranked.truncate(count);
        }
        for (rank, id) in &ranked {
            if let Some(entry) = self.entries.get_mut(id) {
                // One that goes on was counted when it was ordered to end.
                self.evicted.inc_by(u64::from(!entry.is_ending));
                entry.is_ending = true;
                entry.watch.order(match rank {
                    EvictionRank::Idle { .. } => entry.end_without_request(),
                    EvictionRank::Stalled { .. } => Order::Close,
                });
            }
        }
        ranked.into_iter().map(|(_, id)| id).collect()
    }

    fn leave(&mut self, block: Option<AddressBlock>) {
        let Some(block) = block else { return };
        if let Some(found) = self.blocks.get_mut(&block) {
            found.count -= 1;
            if found.count == 0 {
                self.blocks.remove(&block);
            }
        }
    }
}

impl FruitlessSearches {
    fn contain(&mut self, eviction: Eviction, now: u64) -> bool {
        if self.at != now {
            self.at = now;
            self.found_none.clear();
        }
        self.found_none.contains(&eviction)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        let entry = open.entries.remove(&self.id);
        open.leave(entry.as_ref().and_then(|entry| entry.block));
        drop(open);
        if entry.is_some_and(|entry| entry.is_ending) {
            self.connections.state.settled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::{Bodies, DefaultTrust, TrustedPeers, parse_network};

    fn settings(per_address: usize) -> ServerSettings {
        let settings = ServerSettings::new("test", 100, Bodies::Small, Duration::ZERO);
        ServerSettings { max_connections_per_address: per_address, ..settings }
    }

    fn connections(settings: ServerSettings) -> Arc<Connections> {
        Arc::new(Connections::new(settings, Counter::default()))
    }

    /// A slot, if there is one without waiting.
    fn admit_now(connections: &Arc<Connections>, peer: &str) -> Option<ConnectionSlot> {
        connections.admit(peer.parse().expect(peer)).now_or_never().flatten()
    }

    #[test]
    fn an_address_closes_its_own_longest_idle_connection_for_a_new_one() {
        let connections = connections(settings(3));
        let admit = |peer| admit_now(&connections, peer);
        let other = admit("192.0.2.9").expect("a slot");
        let mut slots = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(admit);
        connections.state.set(100);
        let first = slots[0].as_ref().expect("a slot");
        first.watch.begin(http::Version::HTTP_11);
        first.watch.end();
        assert!(admit("2001:db8::4").is_none(), "it waits until the other has ended");
        let ending = |slot: &ConnectionSlot| slot.watch.is_ordered(Order::EndIfIdle);
        let all = slots.each_ref().map(|slot| slot.as_ref().is_some_and(ending));
        assert_eq!(all, [false, true, false]);
        assert!(!ending(&other), "another address has its own share");
        slots[1] = None;
        assert!(admit("2001:db8::4").is_some());
    }

    #[test]
    fn an_address_whose_connections_are_all_busy_gets_no_more() {
        let connections = connections(settings(2));
        let admit = |peer| admit_now(&connections, peer);
        let busy = [(); 2].map(|()| admit("192.0.2.1").expect("a slot"));
        busy.iter().for_each(|slot| slot.watch.begin(http::Version::HTTP_11));
        assert!(admit("::ffff:192.0.2.1").is_none());
        assert!(admit("192.0.2.2").is_some());
        drop(busy);
        assert!(admit("192.0.2.1").is_some());
    }

    #[test]
    fn a_trusted_peer_has_no_share() {
        let network = parse_network("10.0.0.0/8").expect("a network");
        let trusted_peers = TrustedPeers::new(vec![network], DefaultTrust::None);
        let settings = ServerSettings { trusted_peers, ..settings(1) };
        let connections = connections(settings);
        let slots: Vec<_> = (0..10).map_while(|_| admit_now(&connections, "10.1.2.3")).collect();
        slots.iter().for_each(|slot| slot.watch.begin(http::Version::HTTP_11));
        assert_eq!(slots.len(), 10);
    }

    #[test]
    fn room_is_made_by_closing_what_has_been_idle_longest() {
        let connections = connections(settings(100));
        let slots: Vec<_> = (0..100_u64)
            .map(|at| {
                connections.state.set(at);
                admit_now(&connections, "192.0.2.1").expect("a slot")
            })
            .collect();
        slots[0].watch.begin(http::Version::HTTP_11);
        assert_eq!(connections.evict(), 2);
        let ending: Vec<_> =
            slots.iter().map(|slot| slot.watch.is_ordered(Order::EndIfIdle)).collect();
        assert_eq!(ending[..4], [false, true, true, false]);
        assert_eq!(ending.iter().filter(|ending| **ending).count(), 2);
    }
}
