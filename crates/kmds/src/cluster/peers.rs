//! What the service asks of the other nodes.
//!
//! Owns the order in which nodes are asked, which of them gave no connection, and for how long a site is not asked from this
//! address. It asks through [`Network`] only. Both maps have a lock of their own, held for one statement or one sort.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use kmds_extract::{Failure, Format, Kind, Site, TrackId};
use parking_lot::Mutex;

use super::refusals::{Closed, asks_on, is_of_address, sooner};
use super::{
    Arriving, Claim, Finished, Network, NodeReport, NotGiven, Question, Reply, SongWanted, nodes,
    questions,
};

/// When a client may ask again for what no node could be asked for: NATS is back, or a node, within some seconds.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// If a node has not answered for so long whether it takes a song, the next one is asked too.
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// How often it is checked whether a node is still present that was asked for a link or a search.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// For so long a node whose HTTP gave no connection is asked after all others.
const ASKED_LAST_FOR: Duration = Duration::from_secs(60);
/// A node answers within this time whether it takes a song.
const TAKES_WITHIN: Duration = Duration::from_secs(5);
/// A node answers within this time what it knows of a song: a client waits meanwhile.
const FINDS_WITHIN: Duration = Duration::from_secs(1);

/// A site is not asked from this address for so long after a refusal that names no time; and for so long at least, and at most.
const CLOSED_FOR: Duration = Duration::from_secs(60);
pub const LEAST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The other nodes, if there are any. Cheap to clone.
#[derive(Clone, Default)]
pub struct Peers(Option<Arc<Joined>>);

struct Joined {
    network: Arc<dyn Network>,
    /// Nodes whose HTTP gave no connection, and until when they are asked last.
    unreachable: Mutex<HashMap<String, Instant>>,
    /// Until when a site is not asked from this address, and the kind of its refusal.
    closed: Mutex<HashMap<Site, (Instant, Kind)>>,
    /// The same for its pages, and what it said.
    pages_closed: Mutex<HashMap<Site, (Instant, Failure)>>,
}

impl Peers {
    /// A host of its own.
    #[must_use]
    pub fn alone() -> Self {
        Self::default()
    }

    /// In a build without the feature there are none, and the compiler leaves out what is asked of them.
    const fn others(&self) -> Option<&Arc<Joined>> {
        if cfg!(feature = "cluster") {
            self.0.as_ref()
        } else {
            None
        }
    }

    #[cfg(feature = "cluster")]
    #[must_use]
    pub fn joined(network: Arc<dyn Network>) -> Self {
        Self(Some(Arc::new(Joined {
            network,
            unreachable: Mutex::default(),
            closed: Mutex::default(),
            pages_closed: Mutex::default(),
        })))
    }

    #[must_use]
    pub fn are_none(&self) -> bool {
        self.others().is_none()
    }

    /// `None` for a host of its own.
    #[must_use]
    pub fn is_connected(&self) -> Option<bool> {
        Some(self.others()?.network.is_connected())
    }

    /// Why this node does not work among the others, or does not know which of them has which song: a sentence, and where to
    /// look.
    #[must_use]
    pub fn why_alone(&self) -> Option<(String, &'static str)> {
        self.others()?.network.why_alone()
    }

    /// The other nodes that are there.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeReport> {
        let joined = self.others();
        joined.map_or_else(Vec::new, |joined| joined.network.nodes())
    }

    /// Asks the nodes that fetch from this site, one after the other, until one gives an answer that is not about its own
    /// address or line. A node that the site limits is asked for no song, and last for all else. Where one is silent
    /// ([`Joined::is_silent`]) the next is asked too, and the first answer counts.
    /// # Errors
    /// What the node said that can be asked again first; [`Kind::ClusterUnavailable`] where none could be asked.
    pub async fn ask(
        &self,
        site: Site,
        question: &Question,
        within: Duration,
        except: &[String],
    ) -> Result<(String, Reply), Failure> {
        let unavailable = self.unavailable(site);
        let Some(joined) = self.others() else {
            return Err(unavailable);
        };
        let bytes = questions::pack(question);
        let ask = |node: String| {
            let bytes = bytes.clone();
            async move {
                let answer = joined.network.ask(&node, bytes, within).await;
                (node, answer)
            }
        };
        let mut tried = except.to_vec();
        let mut asked = FuturesUnordered::new();
        let mut refused = None;
        loop {
            let next = joined.next(site, question, &tried);
            tried.extend(next.clone());
            let silent = joined.is_silent(next.clone(), question);
            asked.extend(next.map(&ask));
            let answer = tokio::select! {
                answer = asked.next() => answer,
                () = silent => continue,
            };
            let Some(answer) = answer else {
                return Err(refused.unwrap_or(unavailable));
            };
            match answer.1.as_deref().and_then(questions::unpack_reply) {
                Some(Reply::Refused(failure)) if asks_on(question, &failure) => {
                    joined.note_refusal(&answer.0, site, &failure);
                    refused = Some(sooner(refused, failure));
                }
                Some(Reply::Refused(failure)) => return Err(failure),
                Some(reply) => return Ok((answer.0, reply)),
                None => {}
            }
        }
    }

    /// What all other nodes answer, as far as they do.
    pub async fn ask_all(&self, question: &Question) -> Vec<Reply> {
        let Some(joined) = self.others() else {
            return Vec::new();
        };
        let bytes = questions::pack(question);
        let within = match question {
            Question::Find(_) => FINDS_WITHIN,
            _ => TAKES_WITHIN,
        };
        let nodes = joined.network.nodes();
        let asked = nodes.iter().map(|told| {
            let network = &joined.network;
            network.ask(&told.node, bytes.clone(), within)
        });
        let answers = futures_util::future::join_all(asked).await;
        let answers = answers.into_iter().flatten();
        answers
            .filter_map(|answer| questions::unpack_reply(&answer))
            .collect()
    }

    /// Gives a song to a node that takes it: its name.
    /// # Errors
    /// As [`Self::ask`].
    pub async fn give(&self, wanted: SongWanted, except: &[String]) -> Result<String, Failure> {
        let site = wanted.track.id.site();
        let question = Question::Song(Box::new(wanted));
        let asking = self.ask(site, &question, TAKES_WITHIN, except);
        asking.await.map(|(node, _)| node)
    }

    /// Notes what a node says of a song that it has taken. A limit that names no time lasts as long as the node's report says.
    #[must_use]
    pub fn note_refusal(&self, node: &str, site: Site, failure: Failure) -> Failure {
        let Some(joined) = self.others() else {
            return failure;
        };
        joined.note_refusal(node, site, &failure);
        let mut pauses = self.pauses(site).into_iter();
        match pauses.find(|(told, _)| told == node) {
            Some((_, closed)) if failure.kind == Kind::RateLimited => Failure {
                retry_after: failure.retry_after.or(Some(closed.left)),
                ..failure
            },
            _ => failure,
        }
    }

    /// The other nodes that fetch from this site, and how long it limits each of them; zero where it does not.
    #[must_use]
    pub fn pauses(&self, site: Site) -> Vec<(String, Closed)> {
        let nodes = self.nodes().into_iter();
        let pauses = nodes.filter_map(|node| Some((node.closed(site)?, node.node)));
        pauses.map(|(closed, node)| (node, closed)).collect()
    }

    /// The first pause to end of all nodes that fetch from the site; `None` where one may ask it now, or where there is
    /// none. `own` is this node's pause, if it fetches from the site.
    #[must_use]
    pub fn first_closed(&self, site: Site, own: Option<Option<Closed>>) -> Option<Closed> {
        if own == Some(None) {
            return None;
        }
        let others = self.pauses(site).into_iter().map(|(_, one)| one);
        let first = others.chain(own.flatten()).min_by_key(|one| one.left);
        first.filter(|closed| !closed.left.is_zero())
    }

    /// Tells a node that makes a song that a client waits for it here.
    pub async fn hurry(&self, node: &str, wanted: SongWanted) {
        let question = Question::Song(Box::new(wanted));
        if let Some(joined) = self.others() {
            let question = questions::pack(&question);
            joined.network.ask(node, question, TAKES_WITHIN).await;
        }
    }

    fn unavailable(&self, site: Site) -> Failure {
        let sentence = if self.is_connected() == Some(true) {
            format!("no node of the cluster fetches from {site} now; start one, or ask again")
        } else {
            format!(
                "NATS does not answer, and this node fetches nothing from {site}; ask again in some seconds"
            )
        };
        Failure::new(Kind::ClusterUnavailable, sentence).after(ASK_AGAIN)
    }

    /// See [`Network::claim`].
    pub async fn claim(&self, song: &str, from: Option<&str>) -> Claim {
        match self.others() {
            Some(joined) => joined.network.claim(song, from).await,
            None => Claim::Unknown,
        }
    }

    /// See [`Network::holder`].
    pub async fn holder(&self, song: &str) -> Option<String> {
        self.others()?.network.holder(song).await
    }

    /// See [`Network::finished`].
    pub async fn finished(&self, song: &str) -> Option<Finished> {
        self.others()?.network.finished(song).await
    }

    /// See [`Network::finish`].
    pub async fn finish(&self, song: &str, finished: Finished) {
        if let Some(joined) = self.others() {
            joined.network.finish(song, finished).await;
        }
    }

    /// Whether all nodes have one cache folder.
    #[must_use]
    pub fn share_a_drive(&self) -> bool {
        let joined = self.others();
        joined.is_some_and(|joined| joined.network.shares_drive())
    }

    /// Whether this node is there now.
    #[must_use]
    pub fn has(&self, node: &str) -> bool {
        self.nodes().iter().any(|there| there.node == node)
    }

    /// See [`Network::forget`].
    pub async fn forget(&self, song: &str) {
        if let Some(joined) = self.others() {
            joined.network.forget(song).await;
        }
    }

    /// See [`Network::release`].
    pub async fn release(&self, song: &str) {
        if let Some(joined) = self.others() {
            joined.network.release(song).await;
        }
    }

    /// A song in one form from a node. See [`Network::open`].
    /// # Errors
    /// [`NotGiven`].
    pub async fn open(
        &self,
        node: &str,
        track: &TrackId,
        form: Format,
        from: Option<(u64, String)>,
        listened: bool,
    ) -> Result<Arriving, NotGiven> {
        let joined = self.others().ok_or(NotGiven::Lost)?;
        let path = format!(
            "/api/v1/tracks/{}/{}/{}/audio?stream=true",
            track.site().as_str(),
            track.id(),
            form.ext()
        );
        let opened = joined.network.open(node, &path, from, listened).await;
        joined.note_reached(node, !matches!(opened, Err(NotGiven::Unreachable)));
        opened
    }

    /// A song's cover, from the first node that has it.
    pub async fn cover(&self, track: &TrackId, most: usize) -> Option<Bytes> {
        let joined = self.others()?;
        let (site, id) = (track.site(), track.id());
        let path = format!("/api/v1/tracks/{}/{id}/cover", site.as_str());
        for node in nodes::in_order(&joined.network.nodes(), site) {
            if let Some(bytes) = joined.network.read(&node, &path, most).await {
                return Some(bytes);
            }
        }
        None
    }

    /// Whether another node can fetch from this site now.
    #[must_use]
    pub fn others_fetch(&self, site: Site) -> bool {
        let nodes = self.nodes();
        let mut pauses = nodes.iter().filter_map(|node| node.closed(site));
        pauses.any(|closed| closed.left.is_zero())
    }

    /// Whether another node fetches from any site.
    #[must_use]
    pub fn any_fetch(&self) -> bool {
        self.nodes().iter().any(|node| !node.sites.is_empty())
    }

    /// The site has refused audio to this address: other nodes are asked for so long, and hear of it at once.
    pub fn close(&self, site: Site, kind: Kind, pause: Duration) {
        let Some(joined) = self.others() else { return };
        let now = Instant::now();
        let until = now + pause.clamp(LEAST_PAUSE, LONGEST_PAUSE);
        let before = {
            let mut closed = joined.closed.lock();
            let before = closed.get(&site).copied();
            if before.is_none_or(|(before, _)| before < until) {
                closed.insert(site, (until, kind));
            }
            before
        };
        if before.is_none_or(|(before, _)| before <= now) {
            joined.network.tell_now();
        }
    }

    /// The site has refused this address, and may have named a pause. A bot check that often passes keeps no song waiting where
    /// no other node fetches from the site.
    pub fn refused(&self, site: Site, kind: Kind, told: Option<Duration>) {
        let may_pass = kind == Kind::BotCheck && (told.is_none() || site.passes_bot_checks());
        if !(may_pass && self.pauses(site).is_empty()) {
            self.close(site, kind, told.unwrap_or(CLOSED_FOR));
        }
    }

    /// Notes what the site said for a page. If it has refused this address, it is asked for nothing from here for a while.
    pub fn note_page(&self, site: Site, failure: &Failure) {
        let Some(joined) = self.others() else { return };
        if !is_of_address(failure.kind) {
            return;
        }
        let often_passes = site.passes_bot_checks() && failure.kind == Kind::BotCheck;
        if let Some(pause) = failure.retry_after.filter(|_| !often_passes) {
            let until = Instant::now() + pause.clamp(LEAST_PAUSE, LONGEST_PAUSE);
            let refused = (until, failure.clone());
            joined.pages_closed.lock().insert(site, refused);
        }
        self.refused(site, failure.kind, failure.retry_after);
    }

    /// What the site said when it refused a page to this address, and how much of the pause is left.
    #[must_use]
    pub fn pages_closed(&self, site: Site) -> Option<Failure> {
        let (until, failure) = self.others()?.pages_closed.lock().get(&site)?.clone();
        let left = until.saturating_duration_since(Instant::now());
        // Whole seconds, rounded up: the pause is over when a client comes back then.
        let wait = Duration::from_secs(left.as_secs() + 1);
        (!left.is_zero()).then(|| failure.after(wait))
    }

    /// How long the site is not asked from this address, and why.
    #[must_use]
    pub fn closed(&self, site: Site) -> Option<Closed> {
        let (until, kind) = *self.others()?.closed.lock().get(&site)?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(Closed { left, kind })
    }
}

impl Joined {
    /// The node that is asked next: one that gave no connection comes last. A song takes its place there at once, so that songs
    /// which are given away at the same time go to different nodes.
    fn next(&self, site: Site, question: &Question, tried: &[String]) -> Option<String> {
        let is_song = matches!(question, Question::Song(_));
        let mut reports = self.network.nodes();
        reports.retain(|report| {
            let is_limited = report.closed(site).is_some_and(|one| !one.left.is_zero());
            !(tried.contains(&report.node) || is_song && is_limited)
        });
        let nodes = nodes::in_order(&reports, site);
        let next = {
            let (unreachable, now) = (self.unreachable.lock(), Instant::now());
            let is_last = |node: &String| unreachable.get(node).is_some_and(|until| *until > now);
            nodes.into_iter().min_by_key(is_last)?
        };
        if is_song {
            self.network.took(&next, site);
        }
        Some(next)
    }

    fn note_refusal(&self, node: &str, site: Site, failure: &Failure) {
        if is_of_address(failure.kind) {
            let pause = failure.retry_after.unwrap_or(LEAST_PAUSE);
            let closed = Closed {
                left: pause.clamp(LEAST_PAUSE, LONGEST_PAUSE),
                kind: failure.kind,
            };
            self.network.limited(node, site, closed);
        }
    }

    /// Ends when the next node is to be asked too. A node that is there gets all the time it takes for a link or a search, since
    /// the site would see the second question too.
    async fn is_silent(&self, node: Option<String>, question: &Question) {
        let Some(node) = node else {
            return std::future::pending().await;
        };
        if !matches!(question, Question::Link { .. } | Question::Search { .. }) {
            return tokio::time::sleep(SILENT_AFTER).await;
        }
        while self.network.nodes().iter().any(|told| told.node == node) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Notes whether a node's HTTP gives a connection. It is told once, until it gives one.
    fn note_reached(&self, node: &str, is_reached: bool) {
        let mut unreachable = self.unreachable.lock();
        if is_reached {
            unreachable.remove(node);
            return;
        }
        let until = Instant::now() + ASKED_LAST_FOR;
        if unreachable.insert(node.to_owned(), until).is_none() {
            let told = self.network.nodes().into_iter();
            let address = told
                .filter(|told| told.node == node)
                .find_map(|told| told.address);
            tracing::warn!(
                node,
                address,
                "the node's HTTP gives no connection there; look at its cluster.address"
            );
        }
    }
}
