//! Tracks and sets (SoundCloud notes 5, 6, 7, 10, 11).

use kmds_lab::Site;
use serde_json::{Value, json};

use super::{Audio, LeadsTo, Recordings, Size, WantedSong, list, numbered, refused, song};

const SECONDS: u64 = 4;
const MP3_BYTES: f64 = 4.0 * 16_000.0;

/// One line of `media.transcodings`.
fn transcoding(id: u64, preset: &str, protocol: &str, mime: &str) -> Value {
    json!({"url": format!("https://api-v2.soundcloud.com/media/soundcloud:tracks:{id}/{preset}-key/stream/{protocol}"),
        "preset": preset, "duration": SECONDS * 1000, "snipped": false, "quality": "sq", "is_legacy_transcoding": true,
        "format": {"protocol": protocol, "mime_type": mime}})
}

fn mp3(id: u64) -> Vec<Value> {
    vec![
        transcoding(id, "mp3_0_0", "hls", "audio/mpeg"),
        transcoding(id, "mp3_0_0", "progressive", "audio/mpeg"),
    ]
}

fn opus(id: u64) -> Value {
    transcoding(id, "opus_0_0", "hls", "audio/ogg; codecs=\"opus\"")
}

fn encrypted(id: u64) -> Vec<Value> {
    let protocols = ["ctr-encrypted-hls", "cbc-encrypted-hls"];
    protocols
        .map(|protocol| transcoding(id, "aac_160k", protocol, "audio/mp4; codecs=\"mp4a.40.2\""))
        .to_vec()
}

/// A public track with all there is: a picture, an artist of the publisher's, an album.
fn track(id: u64, slug: &str) -> Value {
    json!({"id": id, "kind": "track", "urn": format!("soundcloud:tracks:{id}"), "title": format!("Who - Track {id}"),
        "permalink": slug, "permalink_url": format!("https://soundcloud.com/some-user/{slug}"),
        "duration": SECONDS * 1000, "full_duration": SECONDS * 1000,
        "artwork_url": format!("https://i1.sndcdn.com/artworks-{id:012}-abcdef-large.png"),
        "waveform_url": format!("https://wave.sndcdn.com/key{id}_m.json"),
        "policy": "MONETIZE", "monetization_model": "BLACKBOX", "streamable": true, "state": "finished",
        "sharing": "public", "public": true, "secret_token": null, "release_date": null,
        "publisher_metadata": {"id": id, "artist": "The Publisher's Artist", "album_title": "The Album"},
        "track_authorization": "eyJ0eXAiOiJKV1QifQ.made.up", "media": {"transcodings": mp3(id)},
        "user": {"id": 7, "kind": "user", "permalink": "some-user", "username": "Some User",
            "permalink_url": "https://soundcloud.com/some-user",
            "avatar_url": "https://i1.sndcdn.com/avatars-000130845705-abcdef-large.jpg"}})
}

fn with(mut track: Value, fields: Value) -> Value {
    if let (Some(track), Value::Object(fields)) = (track.as_object_mut(), fields) {
        track.extend(fields);
    }
    track
}

/// Notes 5 and 10: the publisher's artist, 500 px of JPEG, 16 bytes a millisecond.
fn shown(id: u64) -> WantedSong {
    WantedSong {
        album: Some("The Album".to_owned()),
        size: Size::About(MP3_BYTES),
        cover: Some(format!(
            "https://i1.sndcdn.com/artworks-{id:012}-abcdef-t500x500.jpg"
        )),
        ..song(
            &id.to_string(),
            &format!("Who - Track {id}"),
            "The Publisher's Artist",
            SECONDS as f64,
        )
    }
}

fn avatar() -> Option<String> {
    Some("https://i1.sndcdn.com/avatars-000130845705-abcdef-t500x500.jpg".to_owned())
}

fn resolve(made: &mut Recordings, path: &str, answer: &Value) -> String {
    let link = format!("https://soundcloud.com/{path}");
    let asked = link.replace(':', "%3A").replace('/', "%2F");
    let url = format!(
        "https://api-v2.soundcloud.com/resolve?url={asked}&client_id=CkCiIyf14rHi27fhk7HxhPOzc85okfSJ"
    );
    made.get(&url, 200, &answer.to_string());
    link
}

fn snipped(id: u64, slug: &str) -> Value {
    let previews: Vec<Value> = mp3(id)
        .into_iter()
        .map(|one| {
            let url = one["url"]
                .as_str()
                .unwrap_or_default()
                .replace("/stream/", "/preview/");
            with(
                one,
                json!({"snipped": true, "duration": 30_000, "url": url}),
            )
        })
        .collect();
    with(
        track(id, slug),
        json!({"policy": "SNIP", "monetization_model": "SUB_HIGH_TIER", "duration": 30_000,
        "full_duration": 201_000, "media": {"transcodings": previews}}),
    )
}

#[tokio::test]
async fn made_up_tracks_of_soundcloud_are_shown_by_the_fields_they_have() {
    let mut made = Recordings::of(Site::SoundCloud);
    let publisher = |artist: &str, album: Value| json!({"publisher_metadata": {"artist": artist, "album_title": album}});
    let bare = |id| WantedSong {
        artist: Some("Some User".to_owned()),
        album: None,
        ..shown(id)
    };
    let cases = [
        (
            with(track(2_167_944_333, "plain"), json!({})),
            shown(2_167_944_333),
        ),
        // `album_title` can be "": none. `artist` absent or "": the user's name.
        (
            with(track(12, "no-album"), publisher("An Artist", json!(""))),
            WantedSong {
                artist: Some("An Artist".to_owned()),
                album: None,
                ..shown(12)
            },
        ),
        (
            with(track(13, "no-artist"), publisher("", json!("Else"))),
            WantedSong {
                artist: Some("Some User".to_owned()),
                album: Some("Else".to_owned()),
                ..shown(13)
            },
        ),
        (
            with(
                track(14, "no-publisher"),
                json!({"publisher_metadata": null}),
            ),
            bare(14),
        ),
        // No picture: the user's.
        (
            with(track(15, "no-art"), json!({"artwork_url": null})),
            WantedSong {
                cover: avatar(),
                ..shown(15)
            },
        ),
    ];
    for (track, wanted) in cases {
        let path = format!(
            "some-user/{}",
            track["permalink"].as_str().unwrap_or_default()
        );
        let link = resolve(&mut made, &path, &track);
        made.want(&link, LeadsTo::Song(wanted));
    }
    // A private one by its token, whose case is kept.
    let private = with(
        track(16, "hidden"),
        json!({"secret_token": "s-9TqZ7edLJ90", "sharing": "private", "public": false}),
    );
    let link = resolve(&mut made, "some-user/hidden/s-9TqZ7edLJ90", &private);
    made.want(&link, LeadsTo::Song(shown(16)));
    made.want(
        "https://soundcloud.com/some-user/hidden",
        refused("not_found"),
    );

    // Notes 10: AAC before MP3 before Opus; `abr_sq` never.
    let aac = [
        transcoding(17, "abr_sq", "hls", "audio/mpegurl"),
        transcoding(17, "aac_160k", "hls", "audio/mp4; codecs=\"mp4a.40.2\""),
    ];
    let all = [mp3(17), aac.to_vec()].concat();
    let of_17 = with(track(17, "aac"), json!({"media": {"transcodings": all}}));
    let link = resolve(&mut made, "some-user/aac", &of_17);
    // HLS is joined and its lengths written in, so it is not byte for byte what was sent.
    made.want(
        &link,
        LeadsTo::Song(WantedSong {
            size: Size::About(4_000.0 * 20.2),
            audio: Audio::Made,
            ..shown(17)
        }),
    );
    made.judge().await;
}

#[tokio::test]
async fn made_up_tracks_of_soundcloud_that_may_not_be_played_say_why() {
    let mut made = Recordings::of(Site::SoundCloud);
    let media = |list: Vec<Value>| json!({"media": {"transcodings": list}});
    let cases = [
        (snipped(21, "snip"), "preview_only"),
        (
            with(
                with(track(22, "block"), media(Vec::new())),
                json!({"policy": "BLOCK"}),
            ),
            "geo_blocked",
        ),
        (
            with(track(23, "word"), json!({"policy": "SOMETHING"})),
            "unavailable",
        ),
        (with(track(24, "drm"), media(encrypted(24))), "drm_only"),
        (
            with(track(25, "still-working"), json!({"state": "processing"})),
            "unavailable",
        ),
        (
            with(track(26, "not-streamable"), json!({"streamable": false})),
            "unavailable",
        ),
    ];
    for (track, kind) in cases {
        let path = format!(
            "some-user/{}",
            track["permalink"].as_str().unwrap_or_default()
        );
        let link = resolve(&mut made, &path, &track);
        made.want(&link, refused(kind));
    }
    // Notes 6: all plain formats answer 404 and an encrypted one is listed. That shows only when the audio is asked
    // for.
    let withdrawn = with(
        track(27, "withdrawn"),
        media([encrypted(27), mp3(27)].concat()),
    );
    let link = resolve(&mut made, "some-user/withdrawn", &withdrawn);
    for one in mp3(27) {
        made.get(
            &format!("{}?client_id=x", one["url"].as_str().unwrap_or_default()),
            404,
            "{}",
        );
    }
    made.want(
        &link,
        LeadsTo::Song(WantedSong {
            audio: Audio::Fails("drm_only"),
            ..shown(27)
        }),
    );
    // One of two answers 404: the next one at once.
    let halved = track(28, "halved");
    let link = resolve(&mut made, "some-user/halved", &halved);
    let progressive = mp3(28).pop().unwrap_or_default();
    made.get(
        &format!(
            "{}?client_id=x",
            progressive["url"].as_str().unwrap_or_default()
        ),
        404,
        "{}",
    );
    made.want(&link, LeadsTo::Song(shown(28)));
    // None encrypted: something is wrong with the song (15); so it is where nothing is listed and the policy is fine.
    let broken = track(29, "broken");
    let link = resolve(&mut made, "some-user/broken", &broken);
    for one in mp3(29) {
        made.get(
            &format!("{}?client_id=x", one["url"].as_str().unwrap_or_default()),
            404,
            "{}",
        );
    }
    made.want(
        &link,
        LeadsTo::Song(WantedSong {
            audio: Audio::Fails("origin_failed"),
            ..shown(29)
        }),
    );
    let nothing = with(track(30, "nothing"), media(Vec::new()));
    let link = resolve(&mut made, "some-user/nothing", &nothing);
    made.want(&link, refused("origin_failed"));
    // 7: encrypted ones, MP3 in slices and Opus, no progressive.
    let slices = [
        encrypted(31),
        mp3(31).into_iter().take(1).collect(),
        vec![opus(31)],
    ]
    .concat();
    let link = resolve(
        &mut made,
        "some-user/slices",
        &with(track(31, "slices"), media(slices)),
    );
    made.want(&link, LeadsTo::Song(shown(31)));
    let link = resolve(
        &mut made,
        "some-user/opus",
        &with(track(32, "opus"), media(vec![opus(32)])),
    );
    made.want(
        &link,
        LeadsTo::Song(WantedSong {
            size: Size::Any,
            audio: Audio::Made,
            ..shown(32)
        }),
    );
    // A user is neither track nor set, by his page and by a short link to it.
    let link = resolve(&mut made, "some-user", &track(21, "x")["user"]);
    made.want(&link, refused("unsupported_link"));
    made.exchange_to(
        "https://on.soundcloud.com/AbC123",
        "https://soundcloud.com/some-user?ref=clipboard&si=1",
    );
    made.want(
        "https://on.soundcloud.com/AbC123",
        refused("unsupported_link"),
    );
    made.exchange_to(
        "https://on.soundcloud.com/xyz",
        "https://soundcloud.com/some-user/halved?ref=clipboard&p=a&c=0",
    );
    made.want("https://on.soundcloud.com/xyz", LeadsTo::Song(shown(28)));
    made.judge().await;
}

/// Three full songs, then stubs in two batches that come in another order and leave some out.
#[tokio::test]
async fn a_made_up_set_keeps_every_place_whatever_its_batches_leave_out() {
    const FIRST: u64 = 1001;
    const SONGS: u64 = 64;
    let full = |id: u64| match id {
        1010 | 1060 => snipped(id, &format!("snip-{id}")),
        1012 => with(
            track(id, "blocked"),
            json!({"policy": "BLOCK", "media": {"transcodings": []}}),
        ),
        1002 | 1014 => with(
            track(id, &format!("bare-{id}")),
            json!({"artwork_url": null, "publisher_metadata": null}),
        ),
        _ => track(id, &format!("song-{id}")),
    };
    let missing = |id: u64| matches!(id, 1007 | 1063);
    let mut made = Recordings::of(Site::SoundCloud);
    let ids = FIRST..FIRST + SONGS;
    let tracks: Vec<Value> = ids
        .clone()
        .map(|id| {
            if id < FIRST + 3 {
                return full(id);
            }
            let policy = if missing(id) {
                json!("ALLOW")
            } else {
                full(id)["policy"].clone()
            };
            json!({"id": id, "kind": "track", "monetization_model": "BLACKBOX", "policy": policy})
        })
        .collect();
    let set = json!({"id": 246_349_811, "kind": "playlist", "title": "The Set", "set_type": "", "is_album": false,
        "permalink_url": "https://soundcloud.com/some-user/sets/the-set", "track_count": SONGS, "secret_token": null,
        "artwork_url": "https://i1.sndcdn.com/artworks-000000000246-abcdef-large.jpg", "user": track(1, "x")["user"], "tracks": tracks});
    let link = resolve(&mut made, "some-user/sets/the-set", &set);
    let stubs: Vec<u64> = ids.clone().skip(3).collect();
    for batch in stubs.chunks(50) {
        let asked: Vec<String> = batch.iter().map(u64::to_string).collect();
        let mut told: Vec<Value> = batch
            .iter()
            .filter(|id| !missing(**id))
            .map(|id| full(*id))
            .collect();
        told.reverse();
        let url = format!(
            "https://api-v2.soundcloud.com/tracks?ids={}&client_id=x",
            asked.join("%2C")
        );
        made.get(&url, 200, &json!(told).to_string());
    }
    // Notes 11: an id missing in a batch keeps its position. 5: the album is the set's title, no picture is the user's.
    let places = ids
        .map(|id| {
            let framed = WantedSong {
                album: Some("The Set".to_owned()),
                audio: Audio::Unknown,
                ..shown(id)
            };
            match id {
                _ if missing(id) => Err("not_found".to_owned()),
                1010 | 1060 => Err("preview_only".to_owned()),
                1012 => Err("geo_blocked".to_owned()),
                1002 | 1014 => Ok(WantedSong {
                    artist: Some("Some User".to_owned()),
                    cover: avatar(),
                    ..framed
                }),
                1001 | 1064 => Ok(WantedSong {
                    audio: Audio::AsSent,
                    ..framed
                }),
                _ => Ok(framed),
            }
        })
        .collect();
    made.want(&link, list(numbered(places)));
    made.judge().await;
}

#[tokio::test]
async fn made_up_sets_of_which_nothing_plays_say_why_and_private_ones_open_to_their_token() {
    let mut made = Recordings::of(Site::SoundCloud);
    let set = |id: u64, slug: &str, token: Value, tracks: &[Value]| {
        json!({"id": id, "kind": "playlist", "title": "The Set", "set_type": "album", "is_album": true,
            "permalink_url": format!("https://soundcloud.com/some-user/sets/{slug}"), "track_count": tracks.len(),
            "secret_token": token, "artwork_url": null, "user": track(1, "x")["user"], "tracks": tracks})
    };
    let stub = |id: u64, policy: &str| json!({"id": id, "kind": "track", "monetization_model": "BLACKBOX", "policy": policy});
    // The contract: the first kind that is not `not_found`, else 404.
    let gone = set(
        50,
        "gone",
        Value::Null,
        &[stub(51, "ALLOW"), snipped(52, "snip")],
    );
    let link = resolve(&mut made, "some-user/sets/gone", &gone);
    made.want(&link, refused("preview_only"));
    let link = resolve(
        &mut made,
        "some-user/sets/empty",
        &set(53, "empty", Value::Null, &[]),
    );
    made.want(&link, refused("not_found"));
    made.want(
        "https://soundcloud.com/some-user/sets/none",
        refused("not_found"),
    );
    // A song that lists nothing is looked at twice; the others do not suffer.
    let nothing = with(track(55, "nothing"), json!({"media": {"transcodings": []}}));
    let mixed = set(54, "mixed", Value::Null, &[track(56, "good"), nothing]);
    let link = resolve(&mut made, "some-user/sets/mixed", &mixed);
    let framed = |id| WantedSong {
        album: Some("The Set".to_owned()),
        ..shown(id)
    };
    made.want(
        &link,
        list(numbered(vec![
            Ok(framed(56)),
            Err("origin_failed".to_owned()),
        ])),
    );
    let private = set(
        57,
        "hidden",
        json!("s-Ab12"),
        &[with(
            track(58, "inside"),
            json!({"sharing": "private", "secret_token": "s-In58"}),
        )],
    );
    let link = resolve(&mut made, "some-user/sets/hidden/s-Ab12", &private);
    made.want(&link, list(numbered(vec![Ok(framed(58))])));
    made.want(
        "https://soundcloud.com/some-user/sets/hidden",
        refused("not_found"),
    );
    made.judge().await;
}
