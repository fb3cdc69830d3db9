//! Reading any page ends in a release or an error, never in a panic.

#[allow(dead_code, reason = "each test crate uses a part of the made-up site")]
mod bandcamp_site;

use bandcamp_site::{Site, album, html, locked, mobile, page, player, song, track};
use kmds_extract::link::Link;
use kmds_extract::track::{BandcampSource, Entry, Lack, Resolved, Source};
use kmds_extract::{Recipes, refresh, resolve};
use proptest::prelude::*;
use serde_json::{Value, json};

const ALBUM: &str = "https://tinharbour.bandcamp.com/album/low-tide";
const TRACK: &str = "https://tinharbour.bandcamp.com/track/song-4";
const PLAYER: &str = "https://bandcamp.com/EmbeddedPlayer/track=4";

/// Reads the text through every door; what comes out must hold together.
fn read(text: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let recipes = Recipes::built_in();
    for link in [ALBUM, TRACK, PLAYER] {
        let site = Site::new().with("", page(200, text));
        match runtime.block_on(resolve(
            &Link::parse(link).expect("a link"),
            &site,
            &recipes,
        )) {
            Ok(Resolved::Track(track)) => assert_eq!(track.streams.len(), 1),
            Ok(Resolved::Collection(album)) => {
                assert!(!album.entries.is_empty());
                for entry in &album.entries {
                    if let Entry::Track(track) = entry {
                        assert!(!track.title.is_empty() && track.streams.len() == 1);
                        assert!(Link::parse(&track.link).is_ok(), "{}", track.link);
                    }
                }
            }
            Err(error) => assert!(!error.to_string().contains("token="), "{error}"),
        }
    }
    for band_id in [None, Some(7)] {
        let source = Source::Bandcamp(BandcampSource {
            page: Some(ALBUM.to_owned()),
            track_id: 4,
            band_id,
        });
        let _ = runtime.block_on(refresh(
            &source,
            Lack::GoodStreams,
            &Site::new().with("", page(200, text)),
            &recipes,
        ));
    }
}

/// Values of every type, for any place.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(json!([])),
        Just(json!([[1], {"mp3-128": 2}])),
        Just(json!({"mp3-128": "//t4.bcbits.com", "x": {}, "aac": "https://[", "": ""})),
    ]
}

fn seeds() -> Vec<Value> {
    vec![
        album(vec![song(4, 1, "Ebb - Flow"), locked(5, 2, "Later")]),
        album(Vec::new()),
        track(song(4, 4, "Tin Harbour - Ebb")),
    ]
}

/// Paths of all values inside.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, below) in fields {
                places(
                    below,
                    &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")),
                    all,
                );
            }
        }
        Value::Array(items) => {
            for (index, below) in items.iter().enumerate() {
                places(below, &format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
}

fn mutated(mut value: Value, changes: &[(prop::sample::Index, Value)]) -> Value {
    for (index, new) in changes {
        let mut all = Vec::new();
        places(&value, "", &mut all);
        if let Some(place) = value.pointer_mut(index.get(all.as_slice()).as_str()) {
            *place = new.clone();
        }
    }
    value
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn on_any_text(text in ".{0,300}") {
        read(&text);
        read(&format!("<script data-band=\"{{}}\" data-tralbum=\"{text}\" data-player-data=\"{text}\">"));
    }

    #[test]
    fn on_pages_whose_values_were_exchanged(
        seed in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 1..4),
    ) {
        let tralbum = mutated(seeds().swap_remove(seed), &changes);
        let linked = mutated(json!({"name": "Ebb", "inAlbum": {"name": "Low Tide"}}), &changes);
        read(&html(&tralbum, &mutated(json!({"album_title": "Low Tide"}), &changes), &linked));
    }

    #[test]
    fn on_mobile_and_player_answers_whose_values_were_exchanged(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 1..4),
    ) {
        read(&mutated(mobile(4), &changes).to_string());
        let tracks = mutated(json!([{"id": 4, "title": "Ebb", "duration": 1.5, "file": {"mp3-128": "//t4.bcbits.com/x"}}]), &changes);
        if let Ok(answer) = player(&tracks, TRACK) {
            read(&answer.text());
        }
    }

    #[test]
    fn on_pages_cut_and_garbled_anywhere(
        seed in 0..3_usize,
        cut in any::<prop::sample::Index>(),
        garbled in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = html(&seeds().swap_remove(seed), &json!({}), &json!({})).into_bytes();
        // The head holds everything; garbling the filling would test nothing.
        let head = bytes.len().min(4000);
        for (at, byte) in garbled {
            bytes[at.index(head)] = byte;
        }
        bytes.truncate(cut.index(head * 2).min(bytes.len()));
        read(&String::from_utf8_lossy(&bytes));
    }
}
