//! Sets: stubs → songs, by batches, in order (field notes, 11).
//!
//! Owns batch sizes, halving, and the treatment of a song that no batch has. If a batch fails, only its own songs are
//! unavailable, with the reason. It never asks for one song alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures_util::stream::{self, StreamExt};

use crate::error::ExtractError;
use crate::link::{Link, SoundCloudLink};
use crate::origin::Origin;
use crate::site::Site;
use crate::track::{Collection, Entry, Rest, Track};

use super::api::Api;
use super::build::{self, Frame, Unfit, changed};
use super::parse::{self, RawSet, RawTrack};
use super::requests::{self, SetSecret};

const BATCH: &str = "tracks batch";

/// The results of the batches.
#[derive(Default)]
struct Told {
    songs: BTreeMap<u64, RawTrack>,
    /// Songs of batches that did not have them: the failure, or none if the answer just left them out.
    untold: BTreeMap<u64, Option<ExtractError>>,
    /// Songs that no time was left to ask for.
    late: BTreeSet<u64>,
}

impl Told {
    /// An answer, in any order, perhaps with songs that were not asked for, and some of them twice.
    fn take(&mut self, tracks: Vec<RawTrack>) {
        for raw in tracks {
            let Some(id) = raw.id else { continue };
            if is_stub(&raw) {
                self.untold.insert(id, None);
            } else {
                self.songs.insert(id, raw);
            }
        }
    }

    fn miss(&mut self, ids: &[u64], why: Option<&ExtractError>) {
        self.untold.extend(ids.iter().map(|id| (*id, why.cloned())));
    }
}

/// All songs of a set, each at its place. The `known` ones from before keep theirs, if the set still begins with them.
/// If time runs out, the songs before the first one that could not be requested.
pub async fn collect(
    set: &RawSet,
    at: &SoundCloudLink,
    known: Vec<Entry>,
    api: &Api<'_, impl Origin>,
) -> Result<Collection, ExtractError> {
    let id = set.id.ok_or(changed("set answer", "id"))?;
    let all = set
        .tracks
        .as_deref()
        .ok_or(changed("set answer", "tracks"))?;
    // Songs that are left out of the list are not requested either.
    let listed = all.get(..api.recipe.list_songs).unwrap_or(all);
    let total = set.total(all.len());
    let token = set.secret_token.as_deref().or(at.token());
    let secret = token.map(|token| SetSecret {
        set: id,
        token: token.to_owned(),
    });

    let known = Some(known)
        .filter(|known| begins_with(listed, known))
        .unwrap_or_default();
    let new = listed.get(known.len()..).unwrap_or_default();
    let stubs = new
        .iter()
        .filter(|raw| is_stub(raw))
        .filter_map(|raw| raw.id)
        .collect();
    let told = told_in_order(new, &stubs, secret.as_ref(), api).await;
    let listed = in_time(listed, known.len(), &told);
    check_told(listed, known.is_empty(), &told)?;
    let mut songs = judged(set, (listed, total), &told, token, api);

    // Songs without a single encoding are asked for once more, all in one go.
    let unclear: BTreeSet<u64> = songs
        .iter()
        .skip(known.len())
        .filter(|song| song.is_unclear())
        .filter_map(|song| song.id)
        .collect();
    if !unclear.is_empty() {
        let again = told_in_order(listed, &unclear, secret.as_ref(), api).await;
        correct(
            &mut songs,
            judged(set, (listed, total), &again, token, api),
            &again,
        );
    }
    let new = (1..)
        .zip(songs)
        .skip(known.len())
        .map(|(number, song)| build::entry(song.verdict, song.title, number));
    let entries = known.into_iter().chain(new).collect();
    let mut collection = build::collection(set, id, link(set, id, at, token), entries);
    collection.truncated |= listed.len() < all.len();
    collection.rest = (!told.late.is_empty()).then(|| Box::new(Rest::Songs));
    Ok(collection)
}

/// A set is an error only if the site tells none of its songs: some songs are better than none.
fn check_told(listed: &[RawTrack], all_are_new: bool, told: &Told) -> Result<(), ExtractError> {
    if listed.is_empty() && !told.late.is_empty() {
        return Err(ExtractError::Timeout {
            site: Site::SoundCloud,
            page: BATCH,
        });
    }
    match told.untold.values().next() {
        Some(why) if all_are_new && listed.iter().all(|raw| whole(raw, told).is_none()) => {
            Err(why.clone().unwrap_or(changed(BATCH, "tracks")))
        }
        _ => Ok(()),
    }
}

/// The songs before the first one for which no time was left; it includes all known ones.
fn in_time<'a>(listed: &'a [RawTrack], known: usize, told: &Told) -> &'a [RawTrack] {
    let late = |raw: &RawTrack| {
        raw.id.is_some_and(|id| told.late.contains(&id)) && whole(raw, told).is_none()
    };
    listed
        .iter()
        .position(late)
        .and_then(|first| listed.get(..first.max(known)))
        .unwrap_or(listed)
}

/// Takes the second result of each unclear song that the second answer has.
fn correct(songs: &mut [Song], second: Vec<Song>, again: &Told) {
    let answered = |song: &Song| song.id.is_some_and(|id| again.songs.contains_key(&id));
    for (song, second) in songs.iter_mut().zip(second) {
        if song.is_unclear() && answered(song) {
            *song = second;
        }
    }
}

/// Whether a set still begins with its known songs.
fn begins_with(listed: &[RawTrack], known: &[Entry]) -> bool {
    known.len() <= listed.len()
        && known.iter().zip(listed).all(|(entry, raw)| match entry {
            Entry::Track(track) => raw.id.is_some_and(|id| track.id.id() == id.to_string()),
            Entry::Unavailable(_) => true,
        })
}

/// Test for the title, never count: how many songs a set tells in full differs.
fn is_stub(raw: &RawTrack) -> bool {
    raw.title.is_none()
}

/// One checked place of a set.
struct Song {
    id: Option<u64>,
    title: Option<String>,
    verdict: Result<Track, Unfit>,
}

impl Song {
    const fn is_unclear(&self) -> bool {
        matches!(self.verdict, Err(Unfit::NothingListed))
    }
}

fn judged(
    set: &RawSet,
    (listed, total): (&[RawTrack], u32),
    told: &Told,
    token: Option<&str>,
    api: &Api<'_, impl Origin>,
) -> Vec<Song> {
    let one = |(number, stub): (u32, &RawTrack)| {
        let policy = stub.policy.as_deref();
        let whole = whole(stub, told);
        let verdict = match (whole, stub.id) {
            (Some(raw), _) => {
                let frame = Frame {
                    set,
                    number,
                    total,
                    token,
                    stub_policy: policy,
                };
                build::track(raw, None, Some(&frame), api.recipe)
            }
            (None, Some(id)) => {
                Err(build::missing(policy, told.untold.get(&id).map(Option::as_ref)).into())
            }
            (None, None) => Err(changed("set answer", "tracks").into()),
        };
        Song {
            id: stub.id,
            title: whole.and_then(|raw| raw.title.clone()),
            verdict,
        }
    };
    (1..).zip(listed).map(one).collect()
}

/// A whole song, from a batch or from the set itself.
fn whole<'a>(listed: &'a RawTrack, told: &'a Told) -> Option<&'a RawTrack> {
    listed
        .id
        .and_then(|id| told.songs.get(&id))
        .or(Some(listed).filter(|raw| !is_stub(raw)))
}

/// Asks for `wanted` in the order of the set, some batches side by side.
async fn told_in_order(
    listed: &[RawTrack],
    wanted: &BTreeSet<u64>,
    secret: Option<&SetSecret>,
    api: &Api<'_, impl Origin>,
) -> Told {
    let mut seen = BTreeSet::new();
    let ids: Vec<u64> = listed
        .iter()
        .filter_map(|raw| raw.id)
        .filter(|id| wanted.contains(id) && seen.insert(*id))
        .collect();
    let failures = Mutex::new(Vec::new());
    let batches: Vec<_> = ids
        .chunks(api.recipe.batch)
        .map(|batch| ask(batch, secret, &failures, api))
        .collect();
    let mut answers = stream::iter(batches).buffered(api.recipe.batches_at_once);
    let mut all = Told::default();
    while let Some(told) = answers.next().await {
        all.songs.extend(told.songs);
        all.untold.extend(told.untold);
        all.late.extend(told.late);
    }
    all
}

/// One batch; if it is refused or empty, it is halved once. After as many failed batches as are requested at once, the
/// site gets no more requests: each may cost a time-out.
async fn ask(
    ids: &[u64],
    secret: Option<&SetSecret>,
    failures: &Mutex<Vec<ExtractError>>,
    api: &Api<'_, impl Origin>,
) -> Told {
    let mut told = Told::default();
    let is_late = || api.origin.time_left().is_some_and(|left| left.is_zero());
    if is_late() {
        told.late.extend(ids);
        return told;
    }
    let given_up = {
        let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .last()
            .filter(|_| failures.len() >= api.recipe.batches_at_once)
            .cloned()
    };
    if let Some(error) = given_up {
        told.miss(ids, Some(&error));
        return told;
    }
    let note = |told: &mut Told, ids: &[u64], answer| match answer {
        Ok(Batch::Told(tracks)) => told.take(tracks),
        // The only requested song does not exist any more: that is an answer.
        Ok(Batch::Empty) if ids.len() == 1 => {}
        Ok(Batch::Empty | Batch::Refused) => told.miss(ids, None),
        Err(ExtractError::Timeout { .. }) if is_late() => told.late.extend(ids),
        Err(error) => {
            told.miss(ids, Some(&error));
            failures
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(error);
        }
    };
    match ask_once(ids, secret, api).await {
        Ok(Batch::Empty | Batch::Refused) if ids.len() > 1 => {
            for half in ids.chunks(ids.len().div_ceil(2)) {
                let answer = ask_once(half, secret, api).await;
                note(&mut told, half, answer);
            }
        }
        answer => note(&mut told, ids, answer),
    }
    told
}

enum Batch {
    Told(Vec<RawTrack>),
    /// None of the requested songs: none of them exists, or there were too many.
    Empty,
    /// 400: too many, or ids it cannot read.
    Refused,
}

async fn ask_once(
    ids: &[u64],
    secret: Option<&SetSecret>,
    api: &Api<'_, impl Origin>,
) -> Result<Batch, ExtractError> {
    let answer = api.call(requests::tracks(ids, secret, api.recipe)).await?;
    if matches!(answer.status, 400 | 404) {
        return Ok(Batch::Refused);
    }
    let tracks = parse::tracks(&answer.body).map_err(|field| changed(BATCH, field))?;
    let any_of_ours = tracks
        .iter()
        .any(|raw| raw.id.is_some_and(|id| ids.contains(&id)));
    Ok(if any_of_ours {
        Batch::Told(tracks)
    } else {
        Batch::Empty
    })
}

/// The set's own page as SoundCloud names it, if KMDS accepts that link; else the requested link.
fn link(set: &RawSet, id: u64, at: &SoundCloudLink, token: Option<&str>) -> String {
    let token = token.map(str::to_owned);
    match set.permalink_url.as_deref().map(Link::parse) {
        Some(Ok(Link::SoundCloud(page @ SoundCloudLink::Set { .. }))) => {
            page.or_token(token).canonical()
        }
        _ if matches!(at, SoundCloudLink::Set { .. }) => at.canonical(),
        _ => SoundCloudLink::SetById { id, token }.canonical(),
    }
}
