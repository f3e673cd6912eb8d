//! Permits for the requests that are under way at once: taken at several hosts together or at none, so
//! that two copies in opposite directions never wait for each other.
//!
//! Each host serves first come, first served. A claim to several hosts is overtaken while one of
//! them is full; but for the oldest claim of all, one free permit is reserved at each of its
//! hosts. Every claim becomes the oldest one in time, so none waits forever.
//!
//! A task that has a permit must not wait for another one: all or none prevents deadlocks only then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// The number of a host among all.
pub(super) type HostIndex = usize;
/// The number of a claim, in the order in which they came.
type Number = u64;

/// The permits of all hosts.
#[derive(Debug, Default)]
pub(super) struct Semaphore(Mutex<SemaphoreState>);

#[derive(Debug, Default)]
struct SemaphoreState {
    hosts: Vec<HostPermits>,
    waiting: BTreeMap<Number, Waiting>,
    next: Number,
}

#[derive(Debug)]
struct HostPermits {
    free: usize,
    /// The claims that wait for this host, perhaps among others.
    queue: BTreeSet<Number>,
}

#[derive(Debug)]
struct Waiting {
    hosts: Arc<[HostIndex]>,
    served: Arc<Notify>,
}

/// The permission to send requests to one or several hosts at once; dropping it gives it back.
#[derive(Debug)]
#[must_use = "it is given back at once"]
pub(crate) struct Permit {
    semaphore: Arc<Semaphore>,
    number: Number,
    hosts: Arc<[HostIndex]>,
}

impl Semaphore {
    /// A new host with so many permits.
    pub(super) fn add(&self, permits: usize) -> HostIndex {
        let mut state = self.state();
        // A host without a permit would never be sent a request.
        state.hosts.push(HostPermits { free: permits.max(1), queue: BTreeSet::new() });
        state.hosts.len() - 1
    }

    /// Waits for a permit at each of `hosts`; one that is named twice counts once.
    pub(super) async fn take(self: &Arc<Self>, mut hosts: Vec<HostIndex>) -> Permit {
        hosts.sort_unstable();
        hosts.dedup();
        let hosts: Arc<[HostIndex]> = hosts.into();
        let served = Arc::new(Notify::new());
        let number = self.state().come(&hosts, &served);
        // From here on dropping it, waiting or not, gives back what it has.
        let permit = Permit { semaphore: Arc::clone(self), number, hosts };
        served.notified().await;
        permit
    }

    fn state(&self) -> MutexGuard<'_, SemaphoreState> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.semaphore.state().leave(self.number, &self.hosts);
    }
}

impl SemaphoreState {
    fn come(&mut self, hosts: &Arc<[HostIndex]>, served: &Arc<Notify>) -> Number {
        let number = self.next;
        self.next += 1;
        for &host in hosts.iter() {
            self.hosts[host].queue.insert(number);
        }
        let (hosts, served) = (Arc::clone(hosts), Arc::clone(served));
        self.waiting.insert(number, Waiting { hosts, served });
        // All that came before cannot be served, or they would have been.
        self.serve(number);
        number
    }

    fn leave(&mut self, number: Number, hosts: &[HostIndex]) {
        if self.waiting.remove(&number).is_some() {
            // It waits no more. What was reserved for it is free for others now.
            hosts.iter().for_each(|&host| _ = self.hosts[host].queue.remove(&number));
        } else {
            hosts.iter().for_each(|&host| self.hosts[host].free += 1);
        }
        hosts.iter().for_each(|&host| self.serve_queue(host));
    }

    /// Serves the claims that wait for a host, in their order, as far as it has permits.
    fn serve_queue(&mut self, host: HostIndex) {
        let mut from = 0;
        while self.hosts[host].free > 0 {
            let Some(&number) = self.hosts[host].queue.range(from..).next() else { return };
            self.serve(number);
            from = number + 1;
        }
    }

    /// Serves one claim, if all of its hosts have a permit.
    fn serve(&mut self, number: Number) {
        let Some(waiting) = self.waiting.get(&number) else { return };
        if !waiting.hosts.iter().all(|&host| self.has_permit(host, number)) {
            return;
        }
        for &host in waiting.hosts.iter() {
            self.hosts[host].free -= 1;
            self.hosts[host].queue.remove(&number);
        }
        waiting.served.notify_one();
        self.waiting.remove(&number);
    }

    /// Whether a host has a permit for this claim, and not only the one reserved for the oldest claim.
    fn has_permit(&self, host: HostIndex, number: Number) -> bool {
        let longest = self.waiting.first_key_value().filter(|(first, _)| **first != number);
        let is_kept = longest.is_some_and(|(_, waiting)| waiting.hosts.contains(&host));
        self.hosts[host].free > usize::from(is_kept)
    }
}

#[cfg(test)]
impl Semaphore {
    /// Whether no claim waits and all permits, so many at each host, are free.
    pub(super) fn is_empty(&self, permits: usize) -> bool {
        let state = self.state();
        let unused = |host: &HostPermits| host.free == permits && host.queue.is_empty();
        state.waiting.is_empty() && state.hosts.iter().all(unused)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures_util::{FutureExt as _, future::join_all, pin_mut};
    use tokio::{
        task::yield_now,
        time::{sleep, timeout},
    };

    use super::*;

    fn semaphore(hosts: usize, permits: usize) -> Arc<Semaphore> {
        let semaphore = Arc::new(Semaphore::default());
        (0..hosts).for_each(|_| _ = semaphore.add(permits));
        semaphore
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_than_permits_are_under_way_and_the_first_come_first() {
        let semaphore = semaphore(1, 3);
        let (now, order) = (&AtomicUsize::new(0), &Mutex::new(Vec::new()));
        join_all((0..30).map(|number| {
            let semaphore = &semaphore;
            async move {
                let _permit = semaphore.take(vec![0]).await;
                order.lock().expect("a lock").push(number);
                assert!(now.fetch_add(1, Ordering::Relaxed) < 3);
                sleep(Duration::from_millis(1 + number * 7 % 5)).await;
                now.fetch_sub(1, Ordering::Relaxed);
            }
        }))
        .await;
        assert_eq!(*order.lock().expect("a lock"), (0..30).collect::<Vec<_>>());
        assert!(semaphore.is_empty(3));
    }

    #[tokio::test(start_paused = true)]
    async fn two_copies_in_opposite_directions_never_wait_for_each_other() {
        let semaphore = semaphore(2, 1);
        let copies = (0..100).map(|number| {
            let semaphore = &semaphore;
            async move {
                let _permit = semaphore.take(vec![number % 2, 1 - number % 2]).await;
                yield_now().await;
                sleep(Duration::from_millis(1)).await;
            }
        });
        timeout(Duration::from_secs(1), join_all(copies)).await.expect("all get their permits");
        assert!(semaphore.is_empty(1));
    }

    #[test]
    fn a_host_that_is_named_twice_takes_one_permit() {
        let semaphore = semaphore(1, 1);
        let permit = semaphore.take(vec![0, 0]).now_or_never();
        assert!(permit.is_some());
        assert!(semaphore.take(vec![0]).now_or_never().is_none());
        drop(permit);
        assert!(semaphore.is_empty(1));
        assert!(semaphore.take(vec![]).now_or_never().is_some(), "no host is no wait");
        assert_eq!(Semaphore::default().add(0), 0);
    }

    #[test]
    fn a_claim_to_a_full_host_is_overtaken_at_the_other_but_for_one_permit() {
        let semaphore = semaphore(2, 2);
        let take = |hosts: &[HostIndex]| semaphore.take(hosts.to_vec()).now_or_never();
        let (full, too) = (take(&[1]), take(&[1]));
        let both = semaphore.take(vec![0, 1]);
        pin_mut!(both);
        assert!(both.as_mut().now_or_never().is_none());
        let overtaking = take(&[0]);
        assert!(overtaking.is_some(), "one of two permits is not reserved");
        assert!(take(&[0]).is_none(), "the other one is");
        drop(full);
        let both = both.now_or_never();
        assert!(both.is_some());
        drop((both, overtaking, too));
        assert!(semaphore.is_empty(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_claim_is_not_starved_by_a_stream_of_others() {
        let semaphore = semaphore(2, 2);
        // At each host a claim always waits, and the permits never become free together.
        let stream = |host: HostIndex| {
            let semaphore = Arc::clone(&semaphore);
            async move {
                for number in 0..1000_u64 {
                    let permit = semaphore.take(vec![host]).await;
                    sleep(Duration::from_millis(2 + (number + host as u64) % 3)).await;
                    drop(permit);
                }
            }
        };
        let others: Vec<_> = (0..16).map(|number| tokio::spawn(stream(number % 2))).collect();
        sleep(Duration::from_millis(100)).await;
        let both = timeout(Duration::from_millis(50), semaphore.take(vec![0, 1])).await;
        assert!(both.is_ok(), "a few permits that became free");
        others.iter().for_each(tokio::task::JoinHandle::abort);
        drop((both, join_all(others).await));
        assert!(semaphore.is_empty(2));
    }

    #[test]
    fn a_claim_that_stops_waiting_leaves_nothing_behind() {
        let semaphore = semaphore(2, 1);
        let held = semaphore.take(vec![1]).now_or_never().expect("a free permit");
        let mut waiting: Vec<_> = [vec![0, 1], vec![0], vec![1], vec![0, 1]]
            .into_iter()
            .map(|hosts| Box::pin(semaphore.take(hosts)))
            .collect();
        assert!(
            waiting.iter_mut().all(|one| one.now_or_never().is_none()),
            "host 0 is reserved for one"
        );
        drop(waiting.remove(0));
        let next = waiting[0].as_mut().now_or_never();
        assert!(next.is_some(), "what was reserved is for the next");
        drop(held);
        // The second was served, and goes without having looked.
        drop(waiting);
        drop(next);
        assert!(semaphore.is_empty(1));
    }

    /// Against an obviously right rule: a claim that may be served is, in all orders of events.
    #[test]
    fn in_any_order_of_events_no_claim_waits_for_permits_that_are_free() {
        let mut chance = fastrand::Rng::with_seed(1);
        for _ in 0..300 {
            let permits = chance.usize(1..4);
            let semaphore = semaphore(4, permits);
            let (mut waiting, mut held) = (Vec::new(), Vec::new());
            for _ in 0..60 {
                match chance.u8(0..4) {
                    0 | 1 => {
                        let hosts = (0..chance.usize(1..4)).map(|_| chance.usize(0..4)).collect();
                        waiting.push(Box::pin(semaphore.take(hosts)));
                    }
                    2 if !held.is_empty() => drop(held.swap_remove(chance.usize(0..held.len()))),
                    3 if !waiting.is_empty() && chance.bool() => {
                        drop(waiting.swap_remove(chance.usize(0..waiting.len())));
                    }
                    _ => {}
                }
                waiting.retain_mut(|one| {
                    one.as_mut().now_or_never().map(|one| held.push(one)).is_none()
                });
                let state = semaphore.state();
                let could = |(&number, one): (&Number, &Waiting)| {
                    one.hosts.iter().all(|&host| state.has_permit(host, number))
                };
                assert!(!state.waiting.iter().any(could));
                assert_eq!(state.waiting.len(), waiting.len());
                assert!(state.hosts.iter().all(|host| host.free <= permits));
            }
            drop((waiting, held));
            assert!(semaphore.is_empty(permits));
        }
    }
}
