//! Who is connected: how many connections there are, from which addresses, and which of them wait for a request.
//!
//! When there are too many, one that waits for a request gives its seat to the new one: the one that has waited longest. A client
//! that is served is never interrupted, and one that sends its request at once keeps its seat, however many connections idle or send
//! their headers byte by byte.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many connections may be open.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatLimits {
    pub(super) all: usize,
    pub(super) peer: usize,
}

/// The seats of all connections.
pub(super) struct Seats {
    limits: SeatLimits,
    taken: Mutex<Taken>,
    /// A seat became free, or its holder began to wait.
    changed: Notify,
}

#[derive(Default)]
struct Taken {
    open: HashMap<u64, Open>,
    peers: HashMap<IpAddr, usize>,
    /// The connections that wait for a request, in the order in which they began to: a turn, and the id of the connection.
    waiting: BTreeMap<u64, u64>,
    /// Numbers that have been given out, as ids and as turns.
    numbers: u64,
}

struct Open {
    peer: IpAddr,
    /// Its place in `waiting`, if it waits.
    turn: Option<u64>,
    eviction: Arc<Eviction>,
}

/// Tells a connection that it has lost its seat.
#[derive(Default)]
struct Eviction {
    is_over: AtomicBool,
    told: Notify,
}

/// Why a connection gets no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unseated {
    /// Every connection is served. Some seat will become free.
    Full,
    /// Its address has as many connections as it may have, and all of them are served.
    PeerFull,
}

impl Seats {
    pub(super) fn new(limits: SeatLimits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default(), changed: Notify::new() })
    }

    /// A seat for a connection from `address`, which waits for its first request. Evicts another if it must.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Unseated> {
        let peer = peer(address);
        let mut taken = self.taken();
        if taken.peers.get(&peer).is_some_and(|count| *count >= self.limits.peer) && !taken.evict(Some(peer))
        {
            return Err(Unseated::PeerFull);
        }
        if taken.open.len() >= self.limits.all && !taken.evict(None) {
            return Err(Unseated::Full);
        }
        let id = taken.number();
        let eviction: Arc<Eviction> = Arc::default();
        taken.open.insert(id, Open { peer, turn: None, eviction: eviction.clone() });
        *taken.peers.entry(peer).or_default() += 1;
        taken.wait(id);
        drop(taken);
        Ok(Seat { seats: self.clone(), id, eviction })
    }

    /// Returns when [`Self::take`] may succeed after it has failed. Only one task may wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Closes the connection that has waited longest for a request. False if none waits.
    pub(super) fn evict(&self) -> bool {
        self.taken().evict(None)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn wait(&mut self, id: u64) {
        let turn = self.number();
        if let Some(open) = self.open.get_mut(&id) {
            open.turn = Some(turn);
            self.waiting.insert(turn, id);
        }
    }

    fn work(&mut self, id: u64) {
        if let Some(turn) = self.open.get_mut(&id).and_then(|open| open.turn.take()) {
            self.waiting.remove(&turn);
        }
    }

    /// Takes the seat of the connection that has waited longest, of those from `peer` if one is given.
    fn evict(&mut self, peer: Option<IpAddr>) -> bool {
        let is_meant =
            |id: &&u64| peer.is_none_or(|peer| self.open.get(*id).is_some_and(|open| open.peer == peer));
        let Some(id) = self.waiting.values().find(is_meant).copied() else { return false };
        if let Some(open) = self.leave(id) {
            open.eviction.is_over.store(true, Ordering::SeqCst);
            open.eviction.told.notify_one();
        }
        true
    }

    fn leave(&mut self, id: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        if let Some(turn) = open.turn {
            self.waiting.remove(&turn);
        }
        if let Some(count) = self.peers.get_mut(&open.peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&open.peer);
            }
        }
        Some(open)
    }
}

/// The seat of one connection, which is free again when this is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
    eviction: Arc<Eviction>,
}

impl Seat {
    /// The connection waits for a request from now on.
    pub(super) fn wait(&self) {
        self.seats.taken().wait(self.id);
        self.seats.changed.notify_one();
    }

    /// The connection has a request, until [`Self::wait`].
    pub(super) fn work(&self) {
        self.seats.taken().work(self.id);
    }

    /// Whether the seat was given to another connection.
    pub(super) fn is_evicted(&self) -> bool {
        self.eviction.is_over.load(Ordering::SeqCst)
    }

    /// Returns, once, when the seat has been given to another connection.
    pub(super) async fn evicted(&self) {
        self.eviction.told.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().leave(self.id);
        self.seats.changed.notify_one();
    }
}

/// What counts as one client: an IPv4 address, or the 64 bits of an IPv6 address that a network gives to one customer at least.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn seats(all: usize, peer: usize) -> Arc<Seats> {
        Seats::new(SeatLimits { all, peer })
    }

    fn evicted(seats: &[&Seat]) -> Vec<bool> {
        seats.iter().map(|seat| seat.is_evicted()).collect()
    }

    #[test]
    fn the_connection_that_has_waited_longest_makes_room() {
        let seats = seats(3, 3);
        let first = seats.take(A).unwrap();
        let second = seats.take(A).unwrap();
        let third = seats.take(A).unwrap();
        // The first has been served in between, so the second has waited longest.
        first.work();
        first.wait();
        let fourth = seats.take(B).unwrap();
        assert_eq!(evicted(&[&first, &second, &third, &fourth]), [false, true, false, false]);
        let fifth = seats.take(B).unwrap();
        assert_eq!(evicted(&[&first, &third, &fourth, &fifth]), [false, true, false, false]);
    }

    #[test]
    fn a_connection_that_is_served_keeps_its_seat() {
        let seats = seats(2, 2);
        let busy = [seats.take(A).unwrap(), seats.take(A).unwrap()];
        busy.iter().for_each(Seat::work);
        assert_eq!(seats.take(B).err(), Some(Unseated::Full));
        assert!(!seats.evict());
        busy[0].wait();
        let _new = seats.take(B).unwrap();
        assert_eq!(evicted(&[&busy[0], &busy[1]]), [true, false]);
        // An evicted connection that is served after all has no seat to give up or to get back.
        busy[0].work();
        busy[0].wait();
        drop(busy);
        assert_eq!(seats.taken().open.len(), 1);
    }

    #[test]
    fn an_address_has_its_share_and_makes_room_for_itself_only() {
        let seats = seats(4, 2);
        let other = seats.take(B).unwrap();
        let first = seats.take(A).unwrap();
        let second = seats.take(A).unwrap();
        let third = seats.take(A).unwrap();
        assert_eq!(evicted(&[&other, &first, &second, &third]), [false, true, false, false]);
        second.work();
        third.work();
        assert_eq!(seats.take(A).err(), Some(Unseated::PeerFull));
        assert!(seats.take(B).is_ok());
        drop(second);
        assert!(seats.take(A).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_client() {
        let parsed = |text: &str| peer(text.parse().unwrap());
        assert_eq!(parsed("2001:db8:0:1::1"), parsed("2001:db8:0:1:ffff::2"));
        assert_ne!(parsed("2001:db8:0:1::1"), parsed("2001:db8:0:2::1"));
        assert_eq!(parsed("::ffff:10.0.0.1"), A);
        assert_ne!(peer(A), peer(B));
    }

    #[tokio::test]
    async fn a_free_seat_and_one_that_waits_wake_the_next_client() {
        let seats = seats(1, 1);
        let seat = seats.take(A).unwrap();
        seat.work();
        seat.wait();
        seats.changed().await;
        drop(seat);
        seats.changed().await;
        assert!(seats.take(A).is_ok());
    }

    #[tokio::test]
    async fn an_eviction_is_told() {
        let seats = seats(1, 1);
        let seat = seats.take(A).unwrap();
        assert!(seats.evict());
        seat.evicted().await;
    }
}
