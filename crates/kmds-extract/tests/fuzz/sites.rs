//! The flows of the three sites, with any pages that a site may send.

use std::sync::LazyLock;
use std::time::Duration;

use futures_util::FutureExt as _;
use kmds_extract::stream::{LONGEST, MOST_BYTES};
use kmds_extract::{
    Collection, Delivery, Entry, ExtractError, Lack, Link, Recipes, Resolved, Site, Stream, Track,
    TrackId, all_gone, locate, refresh, resolve,
};
use url::Url;

use crate::origin::Scripted;

static RECIPES: LazyLock<Recipes> = LazyLock::new(Recipes::built_in);

/// Requests of one input: a list of 5,000 songs in batches of 50, and what comes before and after.
const MOST_REQUESTS: usize = 130;

#[test]
fn fuzz_youtube() {
    kmds_fuzz::target("youtube", |input| flow(input, Site::YouTube));
}

#[test]
fn fuzz_soundcloud() {
    kmds_fuzz::target("soundcloud", |input| flow(input, Site::SoundCloud));
}

#[test]
fn fuzz_bandcamp() {
    kmds_fuzz::target("bandcamp", |input| flow(input, Site::Bandcamp));
}

/// For any pages, the flow ends after a bounded number of requests to the site's own hosts, with songs that can be
/// shown, kept and fetched, or with an error one can read.
fn flow(input: &[u8], site: Site) {
    let text = String::from_utf8_lossy(input);
    let (link, origin) = Scripted::read(&text);
    let Ok(link) = Link::parse(link) else { return };
    if link.site() != site {
        return;
    }
    let recipes = &*RECIPES;
    // Our origin never waits, so a flow that is not done after one look waits for something else.
    match resolve(&link, &origin, recipes)
        .now_or_never()
        .expect("done")
    {
        Ok(Resolved::Track(track)) => follow(&track, &origin, recipes),
        Ok(Resolved::Collection(list)) => listed(&list, &origin, recipes),
        Err(error) => readable(&error),
    }
    let asked = origin.asked();
    assert!(asked.len() <= MOST_REQUESTS, "{} requests", asked.len());
    assert!(
        origin.paused() <= Duration::from_secs(5),
        "{:?}",
        origin.paused()
    );
    for request in asked {
        let url = Url::parse(&request.url).expect("requests are to URLs");
        assert!(
            url.scheme() == "https" && url.has_host() && request.site == site,
            "{url}"
        );
    }
}

fn listed(list: &Collection, origin: &Scripted, recipes: &Recipes) {
    assert!(
        list.entries.len() <= 5_000,
        "{} entries",
        list.entries.len()
    );
    let numbers = list.entries.iter().map(|entry| match entry {
        Entry::Track(track) => track.number.expect("songs of a list are numbered"),
        Entry::Unavailable(gone) => gone.number,
    });
    // Bandcamp may number its songs in another order.
    let mut counted: Vec<u32> = numbers.collect();
    if list.site == Site::Bandcamp {
        counted.sort_unstable();
    }
    assert!(
        counted.is_sorted_by(|before, after| before < after),
        "every place of a list is there once"
    );
    for entry in &list.entries {
        match entry {
            Entry::Track(track) => sane(track, list.site),
            Entry::Unavailable(gone) => readable(&gone.error),
        }
    }
    let first = list.entries.iter().find_map(|entry| match entry {
        Entry::Track(track) => Some(track),
        Entry::Unavailable(_) => None,
    });
    if let Some(track) = first {
        follow(track, origin, recipes);
    }
}

/// What a download asks next: the same song again, and where its streams are.
fn follow(track: &Track, origin: &Scripted, recipes: &Recipes) {
    sane(track, track.id.site());
    for stream in track.streams.iter().take(3) {
        match locate(stream, origin, recipes)
            .now_or_never()
            .expect("done")
        {
            Ok(located) => fetchable(&located),
            Err(error) => readable(&error),
        }
    }
    readable(&all_gone(track));
    for lack in [Lack::Streams, Lack::GoodStreams] {
        match refresh(&track.source, lack, origin, recipes)
            .now_or_never()
            .expect("done")
        {
            Ok(again) => {
                again
                    .beside
                    .iter()
                    .chain([&again.track])
                    .for_each(|song| sane(song, track.id.site()));
                assert_eq!(
                    again.track.id, track.id,
                    "another song's answer is not taken for this one's"
                );
            }
            Err(error) => readable(&error),
        }
    }
}

/// The promises of every song, for any page.
fn sane(track: &Track, site: Site) {
    assert_eq!(TrackId::new(site, track.id.id()).as_ref(), Some(&track.id));
    assert!(!track.title.trim().is_empty(), "a song has a title");
    let numbered = track
        .total
        .is_none_or(|total| track.number.is_none_or(|number| number <= total));
    assert!(
        track.number != Some(0) && numbered,
        "{:?} of {:?}",
        track.number,
        track.total
    );
    assert!(
        track
            .duration
            .is_none_or(|length| length <= LONGEST && !length.is_zero()),
        "{:?}",
        track.duration
    );
    assert!(
        track
            .cover_url
            .as_ref()
            .is_none_or(|url| url.starts_with("https://")),
        "{:?}",
        track.cover_url
    );
    let own = Link::parse(&track.link).map(|link| link.site());
    assert_eq!(own, Ok(site), "{}", track.link);
    track.streams.iter().for_each(fetchable);
    let kept = serde_json::to_string(track).expect("JSON");
    let back: Track = serde_json::from_str(&kept).expect("our own JSON");
    assert_eq!(
        back,
        Track {
            streams: Vec::new(),
            ..track.clone()
        }
    );
}

fn fetchable(stream: &Stream) {
    let (Delivery::File { url } | Delivery::Hls { url } | Delivery::Asked { url, .. }) =
        &stream.delivery;
    let parsed = Url::parse(url).expect("a URL");
    assert!(parsed.scheme() == "https" && parsed.has_host(), "{url}");
    assert!(stream.size_bytes.is_none_or(|size| size <= MOST_BYTES));
    assert!(
        stream
            .approximate_size()
            .is_none_or(|size| size <= MOST_BYTES)
    );
    assert!(stream.duration.is_none_or(|length| length <= LONGEST));
    assert!(
        !format!("{:?}", stream.delivery).contains('?'),
        "signatures are not printed"
    );
}

fn readable(error: &ExtractError) {
    let sentence = error.to_string();
    assert!(sentence.len() > 10, "{sentence}");
    let _ = (error.kind().as_str(), format!("{error:?}"));
}
