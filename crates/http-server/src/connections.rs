//! All open connections of a server: their shares, and which are closed when.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    AddressBlock, Settings,
    watch::{Clock, Order, Phase, Watch},
};

/// This part of the allowed connections is closed at once when there is no room: a sixty-fourth. Searching for
/// idle connections costs as much for many as for one.
const ROOM_DIVISOR: usize = 64;

/// All open connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) clock: Arc<Clock>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    known: HashMap<u64, Known>,
    blocks: HashMap<AddressBlock, Block>,
}

/// What the server knows of a connection.
#[derive(Debug)]
struct Known {
    watch: Arc<Watch>,
    /// The block that it counts for; none for a trusted peer.
    block: Option<AddressBlock>,
    /// It was told to end, and counts for no block any more.
    is_ending: bool,
}

/// The connections of one block of addresses.
#[derive(Debug, Default)]
struct Block {
    count: usize,
    /// When none of them could be closed for a new one, so that a flood does not have them searched each time.
    busy_at: Option<u64>,
}

/// A place among the open connections, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
    pub(crate) watch: Arc<Watch>,
}

impl Connections {
    /// A place for a connection of this peer. If its block of addresses has its share, the block's own
    /// connections that have been idle longest are closed for it; if none is idle, there is no place.
    pub(crate) fn place(self: &Arc<Self>, peer: IpAddr, settings: &Settings) -> Option<Place> {
        let block = (!settings.trusted_peers.contain(peer)).then(|| AddressBlock::of(peer));
        let watch = Arc::new(Watch::new(&self.clock));
        let mut open = self.open();
        if let Some(block) = block
            && !open.has_room(block, settings.max_connections_per_address, self.clock.now())
        {
            return None;
        }
        let id = open.next;
        open.next += 1;
        block.into_iter().for_each(|block| open.blocks.entry(block).or_default().count += 1);
        open.known.insert(id, Known { watch: Arc::clone(&watch), block, is_ending: false });
        Some(Place { connections: Arc::clone(self), id, watch })
    }

    /// Ends connections without a request, those first that have been so longest, to make room among
    /// `max` connections; how many.
    pub(crate) fn make_room(&self, max: usize) -> usize {
        self.open().close_longest_idle(max.div_ceil(ROOM_DIVISOR), None)
    }

    /// Ends connections that have used up their time.
    pub(crate) fn close_expired(&self, settings: &Settings) {
        let now = self.clock.now();
        for known in self.open().known.values() {
            let phase = known.watch.phase();
            if phase.deadline(&settings.timeouts).is_some_and(|deadline| deadline <= now) {
                // A request that arrives just now is responded to.
                let is_idle = matches!(phase, Phase::Idle { .. });
                known.watch.order(if is_idle { Order::EndIfIdle } else { Order::Close });
            }
        }
    }

    /// Gives every connection an order; how many there are.
    pub(crate) fn order(&self, order: Order) -> usize {
        let open = self.open();
        open.known.values().for_each(|known| known.watch.order(order));
        open.known.len()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn has_room(&mut self, block: AddressBlock, max: usize, now: u64) -> bool {
        let Some(found) = self.blocks.get(&block).filter(|found| found.count >= max) else {
            return true;
        };
        if found.busy_at == Some(now) {
            return false;
        }
        let closed = self.close_longest_idle(max.div_ceil(ROOM_DIVISOR), Some(block));
        if closed == 0
            && let Some(found) = self.blocks.get_mut(&block)
        {
            found.busy_at = Some(now);
        }
        closed > 0
    }

    /// Ends up to so many connections, of this block if there is one.
    fn close_longest_idle(&mut self, count: usize, block: Option<AddressBlock>) -> usize {
        let candidates = self.known.iter().filter(|(_, known)| !known.is_ending);
        let candidates = candidates.filter(|(_, known)| block.is_none() || known.block == block);
        let since = |known: &Known| known.watch.phase().without_request();
        // Of those idle for as long, the one that came first.
        let mut idle: Vec<_> =
            candidates.filter_map(|(id, known)| Some((since(known)?, *id))).collect();
        if idle.len() > count {
            idle.select_nth_unstable(count);
            idle.truncate(count);
        }
        for (_, id) in &idle {
            if let Some(known) = self.known.get_mut(id) {
                known.is_ending = true;
                known.watch.order(Order::EndIfIdle);
                let block = known.block.take();
                self.leave(block);
            }
        }
        idle.len()
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

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        let known = open.known.remove(&self.id);
        open.leave(known.and_then(|known| known.block));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Bodies, DefaultTrust, TrustedPeers, parse_network};

    fn settings(per_address: usize) -> Settings {
        let settings = Settings::new("test", 100, Bodies::Small, Duration::ZERO);
        Settings { max_connections_per_address: per_address, ..settings }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn an_address_closes_its_own_longest_idle_connection_for_a_new_one() {
        let (connections, settings) = (Arc::<Connections>::default(), settings(3));
        let place = |peer| connections.place(address(peer), &settings);
        let other = place("192.0.2.9").expect("a place");
        let places =
            ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|peer| place(peer).expect(peer));
        connections.clock.set(100);
        places[0].watch.begin(http::Version::HTTP_11);
        places[0].watch.end();
        let _new = place("2001:db8::4").expect("a place");
        let ending = |place: &Place| place.watch.is_ordered(Order::EndIfIdle);
        assert_eq!(places.each_ref().map(ending), [false, true, false]);
        assert!(!ending(&other), "another address has its own share");
    }

    #[test]
    fn an_address_whose_connections_are_all_busy_gets_no_more() {
        let (connections, settings) = (Arc::<Connections>::default(), settings(2));
        let place = |peer| connections.place(address(peer), &settings);
        let busy = [(); 2].map(|()| place("192.0.2.1").expect("a place"));
        busy.iter().for_each(|place| place.watch.begin(http::Version::HTTP_11));
        assert!(place("::ffff:192.0.2.1").is_none());
        assert!(place("192.0.2.2").is_some());
        drop(busy);
        assert!(place("192.0.2.1").is_some());
    }

    #[test]
    fn a_trusted_peer_has_no_share() {
        let network = parse_network("10.0.0.0/8").expect("a network");
        let trusted_peers = TrustedPeers::new(vec![network], DefaultTrust::None);
        let settings = Settings { trusted_peers, ..settings(1) };
        let connections = Arc::<Connections>::default();
        let places: Vec<_> =
            (0..10).map_while(|_| connections.place(address("10.1.2.3"), &settings)).collect();
        places.iter().for_each(|place| place.watch.begin(http::Version::HTTP_11));
        assert_eq!(places.len(), 10);
    }

    #[test]
    fn room_is_made_by_closing_what_has_been_idle_longest() {
        let (connections, settings) = (Arc::<Connections>::default(), settings(100));
        let places: Vec<_> = (0..100_u64)
            .map(|at| {
                connections.clock.set(at);
                connections.place(address("192.0.2.1"), &settings).expect("a place")
            })
            .collect();
        places[0].watch.begin(http::Version::HTTP_11);
        assert_eq!(connections.make_room(100), 2);
        let ending: Vec<_> =
            places.iter().map(|place| place.watch.is_ordered(Order::EndIfIdle)).collect();
        assert_eq!(ending[..4], [false, true, true, false]);
        assert_eq!(ending.iter().filter(|ending| **ending).count(), 2);
    }
}
