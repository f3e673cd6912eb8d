//! Bounds on requests, uploads and password checks in flight. No client gets more than its share of a bound. A
//! client is a user, or without credentials an address.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http_server::{AddressBlock, StalledOf};

use crate::{access::User, limits::CLIENT_DIVISOR};

/// The address of a request's client: that of the peer, or the one that a trusted peer names. None for a trusted
/// peer that names no client; such a peer has no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

/// The client that holds a share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    User(User),
    Address(AddressBlock),
}

impl Holder {
    /// A user has one share, whatever its addresses; without a user the address has one.
    pub(crate) fn of(user: Option<&User>, client: ClientAddress) -> Option<Self> {
        match (user, client) {
            (Some(user), _) => Some(Self::User(Arc::clone(user))),
            (None, ClientAddress(Some(address))) => Some(Self::Address(AddressBlock::of(address))),
            (None, ClientAddress(None)) => None,
        }
    }

    /// The holder that `Display` wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("user", user) if !user.is_empty() => Some(Self::User(user.into())),
            ("address", address) => Some(Self::Address(AddressBlock::of(address.parse().ok()?))),
            _ => None,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user {user}"),
            Self::Address(block) => write!(f, "address {}", block.first()),
        }
    }
}

/// A bound. Cheap to clone; the clones are one bound.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    counts: Arc<Mutex<Counts>>,
}

/// The permits that are taken. There are never more entries than permits.
#[derive(Debug, Default)]
struct Counts {
    max: usize,
    total: usize,
    by_holder: HashMap<Holder, usize>,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitReached {
    /// All permits are taken; their number.
    Total(usize),
    /// The client holds its whole share; its size.
    Client(usize),
}

impl LimitReached {
    /// Whose stalled connections hold permits that would do.
    pub(crate) const fn stalled_of(self) -> StalledOf {
        match self {
            Self::Total(_) => StalledOf::All,
            Self::Client(_) => StalledOf::SamePeer,
        }
    }
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        let counts = Counts { max, ..Counts::default() };
        Self { counts: Arc::new(Mutex::new(counts)) }
    }

    /// Lowers the bound to `max`, if it is higher. Returns the new bound.
    pub(crate) fn lower_to(&self, max: usize) -> usize {
        let mut counts = self.lock();
        counts.max = counts.max.min(max);
        counts.max
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are changed together, without anything that may panic in between.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many permits there are.
    pub(crate) fn max(&self) -> usize {
        self.lock().max
    }

    /// How many permits are taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().total
    }

    /// One more permit for `holder`. Without a holder it counts only for the total.
    pub(crate) fn take(&self, holder: Option<Holder>) -> Result<BudgetPermit, LimitReached> {
        let mut counts = self.lock();
        let share = counts.max.div_ceil(CLIENT_DIVISOR);
        let held_by = |holder: &Holder| counts.by_holder.get(holder).copied().unwrap_or_default();
        // Checked first: the client can release its own permits.
        if holder.as_ref().is_some_and(|holder| held_by(holder) >= share) {
            return Err(LimitReached::Client(share));
        }
        if counts.total >= counts.max {
            return Err(LimitReached::Total(counts.max));
        }
        if let Some(holder) = &holder {
            *counts.by_holder.entry(holder.clone()).or_default() += 1;
        }
        counts.total += 1;
        drop(counts);
        Ok(BudgetPermit { budget: self.clone(), holder })
    }

    fn give_back(&self, holder: Option<&Holder>) {
        let mut counts = self.lock();
        counts.total -= 1;
        let Some(holder) = holder else { return };
        if let Some(count) = counts.by_holder.get_mut(holder) {
            *count -= 1;
            if *count == 0 {
                counts.by_holder.remove(holder);
            }
        }
    }
}

/// A permit of a budget. Dropping it returns it.
#[derive(Debug)]
pub(crate) struct BudgetPermit {
    budget: Budget,
    holder: Option<Holder>,
}

impl BudgetPermit {
    /// The client whose share it is part of.
    pub(crate) const fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }
}

impl Drop for BudgetPermit {
    fn drop(&mut self) {
        self.budget.give_back(self.holder.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(user: &str) -> Option<Holder> {
        Some(Holder::User(user.into()))
    }

    #[test]
    fn one_client_has_half_and_all_have_the_whole() {
        let budget = Budget::new(5);
        let take = |user: &str| budget.take(holder(user));
        let mut a: Vec<_> = (0..3).map(|_| take("a").expect("it is within its share")).collect();
        assert_eq!(take("a").err(), Some(LimitReached::Client(3)));
        let others = [take("b"), budget.take(None)].map(|taken| taken.expect("there is room"));
        assert_eq!(take("c").err(), Some(LimitReached::Total(5)));
        assert_eq!(budget.taken(), 5);
        a.pop();
        let c = take("c").expect("there is room");
        drop((a, others, c));
        assert_eq!(budget.taken(), 0);
        assert!(budget.lock().by_holder.is_empty(), "a holder without permits has no entry");
        Budget::new(1).take(holder("a")).expect("a bound of one has a share of one");
    }

    #[test]
    fn a_bound_is_lowered_and_never_raised() {
        let budget = Budget::new(4);
        assert_eq!([8, 2, 3].map(|max| budget.lower_to(max)), [4, 2, 2]);
        let permits = [holder("a"), holder("b")].map(|holder| budget.take(holder));
        assert!(permits.iter().all(Result::is_ok), "{permits:?}");
        assert_eq!(budget.take(None).err(), Some(LimitReached::Total(2)));
    }

    #[test]
    fn a_user_is_one_client_everywhere_and_an_address_block_is_one() {
        let user: User = "a".into();
        let address = |text: &str| ClientAddress(Some(text.parse().expect(text)));
        let of = |user, text| Holder::of(user, address(text));
        assert_eq!(of(Some(&user), "192.0.2.1"), of(Some(&user), "2001:db8::1"));
        assert_ne!(of(None, "192.0.2.1"), of(None, "192.0.2.2"));
        assert_eq!(of(None, "2001:db8::1"), of(None, "2001:db8::2"));
        assert_ne!(of(None, "2001:db8::1"), of(None, "2001:db8:0:1::1"));
        assert_eq!(Holder::of(None, ClientAddress(None)), None);
    }
}
