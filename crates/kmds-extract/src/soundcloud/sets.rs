//! Sets: stubs → songs, by batches, in order (field notes, 11).
//!
//! Owns batch sizes, halving, and what a song missing from a batch means. Never asks for one song alone.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::error::ExtractError;
use crate::link::{Link, SoundCloudLink};
use crate::origin::Origin;
use crate::track::{Collection, Track};

use super::api::Api;
use super::build::{self, Frame, Unfit, changed};
use super::parse::{self, RawSet, RawTrack};
use super::requests::{self, SetSecret};

type ById = BTreeMap<u64, RawTrack>;

/// All songs of a set, each at its place.
pub async fn collect(
    set: &RawSet,
    at: &SoundCloudLink,
    api: &Api<'_, impl Origin>,
) -> Result<Collection, ExtractError> {
    let id = set.id.ok_or(changed("set answer", "id"))?;
    let all = set.tracks.as_deref().ok_or(changed("set answer", "tracks"))?;
    // What is left out of the list is not asked for either.
    let listed = all.get(..api.recipe.list_songs).unwrap_or(all);
    let total = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let token = set.secret_token.as_deref().or(at.token());
    let secret = token.map(|token| SetSecret { set: id, token: token.to_owned() });

    let stubs = listed.iter().filter(|raw| is_stub(raw)).filter_map(|raw| raw.id).collect();
    let told = told_in_order(listed, &stubs, secret.as_ref(), api).await?;
    let mut songs = judged(set, (listed, total), &told, token, api);

    // Songs without a single encoding get a second look, all in one go.
    let unclear: BTreeSet<u64> = songs.iter().filter(|song| song.is_unclear()).filter_map(|song| song.id).collect();
    // What the site says of them then counts; that it says nothing does not.
    if !unclear.is_empty()
        && let Ok(again) = told_in_order(listed, &unclear, secret.as_ref(), api).await
    {
        let second = judged(set, (listed, total), &again, token, api);
        for (song, second) in songs
            .iter_mut()
            .zip(second)
            .filter(|(song, _)| song.is_unclear() && song.id.is_some_and(|id| again.contains_key(&id)))
        {
            *song = second;
        }
    }
    let entries = (1..).zip(songs).map(|(number, song)| build::entry(song.verdict, song.title, number)).collect();
    let mut collection = build::collection(set, id, link(set, id, at, token), entries);
    collection.truncated |= listed.len() < all.len();
    Ok(collection)
}

/// Test for the title, never count: how many songs a set tells in full differs.
fn is_stub(raw: &RawTrack) -> bool {
    raw.title.is_none()
}

/// One place of a set, judged.
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
    told: &ById,
    token: Option<&str>,
    api: &Api<'_, impl Origin>,
) -> Vec<Song> {
    let one = |(number, stub): (u32, &RawTrack)| {
        let policy = stub.policy.as_deref();
        let whole = stub.id.and_then(|id| told.get(&id)).or(Some(stub).filter(|raw| !is_stub(raw)));
        let verdict = match (whole, stub.id) {
            (Some(raw), _) => {
                let frame = Frame { set, number, total, token, stub_policy: policy };
                build::track(raw, None, Some(&frame), api.recipe)
            }
            (None, Some(_)) => Err(build::missing(policy).into()),
            (None, None) => Err(changed("set answer", "tracks").into()),
        };
        Song { id: stub.id, title: whole.and_then(|raw| raw.title.clone()), verdict }
    };
    (1..).zip(listed).map(one).collect()
}

/// Asks for `wanted` in the order of the set, some batches side by side.
async fn told_in_order(
    listed: &[RawTrack],
    wanted: &BTreeSet<u64>,
    secret: Option<&SetSecret>,
    api: &Api<'_, impl Origin>,
) -> Result<ById, ExtractError> {
    let mut seen = BTreeSet::new();
    let ids: Vec<u64> =
        listed.iter().filter_map(|raw| raw.id).filter(|id| wanted.contains(id) && seen.insert(*id)).collect();
    let batches: Vec<_> = ids.chunks(api.recipe.batch).map(|batch| ask(batch, secret, api)).collect();
    let answers: Vec<Vec<RawTrack>> = stream::iter(batches).buffered(api.recipe.batches_at_once).try_collect().await?;
    Ok(answers.into_iter().flatten().filter_map(|raw| Some((raw.id?, raw))).collect())
}

/// One batch; refused or empty, it is halved once.
async fn ask(
    ids: &[u64],
    secret: Option<&SetSecret>,
    api: &Api<'_, impl Origin>,
) -> Result<Vec<RawTrack>, ExtractError> {
    let unusable = || changed("tracks batch", "tracks");
    match ask_once(ids, secret, api).await? {
        Batch::Told(tracks) => return Ok(tracks),
        // The only song asked for is not there any more: that is an answer.
        Batch::Empty if ids.len() == 1 => return Ok(Vec::new()),
        Batch::Refused if ids.len() == 1 => return Err(unusable()),
        Batch::Empty | Batch::Refused => {}
    }
    let mut tracks = Vec::new();
    for half in ids.chunks(ids.len().div_ceil(2)) {
        match ask_once(half, secret, api).await? {
            Batch::Told(more) => tracks.extend(more),
            Batch::Empty if half.len() == 1 => {}
            Batch::Empty | Batch::Refused => return Err(unusable()),
        }
    }
    Ok(tracks)
}

enum Batch {
    Told(Vec<RawTrack>),
    /// `[]`: none of the songs exists, or too many were asked for.
    Empty,
    /// 400: too many, or ids it cannot read.
    Refused,
}

async fn ask_once(ids: &[u64], secret: Option<&SetSecret>, api: &Api<'_, impl Origin>) -> Result<Batch, ExtractError> {
    let answer = api.call(requests::tracks(ids, secret, api.recipe)).await?;
    if matches!(answer.status, 400 | 404) {
        return Ok(Batch::Refused);
    }
    let tracks = parse::tracks(&answer.body).map_err(|field| changed("tracks batch", field))?;
    Ok(if tracks.is_empty() { Batch::Empty } else { Batch::Told(tracks) })
}

/// The set's own page as SoundCloud names it, if that is one we would take; else the link it was asked by.
fn link(set: &RawSet, id: u64, at: &SoundCloudLink, token: Option<&str>) -> String {
    let token = token.map(str::to_owned);
    match set.permalink_url.as_deref().map(Link::parse) {
        Some(Ok(Link::SoundCloud(page @ SoundCloudLink::Set { .. }))) => page.or_token(token).canonical(),
        _ if matches!(at, SoundCloudLink::Set { .. }) => at.canonical(),
        _ => SoundCloudLink::SetById { id, token }.canonical(),
    }
}
