//! Sends replies, and applies the faults that affect them.
//!
//! Owns pacing, holding, compressing, and the faults that break a message while it is sent. Faults that are whole
//! messages of another content are in `altered.rs`. It does not decide which answer is right.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::altered::{altered, gzip};
use crate::fault::Fault;
use crate::log::Log;
use crate::wire::{Channel, Reply, Request, Wire};
use crate::world::{NEVER, Song};

/// Bytes handed to the connection at once.
const STEP_BYTES: usize = 64 * 1024;
/// How often a paced body gets its next bytes.
const TICK: Duration = Duration::from_millis(20);
const HUGE_BYTES: u64 = 200_000_000;

/// Whether the connection may carry another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    KeepAlive,
    Close,
}

/// A reply, the request it answers, and where its bytes are counted.
pub struct Sending<'a> {
    pub request: &'a Request,
    pub log: &'a Log,
    pub number: usize,
}

impl Sending<'_> {
    /// Sends `reply` as `fault` would have it.
    pub async fn send<C: Channel>(
        &self,
        wire: &mut Wire<C>,
        reply: Reply,
        fault: Option<Fault>,
    ) -> io::Result<After> {
        let Some(fault) = fault else {
            return self.whole(wire, self.squeezed(reply), None).await;
        };
        match fault {
            Fault::Slow(rate) => self.whole(wire, reply, Some(rate)).await,
            Fault::Stall(after) => {
                let reply = self.squeezed(reply);
                self.head(wire, &reply, reply.body.len() as u64).await?;
                self.body(wire, &reply, after.min(reply.body.len() as u64), None)
                    .await?;
                wire.gone().await;
                Ok(After::Close)
            }
            Fault::NoAnswer => {
                wire.gone().await;
                Ok(After::Close)
            }
            Fault::Reset => {
                let half = reply.body.len() as u64 / 2;
                self.head(wire, &reply, reply.body.len() as u64).await?;
                self.body(wire, &reply, half, None).await?;
                // What was sent must arrive before the reset overtakes it.
                sleep(TICK).await;
                wire.channel.reset_on_close();
                Ok(After::Close)
            }
            Fault::ShortBody => self.cut_at(wire, &reply, reply.body.len() as u64 / 2).await,
            Fault::LongBody => {
                self.head(wire, &reply, reply.body.len() as u64).await?;
                self.body(wire, &reply, reply.body.len() as u64, None)
                    .await?;
                wire.channel.write_all(&[b'x'; 1024]).await?;
                wire.channel.shutdown().await?;
                Ok(After::Close)
            }
            Fault::WallAt(at) => {
                let beyond = reply
                    .from_song
                    .as_ref()
                    .is_some_and(|(_, from)| from + reply.body.len() as u64 > at);
                self.whole(wire, if beyond { Reply::refusal(403) } else { reply }, None)
                    .await
            }
            Fault::ExpiredAt(at) => self.expiring(wire, reply, at).await,
            Fault::ChangedEtag(at) => self.changing(wire, reply, at).await,
            Fault::Huge => self.huge(wire, &reply).await,
            Fault::EndlessHeaders => self.endless_headers(wire).await,
            Fault::SlowLorisHead => {
                let head = head_of(&reply, reply.body.len() as u64);
                for byte in head.as_bytes() {
                    wire.channel.write_all(&[*byte]).await?;
                    wire.channel.flush().await?;
                    sleep(Duration::from_secs(1)).await;
                }
                self.body(wire, &reply, reply.body.len() as u64, None)
                    .await?;
                Ok(After::Close)
            }
            other => {
                self.whole(wire, altered(self.request, reply, &other), None)
                    .await
            }
        }
    }

    /// Head and body; the song's own pace and holds apply.
    async fn whole<C: Channel>(
        &self,
        wire: &mut Wire<C>,
        reply: Reply,
        rate: Option<u64>,
    ) -> io::Result<After> {
        self.head(wire, &reply, reply.body.len() as u64).await?;
        self.body(wire, &reply, reply.body.len() as u64, rate)
            .await?;
        let close = self
            .request
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(if close {
            After::Close
        } else {
            After::KeepAlive
        })
    }

    async fn cut_at<C: Channel>(
        &self,
        wire: &mut Wire<C>,
        reply: &Reply,
        count: u64,
    ) -> io::Result<After> {
        self.head(wire, reply, reply.body.len() as u64).await?;
        self.body(wire, reply, count, None).await?;
        wire.channel.shutdown().await?;
        Ok(After::Close)
    }

    async fn expiring<C: Channel>(
        &self,
        wire: &mut Wire<C>,
        reply: Reply,
        at: u64,
    ) -> io::Result<After> {
        let Some((song, from)) = reply.from_song.clone() else {
            return self.whole(wire, reply, None).await;
        };
        if song.generation() > 0 || from + reply.body.len() as u64 <= at {
            return self.whole(wire, reply, None).await;
        }
        if from < at {
            return self.cut_at(wire, &reply, at - from).await;
        }
        song.expire_urls();
        self.whole(wire, Reply::refusal(403), None).await
    }

    async fn changing<C: Channel>(
        &self,
        wire: &mut Wire<C>,
        reply: Reply,
        at: u64,
    ) -> io::Result<After> {
        let Some((song, from)) = reply.from_song.clone() else {
            return self.whole(wire, reply, None).await;
        };
        if song.version() > 0 || from + reply.body.len() as u64 <= at {
            return self.whole(wire, reply, None).await;
        }
        song.change_bytes();
        self.cut_at(wire, &reply, at.saturating_sub(from)).await
    }

    async fn huge<C: Channel>(&self, wire: &mut Wire<C>, reply: &Reply) -> io::Result<After> {
        self.head(wire, reply, HUGE_BYTES).await?;
        let blanks = vec![b' '; STEP_BYTES];
        let mut left = HUGE_BYTES;
        while left > 0 {
            let step = left.min(STEP_BYTES as u64);
            wire.channel
                .write_all(blanks.get(..step as usize).unwrap_or_default())
                .await?;
            self.log.add_sent(self.number, step);
            left -= step;
        }
        wire.channel.flush().await?;
        Ok(After::KeepAlive)
    }

    async fn endless_headers<C: Channel>(&self, wire: &mut Wire<C>) -> io::Result<After> {
        wire.channel.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        let mut number: u64 = 0;
        loop {
            let line = format!("X-Filler-{number}: {}\r\n", "y".repeat(200));
            wire.channel.write_all(line.as_bytes()).await?;
            number += 1;
            if number.is_multiple_of(32) {
                wire.channel.flush().await?;
                tokio::task::yield_now().await;
            }
        }
    }

    async fn head<C: Channel>(
        &self,
        wire: &mut Wire<C>,
        reply: &Reply,
        length: u64,
    ) -> io::Result<()> {
        wire.channel
            .write_all(head_of(reply, length).as_bytes())
            .await?;
        wire.channel.flush().await
    }

    /// The first `count` bytes of the body, as fast as the song's pace, its hold and `rate` allow.
    async fn body<C: Channel>(
        &self,
        wire: &mut Wire<C>,
        reply: &Reply,
        count: u64,
        rate: Option<u64>,
    ) -> io::Result<()> {
        if self.request.method == "HEAD" {
            return Ok(());
        }
        let mut at: u64 = 0;
        while at < count {
            let rate = rate
                .or(reply.paced)
                .or_else(|| reply.from_song.as_ref().and_then(|(song, _)| song.drip()));
            let step = rate.map_or(STEP_BYTES as u64, |rate| {
                (rate * TICK.as_millis() as u64 / 1000).max(1)
            });
            let mut to = (at + step).min(count);
            if let Some((song, from)) = &reply.from_song {
                let limit = held(wire, song, from + at).await?;
                to = to.min(limit - from);
            }
            let piece = reply.body.slice(at as usize..to as usize);
            wire.channel.write_all(&piece).await?;
            wire.channel.flush().await?;
            self.log.add_sent(self.number, to - at);
            at = to;
            if rate.is_some() && at < count {
                sleep(TICK).await;
            }
        }
        wire.channel.flush().await
    }

    /// Text is compressed for a client that accepts it.
    fn squeezed(&self, mut reply: Reply) -> Reply {
        let text = reply.headers.iter().any(|(name, value)| {
            name == "Content-Type"
                && ["text/", "application/j", "application/vnd.apple"]
                    .iter()
                    .any(|t| value.starts_with(t))
        });
        if text
            && reply.body.len() > 512
            && self.request.accepts_gzip()
            && !reply.has_header("Content-Encoding")
        {
            if reply.status == 206 {
                return reply;
            }
            reply.body = gzip(&reply.body);
            reply.set_header("Content-Encoding", "gzip");
        }
        reply
    }
}

/// Waits until byte `at` of the song may go out; gives the first byte that may not.
async fn held<C: Channel>(wire: &mut Wire<C>, song: &Song, at: u64) -> io::Result<u64> {
    let mut hold = song.watch_hold();
    loop {
        let limit = *hold.borrow_and_update();
        if at < limit || limit == NEVER {
            return Ok(limit);
        }
        tokio::select! {
            changed = hold.changed() => if changed.is_err() { return Ok(NEVER); },
            () = wire.gone() => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

fn head_of(reply: &Reply, length: u64) -> String {
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.status != 204 && reply.status != 304 {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("Vary: Accept-Encoding\r\n\r\n");
    head
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Whatever",
    }
}

impl Song {
    fn drip(&self) -> Option<u64> {
        match self.state().drip.load(Ordering::Relaxed) {
            0 => None,
            rate => Some(rate),
        }
    }
}
