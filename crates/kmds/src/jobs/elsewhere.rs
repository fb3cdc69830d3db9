//! A song with several hosts: which node fetches it, and its bytes from there.
//!
//! Owns the order: a node that fetches from the site claims the song and fetches it, unless another one has claimed it;
//! a node that does not, or whose address the site refuses, has another node fetch it. Then the bytes come from that
//! node into this node's own growing file, so that listeners here get it like any other song. If a node goes away,
//! another one replaces it: the song continues at its last byte if the file is the same, else it starts over. A host
//! without a cluster never uses this module.
//!
//! A job that waits for another node keeps no place of its site: it goes to the lane of relays, and back if this node has
//! to fetch the song. So a song that another node waits for is never behind one that waits for that node.

use std::time::Duration;

use kmds_extract::{Failure, Format, Kind, Site, Track};
use tokio::time::Instant;

use super::arrival::{Arrival, Broken, STREAM};
use super::attempts::{End, of_limit};
use super::fill::{self, LONGEST_HELD_WAIT, Work};
use super::job::Relay;
use super::names;
use super::run::Run;
use crate::cluster::{
    Claim, Closed, Finished, NOT_ASKED, NotGiven, SongWanted, is_of_address, passes_on, song_name,
    sooner,
};
use crate::store::{Lease, OnDrive, Publish, Row};

/// Nodes that are tried before the song waits, and how often one is whose connection breaks.
const MOST_TRIES: u32 = 24;
const TRIES_AT_A_NODE: usize = 3;
/// After so long a song that no node could be asked for is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(3);
/// A node that has just claimed a song may not have noted it in its own catalog yet.
const SOON: Duration = Duration::from_millis(200);
/// A node has published a song on the drive of all nodes within this time of its last byte.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(10);
/// Stands for this node among those where the site has refused a song: no node has an empty name.
const HERE: &str = "";

/// One song under way.
pub(super) struct Elsewhere<'a> {
    work: Work<'a>,
    track: Track,
    row: Row,
    /// As the nodes call it.
    name: String,
    form: Format,
    /// Kept from one node to the next, this one among them, and with it the listeners.
    lease: Option<Lease>,
}

/// The song from wherever it comes. `fetches`: the site is switched on here.
pub(super) async fn make(
    work: Work<'_>,
    track: Track,
    row: Row,
    fetches: bool,
) -> Result<Format, End> {
    let Some(form) = row.key.form() else {
        return Run::begin(work, track, row).await?.finish().await;
    };
    let mut song = Elsewhere {
        name: song_name(&track.id, form),
        work,
        track,
        row,
        form,
        lease: work.job.take_lease(),
    };
    song.tell_elsewhere(false);
    let end = song.bring(fetches).await;
    if end.as_ref().is_err_and(listeners_wait) {
        work.job.keep_lease(song.lease.take());
    }
    end
}

/// Whether the song goes on so soon that its listeners wait for it, as they do for a limit that a single host meets.
fn listeners_wait(end: &End) -> bool {
    match end {
        End::HandedOver(_) | End::NotBefore(_) => true,
        End::Limited { told, .. } => told.is_none_or(|told| told <= LONGEST_HELD_WAIT),
        End::AllLimited(closed) => closed.left <= LONGEST_HELD_WAIT,
        End::Failed(_) | End::Stopped => false,
    }
}

/// An end that another address may avoid, or an error: any other end.
fn passed_on(end: End) -> Result<End, End> {
    match end {
        End::Limited { .. } => Ok(end),
        End::Failed(ref failure) if passes_on(failure.kind) => Ok(end),
        end => Err(end),
    }
}

/// A song that is made for another node does not wait for this one's limit.
fn failed(end: End) -> End {
    match end {
        End::Limited { told, failure } => End::Failed(Failure {
            retry_after: told.or(failure.retry_after),
            ..of_limit(failure)
        }),
        end => end,
    }
}

/// `None`: the pause has just ended.
fn not_asked(site: Site, closed: Option<Closed>) -> Failure {
    let just_ended = || Failure::new(Kind::RateLimited, format!("{site} {NOT_ASKED}"));
    closed.map_or_else(just_ended, |closed| closed.not_asked(site))
}

impl Elsewhere<'_> {
    async fn bring(&mut self, fetches: bool) -> Result<Format, End> {
        let (at, site) = (self.work.at, self.track.id.site());
        if let Some(format) = self.on_the_drive().await? {
            return Ok(format);
        }
        let (relay, closed) = (self.work.job.relay(), at.closed(site));
        let refused = match &relay {
            Some(Relay::Holder) => return self.by_its_holder().await,
            // This address may ask again.
            Some(Relay::Others(None)) if fetches && closed.is_none() => {
                return Err(End::HandedOver(None));
            }
            Some(Relay::Others(refused)) => refused.clone().map(ended),
            None if fetches && closed.is_none() => match self.here_unless_claimed().await {
                Err(end) => Some(passed_on(end)?),
                done => return done,
            },
            None => None,
        };
        if at.table().is_for_nodes_only(&self.work.job.key) {
            // The node that asked for it asks a third one itself.
            return Err(refused.map_or_else(|| End::Failed(not_asked(site, closed)), failed));
        }
        self.tell_elsewhere(true);
        if fetches && relay.is_none() {
            // Otherwise the node that takes it would wait for this one.
            at.peers.release(&self.name).await;
            // While it waits for another node it keeps no place from the songs that other nodes wait for.
            return Err(End::HandedOver(Some(Relay::Others(refused.map(of_end)))));
        }
        self.by_others(refused).await
    }

    /// Tells nodes that wait for the song here, or read it, whether another node brings it.
    fn tell_elsewhere(&self, is_elsewhere: bool) {
        self.work
            .change(|status| status.is_elsewhere = is_elsewhere);
        if let Some(partial) = self.lease.as_ref().and_then(Lease::partial) {
            partial.set_elsewhere(is_elsewhere);
        }
    }

    /// Fetches the song, unless another node has claimed it.
    async fn here_unless_claimed(&mut self) -> Result<Format, End> {
        let gave_up = self.work.job.take_gave_up();
        let claim = self.work.at.peers.claim(&self.name, gave_up.as_deref());
        match claim.await {
            Claim::Theirs(_) => Err(End::HandedOver(Some(Relay::Holder))),
            Claim::Ours | Claim::Unknown => self.here().await,
        }
    }

    /// The song from the node that has claimed it; where none gives it, this node fetches it. It claims the song only when it has
    /// a place of the site: other nodes do not wait for a song that only waits.
    async fn by_its_holder(&mut self) -> Result<Format, End> {
        let mut broken = Vec::new();
        for _ in 0..MOST_TRIES {
            let Some(node) = self.work.at.peers.holder(&self.name).await else {
                break;
            };
            match self.from(&node).await {
                Ok(format) => return Ok(format),
                Err(Broken::Here(end)) => return Err(end),
                Err(Broken::Node(NotGiven::Refused(failure))) if !passes_on(failure.kind) => {
                    return Err(End::Failed(failure));
                }
                Err(Broken::Node(why)) => {
                    tokio::time::sleep(SOON).await;
                    if !may_be_mended(&why, &node, &mut broken) {
                        self.work.job.give_up(node);
                        break;
                    }
                }
            }
        }
        Err(End::HandedOver(None))
    }

    /// The song as another node has finished it, on the drive of all nodes. Listeners of what has arrived here hear on, if it
    /// is the same file.
    async fn on_the_drive(&mut self) -> Result<Option<Format>, End> {
        let (at, key) = (self.work.at, &self.work.job.key);
        if !at.peers.share_a_drive() {
            return Ok(None);
        }
        let wanted = self.wanted_on_drive(self.row.format).await;
        let adopted = match self.lease.take() {
            None => at.store.adopt(key, wanted).await?,
            Some(lease) => match lease.adopt_instead(wanted).await? {
                Ok(row) => Some(row),
                Err(lease) => {
                    self.lease = Some(lease);
                    None
                }
            },
        };
        let Some(row) = adopted else {
            return Ok(None);
        };
        tracing::info!(track = %self.track.id, "ready, on the drive of all nodes");
        Ok(Some(row.format))
    }

    async fn wanted_on_drive(&self, expected: Format) -> OnDrive {
        let finished = self.work.at.peers.finished(&self.name).await;
        let format = finished.as_ref().and_then(|song| Format::parse(&song.ext));
        OnDrive {
            format: format.unwrap_or(expected),
            sha256: finished.map(|song| song.sha256),
        }
    }

    async fn here(&mut self) -> Result<Format, End> {
        let (work, at) = (self.work, self.work.at);
        let lease = self.lease.take();
        let lease = self.inherited(lease).await?;
        let run = Run::go_on(work, lease, self.track.clone(), self.row.clone()).await?;
        let (end, lease) = run.finish_or_keep().await;
        self.keep(lease);
        match &end {
            Ok(_) => self.tell_finished().await,
            Err(error) => {
                if let Some((kind, told)) = refusal_of_address(error) {
                    at.peers.refused(self.track.id.site(), kind, told);
                }
                at.peers.release(&self.name).await;
            }
        }
        end
    }

    /// The right to write the song, with what a node that is gone has written of it on the drive of all nodes.
    async fn inherited(&self, lease: Option<Lease>) -> Result<Lease, End> {
        let (at, key) = (self.work.at, &self.work.job.key);
        let mut lease = match lease {
            Some(lease) => lease,
            None => fill::lease(&at.store, key).await?,
        };
        if at.peers.share_a_drive() {
            let raw = fill::lease(&at.store, &key.raw()).await?.inherit().await?;
            let bytes = lease.inherit().await? + raw;
            if bytes > 0 {
                tracing::info!(track = %self.track.id, bytes, "what another node has written of it is gone on with");
            }
        }
        Ok(lease)
    }

    async fn tell_finished(&self) {
        let (at, key) = (self.work.at, &self.work.job.key);
        let Ok(Some(row)) = at.store.row(key).await else {
            return;
        };
        if let (Some(size), Some(sha256)) = (row.size_bytes, row.sha256) {
            let ext = row.format.ext().to_owned();
            let finished = Finished { ext, size, sha256 };
            at.peers.finish(&self.name, finished).await;
        }
    }

    /// Has another node fetch it. `refused`: how the attempt here ended.
    async fn by_others(&mut self, refused: Option<End>) -> Result<Format, End> {
        let (at, job, site) = (self.work.at, self.work.job, self.track.id.site());
        if refused.is_some() {
            job.note_refused_by(HERE);
        }
        // Those that the site refuses, and those whose note of the song is wrong.
        let mut asked: Vec<String> = job.refused_by().into_iter().collect();
        let (mut passed_by, mut broken) = (Vec::new(), Vec::new());
        let mut last = refused;
        for _ in 0..MOST_TRIES {
            let node = match self.next_node(&asked, &passed_by).await {
                Ok(node) => node,
                Err(_) if !passed_by.is_empty() => {
                    passed_by.clear();
                    continue;
                }
                Err(failure) => {
                    if let Some(first) = self.first_untried() {
                        return Err(match at.all_closed(site) {
                            Some(closed) => End::AllLimited(closed),
                            None => End::Limited {
                                told: Some(first.left),
                                failure: last.map_or_else(|| first.not_asked(site), of_end),
                            },
                        });
                    }
                    job.forget_refusals();
                    if last.is_none() && !asked.is_empty() {
                        asked.clear();
                        continue;
                    }
                    return Err(none_left(last, failure));
                }
            };
            match self.from(&node).await {
                Ok(format) => return Ok(format),
                Err(Broken::Here(end)) => return Err(end),
                Err(Broken::Node(NotGiven::Refused(failure))) => {
                    let failure = at.peers.note_refusal(&node, site, failure);
                    if !failure.sentence.contains(NOT_ASKED) {
                        job.note_refused_by(&node);
                    }
                    let end = passed_on(ended(failure))?;
                    last = Some(sooner_end(last, end));
                    asked.push(node);
                }
                Err(Broken::Node(why)) => {
                    if !may_be_mended(&why, &node, &mut broken) {
                        tracing::info!(track = %self.track.id, node, "the node does not give the song; another one is asked");
                        passed_by.push(node);
                    }
                    tokio::time::sleep(SOON).await;
                }
            }
        }
        Err(End::NotBefore(Instant::now() + TRY_AGAIN))
    }

    /// The shortest pause of the nodes that the site limits now and where it has not refused this song: only when each node
    /// was refused does the song's wait count.
    fn first_untried(&self) -> Option<Closed> {
        let (at, site) = (self.work.at, self.track.id.site());
        let refused_by = self.work.job.refused_by();
        let own = at.fetches(site).then(|| at.closed(site)).flatten();
        let own = own.map(|closed| (HERE.to_owned(), closed));
        let all = at.peers.pauses(site).into_iter().chain(own);
        let untried = all.filter(|(node, one)| !one.left.is_zero() && !refused_by.contains(node));
        untried.map(|(_, one)| one).min_by_key(|one| one.left)
    }

    /// The node that has the song, else one that takes it.
    async fn next_node(&self, asked: &[String], passed_by: &[String]) -> Result<String, Failure> {
        let peers = &self.work.at.peers;
        if let Some(holder) = peers.holder(&self.name).await
            && !asked.contains(&holder)
            && !passed_by.contains(&holder)
        {
            return Ok(holder);
        }
        let except = [asked, passed_by].concat();
        peers.give(self.wanted(), &except).await
    }

    /// The song as it is asked for at other nodes.
    fn wanted(&self) -> SongWanted {
        let job = self.work.job;
        SongWanted {
            track: self.track.clone(),
            form: self.form,
            accept: self.row.accept.clone(),
            human_name: self.row.human_name.clone(),
            listened: job.is_wanted(),
            // Songs of no fetch have the number 0.
            requester: Some(job.requester).filter(|number| *number > 0),
        }
    }

    /// The song from this node, into this node's own file.
    async fn from(&mut self, node: &str) -> Result<Format, Broken> {
        let (work, key) = (self.work, &self.work.job.key);
        let mut lease = match self.lease.take() {
            Some(lease) => lease,
            None => fill::lease(&work.at.store, key).await?,
        };
        let wanted = self.wanted();
        let end = Arrival { work, node, wanted }.receive(&mut lease).await;
        match end {
            Ok((format, checked)) => {
                let Some(lease) = self.adopted(node, format, lease).await? else {
                    tracing::info!(track = %self.track.id, node, "ready, on the drive of all nodes");
                    return Ok(format);
                };
                let publish = Publish {
                    human_name: names::rename(&self.row.human_name, format.ext()),
                    track: self.track.clone(),
                    format,
                    stream: STREAM.to_owned(),
                    checked,
                };
                lease.publish(publish).await?;
                tracing::info!(track = %self.track.id, node, "ready, from another node");
                Ok(format)
            }
            Err(broken) => {
                self.keep(Some(lease));
                Err(broken)
            }
        }
    }

    /// While the song waits for its next byte, other songs have the room that it has not filled.
    fn keep(&mut self, lease: Option<Lease>) {
        if let Some(lease) = &lease {
            lease.give_room_back();
        }
        self.lease = lease;
    }

    /// Takes the file that the node publishes on the drive of all nodes, as soon as it stands there. Gives the lease back where
    /// this node has to publish the song itself.
    async fn adopted(
        &self,
        node: &str,
        format: Format,
        mut lease: Lease,
    ) -> Result<Option<Lease>, End> {
        let peers = &self.work.at.peers;
        if !peers.share_a_drive() {
            return Ok(Some(lease));
        }
        let until = Instant::now() + PUBLISHED_WITHIN;
        loop {
            let wanted = OnDrive {
                format,
                sha256: None,
            };
            lease = match lease.adopt(wanted).await? {
                Ok(_) => return Ok(None),
                Err(lease) => lease,
            };
            if Instant::now() > until || !peers.has(node) {
                tracing::warn!(
                    track = %self.track.id,
                    node,
                    "the node's song is not in this node's cache.dir, and is copied; without one drive for all nodes set cluster.shared_drive to false"
                );
                return Ok(Some(lease));
            }
            tokio::time::sleep(SOON).await;
        }
    }
}

/// Whether the same node is asked again: its connection broke, and not often yet.
fn may_be_mended(why: &NotGiven, node: &str, broken: &mut Vec<String>) -> bool {
    if !matches!(why, NotGiven::Lost | NotGiven::Unreachable) {
        return false;
    }
    broken.push(node.to_owned());
    broken.iter().filter(|one| *one == node).count() < TRIES_AT_A_NODE
}

/// What an end says of the site, as [`ended`] reads it.
fn of_end(end: End) -> Failure {
    match failed(end) {
        End::Failed(failure) => failure,
        _ => Failure::new(Kind::Cancelled, "the work was put off"),
    }
}

/// How the site has refused this address, and the pause that it named.
fn refusal_of_address(end: &End) -> Option<(Kind, Option<Duration>)> {
    match end {
        End::Limited { told, failure } => Some((Kind::RateLimited, told.or(failure.retry_after))),
        End::Failed(failure) if is_of_address(failure.kind) => {
            Some((failure.kind, failure.retry_after))
        }
        _ => None,
    }
}

/// What a node's refusal means for the job.
fn ended(failure: Failure) -> End {
    // A song that the site was not asked for waits, although another one was challenged.
    if failure.kind == Kind::RateLimited || failure.sentence.contains(NOT_ASKED) {
        End::Limited {
            told: failure.retry_after,
            failure,
        }
    } else {
        End::Failed(failure)
    }
}

/// Of two ends the one whose pause is over first; else the last.
fn sooner_end(before: Option<End>, last: End) -> End {
    ended(sooner(before.map(of_end), of_end(last)))
}

/// The end where no node is left: what the nodes said, else the song waits for a node.
fn none_left(last: Option<End>, failure: Failure) -> End {
    match (last, failure.kind) {
        (Some(end), kind) if passes_on(kind) => sooner_end(Some(end), ended(failure)),
        (Some(end), _) => end,
        (None, kind) if failure.retryable() && !passes_on(kind) => {
            End::NotBefore(Instant::now() + TRY_AGAIN)
        }
        (None, _) => ended(failure),
    }
}
