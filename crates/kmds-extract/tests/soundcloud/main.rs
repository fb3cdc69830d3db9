//! SoundCloud's flow against a made-up site: metadata, requests, and the failure table of the field notes row by row.

mod asking;
mod formats;
mod sets;
mod short_links;
mod songs;
#[path = "../soundcloud_fake/mod.rs"]
mod soundcloud_fake;

use kmds_extract::{
    Entry, ExtractError, Link, OriginError, Page, Recipes, Resolved, Stream, Track,
};
use serde_json::Value;

use soundcloud_fake::{Asked, Fake, nothing, ok, set, song, stub};

/// A row's answer to everything but the home page.
type Reply = fn(&Asked) -> Result<Page, OriginError>;

const SONG: &str = "https://soundcloud.com/someone/song-7";
const SET: &str = "https://soundcloud.com/someone/sets/the-set";

async fn resolve(link: &str, fake: &Fake) -> Result<Resolved, ExtractError> {
    kmds_extract::resolve(
        &Link::parse(link).expect("a link"),
        fake,
        &Recipes::built_in(),
    )
    .await
}

async fn resolve_song(fake: &Fake) -> Result<Track, ExtractError> {
    match resolve(SONG, fake).await? {
        Resolved::Track(track) => Ok(*track),
        Resolved::Collection(list) => panic!("a list: {list:?}"),
    }
}

async fn resolve_entries(fake: &Fake) -> Result<Vec<Entry>, ExtractError> {
    match resolve(SET, fake).await? {
        Resolved::Collection(list) => Ok(list.entries),
        Resolved::Track(track) => panic!("a song: {track:?}"),
    }
}

async fn locate(stream: &Stream, fake: &Fake) -> Result<Stream, ExtractError> {
    kmds_extract::locate(stream, fake, &Recipes::built_in()).await
}

/// A site that has one answer for a song's page.
fn says(answer: Value) -> Fake {
    Fake::new(move |asked| match asked.request.page {
        "resolve answer" | "track answer" => ok(&answer),
        _ => nothing(),
    })
}

/// Answers batches in reverse order, leaving out what `keep` does not want.
fn batch(asked: &Asked, keep: impl Fn(u64) -> bool) -> Value {
    let ids = asked.ids();
    assert!(ids.len() <= 50, "a batch of {}", ids.len());
    ids.into_iter()
        .rev()
        .filter(|id| keep(*id))
        .map(song)
        .collect()
}

fn set_of_stubs(count: u64) -> Value {
    set(1, &(1..=count).map(stub).collect::<Vec<_>>())
}

fn title(entry: &Entry) -> String {
    match entry {
        Entry::Track(track) => track.title.clone(),
        Entry::Unavailable(gone) => format!("{}: {}", gone.number, gone.error.kind()),
    }
}
