//! Fresh stream URLs for a song that is known.

use super::*;

fn source(page: Option<&str>, band_id: Option<u64>) -> Source {
    Source::Bandcamp(BandcampSource {
        page: page.map(str::to_owned),
        track_id: 4,
        band_id,
    })
}

async fn fresh(
    site: &Site,
    page: Option<&str>,
    band_id: Option<u64>,
) -> Result<Track, ExtractError> {
    asked_again(site, page, band_id, Lack::Streams)
        .await
        .map(|fresh| fresh.track)
}

async fn asked_again(
    site: &Site,
    page: Option<&str>,
    band_id: Option<u64>,
    lack: Lack,
) -> Result<Refreshed, ExtractError> {
    refresh(&source(page, band_id), lack, site, &Recipes::built_in()).await
}

#[tokio::test]
async fn a_fresh_url_of_a_lone_track_costs_one_small_answer_where_the_band_is_known() {
    let site = Site::new().with(
        "band_id=77&tralbum_id=4&tralbum_type=t",
        page(200, &mobile(4).to_string()),
    );
    let track = fresh(&site, Some(TRACK), Some(77)).await.expect("a track");
    assert_eq!(site.urls().len(), 1);
    assert_eq!(track.streams[0].validator, "bandcamp 4 mp3-128");
}

#[tokio::test]
async fn an_albums_page_brings_the_streams_of_all_its_songs() {
    let songs = vec![
        song(3, 1, "Ebb"),
        song(4, 2, "Flow"),
        locked(5, 3, "Surge"),
        song(6, 4, "Slack"),
    ];
    let site = Site::new().with("/album/", album_page(&album(songs)));
    let fresh = asked_again(&site, Some(ALBUM), Some(77), Lack::Streams)
        .await
        .expect("a track");
    assert_eq!(site.urls(), [ALBUM]);
    assert_eq!(
        (fresh.track.id.id(), url(&fresh.track)),
        ("4", file_url(4).as_str())
    );
    let beside: Vec<_> = fresh
        .beside
        .iter()
        .map(|track| (track.id.id(), url(track)))
        .collect();
    assert_eq!(
        beside,
        [("3", file_url(3).as_str()), ("6", file_url(6).as_str())]
    );
}

#[tokio::test]
async fn what_did_not_work_is_replaced_from_the_page() {
    let site = Site::new()
        .with("/api/", page(200, &mobile(4).to_string()))
        .with("/track/", track_page(&track(song(4, 4, "Ebb"))));
    let first = fresh(&site, Some(TRACK), Some(7)).await.expect("a track");
    assert!(url(&first).contains("stream_redirect"));
    let next = asked_again(&site, Some(TRACK), Some(7), Lack::GoodStreams)
        .await
        .expect("a track")
        .track;
    assert_eq!(url(&next), file_url(4));
    assert_eq!(
        next.streams[0].validator, first.streams[0].validator,
        "the bytes so far are kept"
    );
    assert_eq!(site.urls().len(), 2);
}

#[tokio::test]
async fn each_door_stands_in_for_the_other() {
    let body = track_page(&track(song(4, 4, "Ebb")));
    let failures = [
        challenge(),
        page(403, ""),
        page(404, ""),
        page(500, ""),
        page(200, "{\"error\":true}"),
        page(
            200,
            "{\"error\":true,\"error_message\":\"tralbum 4 not found\"}",
        ),
        Err(OriginError::Timeout),
    ];
    for failure in failures.clone() {
        let site = Site::new()
            .with("/api/", failure)
            .with("/track/", body.clone());
        assert_eq!(
            fresh(&site, Some(TRACK), Some(7))
                .await
                .expect("a track")
                .id
                .id(),
            "4"
        );
        assert_eq!(site.urls().len(), 2);
    }
    for failure in [
        challenge(),
        page(403, ""),
        page(500, ""),
        page(200, "<html>"),
    ] {
        let site = Site::new()
            .with("/album/", failure)
            .with("/api/", page(200, &mobile(4).to_string()));
        assert_eq!(
            fresh(&site, Some(ALBUM), None)
                .await
                .expect("a track")
                .id
                .id(),
            "4"
        );
        assert_eq!(site.urls().len(), 2);
    }
    let site = Site::new().with("", challenge());
    assert_eq!(
        fresh(&site, Some(TRACK), Some(7))
            .await
            .expect_err("challenged")
            .kind(),
        Kind::BotCheck
    );
    let site = Site::new().with("", page(429, ""));
    assert_eq!(
        fresh(&site, Some(TRACK), Some(7))
            .await
            .expect_err("limited")
            .kind(),
        Kind::RateLimited
    );
    assert_eq!(site.urls().len(), 1);
}

#[tokio::test]
async fn a_song_may_be_called_client_challenge() {
    let mut answer = mobile(4);
    answer["tracks"][0]["title"] = json!("Client Challenge");
    let site = Site::new().with("/api/", page(200, &answer.to_string()));
    let Ok(Resolved::Track(track)) = ask(&site, PLAYER_TRACK).await else {
        panic!("a track")
    };
    assert_eq!(track.title, "Client Challenge");
}

#[tokio::test]
async fn a_track_that_left_its_album_is_not_found() {
    let site = Site::new().with("/album/", album_page(&album(vec![song(3, 1, "Ebb")])));
    assert_eq!(
        fresh(&site, Some(ALBUM), None)
            .await
            .expect_err("gone")
            .kind(),
        Kind::NotFound
    );
}

#[tokio::test]
async fn a_track_without_a_page_is_asked_for_by_its_id() {
    let site = Site::new().with(
        "band_id=1&tralbum_id=4&tralbum_type=t",
        page(200, &mobile(4).to_string()),
    );
    assert_eq!(
        fresh(&site, None, None).await.expect("a track").title,
        "Ebb"
    );
    let site = Site::new().with("", page(404, ""));
    assert_eq!(
        fresh(&site, Some("https://evil.example/track/x"), None)
            .await
            .expect_err("gone")
            .kind(),
        Kind::NotFound
    );
    assert!(
        site.urls()
            .iter()
            .all(|url| url.starts_with("https://bandcamp.com/")),
        "a stored page is checked again"
    );
}
