//! The content that a run has confirmed to be at its destinations: each manifest and blob is looked up once.
//!
//! Only presence is cached. Absent content is looked up again, since it may have been written meanwhile. A failure is
//! shared with the requests that wait for it, and is not cached.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Content, Destination, Error};

/// How many present objects are cached, each as a hash of 8 bytes: 72 MiB at most, since the table doubles and is at
/// most seven eighths full. Further objects are looked up again. The chance that any two of so many hashes are equal is
/// one in 600,000.
pub const MAX_CONFIRMED: usize = 7 << 20;

/// The content that a run has confirmed to be present.
#[derive(Debug)]
pub(crate) struct Confirmed {
    hasher: RandomState,
    /// How many present objects are cached at most.
    max: usize,
    state: Mutex<ConfirmedState>,
}

#[derive(Debug, Default)]
struct ConfirmedState {
    present: HashSet<u64>,
    /// The requests that are under way, so that equal ones wait for the result.
    pending: HashMap<u64, Pending>,
}

/// Equal requests, of which one is made at a time.
#[derive(Debug, Default)]
struct Pending {
    /// How many tasks make the request or wait for it: the last one removes this.
    tasks: usize,
    /// The lock that a task holds while it makes the request, and the failure that the waiting tasks share.
    turn: Arc<tokio::sync::Mutex<Option<Error>>>,
}

/// One task that is counted in [`Pending::tasks`], until it is dropped.
struct Entered<'a> {
    confirmed: &'a Confirmed,
    key: u64,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut pending) = self.confirmed.state().pending.entry(self.key) {
            pending.get_mut().tasks -= 1;
            if pending.get().tasks == 0 {
                pending.remove();
            }
        }
    }
}

impl Default for Confirmed {
    fn default() -> Self {
        Self::new(MAX_CONFIRMED)
    }
}

impl Confirmed {
    /// Nothing confirmed yet; at most `max` present objects will be cached.
    pub(crate) fn new(max: usize) -> Self {
        Self { hasher: RandomState::default(), max, state: Mutex::default() }
    }

    /// Whether `content` is at `destination`: from the cache, or else by `request`. Of equal requests one is made at a
    /// time. If it fails because the destination is unreachable or overloaded, the requests that wait for it fail with
    /// it: after as many retries, they would most likely fail in the same way.
    pub(crate) async fn once(
        &self,
        content: Content,
        destination: &Destination,
        request: impl Future<Output = Result<bool, Error>>,
    ) -> Result<bool, Error> {
        let key = self.key(content, destination);
        let (_entered, turn) = self.enter(key);
        let mut failure = turn.lock().await;
        if self.state().present.contains(&key) {
            return Ok(true);
        }
        if let Some(error) = &*failure {
            return Err(error.clone());
        }
        let found = request.await;
        match &found {
            Ok(true) => self.add(key),
            Ok(false) => {}
            Err(error) => *failure = error.is_of_busy_destination().then(|| error.clone()),
        }
        found
    }

    fn enter(&self, key: u64) -> (Entered<'_>, Arc<tokio::sync::Mutex<Option<Error>>>) {
        let mut state = self.state();
        let pending = state.pending.entry(key).or_default();
        pending.tasks += 1;
        (Entered { confirmed: self, key }, Arc::clone(&pending.turn))
    }

    /// Notes that `content` is at `destination`.
    pub(crate) fn note(&self, content: Content, destination: &Destination) {
        self.add(self.key(content, destination));
    }

    /// Whether `content` is known to be at `destination`, without a request.
    pub(crate) fn has(&self, content: Content, destination: &Destination) -> bool {
        self.state().present.contains(&self.key(content, destination))
    }

    /// Notes that it may not be there any more.
    pub(crate) fn forget(&self, content: Content, destination: &Destination) {
        let key = self.key(content, destination);
        self.state().present.remove(&key);
    }

    fn add(&self, key: u64) {
        let present = &mut self.state().present;
        if present.len() < self.max {
            present.insert(key);
        }
    }

    fn key(&self, content: Content, destination: &Destination) -> u64 {
        let (is_manifest, digest) = match content {
            Content::Manifest(digest) => (true, digest),
            Content::Blob(digest) => (false, digest),
        };
        match destination {
            Destination::Registry(repository) => {
                self.hasher.hash_one((is_manifest, digest, repository.host(), repository.name()))
            }
            Destination::Store(store) => {
                self.hasher.hash_one((is_manifest, digest, store.to_string()))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, ConfirmedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{FutureExt as _, future::join_all};
    use oci::Digest;
    use registry_client::{RegistryClient, Retries};
    use testkit::TestServer;

    use super::*;
    use crate::DestinationError;

    fn manifest(number: u8) -> Content {
        Content::Manifest(Digest::sha256(&[number]))
    }

    fn client() -> RegistryClient {
        RegistryClient::builder().retries(Retries::none()).build()
    }

    fn destination() -> Destination {
        let (host, name) = ("registry.example".parse(), "team/app".parse());
        let repository = client().repository(&host.expect("a host"), &name.expect("a name"));
        Destination::Registry(repository)
    }

    /// The failure of a destination whose every response has this status.
    async fn failure(status: u16) -> Error {
        let response = move |_| async move {
            let response = http::Response::builder().status(status).body(testkit::Body::empty());
            response.expect("a response")
        };
        let server = TestServer::start(response).await;
        let repository = client().repository(&server.host(), &"team/app".parse().expect("a name"));
        let cause = repository.blob(&Digest::sha256(b"x")).await.expect_err("it fails");
        let destination = repository.to_string();
        let content = manifest(0);
        DestinationError::Registry { destination, action: "look for", content, cause }.into()
    }

    /// How many requests are made for four equal ones at once that all end so.
    async fn requests(found: Result<bool, Error>) -> usize {
        let (confirmed, to, made) = (Confirmed::default(), destination(), AtomicUsize::new(0));
        let all = (0..4).map(|_| {
            confirmed.once(manifest(1), &to, async {
                made.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                found.clone()
            })
        });
        for ended in join_all(all).await {
            assert_eq!(
                ended.map_err(|it| it.to_string()),
                found.clone().map_err(|it| it.to_string())
            );
        }
        assert!(confirmed.state().pending.is_empty());
        made.into_inner()
    }

    #[tokio::test]
    async fn equal_requests_share_a_presence_and_the_failure_of_a_destination_that_is_down() {
        assert_eq!(requests(Ok(true)).await, 1);
        assert_eq!(requests(Err(failure(503).await)).await, 1);
        assert_eq!(requests(Ok(false)).await, 4, "it may have been written meanwhile");
        assert_eq!(requests(Err(failure(403).await)).await, 4, "it is refused for itself");
    }

    #[tokio::test]
    async fn a_failure_is_not_cached() {
        let (confirmed, to, failure) = (Confirmed::default(), destination(), failure(503).await);
        let failed = confirmed.once(manifest(1), &to, async { Err(failure) }).await;
        assert!(failed.is_err());
        assert!(confirmed.once(manifest(1), &to, async { Ok(true) }).await.expect("it is there"));
    }

    #[tokio::test]
    async fn a_request_that_is_dropped_leaves_nothing_and_its_turn_to_the_next() {
        let (confirmed, to) = (Confirmed::default(), destination());
        let mut dropped = Box::pin(confirmed.once(manifest(1), &to, std::future::pending()));
        assert!(dropped.as_mut().now_or_never().is_none());
        let mut next = Box::pin(confirmed.once(manifest(1), &to, async { Ok(true) }));
        assert!(next.as_mut().now_or_never().is_none(), "it waits");
        drop(dropped);
        assert!(next.await.expect("it is there"));
        assert!(confirmed.state().pending.is_empty());
        let mut alone = Box::pin(confirmed.once(manifest(2), &to, std::future::pending()));
        assert!(alone.as_mut().now_or_never().is_none());
        drop(alone);
        assert!(confirmed.state().pending.is_empty());
    }

    #[tokio::test]
    async fn no_more_present_objects_are_cached_than_the_bound_and_a_forgotten_one_makes_room() {
        let (confirmed, to) = (Confirmed::new(2), destination());
        (1..=3).for_each(|number| confirmed.note(manifest(number), &to));
        let is_known = async |number| {
            let known = confirmed.once(manifest(number), &to, async { Ok(false) }).await;
            known.expect("a result")
        };
        assert_eq!([is_known(1).await, is_known(2).await, is_known(3).await], [true, true, false]);
        confirmed.forget(manifest(1), &to);
        confirmed.note(manifest(3), &to);
        assert_eq!([is_known(1).await, is_known(2).await, is_known(3).await], [false, true, true]);
        assert_eq!(confirmed.state().present.len(), 2);
    }
}
