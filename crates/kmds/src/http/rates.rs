//! The limit of requests of a token, or of an address without one: one bucket each, which fills evenly over a minute.
//!
//! The headers are those of draft-ietf-httpapi-ratelimit-headers-10. A request without a limit has no bucket, so a
//! service without limits keeps nothing in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderName;
use http::header::{HeaderMap, HeaderValue};
use parking_lot::Mutex;

use super::network::Peer;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The time in which an empty bucket fills.
const WINDOW: Duration = Duration::from_secs(60);
/// Buckets at once, about 80 bytes each.
const MOST_BUCKETS: usize = 4096;

/// The requests that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    Token(Arc<str>),
    /// An IPv4 address, or the /64 network of an IPv6 address: one home has that many addresses.
    Address(IpAddr),
    /// All clients of the Unix socket.
    Socket,
    /// The addresses for which no bucket was left.
    Others,
}

impl Sender {
    pub(super) fn of(peer: Peer) -> Self {
        match peer {
            Peer::Local => Self::Socket,
            Peer::Address(IpAddr::V6(v6)) => {
                let [a, b, c, d, ..] = v6.segments();
                Self::Address([a, b, c, d, 0, 0, 0, 0].into())
            }
            Peer::Address(v4) => Self::Address(v4),
        }
    }
}

/// A request's place within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    per_minute: u64,
    remaining: u64,
    /// Until the bucket is full again.
    full_in: Duration,
    /// Until one more request is accepted; zero if one is accepted now.
    pub(super) wait: Duration,
}

impl Quota {
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let seconds = |time: Duration| time.as_secs_f64().ceil();
        let policy = format!("\"minute\";q={};w={}", self.per_minute, WINDOW.as_secs());
        let state = format!(
            "\"minute\";r={};t={}",
            self.remaining,
            seconds(self.full_in)
        );
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
            headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
        }
    }
}

struct Bucket {
    /// Requests that are left.
    level: f64,
    at: Instant,
    per_minute: u64,
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let rate = self.per_minute as f64 / WINDOW.as_secs_f64();
        let more = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.level = (self.level + more).min(self.per_minute as f64);
        self.at = now;
    }

    fn is_full(&self) -> bool {
        self.level >= self.per_minute as f64
    }
}

/// The buckets of all senders.
#[derive(Default)]
pub(super) struct Rates {
    buckets: Mutex<HashMap<Sender, Bucket>>,
}

impl Rates {
    /// Counts a request of this sender.
    /// # Errors
    /// It was one too many.
    pub(super) fn take(
        &self,
        sender: Sender,
        per_minute: u64,
        now: Instant,
    ) -> Result<Quota, Quota> {
        let mut buckets = self.buckets.lock();
        let sender = place(&mut buckets, sender, now);
        let full = Bucket {
            level: per_minute as f64,
            at: now,
            per_minute,
        };
        let bucket = buckets.entry(sender).or_insert(full);
        bucket.per_minute = per_minute;
        bucket.fill(now);
        let is_taken = bucket.level >= 1.0;
        if is_taken {
            bucket.level -= 1.0;
        }
        let time_for = |requests: f64| WINDOW.mul_f64(requests.max(0.0) / per_minute.max(1) as f64);
        let quota = Quota {
            per_minute,
            remaining: bucket.level as u64,
            full_in: time_for(per_minute as f64 - bucket.level),
            wait: if is_taken {
                Duration::ZERO
            } else {
                time_for(1.0 - bucket.level)
            },
        };
        if is_taken { Ok(quota) } else { Err(quota) }
    }
}

/// The bucket for a sender. If all are taken, full ones are removed; if none is full, new addresses share one: a crowd
/// of them takes bounded memory, and no count is lost.
fn place(buckets: &mut HashMap<Sender, Bucket>, sender: Sender, now: Instant) -> Sender {
    if buckets.len() < MOST_BUCKETS || buckets.contains_key(&sender) {
        return sender;
    }
    buckets.retain(|_, bucket| {
        bucket.fill(now);
        !bucket.is_full()
    });
    match sender {
        Sender::Address(_) if buckets.len() >= MOST_BUCKETS => Sender::Others,
        sender => sender,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Sender {
        Sender::of(Peer::at(text.parse().expect("an address")))
    }

    #[test]
    fn a_minutes_requests_are_taken_at_once_then_one_after_another_as_the_bucket_fills() {
        let rates = Rates::default();
        let start = Instant::now();
        let ask =
            |after: u64| rates.take(address("192.0.2.1"), 6, start + Duration::from_secs(after));
        for left in (0..6).rev() {
            let quota = ask(0).expect("within the minute");
            assert_eq!((quota.remaining, quota.wait), (left, Duration::ZERO));
        }
        let refused = ask(0).expect_err("one too many");
        assert_eq!(refused.wait.as_secs(), 10);
        assert!(ask(9).is_err() && ask(10).is_ok() && ask(10).is_err());
        assert!(
            rates.take(address("192.0.2.2"), 6, start).is_ok(),
            "another address has its own"
        );
        let mut headers = HeaderMap::new();
        refused.tell(&mut headers);
        assert_eq!(headers[&RATE_LIMIT_POLICY], "\"minute\";q=6;w=60");
        assert_eq!(headers[&RATE_LIMIT], "\"minute\";r=0;t=60");
        let later = (0..6).all(|_| ask(1000).is_ok());
        assert!(
            later && ask(1000).is_err(),
            "no more than a minute's are kept"
        );
    }

    #[test]
    fn a_network_of_ipv6_is_one_sender() {
        assert_eq!(address("2001:db8:1:2::9"), address("2001:db8:1:2:ffff::"));
        assert_ne!(address("2001:db8:1:2::9"), address("2001:db8:1:3::9"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }

    #[test]
    fn a_crowd_of_addresses_costs_a_bounded_memory_and_resets_no_count() {
        let rates = Rates::default();
        let now = Instant::now();
        let nth = |n: u32| Sender::Address(IpAddr::V4(n.into()));
        assert!(rates.take(nth(0), 1, now).is_ok());
        let taken = (1..20_000).filter(|n| rates.take(nth(*n), 1, now).is_ok());
        assert_eq!(
            taken.count(),
            MOST_BUCKETS,
            "the last is shared by the rest"
        );
        assert!(rates.buckets.lock().len() <= MOST_BUCKETS + 1);
        assert!(rates.take(nth(0), 1, now).is_err(), "its count is kept");
        let token = Sender::Token("bot".into());
        assert!(rates.take(token, 1, now).is_ok(), "a token has its own");
        assert!(rates.take(nth(30_000), 1, now + WINDOW).is_ok());
        assert!(
            rates.buckets.lock().len() < 3,
            "those that are full again are given up"
        );
    }
}
