//! The choice of a stream and the reading of recipes hold for any input, not just for the examples beside them.

use kmds_extract::choose::{Accept, PLAYABLE, Treatment, choose};
use kmds_extract::stream::{Codec, Container, Delivery, Stream};
use kmds_extract::track::Site;
use kmds_extract::{Format, Recipes};
use proptest::prelude::*;

const BUILT_IN: &str = include_str!("../src/recipes.toml");

fn any_format() -> impl Strategy<Value = Format> {
    prop::sample::select(PLAYABLE.to_vec())
}

fn any_stream() -> impl Strategy<Value = Stream> {
    let (containers, codecs) = (Container::ALL.to_vec(), Codec::ALL.to_vec());
    (
        prop::sample::select(containers),
        prop::sample::select(codecs),
        0..4_u16,
        any::<bool>(),
        any::<u32>(),
    )
        .prop_map(|(container, codec, rank, muxed, bitrate)| Stream {
            site: Site::YouTube,
            delivery: Delivery::File { url: String::new() },
            container,
            codec,
            rank,
            bitrate_bps: Some(bitrate),
            size_bytes: None,
            duration: Some(std::time::Duration::MAX),
            loudness_db: None,
            validator: String::new(),
            expires_unix: None,
            headers: Vec::new(),
            bounded_ranges: false,
            muxed,
            available_unix: None,
            client: String::new(),
            label: String::new(),
        })
}

/// Every `table.key` of the built-in file; its keys need no quotes.
fn keys(table: &toml::Table, at: &str, all: &mut Vec<String>) {
    for (key, value) in table {
        let path = if at.is_empty() {
            key.clone()
        } else {
            format!("{at}.{key}")
        };
        if let toml::Value::Table(below) = value {
            keys(below, &path, all);
        }
        all.push(path);
    }
}

/// A value of any type, as it is written.
fn any_toml() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-1.0e9..1.0e9).prop_map(|number: f64| format!("{number:?}")),
        prop::sample::select(vec![
            "nan",
            "inf",
            "-inf",
            "true",
            "[]",
            "{}",
            "[1, 'x', {}]",
            "1979-05-27"
        ])
        .prop_map(str::to_owned),
        "'[a-z :/.]{0,12}'",
    ]
}

proptest! {
    #[test]
    fn a_choice_keeps_every_stream_and_converts_last(
        streams in prop::collection::vec(any_stream(), 0..8),
        formats in prop::collection::vec(any_format(), 1..6),
    ) {
        let accept = Accept::new(formats).expect("a client plays something");
        let choices = choose(&streams, &accept);
        prop_assert_eq!(choices.len(), streams.len());
        for stream in &streams {
            let count = |list: Vec<&Stream>| list.into_iter().filter(|have| *have == stream).count();
            prop_assert_eq!(count(streams.iter().collect()), count(choices.iter().map(|choice| &choice.stream).collect()));
            let _ = stream.approximate_size();
        }
        let converts = |choice: &kmds_extract::choose::Choice| choice.treatment == Treatment::Convert;
        prop_assert!(choices.is_sorted_by_key(converts), "what the client plays comes first");
        for choice in &choices {
            let format = choice.stream.format();
            match choice.treatment {
                Treatment::Keep => prop_assert!(accept.formats().contains(&format)),
                Treatment::OpusToOgg => prop_assert!(accept.formats().contains(&Format::Opus)),
                Treatment::Convert => prop_assert!(!accept.formats().contains(&format)),
            }
        }
    }

    #[test]
    fn reading_recipes_never_panics(text in ".{0,200}") {
        let _ = Recipes::over_built_in(&text);
    }

    #[test]
    fn a_strange_value_at_any_key_is_an_error_or_harmless(at in any::<prop::sample::Index>(), value in any_toml()) {
        let table: toml::Table = BUILT_IN.parse().expect("the built-in file is TOML");
        let mut all = Vec::new();
        keys(&table, "", &mut all);
        let key: &String = &all[at.index(all.len())];
        let text = format!("{key} = {value}");
        if let Ok((recipes, unknown)) = Recipes::over_built_in(&text) {
            prop_assert!(unknown.is_empty(), "{text}");
            prop_assert!(recipes.youtube.identities.iter().any(|identity| !identity.off));
            let year = std::time::Duration::from_secs(366 * 86_400);
            for time in [recipes.time.audio_stall, recipes.time.connect, recipes.bandcamp.bot_pause] {
                prop_assert!(time < year, "{text}");
            }
        }
    }

    #[test]
    fn an_unknown_key_is_named_and_changes_nothing(key in "[a-z]{3,9}zz", value in any_toml()) {
        for path in [key.clone(), format!("bandcamp.{key}")] {
            let (recipes, unknown) =
                Recipes::over_built_in(&format!("{path} = {value}")).expect("unknown keys only warn");
            prop_assert_eq!(recipes, Recipes::built_in());
            prop_assert_eq!(unknown, [path]);
        }
    }

    #[test]
    fn any_number_of_seconds_is_a_duration(bits in any::<u64>()) {
        for seconds in [f64::from_bits(bits), f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let _ = seconds;
        }
    }
}
