//! What is asked of one node and concerns all of them: a song that only another one knows, removing, trying again, cancelling,
//! and news of songs.
//!
//! Owns what the other nodes are asked for that, and what this one does when it is asked. A node that is away meanwhile is
//! told nothing later. A host of its own asks no node, and pays nothing.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use kmds_extract::choose::Accept;
use kmds_extract::{Failure, Format, TrackId};

use super::api::{Event, EventName, Key, State};
use super::cancel::{Cancelled, Ended};
use super::{App, Inner};
use crate::cluster::{
    CancelTold, FormTold, NewsTold, Question, Reply, Sought, TellingNews, song_name,
};
use crate::jobs::{News, Origin, store_failure};
use crate::store::{Accepted, Found, OnDrive, StoreError};

impl App {
    /// Makes a song known here that another node knows, unless it is known: nothing is fetched before a client asks for its
    /// audio.
    pub async fn learn(&self, id: &TrackId) {
        let inner = &self.inner;
        if inner.peers.are_none() {
            return;
        }
        let rows = inner.store.renditions(id).await.unwrap_or_default();
        if rows.iter().all(|row| row.state == State::Deleted) {
            inner.learn(Sought::Song(id.clone())).await;
        }
    }

    /// Removes a song at all nodes; false if none knows it. A client that leaves meanwhile does not stop it halfway.
    /// # Errors
    /// The drive or the catalog failed here.
    pub async fn delete(&self, id: &TrackId) -> Result<bool, Failure> {
        let here = self.delete_here(id).await?;
        let elsewhere = self.at_others(Question::Remove(id.clone())).await;
        Ok(here || is_any_done(&elsewhere))
    }

    /// At the other nodes, even if the client leaves meanwhile.
    async fn at_others(&self, question: Question) -> Vec<Reply> {
        if self.inner.peers.are_none() {
            return Vec::new();
        }
        let peers = self.inner.peers.clone();
        let asking = tokio::spawn(async move { peers.ask_all(&question).await });
        asking.await.unwrap_or_default()
    }

    /// Forgets at the other nodes that a song has failed: whether one of them had failed at it.
    pub(super) async fn retry_at_others(&self, id: &TrackId) -> bool {
        is_any_done(&self.at_others(Question::Retry(id.clone())).await)
    }

    /// Ends what of a list still waits or runs, at all nodes. The list is named by its site's id or by a link to it; `None` if
    /// no node ever fetched it.
    /// # Errors
    /// The drive or the catalog failed here.
    pub async fn cancel(&self, list: &str) -> Result<Option<Cancelled>, Failure> {
        let here = self.cancel_here(list).await?;
        let asked = Question::Cancel {
            list: list.to_owned(),
        };
        let there = self.at_others(asked).await.into_iter();
        let there = there.filter_map(|reply| match reply {
            Reply::Cancelled(told) => told.map(cancelled),
            _ => None,
        });
        let Some(all) = here.into_iter().chain(there).reduce(both) else {
            return Ok(None);
        };
        let ended = all.ended.iter().map(|one| one.key.track().clone());
        let ended: Vec<TrackId> = ended.collect();
        // The nodes that make them for the node that was asked for the list.
        if !self.inner.peers.are_none() {
            self.inner.end_for_nodes(&ended).await?;
            self.at_others(Question::LetGo(ended)).await;
        }
        Ok(Some(all))
    }

    /// What happens to this node's songs, for the others.
    #[must_use]
    pub fn news(&self) -> TellingNews {
        let events = futures_util::stream::unfold(self.events(None), async |mut events| {
            let event = events.next().await?;
            Some((told(&event), events))
        });
        events.filter_map(std::future::ready).boxed()
    }

    /// What another node tells of a song.
    pub fn hear(&self, news: &NewsTold) {
        let key = Key::from_slug(news.track.clone(), &news.rendition);
        let (Some(key), Some(state)) = (key, State::parse(&news.state)) else {
            return;
        };
        let name = if news.is_change {
            EventName::Track
        } else {
            EventName::Progress
        };
        let heard = News {
            key: &key,
            state,
            received: news.received,
            total: news.total,
            loudness_db: None,
            failure: news.kind.zip(news.reason.clone()),
            origin: Origin::OfNode,
        };
        self.inner.table.hear(&heard, name);
    }

    /// What another node asks of this one for a client of its own.
    pub(super) async fn do_for_node(&self, question: Question) -> Result<Reply, Failure> {
        let inner = &self.inner;
        match question {
            Question::Find(sought) => inner.forms_of(&sought).await.map(Reply::Forms),
            Question::Remove(id) => self.delete_here(&id).await.map(Reply::Done),
            Question::Retry(id) => inner.forget_failure(&id).await.map(Reply::Done),
            Question::Cancel { list } => {
                let cancelled = self.cancel_here(&list).await?;
                Ok(Reply::Cancelled(cancelled.map(cancel_told)))
            }
            Question::LetGo(songs) => inner.end_for_nodes(&songs).await.map(Reply::Done),
            Question::Link { .. }
            | Question::Search { .. }
            | Question::Song(_)
            | Question::Sees { .. } => Ok(Reply::Done(false)),
        }
    }
}

fn is_any_done(replies: &[Reply]) -> bool {
    replies
        .iter()
        .any(|reply| matches!(reply, Reply::Done(true)))
}

/// `None`: another node tells of it.
fn told(event: &Event) -> Option<NewsTold> {
    (event.origin == Origin::Own).then(|| NewsTold {
        track: event.key.track().clone(),
        rendition: event.key.slug(),
        is_change: event.name == EventName::Track,
        state: event.state.as_str().to_owned(),
        received: event.received,
        total: event.total,
        kind: event.kind,
        reason: event.reason.clone(),
    })
}

fn cancel_told(cancelled: Cancelled) -> CancelTold {
    let ended = cancelled.ended.into_iter().map(|one| {
        let (track, slug) = (one.key.track().clone(), one.key.slug());
        (track, slug, one.state.as_str().to_owned())
    });
    CancelTold {
        site: cancelled.site,
        id: cancelled.id,
        ended: ended.collect(),
        kept: cancelled.kept,
    }
}

fn cancelled(told: CancelTold) -> Cancelled {
    let ended = told.ended.into_iter().filter_map(|(track, slug, state)| {
        let key = Key::from_slug(track, &slug)?;
        let state = State::parse(&state)?;
        Some(Ended { key, state })
    });
    Cancelled {
        site: told.site,
        id: told.id,
        ended: ended.collect(),
        kept: told.kept,
    }
}

/// What two nodes have ended; a song counts once.
fn both(mut one: Cancelled, other: Cancelled) -> Cancelled {
    let is_new = |ended: &Ended| one.ended.iter().all(|have| have.key != ended.key);
    let new: Vec<Ended> = other.ended.into_iter().filter(is_new).collect();
    one.ended.extend(new);
    one.kept = one.kept.max(other.kept);
    one
}

impl Inner {
    /// What a file name stands for, once another node has told of its song.
    pub(super) async fn find_everywhere(&self, name: &str) -> Result<Found, StoreError> {
        let found = self.store.find_name(name).await?;
        if found != Found::None || self.peers.are_none() {
            return Ok(found);
        }
        self.learn(Sought::Name(name.to_owned())).await;
        self.store.find_name(name).await
    }

    /// The form in which another node has the song for the same request: in another one it would be fetched again.
    pub(super) async fn form_at_others(&self, id: &TrackId, accept: &Accept) -> Option<Format> {
        let mut told = self.told_of(Sought::Song(id.clone())).await;
        let same = told.find(|told| told.accept == *accept)?;
        Some(same.form)
    }

    /// The forms of a song that other nodes know. Nodes that know the same form tell the same of it.
    async fn told_of(&self, sought: Sought) -> impl Iterator<Item = FormTold> + use<> {
        let mut forms = BTreeMap::new();
        for reply in self.peers.ask_all(&Question::Find(sought)).await {
            if let Reply::Forms(told) = reply {
                let named = told.into_iter().map(|form| (form.form.ext(), form));
                forms.extend(named);
            }
        }
        forms.into_values()
    }

    async fn learn(&self, sought: Sought) {
        let told = self.told_of(sought).await;
        let (keys, rows): (Vec<_>, Vec<_>) = told.map(as_known).unzip();
        if rows.is_empty() {
            return;
        }
        if let Err(error) = self.store.accept(rows).await {
            tracing::warn!(%error, "what another node knows of a song could not be noted");
            return;
        }
        if self.peers.share_a_drive() {
            for (key, wanted) in keys {
                // A song that is not finished there is asked for when a client wants its audio.
                let _ = self.store.adopt(&key, wanted).await;
            }
        }
    }

    /// The forms of a song that are known here.
    async fn forms_of(&self, sought: &Sought) -> Result<Vec<FormTold>, Failure> {
        let id = match sought {
            Sought::Song(id) => id.clone(),
            Sought::Name(name) => match self.store.find_name(name).await.map_err(store_failure)? {
                Found::One(key) => key.track().clone(),
                Found::Many(_) | Found::None => return Ok(Vec::new()),
            },
        };
        let rows = self.store.renditions(&id).await.map_err(store_failure)?;
        let track = self.store.track(&id).await.map_err(store_failure)?;
        let Some(track) = track else {
            return Ok(Vec::new());
        };
        let known = rows.into_iter();
        let known = known.filter(|row| row.state != State::Deleted && !row.key.is_copy());
        let told = known.filter_map(|row| {
            Some(FormTold {
                track: track.clone(),
                form: row.key.form()?,
                format: row.format,
                accept: row.accept,
                canonical_name: row.canonical_name,
                human_name: row.human_name,
            })
        });
        Ok(told.collect())
    }

    /// Failed forms of a song wait until they are asked for again.
    async fn forget_failure(&self, id: &TrackId) -> Result<bool, Failure> {
        let rows = self.store.renditions(id).await.map_err(store_failure)?;
        let mut any = false;
        for row in rows.iter().filter(|row| row.state == State::Failed) {
            let set = self.store.set_state(&row.key, State::Evicted).await;
            any |= set.map_err(store_failure)?;
        }
        Ok(any)
    }

    /// Ends these songs, as far as only other nodes asked for them.
    async fn end_for_nodes(&self, songs: &[TrackId]) -> Result<bool, Failure> {
        let mut any = false;
        for id in songs {
            let rows = self.store.renditions(id).await.map_err(store_failure)?;
            for row in rows.iter().filter(|row| row.state.is_pending()) {
                if self.table.is_for_nodes_only(&row.key) {
                    any |= self.end_row(&row.key).await?;
                }
            }
        }
        Ok(any)
    }

    /// Forgets in NATS which node has this song.
    pub(super) async fn forget_claim(&self, key: &Key) {
        if let Some(form) = key.form().filter(|_| !key.is_copy()) {
            self.peers.forget(&song_name(key.track(), form)).await;
        }
    }
}

fn as_known(told: FormTold) -> ((Key, OnDrive), Accepted) {
    let key = Key::original(told.track.id.clone(), told.form);
    let wanted = OnDrive {
        format: told.format,
        sha256: None,
    };
    let accepted = Accepted {
        key: key.clone(),
        track: told.track,
        listed: true,
        canonical_name: told.canonical_name,
        human_name: told.human_name,
        format: told.format,
        total_bytes: None,
        approximate_bytes: None,
        accept: told.accept,
        requester: String::new(),
        enqueue: false,
    };
    ((key, wanted), accepted)
}
