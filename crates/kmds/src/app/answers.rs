//! The sites' answers of the last minutes, so that each question is asked once.
//!
//! Owns the memory between resolves: lists, final refusals and searches for ten minutes, songs for ten seconds (after
//! that the catalog has them). There is one lock for links and one for searches; neither is held across an await. This
//! module never asks a site.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmds_extract::recipes::Times;
use kmds_extract::search::{Hit, SearchSite};
use kmds_extract::{ExtractError, Failure, Resolved, Track, TrackId};
use parking_lot::Mutex;

use super::packed::Packed;
use crate::single_flight::SingleFlight;

/// Links remembered at once, refusals and lists together; a song's link costs a few hundred bytes.
const MOST_LINKS: usize = 2_000;
/// Songs of remembered lists in memory, about 1 KB each in short lists and 60 bytes in long ones.
const MOST_SONGS: usize = 5_000;
/// A song that was just resolved is not a row yet: until then, at the latest, all clients get the same answer.
const SONG_LIFE: Duration = Duration::from_secs(10);
/// Searches remembered at once; one with 25 results is about 15 KB.
const MOST_SEARCHES: usize = 64;

/// A site's answer to a link.
pub(super) type Answer = Result<Arc<Resolved>, Failure>;

/// The answers to links, by the canonical form of the link.
#[derive(Default)]
pub(super) struct Answers(Mutex<AnswerMap>);

#[derive(Default)]
struct AnswerMap {
    answers: HashMap<String, (Instant, Arc<RememberedAnswer>)>,
    /// Songs resolved within [`SONG_LIFE`].
    songs: HashMap<String, (Instant, Arc<Resolved>)>,
    /// Links that lead to one song, in the form in which they were pasted.
    ids: HashMap<String, TrackId>,
}

impl Answers {
    /// Remembers an answer, if it may be used again.
    pub(super) fn keep(&self, link: &str, answer: &Answer, times: &Times) {
        match answer {
            Ok(resolved) => match &**resolved {
                Resolved::Track(track) => self.keep_song(link, &track.id, resolved),
                // The site makes a new one for each request.
                Resolved::Collection(list) if list.endless => {}
                // If the site failed, the next request asks for the rest again.
                Resolved::Collection(list) if list.is_half_told() => {}
                Resolved::Collection(_) => self.keep_answer(link, answer, times),
            },
            Err(failure) if !failure.retryable() => self.keep_answer(link, answer, times),
            // The next request may succeed; the engines remember a site's limit.
            Err(_) => {}
        }
    }

    fn keep_song(&self, link: &str, id: &TrackId, resolved: &Arc<Resolved>) {
        let mut inner = self.0.lock();
        if inner.ids.len() >= MOST_LINKS {
            // The catalog finds most of them again.
            inner.ids.clear();
        }
        inner.ids.insert(link.to_owned(), id.clone());
        inner.songs.retain(|_, (at, _)| at.elapsed() < SONG_LIFE);
        let now = (Instant::now(), Arc::clone(resolved));
        inner.songs.insert(link.to_owned(), now);
    }

    fn keep_answer(&self, link: &str, answer: &Answer, times: &Times) {
        let kept = Arc::new(RememberedAnswer::new(answer.clone()));
        let mut inner = self.0.lock();
        let answers = &mut inner.answers;
        // Most links are requested only once.
        answers.retain(|_, (at, kept)| at.elapsed() < kept.life(times));
        answers.insert(link.to_owned(), (Instant::now(), kept));
        let songs = |answers: &HashMap<_, (_, Arc<RememberedAnswer>)>| -> usize {
            answers.values().map(|(_, kept)| kept.songs()).sum()
        };
        while answers.len() > MOST_LINKS || songs(answers) > MOST_SONGS {
            let Some(oldest) = oldest(answers) else { break };
            answers.remove(&oldest);
        }
    }

    /// A remembered answer that is complete.
    pub(super) fn whole(&self, link: &str, times: &Times) -> Option<Answer> {
        let kept = self.kept(link, times)?;
        if kept.is_cut() { None } else { kept.answer() }
    }

    /// A remembered list, which may end before the site's list does.
    pub(super) fn list(&self, link: &str, times: &Times) -> Option<Arc<Resolved>> {
        self.kept(link, times)?.answer()?.ok()
    }

    /// An answer that came a moment ago.
    pub(super) fn recent(&self, link: &str, times: &Times) -> Option<Answer> {
        if let Some(answer) = self.whole(link, times) {
            return Some(answer);
        }
        let inner = self.0.lock();
        let (at, song) = inner.songs.get(link)?;
        (at.elapsed() < SONG_LIFE).then(|| Ok(Arc::clone(song)))
    }

    /// The song that this link led to earlier.
    pub(super) fn song(&self, link: &str) -> Option<TrackId> {
        self.0.lock().ids.get(link).cloned()
    }

    fn kept(&self, link: &str, times: &Times) -> Option<Arc<RememberedAnswer>> {
        let mut inner = self.0.lock();
        let (at, kept) = inner.answers.get(link)?;
        if at.elapsed() < kept.life(times) {
            return Some(Arc::clone(kept));
        }
        inner.answers.remove(link);
        None
    }
}

fn oldest<K: Clone, V>(kept: &HashMap<K, (Instant, V)>) -> Option<K> {
    let oldest = kept.iter().min_by_key(|(_, (at, _))| *at);
    oldest.map(|(key, _)| key.clone())
}

/// A remembered answer.
enum RememberedAnswer {
    AsItIs(Answer),
    Packed(Packed),
}

impl RememberedAnswer {
    fn new(answer: Answer) -> Self {
        match answer.as_ref().ok().and_then(Packed::new) {
            Some(packed) => Self::Packed(packed),
            None => Self::AsItIs(answer),
        }
    }

    fn answer(&self) -> Option<Answer> {
        match self {
            Self::AsItIs(answer) => Some(answer.clone()),
            Self::Packed(packed) => packed.unpack().map(Ok),
        }
    }

    /// Whether it ends before the site's list does.
    fn is_cut(&self) -> bool {
        match self {
            Self::AsItIs(answer) => {
                matches!(answer.as_deref(), Ok(Resolved::Collection(list)) if list.rest.is_some())
            }
            Self::Packed(packed) => packed.is_cut(),
        }
    }

    fn songs(&self) -> usize {
        match self {
            Self::AsItIs(answer) => match answer.as_deref() {
                Ok(Resolved::Collection(list)) => list.entries.len(),
                _ => 0,
            },
            Self::Packed(packed) => packed.songs,
        }
    }

    /// How long it is valid.
    fn life(&self, times: &Times) -> Duration {
        let is_refusal = matches!(self, Self::AsItIs(Err(_)));
        if is_refusal {
            times.remember_refusal
        } else {
            times.remember_list
        }
    }
}

/// The results of a search.
pub(super) type Hits = Arc<Vec<Hit>>;
type Search = (SearchSite, String);

/// The searches of the last minutes. Searches for the same words at the same time are one request.
#[derive(Default)]
pub(super) struct Searches {
    asking: SingleFlight<Search, Result<Hits, ExtractError>>,
    found: Mutex<HashMap<Search, (Instant, Hits)>>,
}

impl Searches {
    /// The results found within `life`, or what `ask` finds now.
    pub(super) async fn find<F>(
        &self,
        search: Search,
        life: Duration,
        ask: impl FnOnce() -> F,
    ) -> Result<Hits, ExtractError>
    where
        F: Future<Output = Result<Vec<Hit>, ExtractError>>,
    {
        let find = || async {
            if let Some(hits) = self.recall(&search, life) {
                return Ok(hits);
            }
            let hits = Arc::new(ask().await?);
            self.keep(search.clone(), Arc::clone(&hits), life);
            Ok(hits)
        };
        self.asking.run(search.clone(), find).await
    }

    /// The results found within `life`.
    pub(super) fn recall(&self, search: &Search, life: Duration) -> Option<Hits> {
        let found = self.found.lock();
        let (_, hits) = found.get(search).filter(|(at, _)| at.elapsed() < life)?;
        Some(Arc::clone(hits))
    }

    /// The song of this id, if a search found it within `life`.
    pub(super) fn track(&self, id: &TrackId, life: Duration) -> Option<Track> {
        let found = self.found.lock();
        let recent = found.values().filter(|(at, _)| at.elapsed() < life);
        let hit = recent
            .flat_map(|(_, hits)| hits.iter())
            .find(|hit| hit.id == *id);
        hit?.track(1, 1)
    }

    fn keep(&self, search: Search, hits: Hits, life: Duration) {
        let mut found = self.found.lock();
        found.retain(|_, (at, _)| at.elapsed() < life);
        found.insert(search, (Instant::now(), hits));
        while found.len() > MOST_SEARCHES {
            let Some(oldest) = oldest(&found) else { break };
            found.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use kmds_extract::Site;

    use super::*;

    #[tokio::test]
    async fn searches_are_bounded_kept_for_their_time_and_failures_are_not_kept() {
        let searches = Searches::default();
        let life = Duration::from_secs(600);
        let words = |number: usize| (SearchSite::YouTube, number.to_string());
        let found = || async { Ok(Vec::new()) };
        let failed = || async {
            Err(ExtractError::StreamGone {
                site: Site::YouTube,
            })
        };
        assert!(searches.find(words(0), life, failed).await.is_err());
        assert!(searches.recall(&words(0), life).is_none());
        assert!(searches.find(words(0), life, found).await.is_ok());
        let again = searches.find(words(0), life, failed).await;
        assert!(again.is_ok(), "it is remembered");
        let late = searches.find(words(0), Duration::ZERO, failed).await;
        assert!(late.is_err(), "its time is over");
        for number in 0..3 * MOST_SEARCHES {
            assert!(searches.find(words(number), life, found).await.is_ok());
        }
        assert_eq!(searches.found.lock().len(), MOST_SEARCHES);
        let newest = words(3 * MOST_SEARCHES - 1);
        assert!(searches.recall(&words(0), life).is_none());
        assert!(searches.recall(&newest, life).is_some());
    }
}
