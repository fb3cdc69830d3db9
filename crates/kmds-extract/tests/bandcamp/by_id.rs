//! Bare ids: the mobile answer, and the player's page as its second door (sections 9 and 13).

use super::*;

#[tokio::test]
async fn a_bare_track_id_is_one_mobile_answer() {
    let site = Site::new().with(
        "/api/mobile/22/tralbum_details",
        page(200, &mobile(4).to_string()),
    );
    let Ok(Resolved::Track(track)) = ask(&site, PLAYER_TRACK).await else {
        panic!("a track")
    };
    assert_eq!(
        site.urls(),
        [
            "https://bandcamp.com/api/mobile/22/tralbum_details?band_id=1&tralbum_id=4&tralbum_type=t"
        ]
    );
    assert_eq!(
        (track.title.as_str(), track.artist.as_deref()),
        ("Ebb", Some("Tin Harbour"))
    );
    assert_eq!(
        (track.album.as_deref(), track.number, track.total),
        (Some("Low Tide"), Some(4), None)
    );
    assert_eq!(track.date.as_deref(), Some("2020-01-01"));
    assert_eq!(
        track.cover_url.as_deref(),
        Some("https://f4.bcbits.com/img/a0076513327_10.jpg")
    );
    assert_eq!(track.link, TRACK);
    assert_eq!(track.streams[0].validator, "bandcamp 4 mp3-128");
    assert!(
        track.streams[0]
            .expires_unix
            .is_some_and(|at| at > NOW_UNIX),
        "its ts is the time of asking"
    );
    assert_eq!(
        track.source,
        Source::Bandcamp(BandcampSource {
            page: Some(TRACK.to_owned()),
            track_id: 4,
            band_id: Some(1_196_681_540)
        })
    );
}

#[tokio::test]
async fn a_bare_album_id_gives_its_songs_with_their_own_covers() {
    let mut answer = mobile(4);
    answer["type"] = json!("a");
    answer["id"] = json!(9);
    answer["title"] = json!("Low Tide");
    answer["bandcamp_url"] = json!(ALBUM);
    answer["tracks"][0]["art_id"] = json!(5);
    answer["tracks"][0]["track_num"] = json!(1);
    let site = Site::new().with(
        "tralbum_id=9&tralbum_type=a",
        page(200, &answer.to_string()),
    );
    let Ok(Resolved::Collection(collection)) = ask(&site, PLAYER_ALBUM).await else {
        panic!("an album")
    };
    assert_eq!(
        (collection.id.as_str(), collection.link.as_str()),
        ("9", ALBUM)
    );
    let songs = songs(&collection);
    assert_eq!(
        songs[0].cover_url.as_deref(),
        Some("https://f4.bcbits.com/img/a0000000005_10.jpg")
    );
    assert_eq!(
        (songs[0].number, songs[0].total, songs[0].album.as_deref()),
        (Some(1), Some(1), Some("Low Tide"))
    );
}

#[tokio::test]
async fn the_players_page_is_the_second_door_of_bare_ids() {
    let tracks = json!([{"id": 4, "title": "Ebb", "artist": "Tin Harbour", "duration": 124.8, "file": {"mp3-128": file_url(4)}}]);
    for first in [
        challenge(),
        page(403, ""),
        page(404, ""),
        page(200, "<html>"),
        page(200, "{}"),
        page(500, ""),
    ] {
        let site = Site::new()
            .with("/api/", first)
            .with("/EmbeddedPlayer/track=4", player(&tracks, TRACK));
        let Ok(Resolved::Track(track)) = ask(&site, PLAYER_TRACK).await else {
            panic!("a track")
        };
        assert_eq!(site.urls().len(), 2);
        assert_eq!(
            (
                track.title.as_str(),
                track.album.as_deref(),
                track.link.as_str()
            ),
            ("Ebb", Some("Low Tide"), TRACK)
        );
        assert_eq!(url(&track), file_url(4));
    }
}

#[tokio::test]
async fn bare_ids_fail_in_the_words_of_the_door_that_knows() {
    let error = |message: &str| {
        page(
            200,
            &json!({"error": true, "error_message": message}).to_string(),
        )
    };
    let mut paid = mobile(4);
    paid["tracks"][0]["streaming_url"] = Value::Null;
    let paid = page(200, &paid.to_string());
    for (mobile, player, kind, requests) in [
        (
            error("band_id 0 not found"),
            page(500, ""),
            Kind::NotFound,
            1,
        ),
        (
            error("tralbum 4 not found"),
            page(500, ""),
            Kind::NotFound,
            1,
        ),
        (
            error("band_id 1 not found"),
            page(404, ""),
            Kind::NotFound,
            2,
        ),
        (error("try again"), page(404, ""), Kind::NotFound, 2),
        (paid, page(500, ""), Kind::PaidOnly, 1),
        (page(429, ""), page(500, ""), Kind::RateLimited, 1),
        (challenge(), challenge(), Kind::BotCheck, 2),
        (challenge(), page(200, "<html>"), Kind::BotCheck, 2),
        (page(200, "[]"), page(200, "<html>"), Kind::PageChanged, 2),
        (page(200, "[]"), Err(OriginError::Timeout), Kind::Timeout, 2),
    ] {
        let site = Site::new()
            .with("/api/", mobile)
            .with("/EmbeddedPlayer/", player);
        let error = ask(&site, PLAYER_TRACK).await.expect_err("a failure");
        assert_eq!(
            (error.kind(), site.urls().len()),
            (kind, requests),
            "{error}"
        );
    }
}
