//! Connections: who is let in when many want to, and how long each may take.
//!
//! Owns the accept loop, the limits of one connection and of all, and who has to leave when there are too many. Hides
//! hyper. Never looks at a path.
//!
//! No address has a limit of its own while there is room. When seven eighths of all connections are taken, an address that
//! holds an eighth or more gets no more than it has. Beyond the last one a few are answered all the same: health checks,
//! and a 503 for everybody else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::entry::{Entry, Visit};
use super::network::Peer;
use super::patience::{BYTE_WITHIN, Patient, Pulse};
use super::server::{Accepted, Listener};

/// Time for a request's head to arrive, and for an idle connection to send its next (docs/api.md, "The door").
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The same for one beyond the limit: it came to ask something.
const HEAD_WITHIN_FULL: Duration = Duration::from_secs(2);
/// Bounds what hyper buffers per connection, both ways; with larger buffers 200 slow listeners cost 100 MB.
const BUFFER_BYTES: usize = 16 << 10;
/// Pause after a failed accept: file handles have to come back first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The part of all connections that is left to addresses with few of them, and that an address always may have.
const SHARE: usize = 8;
/// Connections beyond the limit at once, at most: they live for one answer.
const MOST_BEYOND: usize = 16;
/// Connections given up when the process can open no more files: downloads, the drive and the catalog need some too.
const GIVEN_UP: usize = 32;
/// A client that has accepted no byte for so long makes room before one that is refused.
const STALLED_FOR: Duration = Duration::from_secs(10);

pub(super) struct Connections {
    pub(super) entry: Arc<Entry>,
    pub(super) most: usize,
    /// Answers finish, nothing new begins.
    pub(super) stop: CancellationToken,
    /// Everything ends.
    pub(super) cut: CancellationToken,
}

impl Connections {
    /// Accepts until `stop`; returns the connections still open.
    pub(super) async fn accept_from(&self, listener: &Listener) -> TaskTracker {
        let tracker = TaskTracker::new();
        let mut guests = Guests::new(self.most);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => break,
            };
            match accepted {
                Ok(accepted) => {
                    let peer = accepted.peer();
                    let guest = Guest {
                        peer,
                        pulse: Arc::default(),
                        leave: self.cut.child_token(),
                    };
                    let full = !guests.admit(guest.clone(), self.entry.guard.trusts(peer));
                    tracker.spawn(self.serve(accepted, guest, full));
                }
                Err(error) => {
                    tracing::debug!(target: "kmds::http", "accept failed: {error}");
                    if is_out_of_files(&error) {
                        guests.settle_for_fewer();
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        tracker
    }

    /// The life of one connection; its token is cancelled at the end, whoever ends it.
    fn serve(
        &self,
        accepted: Accepted,
        guest: Guest,
        full: bool,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (entry, stop) = (Arc::clone(&self.entry), self.stop.clone());
        async move {
            let Guest { peer, pulse, leave } = guest;
            let _ended = leave.clone().drop_guard();
            let visit = |local| Visit {
                peer,
                local,
                pulse,
                full,
            };
            match accepted {
                Accepted::Tcp(stream, _, local) => {
                    converse(stream, entry, visit(local), stop, leave).await
                }
                Accepted::Unix(stream) => {
                    converse(stream, entry, visit("localhost".to_owned()), stop, leave).await
                }
            }
        }
    }
}

/// A connection as the accept loop sees it.
#[derive(Clone)]
struct Guest {
    peer: Peer,
    pulse: Arc<Pulse>,
    leave: CancellationToken,
}

impl Guest {
    fn is_here(&self) -> bool {
        !self.leave.is_cancelled()
    }
}

/// All connections, oldest first. Ended ones are removed when room is needed.
struct Guests {
    most: usize,
    number: u64,
    within: BTreeMap<u64, Guest>,
    beyond: BTreeMap<u64, Guest>,
}

impl Guests {
    fn new(most: usize) -> Self {
        Self {
            most,
            number: 0,
            within: BTreeMap::new(),
            beyond: BTreeMap::new(),
        }
    }

    /// Takes a guest in; false for one beyond the limit. A trusted proxy speaks for many, and has no share.
    fn admit(&mut self, guest: Guest, is_proxy: bool) -> bool {
        self.number += 1;
        let fits = self.has_room_for(guest.peer, is_proxy);
        if fits {
            self.within.insert(self.number, guest);
        } else {
            self.beyond.retain(|_, guest| guest.is_here());
            if self.beyond.len() >= (self.most / SHARE).clamp(1, MOST_BEYOND)
                && let Some((_, oldest)) = self.beyond.pop_first()
            {
                oldest.leave.cancel();
            }
            self.beyond.insert(self.number, guest);
        }
        fits
    }

    /// The process can open no more files: from now on there are fewer connections, and idle ones end until it is so.
    fn settle_for_fewer(&mut self) {
        self.within.retain(|_, guest| guest.is_here());
        self.most = self
            .most
            .min(self.within.len().saturating_sub(GIVEN_UP))
            .max(1);
        while self.within.len() > self.most && self.make_room(|_| true) {}
    }

    fn has_room_for(&mut self, peer: Peer, is_proxy: bool) -> bool {
        let share = self.most / SHARE;
        let many = self.most - share;
        if self.within.len() < many {
            return true;
        }
        self.within.retain(|_, guest| guest.is_here());
        let held = || {
            self.within
                .values()
                .filter(|guest| guest.peer == peer)
                .count()
        };
        if self.within.len() >= many && share > 0 && !is_proxy && held() >= share {
            return self.make_room(|guest| guest.peer == peer);
        }
        // An idle connection makes room, so that those who only hold connections shut nobody out.
        self.within.len() < self.most || self.make_room(|_| true)
    }

    /// Ends the oldest connection, of those meant, without a request under way, else the oldest whose client reads
    /// nothing; false when there is none.
    fn make_room(&mut self, meant: impl Fn(&Guest) -> bool) -> bool {
        let find = |useless: &dyn Fn(&Pulse) -> bool| {
            let mut guests = self.within.iter().filter(|(_, guest)| meant(guest));
            guests
                .find(|(_, guest)| useless(&guest.pulse))
                .map(|(number, _)| *number)
        };
        let found =
            find(&Pulse::is_idle).or_else(|| find(&|pulse| pulse.is_stalled_for(STALLED_FOR)));
        match found.and_then(|number| self.within.remove(&number)) {
            Some(guest) => {
                guest.leave.cancel();
                true
            }
            None => false,
        }
    }
}

/// The limit of open files is reached, of this process or of the machine.
fn is_out_of_files(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|errno| errno == Errno::MFILE || errno == Errno::NFILE)
}

async fn converse<S>(
    stream: S,
    entry: Arc<Entry>,
    visit: Visit,
    stop: CancellationToken,
    leave: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Patient::new(stream, Arc::clone(&visit.pulse), BYTE_WITHIN);
    let full = visit.full;
    let service = service_fn(move |request| {
        let (entry, visit) = (Arc::clone(&entry), visit.clone());
        async move { Ok::<_, Infallible>(entry.answer(visit, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(if full { HEAD_WITHIN_FULL } else { HEAD_WITHIN })
        .keep_alive(!full)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            // An error is a client that left, or an answer that was cut on purpose: both are in the log already.
            _ended = connection.as_mut() => return,
            () = leave.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(host: u8) -> Guest {
        let peer = Peer::at([10, 0, 0, host].into());
        let guest = Guest {
            peer,
            pulse: Arc::default(),
            leave: CancellationToken::new(),
        };
        guest.pulse.begin();
        guest
    }

    /// Guests of one address, all with a request under way, as many as are let in of `count`.
    fn crowd(guests: &mut Guests, host: u8, count: usize) -> Vec<Guest> {
        (0..count)
            .map(|_| guest(host))
            .filter(|guest| guests.admit(guest.clone(), false))
            .collect()
    }

    #[test]
    fn one_address_cannot_take_the_last_eighth_and_alone_it_may_have_the_rest() {
        let mut guests = Guests::new(4096);
        assert_eq!(crowd(&mut guests, 1, 5000).len(), 3584);
        assert_eq!(crowd(&mut guests, 2, 600).len(), 512);
        assert_eq!(crowd(&mut guests, 3, 1).len(), 0, "now it is full");
    }

    #[test]
    fn an_address_may_hold_its_share_however_full_it_is() {
        let mut guests = Guests::new(4096);
        let many = crowd(&mut guests, 1, 3584);
        assert_eq!(crowd(&mut guests, 2, 200).len(), 200);
        many[0].leave.cancel();
        assert_eq!(
            crowd(&mut guests, 1, 1).len(),
            0,
            "the last eighth begins above it"
        );
        assert_eq!(crowd(&mut guests, 3, 313).len(), 313);
    }

    #[test]
    fn a_trusted_proxy_speaks_for_many() {
        let mut guests = Guests::new(64);
        assert_eq!(
            (0..100).filter(|_| guests.admit(guest(1), true)).count(),
            64
        );
    }

    #[test]
    fn who_asks_nothing_makes_room_its_own_first() {
        let mut guests = Guests::new(16);
        let of_one = crowd(&mut guests, 1, 14);
        of_one[3].pulse.end();
        let idle_stranger = crowd(&mut guests, 2, 1).remove(0);
        idle_stranger.pulse.end();
        assert_eq!(crowd(&mut guests, 1, 1).len(), 1);
        assert!(!of_one[3].is_here() && idle_stranger.is_here());
        assert_eq!(crowd(&mut guests, 1, 1).len(), 0, "none of its own is idle");
        assert_eq!(crowd(&mut guests, 3, 2).len(), 2);
        assert!(!idle_stranger.is_here());
    }

    #[test]
    fn beyond_the_limit_the_newest_are_answered() {
        let mut guests = Guests::new(16);
        crowd(&mut guests, 1, 14);
        let late: Vec<Guest> = (0..5).map(|_| guest(1)).collect();
        assert!(!late.iter().any(|guest| guests.admit(guest.clone(), false)));
        let here: Vec<bool> = late.iter().map(Guest::is_here).collect();
        assert_eq!(here, [false, false, false, true, true]);
    }

    #[test]
    fn without_files_idle_connections_leave_and_some_handles_stay_free() {
        let mut guests = Guests::new(4096);
        let listeners = crowd(&mut guests, 1, 100);
        let idle = crowd(&mut guests, 2, 100);
        idle.iter().for_each(|guest| guest.pulse.end());
        guests.settle_for_fewer();
        assert_eq!(
            idle.iter().filter(|guest| guest.is_here()).count(),
            100 - GIVEN_UP
        );
        assert!(
            listeners.iter().all(Guest::is_here),
            "a listener is not pushed out"
        );
        crowd(&mut guests, 3, 100);
        assert_eq!(
            guests.within.len(),
            200 - GIVEN_UP,
            "a new one only takes the place of an idle one"
        );
    }

    #[test]
    fn the_smallest_limits_have_a_place_too() {
        for most in 1..8 {
            assert_eq!(crowd(&mut Guests::new(most), 1, 20).len(), most);
        }
    }
}
