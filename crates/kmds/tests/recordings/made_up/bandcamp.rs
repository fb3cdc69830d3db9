//! Pages of single songs, and pages that are none (Bandcamp notes 3 to 7, 14, 15).

use kmds_lab::Site;
use serde_json::{Value, json};

use super::{LeadsTo, Recordings, Size, WantedSong, refused, song};

pub(super) const BYTES_A_SECOND: f64 = 16_000.0;

/// A song of a release: `{"track_id", "title", …}`.
pub(super) fn info(id: u64, number: Option<u64>, title: &str, seconds: f64) -> Value {
    let stream = format!(
        "https://t4.bcbits.com/stream/{id:032x}/mp3-128/{id}?p=0&ts=1779820513&t={id:040x}&token=1779820513_{id:040x}"
    );
    json!({"id": id, "track_id": id, "file": {"mp3-128": stream}, "artist": null, "title": title, "track_num": number,
        "album_preorder": false, "unreleased_track": false, "title_link": format!("/track/song-{id}"), "streaming": 1,
        "duration": seconds, "is_downloadable": false, "is_capped": null, "has_lyrics": false, "license_type": 1})
}

/// What is locked: no file, no streaming.
pub(super) fn locked(song: Value) -> Value {
    with(song, json!({"file": null, "streaming": null}))
}

pub(super) fn with(mut value: Value, fields: Value) -> Value {
    if let (Some(value), Value::Object(fields)) = (value.as_object_mut(), fields) {
        value.extend(fields);
    }
    value
}

fn attribute(name: &str, value: &Value) -> String {
    let escaped = value
        .to_string()
        .replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
        .replace('<', "&lt;");
    format!(" {name}=\"{escaped}\"")
}

/// The page around a `data-tralbum`: the attributes in the site's order, the `-collect-info` one before (notes 3).
pub(super) fn page(tralbum: &Value, embed: &Value, linked: &Value) -> String {
    let attributes = [
        attribute(
            "data-band",
            &json!({"id": 77, "name": "The Band", "subdomain": "theband"}),
        ),
        attribute("data-embed", embed),
        attribute("data-tralbum-collect-info", &json!({"show_collect": true})),
        attribute("data-tralbum", tralbum),
    ];
    format!(
        "<!DOCTYPE html><html><head><title>x | The Band</title><script type=\"application/ld+json\">{linked}</script>\
         <script type=\"text/javascript\"{}></script></head><body>{}</body></html>",
        attributes.concat(),
        "<p>words</p>".repeat(1_000)
    )
}

/// A track's `data-tralbum`.
fn lone(song: Value, current: Value) -> Value {
    let (id, title) = (song["track_id"].clone(), song["title"].clone());
    let own = json!({"id": id, "type": "track", "title": title, "artist": null, "art_id": null, "band_id": 77,
        "album_id": null, "track_number": null, "release_date": null, "publish_date": "10 Mar 2019 23:00:42 GMT"});
    json!({"item_type": "track", "id": id, "artist": "The Band", "art_id": 76_513_327, "current": with(own, current),
        "hasAudio": true, "tralbum_subscriber_only": false, "is_preorder": null, "album_is_preorder": null,
        "album_release_date": null, "trackinfo": [song], "url": "https://theband.bandcamp.com/track/x"})
}

pub(super) fn link(path: &str) -> String {
    format!("https://theband.bandcamp.com/{path}")
}

/// Notes 6 to 8: the release's artist, its cover in size 10, 16,000 bytes a second.
pub(super) fn shown(id: u64, title: &str, seconds: f64) -> WantedSong {
    WantedSong {
        size: Size::About(seconds * BYTES_A_SECOND),
        cover: Some("https://f4.bcbits.com/img/a0076513327_10.jpg".to_owned()),
        ..song(&id.to_string(), title, "The Band", seconds)
    }
}

#[tokio::test]
async fn made_up_single_songs_of_bandcamp_are_shown_by_the_fields_they_have() {
    let mut made = Recordings::of(Site::Bandcamp);
    let single = json!({"title": "x", "numtracks": 1, "artist": "The Band"});
    let inside =
        json!({"album_title": "Old \"Singles\" & More", "artist": "The Band", "art_id": 5});
    let linked = |album: Option<&str>| json!({"@type": "MusicRecording", "name": "x", "inAlbum": album.map(|name| json!({"name": name}))});
    let album = json!({"album_id": 5, "track_number": 4});
    let on_album = WantedSong {
        album: Some("Old \"Singles\" & More".to_owned()),
        number: 4,
        ..shown(2, "A - B", 3.25)
    };
    let cases = [
        // A single: no number, no album; " - " stays (6).
        (
            "single",
            lone(info(1, None, "A - B", 3.2), json!({})),
            &single,
            None,
            shown(1, "A - B", 3.2),
        ),
        // For an album: data-embed names it.
        (
            "of-an-album",
            lone(info(2, Some(4), "A - B", 3.25), album.clone()),
            &inside,
            None,
            on_album.clone(),
        ),
        // Else ld+json does (4).
        (
            "by-linked-data",
            lone(info(3, Some(4), "C", 3.0), album.clone()),
            &single,
            Some("Linked"),
            WantedSong {
                album: Some("Linked".to_owned()),
                number: 4,
                ..shown(3, "C", 3.0)
            },
        ),
        // Its own cover (7), or none.
        (
            "own-cover",
            with(
                lone(
                    info(4, Some(4), "D", 3.0),
                    with(album.clone(), json!({"art_id": 12_345})),
                ),
                json!({"art_id": 12_345}),
            ),
            &inside,
            None,
            WantedSong {
                id: "4".to_owned(),
                cover: Some("https://f4.bcbits.com/img/a0000012345_10.jpg".to_owned()),
                ..WantedSong {
                    title: "D".to_owned(),
                    seconds: Some(3.0),
                    size: Size::About(48_000.0),
                    ..on_album.clone()
                }
            },
        ),
        (
            "no-cover",
            with(
                lone(info(6, None, "E", 3.0), json!({})),
                json!({"art_id": null}),
            ),
            &single,
            None,
            WantedSong {
                cover: None,
                ..shown(6, "E", 3.0)
            },
        ),
        (
            "zero-cover",
            with(
                lone(info(7, None, "E", 3.0), json!({})),
                json!({"art_id": 0}),
            ),
            &single,
            None,
            WantedSong {
                cover: None,
                ..shown(7, "E", 3.0)
            },
        ),
        // The page of a band with a domain of its own (4, 10).
        (
            "own-domain",
            with(
                lone(info(8, None, "F", 3.0), json!({})),
                json!({"url": "https://music.theband.example/track/own-domain"}),
            ),
            &single,
            None,
            shown(8, "F", 3.0),
        ),
        // On the page of a compilation's song the artist is the song's and the title has the prefix (6).
        (
            "of-a-compilation",
            with(
                lone(
                    with(info(9, Some(4), "Ann - Sea", 3.0), json!({"artist": "Ann"})),
                    album,
                ),
                json!({"artist": "Ann"}),
            ),
            &inside,
            None,
            WantedSong {
                artist: Some("Ann".to_owned()),
                title: "Sea".to_owned(),
                id: "9".to_owned(),
                seconds: Some(3.0),
                size: Size::About(48_000.0),
                ..on_album
            },
        ),
    ];
    for (slug, tralbum, embed, in_album, wanted) in cases {
        let link = link(&format!("track/{slug}"));
        made.get(&link, 200, &page(&tralbum, embed, &linked(in_album)));
        made.want(&link, LeadsTo::Song(wanted));
    }
    made.judge().await;
}

#[tokio::test]
async fn made_up_pages_of_bandcamp_without_a_song_say_why() {
    let mut made = Recordings::of(Site::Bandcamp);
    let single = json!({"title": "x", "numtracks": 1});
    let paid = lone(locked(info(1, None, "Mix", 2_700.0)), json!({}));
    let members = with(
        lone(locked(info(2, None, "Mix", 3.0)), json!({})),
        json!({"tralbum_subscriber_only": true}),
    );
    let announced = lone(
        locked(with(
            info(3, None, "Mix", 3.0),
            json!({"unreleased_track": true}),
        )),
        json!({}),
    );
    let cases = [
        ("paid", paid, "paid_only"),
        ("members", members, "members_only"),
        ("announced", announced, "unreleased"),
    ];
    for (slug, tralbum, kind) in cases {
        let link = link(&format!("track/{slug}"));
        made.get(&link, 200, &page(&tralbum, &single, &json!({})));
        made.want(&link, refused(kind));
    }
    // 11, 17: a redirect to a release of the band counts as that release; one to another site is refused.
    made.get(
        &link("track/new-name"),
        200,
        &page(
            &lone(info(5, None, "Renamed", 2.0), json!({})),
            &single,
            &json!({}),
        ),
    );
    made.exchange_to(&link("track/old-name"), &link("track/new-name"));
    made.want(
        &link("track/old-name"),
        LeadsTo::Song(shown(5, "Renamed", 2.0)),
    );
    made.exchange_to(
        &link("track/moved-away"),
        "https://theband.example/track/moved-away",
    );
    made.want(&link("track/moved-away"), refused("unsupported_link"));
    // 11, 3: a band's page has no `current`, or no such attribute.
    let band = page(
        &json!({"url": "https://theband.bandcamp.com"}),
        &json!({}),
        &json!({}),
    );
    made.get(&link(""), 200, &band);
    made.want(&link(""), refused("unsupported_link"));
    made.get(&link("track/band"), 200, &band);
    made.want(&link("track/band"), refused("unsupported_link"));
    let empty = format!(
        "<!DOCTYPE html><html><head><script{}></script></head></html>",
        attribute("data-band", &json!({"id": 77, "name": "x"}))
    );
    made.get(&link("track/new-band"), 200, &empty);
    made.want(&link("track/new-band"), refused("unsupported_link"));
    made.get(
        &link("track/deleted"),
        404,
        "<!DOCTYPE html><title>404 | Bandcamp</title>",
    );
    made.want(&link("track/deleted"), refused("not_found"));
    // 15: HTTP 200, small, for browsers only. Last, for it may make the service wait.
    let challenge = "<!DOCTYPE html><html><head><title>Client Challenge</title><script src=\"/_fs-ch-1T1wmsGaOgGaSxcX/script.js\">\
                     </script></head><body><noscript>Please enable JavaScript</noscript></body></html>";
    made.get(&link("album/challenged"), 200, challenge);
    made.want(&link("album/challenged"), refused("bot_check"));
    made.judge().await;
}
