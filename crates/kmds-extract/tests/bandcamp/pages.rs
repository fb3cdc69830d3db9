//! What one page gives: songs, artists, encodings; and pages of a band.

use super::*;

#[tokio::test]
async fn an_album_of_any_length_is_one_request() {
    for length in [1, 3, 62] {
        let songs = (1..=length)
            .map(|number| song(100 + number, number, "Ebb"))
            .collect();
        let site = Site::new().with("/album/", album_page(&album(songs)));
        let Ok(Resolved::Collection(collection)) = ask(&site, ALBUM).await else {
            panic!("an album")
        };
        assert_eq!(collection.entries.len() as u64, length);
        assert_eq!(site.urls(), [ALBUM]);
    }
}

#[tokio::test]
async fn requests_carry_a_browsers_headers_and_no_cookie() {
    let site = Site::new().with("", track_page(&track(song(4, 4, "Ebb"))));
    ask(&site, TRACK).await.expect("a track");
    let requests = site.requests();
    let names: Vec<_> = requests[0].headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["User-Agent", "Accept-Language"]);
    assert!(requests[0].headers[0].1.starts_with("Mozilla/5.0"));
    assert_eq!(requests[0].max_bytes, 8 << 20);
}

#[tokio::test]
async fn an_album_page_tells_everything_about_its_songs() {
    let collection = many(
        ALBUM,
        album_page(&album(vec![
            song(11, 1, "It's <Ebb>"),
            song(12, 2, "Flow - Live"),
        ])),
    )
    .await;
    assert_eq!(collection.id, "2833347880");
    assert_eq!(collection.link, ALBUM);
    assert_eq!(collection.title.as_deref(), Some("Low Tide & Rain"));
    assert_eq!(collection.artist.as_deref(), Some("Tin Harbour"));
    let cover = Some("https://f4.bcbits.com/img/a3697716070_10.jpg");
    assert_eq!(collection.cover_url.as_deref(), cover);
    assert!(!collection.truncated && !collection.endless);

    let songs = songs(&collection);
    let first = songs[0];
    assert_eq!(first.id.to_string(), "bandcamp-11");
    assert_eq!(first.title, "It's <Ebb>");
    assert_eq!(first.artist.as_deref(), Some("Tin Harbour"));
    assert_eq!(first.album.as_deref(), Some("Low Tide & Rain"));
    assert_eq!(first.album_artist.as_deref(), Some("Tin Harbour"));
    assert_eq!((first.number, first.total), (Some(1), Some(2)));
    assert_eq!(first.duration, Some(Duration::from_secs_f64(95.1733)));
    assert_eq!(first.cover_url.as_deref(), cover);
    assert_eq!(first.date.as_deref(), Some("2019-11-01"));
    assert_eq!(first.link, "https://tinharbour.bandcamp.com/track/song-1");
    assert_eq!(
        first.source,
        Source::Bandcamp(BandcampSource {
            page: Some(ALBUM.to_owned()),
            track_id: 11,
            band_id: Some(1_196_681_540)
        })
    );
    assert_eq!(songs[1].title, "Flow - Live");
    assert_eq!(songs[1].number, Some(2));
}

#[tokio::test]
async fn the_stream_is_the_mp3_that_needs_no_conversion() {
    let track = one(TRACK, track_page(&track(song(4, 4, "Ebb")))).await;
    let [stream] = track.streams.as_slice() else {
        panic!("one stream")
    };
    assert_eq!(
        (stream.container, stream.codec),
        (Container::Mp3, Codec::Mp3)
    );
    assert_eq!(stream.bitrate_bps, Some(128_000));
    assert_eq!(stream.size_bytes, None);
    assert_eq!(stream.approximate_size(), Some(1_522_773));
    assert_eq!(stream.expires_unix, Some(EXPIRY_UNIX));
    assert_eq!(stream.validator, "bandcamp 4 mp3-128");
    assert!(!stream.bounded_ranges && !stream.muxed);
    assert_eq!(url(&track), file_url(4));
    assert!(
        !format!("{stream:?}").contains("token"),
        "signatures are not printed"
    );
}

#[tokio::test]
async fn a_song_asked_for_alone_has_its_album_and_number_but_no_total() {
    let track = one(TRACK, track_page(&track(song(3_486_455_278, 4, "Ebb")))).await;
    assert_eq!(track.id.id(), "3486455278");
    assert_eq!(track.album.as_deref(), Some("Low Tide"));
    assert_eq!((track.number, track.total), (Some(4), None));
    assert_eq!(
        track.cover_url.as_deref(),
        Some("https://f4.bcbits.com/img/a0076513327_10.jpg")
    );
    assert_eq!(track.date.as_deref(), Some("2020-01-01"));
    assert_eq!(track.link, TRACK);
}

#[tokio::test]
async fn the_releases_own_words_win_over_those_of_the_shop() {
    let mut tralbum = track(song(4, 4, "Ebb"));
    tralbum["current"]["track_number"] = json!(7);
    tralbum["current"]["artist"] = json!("Some Label");
    tralbum["current"]["art_id"] = json!(1);
    let track = one(TRACK, track_page(&tralbum)).await;
    assert_eq!(
        (track.number, track.artist.as_deref()),
        (Some(7), Some("Tin Harbour"))
    );
    assert_eq!(
        track.cover_url.as_deref(),
        Some("https://f4.bcbits.com/img/a0076513327_10.jpg")
    );
}

#[tokio::test]
async fn the_album_of_a_track_comes_from_the_embed_then_from_linked_data() {
    let tralbum = track(song(4, 4, "Ebb"));
    let linked = json!({"name": "Ebb", "inAlbum": {"name": "From Linked"}});
    for (embed, linked, album) in [
        (
            json!({"album_title": "From Embed"}),
            linked.clone(),
            Some("From Embed"),
        ),
        (json!({}), linked.clone(), Some("From Linked")),
        (json!("broken"), linked, Some("From Linked")),
        (json!({}), json!({"inAlbum": 7}), None),
        (json!({}), json!([]), None),
    ] {
        let track = one(TRACK, page(200, &html(&tralbum, &embed, &linked))).await;
        assert_eq!(track.album.as_deref(), album, "{embed} {linked}");
    }
}

#[tokio::test]
async fn a_single_has_neither_album_nor_number() {
    let mut single = track(song(4, 1, "Ebb"));
    for key in ["album_id", "track_number", "release_date"] {
        single["current"][key] = Value::Null;
    }
    single["album_url"] = Value::Null;
    single["album_release_date"] = Value::Null;
    single["trackinfo"][0]["track_num"] = Value::Null;
    let embed = json!({"title": "Ebb", "numtracks": 1});
    let linked = json!({"name": "Ebb", "inAlbum": {"name": "Ebb"}});
    let track = one(TRACK, page(200, &html(&single, &embed, &linked))).await;
    assert_eq!((track.album, track.number, track.total), (None, None, None));
    assert_eq!(track.date.as_deref(), Some("2019-03-10"));
}

#[tokio::test]
async fn what_is_not_needed_may_be_missing_or_of_another_type() {
    let mut bare = song(4, 4, "Ebb");
    bare["duration"] = json!(0.0);
    bare["title_link"] = Value::Null;
    bare["track_num"] = json!("x");
    let mut tralbum = album(vec![bare]);
    tralbum["art_id"] = json!(0);
    tralbum["current"]["art_id"] = Value::Null;
    tralbum["is_preorder"] = json!({"odd": 1});
    tralbum["current"]["release_date"] = json!("soon");
    tralbum["album_release_date"] = json!(5);
    tralbum["current"]["publish_date"] = Value::Null;
    let collection = many(ALBUM, album_page(&tralbum)).await;
    let songs = songs(&collection);
    assert_eq!(
        (
            songs[0].duration,
            songs[0].cover_url.as_deref(),
            songs[0].date.as_deref()
        ),
        (None, None, None)
    );
    assert_eq!(songs[0].number, Some(1));
    assert_eq!(songs[0].link, "https://bandcamp.com/EmbeddedPlayer/track=4");
}

#[tokio::test]
async fn a_length_may_be_written_as_text() {
    let mut written = song(4, 4, "Ebb");
    written["duration"] = json!("95.1733");
    let collection = many(ALBUM, album_page(&album(vec![written]))).await;
    assert_eq!(
        songs(&collection)[0].duration,
        Some(Duration::from_secs_f64(95.1733))
    );
}

#[tokio::test]
async fn an_unreadable_song_costs_its_place_and_not_the_album() {
    for odd in [Value::Null, json!("song"), json!(7), json!([])] {
        let collection = many(
            ALBUM,
            album_page(&album(vec![song(11, 1, "Ebb"), odd, song(13, 3, "Flow")])),
        )
        .await;
        assert_eq!(kinds(&collection), [None, Some(Kind::PageChanged), None]);
        let Entry::Unavailable(missing) = &collection.entries[1] else {
            panic!("unreadable")
        };
        assert_eq!(missing.number, 2);
    }
}

// Section 6: artists.

#[tokio::test]
async fn a_song_with_its_own_artist_loses_exactly_that_prefix() {
    let mut guest = song(12, 2, "Mara Quill - Flow");
    guest["artist"] = json!("Mara Quill");
    let collection = many(
        ALBUM,
        album_page(&album(vec![song(11, 1, "Mara Quill - Ebb"), guest])),
    )
    .await;
    let songs = songs(&collection);
    assert_eq!(
        (songs[0].title.as_str(), songs[0].artist.as_deref()),
        ("Mara Quill - Ebb", Some("Tin Harbour"))
    );
    assert_eq!(
        (songs[1].title.as_str(), songs[1].artist.as_deref()),
        ("Flow", Some("Mara Quill"))
    );
    assert_eq!(songs[1].album_artist.as_deref(), Some("Tin Harbour"));
}

#[tokio::test]
async fn a_compilations_titles_are_split_only_when_various_artists_made_it() {
    let mut tralbum = album(vec![
        song(11, 1, "Mara Quill - Ebb"),
        song(12, 2, "Ann - Sea - Live"),
    ]);
    tralbum["artist"] = json!("Various Artists");
    let collection = many(ALBUM, album_page(&tralbum)).await;
    let songs = songs(&collection);
    assert_eq!(
        (songs[0].title.as_str(), songs[0].artist.as_deref()),
        ("Ebb", Some("Mara Quill"))
    );
    assert_eq!(
        (songs[1].title.as_str(), songs[1].artist.as_deref()),
        ("Ann - Sea - Live", Some("Various Artists"))
    );
    assert_eq!(songs[0].album_artist.as_deref(), Some("Various Artists"));
}

#[tokio::test]
async fn a_compilation_song_asked_for_alone_has_its_bare_title() {
    let mut tralbum = track(song(4, 4, "Mara Quill - Flow"));
    tralbum["artist"] = json!("Mara Quill");
    let linked = json!({"name": "Flow", "byArtist": {"name": "Mara Quill"}});
    let track = one(TRACK, page(200, &html(&tralbum, &json!({}), &linked))).await;
    assert_eq!(
        (track.title.as_str(), track.artist.as_deref()),
        ("Flow", Some("Mara Quill"))
    );
}

// Section 8 and 17: other encodings.

#[tokio::test]
async fn without_the_usual_encoding_the_first_one_on_an_allowed_host_is_taken() {
    let rows = [
        (
            json!({"aac-hi": "https://t4.bcbits.com/a", "flac": "https://t4.bcbits.com/b"}),
            Some("m4a"),
            "https://t4.bcbits.com/a",
        ),
        (
            json!({"vorbis": "https://evil.example/a", "flac": "https://t4.bcbits.com/b"}),
            Some("flac"),
            "https://t4.bcbits.com/b",
        ),
        (
            json!({"ogg-96": "http://t4.bcbits.com/a", "mp3-v0": "//t4.bcbits.com/b"}),
            Some("mp3"),
            "https://t4.bcbits.com/b",
        ),
        (
            json!({"zip-1": "https://t4.bcbits.com/a", "opus-64": "https://t4.bcbits.com/b"}),
            Some("opus"),
            "https://t4.bcbits.com/b",
        ),
        (
            json!({"aac-hi": "https://t4.bcbits.com/a", "mp3-128": "//t4.bcbits.com/b"}),
            Some("mp3"),
            "https://t4.bcbits.com/b",
        ),
        (
            json!({"mp3-128": "https://bcbits.com.evil.example/a"}),
            None,
            "",
        ),
        (json!({"mp3-128": "https://u@t4.bcbits.com/a"}), None, ""),
    ];
    for (file, extension, want) in rows {
        let mut other = song(4, 4, "Ebb");
        other["file"] = file.clone();
        match (answered(TRACK, track_page(&track(other))).await, extension) {
            (Ok(Resolved::Track(track)), Some(extension)) => {
                assert_eq!(
                    (track.streams[0].format().ext(), url(&track)),
                    (extension, want),
                    "{file}"
                );
            }
            (Err(error), None) => assert_eq!(error.kind(), Kind::PageChanged, "{file}"),
            (other, _) => panic!("{file}: {other:?}"),
        }
    }
}

// Section 11: band pages.

const BAND: &str = "https://tinharbour.bandcamp.com/";

#[tokio::test]
async fn a_band_page_that_leads_to_a_release_is_that_release() {
    let body = html(&album(vec![song(11, 1, "Ebb")]), &json!({}), &json!({}));
    for asked in [
        BAND,
        "https://tinharbour.bandcamp.com/music",
        "https://tinharbour.bandcamp.com/releases",
    ] {
        let site = Site::new().with("", redirected(ALBUM, &body));
        let Ok(Resolved::Collection(collection)) = ask(&site, asked).await else {
            panic!("{asked}: an album")
        };
        assert_eq!(
            (collection.link.as_str(), site.urls()),
            (ALBUM, vec![asked.to_owned()])
        );
    }
}

#[tokio::test]
async fn a_band_page_that_shows_its_only_release_is_that_release() {
    let mut tralbum = album(vec![song(11, 1, "Ebb")]);
    for url in [ALBUM, "https://tinharbour.example/album/low-tide"] {
        tralbum["url"] = json!(url);
        assert_eq!(many(BAND, album_page(&tralbum)).await.link, ALBUM);
    }
}

#[tokio::test]
async fn a_band_page_with_many_releases_names_the_newest() {
    let grid = "<script data-band=\"{}\"></script><a href=\"/music\">music</a><ol data-x=\"1\" id=\"music-grid\">\
        <li data-item-id=\"album-2\"><a href=\"/album/low-tide\"></a></li><li><a href=\"/album/older\"></a></li></ol>";
    let refused = refusal(BAND, page(200, grid)).await;
    assert_eq!(refused.kind(), Kind::UnsupportedLink);
    assert!(
        refused
            .to_string()
            .contains(&format!("its newest is {ALBUM}")),
        "{refused}"
    );
    let refused = refusal(BAND, page(200, "<script data-band=\"{}\">"))
        .await
        .to_string();
    assert!(
        refused.contains("give the link") && !refused.contains("newest"),
        "{refused}"
    );
}

/// The answer with every `from` in its page turned into `to`.
fn turned(answer: Answer, from: &str, to: &str) -> Answer {
    answer.map(|page| {
        let text = String::from_utf8(page.body).expect("text");
        assert!(text.contains(from), "{from}");
        kmds_extract::Page {
            body: text.replace(from, to).into_bytes(),
            ..page
        }
    })
}

#[tokio::test]
async fn one_bad_value_in_a_field_that_is_not_read_costs_that_value_and_not_the_page() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for odd in [
        r"&quot;la \ud83d&quot;",
        r"&quot;\udc00&quot;",
        "&quot;a&#10;\u{1b}b&quot;",
        "1e999",
        "NaN",
        &deep,
    ] {
        let mut with_lyrics = song(11, 1, "Ebb");
        with_lyrics["lyrics"] = "LYRICS".into();
        let lyrics = |answer| turned(answer, "&quot;LYRICS&quot;", odd);
        let collection = many(
            ALBUM,
            lyrics(album_page(&album(vec![
                with_lyrics.clone(),
                song(12, 2, "Flow"),
            ]))),
        )
        .await;
        assert_eq!(songs(&collection).len(), 2, "{odd}");
        assert_eq!(
            one(TRACK, lyrics(track_page(&track(with_lyrics))))
                .await
                .title,
            "Ebb",
            "{odd}"
        );
        let mut answer = mobile(4);
        answer["about"] = "ABOUT".into();
        let odd_text = odd.replace("&quot;", "\"").replace("&#10;", "\n");
        let answer = turned(page(200, &answer.to_string()), "\"ABOUT\"", &odd_text);
        assert_eq!(one(PLAYER_TRACK, answer).await.id.id(), "4", "{odd}");
    }
    // Shown text shows what is lost; a field that stands there twice costs no song.
    let answer = album_page(&album(vec![song(11, 1, "Cut MARK"), song(12, 2, "Flow")]));
    let answer = turned(answer, "MARK", r"\ud83d");
    let answer = turned(
        answer,
        "&quot;streaming&quot;:1",
        "&quot;streaming&quot;:1,&quot;track_num&quot;:1,&quot;track_num&quot;:2",
    );
    let collection = many(ALBUM, answer).await;
    assert_eq!(songs(&collection)[0].title, "Cut \u{fffd}");
}

#[tokio::test]
async fn numbers_that_do_not_count_an_albums_songs_give_way_to_their_places() {
    let numbered = |numbers: &[Value]| -> Vec<Value> {
        let songs = (11..).zip(numbers).map(|(id, number)| {
            let mut song = song(id, id, "Ebb");
            song["track_num"] = number.clone();
            song
        });
        songs.collect()
    };
    let table = [
        (json!([1, 1, 1]), [1, 2, 3]),
        (json!([null, null, null]), [1, 2, 3]),
        (json!([null, 1, 12]), [1, 2, 3]),
        (json!([null, 1, 2]), [1, 2, 3]),
        (json!([1, 2, 1]), [1, 2, 3]),
        (json!([0, 1, 2]), [1, 2, 3]),
        (json!([-1, 2, 3]), [1, 2, 3]),
        (json!([1, 2, 4]), [1, 2, 3]),
        (json!([1, 2, 4_294_967_298_u64]), [1, 2, 3]),
        (json!(["one", 2.5, true]), [1, 2, 3]),
        (json!(["1", "2", "3"]), [1, 2, 3]),
        (json!([2, 1, 3]), [2, 1, 3]),
    ];
    for (numbers, places) in table {
        let songs_of = numbered(numbers.as_array().expect("a list"));
        let list = many(ALBUM, album_page(&album(songs_of.clone()))).await;
        let shown: Vec<_> = songs(&list)
            .iter()
            .map(|song| (song.number, song.total))
            .collect();
        assert_eq!(
            shown,
            places.map(|place| (Some(place), Some(3))),
            "{numbers}"
        );
        // A song that cannot be played has the number it would have.
        let mut one_locked = songs_of;
        one_locked[1]["file"] = Value::Null;
        let list = many(ALBUM, album_page(&album(one_locked))).await;
        let shown = list.entries.iter().map(|entry| match entry {
            Entry::Track(song) => song.number,
            Entry::Unavailable(gone) => Some(gone.number),
        });
        assert_eq!(shown.collect::<Vec<_>>(), places.map(Some), "{numbers}");
    }
    let mut lone = song(4, 4, "Ebb");
    lone["track_num"] = 4_000_000_000_u64.into();
    assert_eq!(one(TRACK, track_page(&track(lone))).await.number, None);
}
