//! Bandcamp's pages, refusals and failures, row by row of the field notes (sections 6, 8, 13, 14 and 17).

#[path = "../bandcamp_site/mod.rs"]
mod bandcamp_site;
mod by_id;
mod fresh_urls;
mod pages;
mod playlists;
mod refusals;

use std::time::Duration;

use bandcamp_site::{
    Answer, EXPIRY_UNIX, NOW_UNIX, Site, album, album_page, challenge, file_url, html, locked,
    mobile, page, player, redirected, song, track, track_page, with_header,
};
use kmds_extract::error::ExtractError;
use kmds_extract::failure::Kind;
use kmds_extract::link::Link;
use kmds_extract::origin::OriginError;
use kmds_extract::stream::{Codec, Container, Delivery};
use kmds_extract::track::{
    BandcampSource, Collection, Entry, Lack, Refreshed, Resolved, Source, Track,
};
use kmds_extract::{Recipes, refresh, resolve};
use serde_json::{Value, json};

const ALBUM: &str = "https://tinharbour.bandcamp.com/album/low-tide";
const TRACK: &str = "https://tinharbour.bandcamp.com/track/song-4";
const PLAYER_TRACK: &str = "https://bandcamp.com/EmbeddedPlayer/v=2/track=4/size=large/";
const PLAYER_ALBUM: &str = "https://bandcamp.com/EmbeddedPlayer/album=9/";

async fn ask(site: &Site, link: &str) -> Result<Resolved, ExtractError> {
    resolve(
        &Link::parse(link).expect("a link"),
        site,
        &Recipes::built_in(),
    )
    .await
}

/// What a link gives on a site that gives every request the same answer.
async fn answered(link: &str, answer: Answer) -> Result<Resolved, ExtractError> {
    ask(&Site::new().with("", answer), link).await
}

async fn one(link: &str, answer: Answer) -> Track {
    match answered(link, answer).await {
        Ok(Resolved::Track(track)) => *track,
        other => panic!("{other:?}"),
    }
}

async fn many(link: &str, answer: Answer) -> Collection {
    match answered(link, answer).await {
        Ok(Resolved::Collection(collection)) => collection,
        other => panic!("{other:?}"),
    }
}

async fn refusal(link: &str, answer: Answer) -> ExtractError {
    answered(link, answer).await.expect_err("a refusal")
}

fn songs(collection: &Collection) -> Vec<&Track> {
    collection
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Track(track) => track.as_ref(),
            Entry::Unavailable(missing) => panic!("{missing:?}"),
        })
        .collect()
}

fn kinds(collection: &Collection) -> Vec<Option<Kind>> {
    collection
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Track(_) => None,
            Entry::Unavailable(missing) => Some(missing.error.kind()),
        })
        .collect()
}

fn url(track: &Track) -> &str {
    match &track.streams[0].delivery {
        Delivery::File { url } => url,
        other => panic!("{other:?}"),
    }
}
