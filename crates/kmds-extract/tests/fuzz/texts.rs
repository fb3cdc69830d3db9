//! Playlists of segments, and recipes.

use std::time::Duration;

use kmds_extract::Recipes;
use kmds_extract::hls::{MediaPlaylist, Resource};
use url::Url;

const BASE: &str = "https://playback.media-streaming.soundcloud.cloud/k/aac_160k/u/playlist.m3u8?Policy=p&Signature=s";

/// A playlist that is read names things that can be fetched, no more of them than it has lines; written out and read
/// again it is the same.
#[test]
fn fuzz_hls() {
    kmds_fuzz::target("hls", |input| {
        let text = String::from_utf8_lossy(input);
        let Ok(playlist) = MediaPlaylist::parse(&text, BASE) else {
            return;
        };
        assert!((1..text.lines().count()).contains(&playlist.segments.len()));
        assert!(playlist.duration() <= Duration::from_secs(3600) * playlist.segments.len() as u32);
        for resource in playlist
            .segments
            .iter()
            .map(|segment| &segment.at)
            .chain(&playlist.init)
        {
            let url = Url::parse(&resource.url).expect("a URL");
            assert!(url.scheme() == "https" && url.has_host(), "{url}");
            let ends = resource
                .range
                .map(|(first, length)| (length > 0).then(|| first.checked_add(length)).flatten());
            assert!(ends.is_none_or(|end| end.is_some()), "{ends:?}");
            assert!(
                !format!("{resource:?}").contains('?'),
                "signatures are not printed"
            );
        }
        assert_eq!(
            MediaPlaylist::parse(&written(&playlist), BASE).as_ref(),
            Ok(&playlist)
        );
    });
}

fn written(playlist: &MediaPlaylist) -> String {
    let mut text = String::from("#EXTM3U\n");
    if let Some(Resource { url, range }) = &playlist.init {
        let range = range
            .map(|(first, length)| format!(",BYTERANGE=\"{length}@{first}\""))
            .unwrap_or_default();
        text += &format!("#EXT-X-MAP:URI=\"{url}\"{range}\n");
    }
    for segment in &playlist.segments {
        text += &format!(
            "#EXTINF:{}.{:09},\n",
            segment.duration.as_secs(),
            segment.duration.subsec_nanos()
        );
        if let Some((first, length)) = segment.at.range {
            text += &format!("#EXT-X-BYTERANGE:{length}@{first}\n");
        }
        text += &format!("{}\n", segment.at.url);
    }
    text + "#EXT-X-ENDLIST\n"
}

/// An operator's file that is taken leaves recipes one can work with; what it does not name stays as it was built in.
#[test]
fn fuzz_recipes() {
    kmds_fuzz::target("recipes", |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        let (recipes, unknown) = match Recipes::over_built_in(text) {
            Ok(read) => read,
            Err(error) => return assert!(error.to_string().len() > 10, "{error}"),
        };
        assert!(
            recipes
                .youtube
                .identities
                .iter()
                .any(|identity| !identity.off)
        );
        let time = &recipes.time;
        for seconds in [
            time.metadata_request,
            time.fetch_song,
            time.audio_stall,
            time.limit_wait,
            time.breaker_pause,
        ] {
            assert!(seconds <= Duration::from_secs(366 * 86_400));
        }
        if text
            .parse::<toml::Table>()
            .is_ok_and(|table| unknown.len() >= table.len() && !table.is_empty())
        {
            let named = ["date", "time", "youtube", "soundcloud", "bandcamp"];
            let names_none = unknown
                .iter()
                .all(|key| !named.iter().any(|name| key.starts_with(name)));
            assert!(!names_none || recipes == Recipes::built_in(), "{unknown:?}");
        }
    });
}
