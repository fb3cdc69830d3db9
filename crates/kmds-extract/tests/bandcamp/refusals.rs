//! What cannot be played, and the failure table.

use super::*;

// Section 14: what cannot be played.

#[tokio::test]
async fn a_paid_track_is_refused_with_its_title() {
    let error = refusal(TRACK, track_page(&track(locked(4, 4, "Mix")))).await;
    assert_eq!((error.kind(), error.title()), (Kind::PaidOnly, Some("Mix")));
}

#[tokio::test]
async fn an_album_that_hides_all_its_songs_is_paid_only() {
    let error = refusal(ALBUM, album_page(&album(Vec::new()))).await;
    assert_eq!(
        (error.kind(), error.title()),
        (Kind::PaidOnly, Some("Low Tide & Rain"))
    );
}

#[tokio::test]
async fn locked_songs_keep_their_places_and_say_why() {
    let mut unreleased = locked(12, 2, "Later");
    unreleased["unreleased_track"] = json!(true);
    let mut preordered = locked(13, 3, "Soon");
    preordered["album_preorder"] = json!(true);
    preordered["title_link"] = Value::Null;
    let mut preordered_with_page = locked(14, 4, "Page");
    preordered_with_page["album_preorder"] = json!(true);
    let songs = vec![
        song(11, 1, "Ebb"),
        unreleased,
        preordered,
        preordered_with_page,
        locked(15, 5, "Paid"),
    ];
    let collection = many(ALBUM, album_page(&album(songs))).await;
    assert_eq!(
        kinds(&collection),
        [
            None,
            Some(Kind::Unreleased),
            Some(Kind::Unreleased),
            Some(Kind::PaidOnly),
            Some(Kind::PaidOnly)
        ]
    );
    let Entry::Unavailable(missing) = &collection.entries[4] else {
        panic!("locked")
    };
    assert_eq!(
        (missing.number, missing.title.as_deref()),
        (5, Some("Paid"))
    );
    let Entry::Track(first) = &collection.entries[0] else {
        panic!("playable")
    };
    assert_eq!(first.total, Some(5));
}

#[tokio::test]
async fn a_preordered_album_marks_songs_without_a_page_as_unreleased() {
    let mut hidden = locked(12, 2, "Later");
    hidden["title_link"] = Value::Null;
    let mut tralbum = album(vec![
        song(11, 1, "Ebb"),
        hidden,
        locked(13, 3, "Has a page"),
    ]);
    tralbum["is_preorder"] = json!(true);
    tralbum["current"]["release_date"] = json!("24 Dec 2026 00:00:00 GMT");
    let collection = many(ALBUM, album_page(&tralbum)).await;
    assert_eq!(
        kinds(&collection),
        [None, Some(Kind::Unreleased), Some(Kind::PaidOnly)]
    );
}

#[tokio::test]
async fn a_release_of_the_future_is_unreleased_and_names_its_day() {
    let mut tralbum = album(vec![locked(11, 1, "Ebb"), locked(12, 2, "Flow")]);
    tralbum["current"]["release_date"] = json!("24 Dec 2026 00:00:00 GMT");
    let collection = many(ALBUM, album_page(&tralbum)).await;
    for entry in &collection.entries {
        let Entry::Unavailable(missing) = entry else {
            panic!("locked")
        };
        assert_eq!(missing.error.kind(), Kind::Unreleased);
        assert!(
            missing.error.to_string().contains("2026-12-24"),
            "{}",
            missing.error
        );
    }
    // Postponed: one of the two fields has the old day.
    tralbum["current"]["release_date"] = json!("01 Nov 2019 00:00:00 GMT");
    tralbum["album_release_date"] = json!("24 Dec 2026 00:00:00 GMT");
    tralbum["trackinfo"] = json!([]);
    let error = refusal(ALBUM, album_page(&tralbum)).await;
    assert_eq!(error.kind(), Kind::Unreleased);
    assert!(error.to_string().contains("2026-12-24"), "{error}");

    let mut single = track(locked(4, 4, "Ebb"));
    single["current"]["release_date"] = json!("24 Dec 2026 00:00:00 GMT");
    let error = refusal(TRACK, track_page(&single)).await;
    assert_eq!(error.kind(), Kind::Unreleased);
    assert!(error.to_string().contains("2026-12-24"), "{error}");
}

#[tokio::test]
async fn subscribers_only_is_members_only() {
    let mut tralbum = album(vec![locked(11, 1, "Ebb")]);
    tralbum["tralbum_subscriber_only"] = json!(true);
    assert_eq!(
        refusal(ALBUM, album_page(&tralbum)).await.kind(),
        Kind::MembersOnly
    );
    let mut tralbum = track(locked(11, 1, "Ebb"));
    tralbum["tralbum_subscriber_only"] = json!(true);
    assert_eq!(
        refusal(TRACK, track_page(&tralbum)).await.kind(),
        Kind::MembersOnly
    );
}

// Section 17: the failure table.

#[tokio::test]
async fn every_failing_answer_has_its_kind_and_is_asked_for_once() {
    let tralbum = album(vec![song(11, 1, "Ebb")]);
    let mut no_current = tralbum.clone();
    no_current["current"] = Value::Null;
    let mut no_songs = tralbum.clone();
    no_songs["trackinfo"] = Value::Null;
    let broken = html(&tralbum, &json!({}), &json!({}))
        .replace("&quot;trackinfo&quot;:", "&quot;trackinfo&quot;");
    let cut = html(&tralbum, &json!({}), &json!({}))
        .split("trackinfo")
        .next()
        .unwrap_or_default()
        .to_owned();
    let good = html(&tralbum, &json!({}), &json!({}));
    let rows: Vec<(&str, Answer, Kind)> = vec![
        ("challenge", challenge(), Kind::BotCheck),
        (
            "challenge by its assets",
            page(200, "<script src=\"/_fs-ch-9/x\">"),
            Kind::BotCheck,
        ),
        (
            "Varnish",
            page(403, "<?xml?><h1>Error 54113</h1>"),
            Kind::BotCheck,
        ),
        (
            "the delivery network",
            page(406, "<html>Not Acceptable"),
            Kind::BotCheck,
        ),
        ("limit", page(429, ""), Kind::RateLimited),
        (
            "limit with a challenge's words",
            page(429, "Client Challenge"),
            Kind::RateLimited,
        ),
        ("gone", page(404, "Sorry"), Kind::NotFound),
        (
            "moved away, followed",
            redirected("https://evil.example/album/x", &good),
            Kind::UnsupportedLink,
        ),
        (
            "moved to the site itself",
            redirected("https://bandcamp.com/signup?new_domain=x", &good),
            Kind::UnsupportedLink,
        ),
        (
            "moved to a look-alike",
            redirected("https://x.bandcamp.com.evil.example/album/x", &good),
            Kind::UnsupportedLink,
        ),
        (
            "moved away, refused",
            Err(OriginError::NotAllowed("evil.example".to_owned())),
            Kind::UnsupportedLink,
        ),
        (
            "band page without releases",
            page(200, "<script data-band=\"{}\">"),
            Kind::UnsupportedLink,
        ),
        (
            "neither",
            page(200, "<html>hello</html>"),
            Kind::PageChanged,
        ),
        (
            "linked data only",
            page(
                200,
                "<script type=\"application/ld+json\">{\"name\":\"x\"}</script>",
            ),
            Kind::PageChanged,
        ),
        ("band page", album_page(&no_current), Kind::UnsupportedLink),
        (
            "band page's other shape",
            album_page(&json!({"url": "https://x.bandcamp.com"})),
            Kind::UnsupportedLink,
        ),
        ("broken JSON", page(200, &broken), Kind::PageChanged),
        ("cut page", page(200, &cut), Kind::PageChanged),
        ("no trackinfo", album_page(&no_songs), Kind::PageChanged),
        ("failing", page(503, "try later"), Kind::OriginFailed),
        (
            "cut off",
            Err(OriginError::Failed("connection reset".to_owned())),
            Kind::OriginFailed,
        ),
        ("silent", Err(OriginError::Timeout), Kind::Timeout),
        (
            "endless",
            Err(OriginError::TooLarge(8 << 20)),
            Kind::PageChanged,
        ),
        (
            "must wait",
            Err(OriginError::Wait(Duration::from_secs(9))),
            Kind::RateLimited,
        ),
        ("refused", page(401, ""), Kind::OriginRefused),
    ];
    for (name, answer, kind) in rows {
        let site = Site::new().with("", answer);
        let error = ask(&site, ALBUM).await.expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert_eq!(site.urls().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_changed_page_names_what_is_missing() {
    let mut tralbum = album(vec![song(11, 1, "Ebb")]);
    tralbum
        .as_object_mut()
        .expect("an object")
        .remove("trackinfo");
    assert!(
        refusal(ALBUM, album_page(&tralbum))
            .await
            .to_string()
            .contains("trackinfo")
    );
    assert!(
        refusal(ALBUM, page(200, "<html></html>"))
            .await
            .to_string()
            .contains("data-tralbum")
    );
}

#[tokio::test]
async fn limits_and_challenges_say_how_long_to_wait_if_the_site_does() {
    for (answer, seconds) in [
        (page(429, ""), None),
        (with_header(page(429, ""), "retry-after", "17"), Some(17)),
        (with_header(page(429, ""), "retry-after", "soon"), None),
        (
            with_header(
                page(429, ""),
                "retry-after",
                "Mon, 25 May 2026 18:37:11 GMT",
            ),
            Some(90),
        ),
        (challenge(), Some(300)),
        (page(403, ""), Some(300)),
    ] {
        assert_eq!(
            refusal(ALBUM, answer).await.retry_after(),
            seconds.map(Duration::from_secs)
        );
    }
}

#[tokio::test]
async fn a_long_page_that_mentions_a_challenge_is_no_challenge() {
    let tralbum = album(vec![song(11, 1, "Client Challenge")]);
    assert_eq!(
        songs(&many(ALBUM, album_page(&tralbum)).await)[0].title,
        "Client Challenge"
    );
}

#[tokio::test]
async fn after_a_redirect_the_page_that_answered_counts() {
    let body = html(&album(vec![song(11, 1, "Ebb")]), &json!({}), &json!({}));
    let collection = many(
        TRACK,
        redirected("https://newname.bandcamp.com/album/moved?from=x", &body),
    )
    .await;
    assert_eq!(collection.link, "https://newname.bandcamp.com/album/moved");
    assert_eq!(
        songs(&collection)[0].link,
        "https://newname.bandcamp.com/track/song-1"
    );
}
