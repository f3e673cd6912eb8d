//! All open connections of a server: their shares, and which are closed when.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    AddressBlock, ServerSettings,
    watch::{Order, Phase, ServerState, Watch},
};

/// This part of the allowed connections is closed at once at the limit: a sixty-fourth. Searching for
/// idle connections costs as much for many as for one.
const EVICTION_DIVISOR: usize = 64;

/// All open connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) state: Arc<ServerState>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    entries: HashMap<u64, ConnectionEntry>,
    blocks: HashMap<AddressBlock, Block>,
}

/// The state of an open connection.
#[derive(Debug)]
struct ConnectionEntry {
    watch: Arc<Watch>,
    /// The block that it counts for; none for a trusted peer.
    block: Option<AddressBlock>,
    /// It was ordered to end. It counts until it has: a request may have arrived, and then it ends after that.
    is_ending: bool,
}

/// The connections of one block of addresses.
#[derive(Debug, Default)]
struct Block {
    count: usize,
    /// The last time when none of them was idle: a flood does not start a search for each connection.
    busy_at: Option<u64>,
}

/// An admitted connection. Dropping it frees its share.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    connections: Arc<Connections>,
    id: u64,
    pub(crate) watch: Arc<Watch>,
}

impl Connections {
    /// Admits a connection of this peer. If its address block has used its share, the connections of that block that have been
    /// idle longest are closed; if none is idle, the connection is refused. It waits only until those connections
    /// have been polled, never for a client. One call at a time.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        peer: IpAddr,
        settings: &ServerSettings,
    ) -> Option<ConnectionSlot> {
        let Some(block) = (!settings.trusted_peers.contain(peer)).then(|| AddressBlock::of(peer))
        else {
            return Some(self.add(&mut self.open(), None));
        };
        loop {
            let ending = {
                let mut open = self.open();
                match open.capacity(block, settings.max_connections_per_address, self.state.now()) {
                    Capacity::Free => return Some(self.add(&mut open, Some(block))),
                    Capacity::None => return None,
                    Capacity::Ending(ending) => ending,
                }
            };
            self.settled(&ending).await;
        }
    }

    /// Waits until each of these has ended, or goes on with a request.
    async fn settled(&self, ending: &[u64]) {
        let is_settled = |open: &Open, id| {
            open.entries.get(id).is_none_or(|entry: &ConnectionEntry| entry.watch.goes_on())
        };
        let all_settled = || {
            let open = self.open();
            ending.iter().all(|id| is_settled(&open, id))
        };
        while !all_settled() {
            self.state.settled.notified().await;
        }
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

    /// Closes a part of `max` connections: those without a request, the longest idle first. Returns how many.
    pub(crate) fn evict_idle(&self, max: usize) -> usize {
        self.open().close_longest_idle(max.div_ceil(EVICTION_DIVISOR), None).len()
    }

    /// Closes connections whose deadline has passed.
    pub(crate) fn close_expired(&self, settings: &ServerSettings) {
        let now = self.state.now();
        for entry in self.open().entries.values() {
            let phase = entry.watch.phase();
            if phase.deadline(&settings.timeouts).is_some_and(|deadline| deadline <= now) {
                // A request that arrives just now is responded to.
                let is_idle = matches!(phase, Phase::Idle { .. });
                entry.watch.order(if is_idle { Order::EndIfIdle } else { Order::Close });
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
    fn capacity(&mut self, block: AddressBlock, max: usize, now: u64) -> Capacity {
        let Some(found) = self.blocks.get(&block).filter(|found| found.count >= max) else {
            return Capacity::Free;
        };
        if found.busy_at == Some(now) {
            return Capacity::None;
        }
        let mut ending = self.close_longest_idle(max.div_ceil(EVICTION_DIVISOR), Some(block));
        if ending.is_empty() {
            // Those that made room for all addresses.
            let entries = self.entries.iter().filter(|(_, entry)| entry.block == Some(block));
            let entries = entries.filter(|(_, entry)| entry.is_ending && !entry.watch.goes_on());
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

    /// Orders up to `count` idle connections to end, of `block` if it is given. Returns which.
    fn close_longest_idle(&mut self, count: usize, block: Option<AddressBlock>) -> Vec<u64> {
        let candidates = self.entries.iter().filter(|(_, entry)| !entry.is_ending);
        let candidates = candidates.filter(|(_, entry)| block.is_none() || entry.block == block);
        let since = |entry: &ConnectionEntry| entry.watch.phase().without_request();
        // Of those idle for as long, the one that came first.
        let mut idle: Vec<_> =
            candidates.filter_map(|(id, entry)| Some((since(entry)?, *id))).collect();
        if idle.len() > count {
            idle.select_nth_unstable(count);
            idle.truncate(count);
        }
        for (_, id) in &idle {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.is_ending = true;
                entry.watch.order(Order::EndIfIdle);
            }
        }
        idle.into_iter().map(|(_, id)| id).collect()
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

    /// A slot, if there is one without waiting.
    fn admit_now(
        connections: &Arc<Connections>,
        peer: &str,
        settings: &ServerSettings,
    ) -> Option<ConnectionSlot> {
        connections.admit(peer.parse().expect(peer), settings).now_or_never().flatten()
    }

    #[test]
    fn an_address_closes_its_own_longest_idle_connection_for_a_new_one() {
        let (connections, settings) = (Arc::<Connections>::default(), settings(3));
        let admit = |peer| admit_now(&connections, peer, &settings);
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
        let (connections, settings) = (Arc::<Connections>::default(), settings(2));
        let admit = |peer| admit_now(&connections, peer, &settings);
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
        let connections = Arc::<Connections>::default();
        let slots: Vec<_> =
            (0..10).map_while(|_| admit_now(&connections, "10.1.2.3", &settings)).collect();
        slots.iter().for_each(|slot| slot.watch.begin(http::Version::HTTP_11));
        assert_eq!(slots.len(), 10);
    }

    #[test]
    fn room_is_made_by_closing_what_has_been_idle_longest() {
        let (connections, settings) = (Arc::<Connections>::default(), settings(100));
        let slots: Vec<_> = (0..100_u64)
            .map(|at| {
                connections.state.set(at);
                admit_now(&connections, "192.0.2.1", &settings).expect("a slot")
            })
            .collect();
        slots[0].watch.begin(http::Version::HTTP_11);
        assert_eq!(connections.evict_idle(100), 2);
        let ending: Vec<_> =
            slots.iter().map(|slot| slot.watch.is_ordered(Order::EndIfIdle)).collect();
        assert_eq!(ending[..4], [false, true, true, false]);
        assert_eq!(ending.iter().filter(|ending| **ending).count(), 2);
    }
}
