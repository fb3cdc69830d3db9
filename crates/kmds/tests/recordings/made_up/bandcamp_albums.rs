//! Pages of albums (Bandcamp notes 4, 6, 7, 14).

use kmds_lab::Site;
use serde_json::{Value, json};

use super::bandcamp::{info, link, locked, page, shown, with};
use super::{Recordings, WantedSong, list, numbered, refused};

/// An album's `data-tralbum`.
fn album(songs: &[Value]) -> Value {
    json!({"item_type": "album", "id": 4_024_586_216_u64, "artist": "The Band", "art_id": 76_513_327, "hasAudio": true,
        "tralbum_subscriber_only": false, "is_preorder": false, "album_is_preorder": false,
        "album_release_date": "01 Nov 2019 00:00:00 GMT",
        "current": {"id": 4_024_586_216_u64, "type": "album", "title": "The Album", "artist": null, "art_id": 76_513_327,
            "band_id": 77, "release_date": "01 Nov 2019 00:00:00 GMT", "publish_date": "31 Oct 2019 20:58:39 GMT"},
        "trackinfo": songs, "url": "https://theband.bandcamp.com/album/x"})
}

fn write(made: &mut Recordings, slug: &str, tralbum: &Value) -> String {
    let link = link(&format!("album/{slug}"));
    let embed = json!({"album_title": tralbum["current"]["title"], "artist": tralbum["artist"], "art_id": tralbum["art_id"]});
    let count = tralbum["trackinfo"].as_array().map_or(0, Vec::len);
    made.get(
        &link,
        200,
        &page(
            tralbum,
            &embed,
            &json!({"@type": "MusicAlbum", "name": "The Album", "numTracks": count}),
        ),
    );
    link
}

fn on_album(id: u64, title: &str, seconds: f64) -> WantedSong {
    WantedSong {
        album: Some("The Album".to_owned()),
        ..shown(id, title, seconds)
    }
}

fn by(artist: &str, song: WantedSong) -> WantedSong {
    WantedSong {
        artist: Some(artist.to_owned()),
        ..song
    }
}

fn gone(kind: &str) -> Result<WantedSong, String> {
    Err(kind.to_owned())
}

#[tokio::test]
async fn made_up_albums_of_bandcamp_name_songs_and_artists_by_the_rules() {
    let mut made = Recordings::of(Site::Bandcamp);
    // 6: split only for "Various Artists" and its like, and only at the one " - ".
    for (place, various) in ["Various Artists", "Various", "V/A", "VA"]
        .into_iter()
        .enumerate()
    {
        let base = 100 * (place as u64 + 1);
        let songs = [
            info(base + 1, Some(1), "Ann - Sea", 2.5),
            info(base + 2, Some(2), "Bob - Sky - Live", 2.5),
            info(base + 3, Some(3), "Sand", 2.5),
        ];
        let link = write(
            &mut made,
            &format!("compilation-{place}"),
            &with(album(&songs), json!({"artist": various})),
        );
        let places = vec![
            Ok(by("Ann", on_album(base + 1, "Sea", 2.5))),
            Ok(by(various, on_album(base + 2, "Bob - Sky - Live", 2.5))),
            Ok(by(various, on_album(base + 3, "Sand", 2.5))),
        ];
        made.want(&link, list(numbered(places)));
    }
    // 6: a song with its own artist has exactly that prefix; without one nothing is split.
    let songs = [
        with(
            info(1, Some(1), "Ann - Sea - Live", 2.1),
            json!({"artist": "Ann"}),
        ),
        info(2, Some(2), "Bob - Sky", 2.2),
        with(info(3, Some(3), "Sand", 2.3), json!({"artist": "Cy"})),
    ];
    let link = write(&mut made, "guests", &album(&songs));
    let places = vec![
        Ok(by("Ann", on_album(1, "Sea - Live", 2.1))),
        Ok(on_album(2, "Bob - Sky", 2.2)),
        Ok(by("Cy", on_album(3, "Sand", 2.3))),
    ];
    made.want(&link, list(numbered(places)));

    // 7: no picture. 4: no page of its own for a song, and the album's on the band's own domain.
    let songs = [
        with(info(4, Some(1), "Sea", 2.0), json!({"title_link": null})),
        info(5, Some(2), "Sky & \"Sand\" <3 it's", 2.0),
    ];
    let bare = with(
        album(&songs),
        json!({"art_id": null, "url": "https://music.theband.example/album/bare"}),
    );
    let bare = with(
        bare.clone(),
        json!({"current": with(bare["current"].clone(), json!({"art_id": null}))}),
    );
    let link = write(&mut made, "bare", &bare);
    let uncovered = |song: WantedSong| WantedSong {
        cover: None,
        ..song
    };
    let places = vec![
        Ok(uncovered(on_album(4, "Sea", 2.0))),
        Ok(uncovered(on_album(5, "Sky & \"Sand\" <3 it's", 2.0))),
    ];
    made.want(&link, list(numbered(places)));
    made.judge().await;
}

#[tokio::test]
async fn a_made_up_album_of_62_songs_is_shown_whole() {
    let mut made = Recordings::of(Site::Bandcamp);
    let ids = 3_000_000_001_u64..3_000_000_063;
    let title = |id: u64| format!("Song {}", id - 3_000_000_000);
    let songs: Vec<Value> = ids
        .clone()
        .map(|id| info(id, Some(id - 3_000_000_000), &title(id), 1.5))
        .collect();
    let link = write(&mut made, "long", &album(&songs));
    made.want(
        &link,
        list(numbered(
            ids.map(|id| Ok(on_album(id, &title(id), 1.5))).collect(),
        )),
    );
    made.judge().await;
}

#[tokio::test]
async fn made_up_albums_of_bandcamp_with_locked_songs_say_which_and_why() {
    let mut made = Recordings::of(Site::Bandcamp);
    // 14: those locked keep their place.
    let songs = [
        info(1, Some(1), "One", 2.0),
        locked(info(2, Some(2), "Two", 0.0)),
        info(3, Some(3), "Three", 2.0),
    ];
    let link = write(&mut made, "partly-locked", &album(&songs));
    let places = vec![
        Ok(on_album(1, "One", 2.0)),
        gone("paid_only"),
        Ok(on_album(3, "Three", 2.0)),
    ];
    made.want(&link, list(numbered(places)));

    // 14: unreleased by its mark, or by a pre-order without a page of the song; with a page it is for buyers.
    let coming = json!({"album_preorder": true, "title_link": null});
    let songs = [
        with(
            info(11, Some(1), "One", 2.0),
            json!({"album_preorder": true}),
        ),
        locked(with(info(12, Some(2), "Two", 0.0), coming.clone())),
        locked(with(
            info(13, Some(3), "Three", 0.0),
            json!({"unreleased_track": true}),
        )),
        locked(with(
            info(14, Some(4), "Four", 0.0),
            json!({"album_preorder": true}),
        )),
    ];
    let preorder = json!({"is_preorder": true, "album_is_preorder": true, "album_release_date": "01 Jan 2099 00:00:00 GMT"});
    let link = write(
        &mut made,
        "preorder",
        &with(album(&songs), preorder.clone()),
    );
    let places = vec![
        Ok(on_album(11, "One", 2.0)),
        gone("unreleased"),
        gone("unreleased"),
        gone("paid_only"),
    ];
    made.want(&link, list(numbered(places)));

    // 14: nothing yet and a date to come; all for buyers; the whole album locked; for subscribers.
    let nothing = [
        locked(with(info(21, Some(1), "One", 0.0), coming.clone())),
        locked(with(info(22, Some(2), "Two", 0.0), coming)),
    ];
    let future = with(album(&nothing), preorder);
    let day = json!({"release_date": "01 Jan 2099 00:00:00 GMT"});
    let future = with(
        future.clone(),
        json!({"current": with(future["current"].clone(), day)}),
    );
    let bought = album(&[
        locked(info(31, Some(1), "One", 2.0)),
        locked(info(32, Some(2), "Two", 2.0)),
    ]);
    let members = with(
        album(&[locked(info(41, Some(1), "One", 2.0))]),
        json!({"tralbum_subscriber_only": true}),
    );
    let cases = [
        ("future", future, "unreleased"),
        ("bought", bought, "paid_only"),
        ("locked", album(&[]), "paid_only"),
        ("members", members, "members_only"),
    ];
    for (slug, tralbum, kind) in cases {
        let link = write(&mut made, slug, &tralbum);
        made.want(&link, refused(kind));
    }
    made.judge().await;
}
