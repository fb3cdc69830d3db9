//! Table 2.7: what status and reasons mean.

use kmds_extract::Kind;
use serde_json::{Value, json};

use crate::fake::{AAC, Fake, format, ok, page, playing, status};

#[tokio::test]
async fn every_final_row_of_the_status_table_has_its_kind_and_takes_one_call() {
    for (word, reason, kind) in [
        ("LOGIN_REQUIRED", "This video is private", Kind::Private),
        (
            "LOGIN_REQUIRED",
            "Sign in to confirm your age",
            Kind::AgeRestricted,
        ),
        (
            "LOGIN_REQUIRED",
            "This video may be inappropriate for some users.",
            Kind::AgeRestricted,
        ),
        ("AGE_CHECK_REQUIRED", "", Kind::AgeRestricted),
        ("AGE_VERIFICATION_REQUIRED", "", Kind::AgeRestricted),
        ("LOGIN_REQUIRED", "Please sign in", Kind::LoginRequired),
        (
            "UNPLAYABLE",
            "The uploader has not made this video available in your country",
            Kind::GeoBlocked,
        ),
        (
            "UNPLAYABLE",
            "This video is available to this channel's members on level: Fan",
            Kind::MembersOnly,
        ),
        (
            "UNPLAYABLE",
            "Join this channel to get access",
            Kind::MembersOnly,
        ),
        (
            "UNPLAYABLE",
            "This video is only available to Music Premium members",
            Kind::PaidOnly,
        ),
        (
            "UNPLAYABLE",
            "This video requires payment to watch.",
            Kind::PaidOnly,
        ),
        ("UNPLAYABLE", "Log in to watch this", Kind::LoginRequired),
        ("UNPLAYABLE", "Video unavailable", Kind::Unavailable),
        ("ERROR", "Video unavailable", Kind::NotFound),
        (
            "ERROR",
            "This video is no longer available because the account has been terminated",
            Kind::NotFound,
        ),
        (
            "ERROR",
            "The uploader has closed their account",
            Kind::NotFound,
        ),
        (
            "ERROR",
            "This video has been removed by the uploader",
            Kind::NotFound,
        ),
        (
            "LIVE_STREAM_OFFLINE",
            "Premieres in 3 hours",
            Kind::Unreleased,
        ),
        (
            "LIVE_STREAM_OFFLINE",
            "This live event will begin in a few moments.",
            Kind::Unreleased,
        ),
        ("LIVE_STREAM_OFFLINE", "Offline", Kind::Unreleased),
    ] {
        let fake = Fake::player([status(word, reason)]);
        let error = fake.refused().await;
        assert_eq!(error.kind(), kind, "{word}: {reason}");
        assert_eq!(error.title(), Some("A Song"), "{word}: {reason}");
        assert_eq!(fake.count("player answer"), 1, "{word}: {reason}");
    }
}

#[tokio::test]
async fn reasons_are_found_wherever_and_however_they_are_written() {
    let screen = |sub: Value| {
        json!({"status": "UNPLAYABLE", "reason": {"simpleText": "Video unavailable"},
            "errorScreen": {"playerErrorMessageRenderer": {"subreason": sub}}})
    };
    let between = |word: &str, title: &str, description: &str| {
        json!({"status": word, "errorScreen": {"playerInterstitialRenderer": {"content": {"interstitialViewModel":
            {"title": {"content": title}, "description": {"content": description}}}}}})
    };
    for (shown, kind) in [
        (
            screen(json!({"runs": [{"text": "Not available "}, {"text": "in your country"}]})),
            Kind::GeoBlocked,
        ),
        (
            json!({"status": "LOGIN_REQUIRED", "messages": ["This video is private."]}),
            Kind::Private,
        ),
        (
            json!({"status": "LOGIN_REQUIRED", "desktopLegacyAgeGateReason": 1}),
            Kind::AgeRestricted,
        ),
        (
            screen(json!("This video is not available")),
            Kind::Unavailable,
        ),
        (
            between(
                "UNPLAYABLE",
                "Video unavailable",
                "Not available in your country",
            ),
            Kind::GeoBlocked,
        ),
        (
            between("LOGIN_REQUIRED", "This video is private", ""),
            Kind::Private,
        ),
        (
            between("LOGIN_REQUIRED", "", "Sign in to confirm your age"),
            Kind::AgeRestricted,
        ),
        (
            between("UNPLAYABLE", "Join this channel to get access", ""),
            Kind::MembersOnly,
        ),
        (
            between("ERROR", "", "This video has been removed by the uploader"),
            Kind::NotFound,
        ),
    ] {
        let fake = Fake::player([ok(
            json!({"playabilityStatus": shown, "padding": "to be longer than a stub is"}),
        )]);
        assert_eq!(fake.refused().await.kind(), kind, "{shown}");
    }
}

#[tokio::test]
async fn live_and_upcoming_are_refused_although_the_answer_says_ok() {
    for (field, value, kind) in [
        ("isLive", json!(true), Kind::Live),
        ("isPostLiveDvr", json!(true), Kind::Live),
        ("isUpcoming", json!(true), Kind::Unreleased),
    ] {
        let mut answer = playing(&[format(140, AAC)]);
        answer["videoDetails"][field] = value;
        assert_eq!(
            Fake::player([ok(answer)]).refused().await.kind(),
            kind,
            "{field}"
        );
    }
    let mut answer = playing(&[format(140, AAC)]);
    answer["playabilityStatus"]["liveStreamability"] = json!({"liveStreamabilityRenderer": {}});
    assert_eq!(
        Fake::player([ok(answer)]).refused().await.kind(),
        Kind::Live
    );
    let mut offline = playing(&[]);
    offline["playabilityStatus"] = json!({"status": "LIVE_STREAM_OFFLINE", "reason": "Offline"});
    offline["videoDetails"]["isPostLiveDvr"] = json!(true);
    assert_eq!(
        Fake::player([ok(offline)]).refused().await.kind(),
        Kind::Live
    );
}

#[tokio::test]
async fn a_geo_block_names_the_song() {
    let fake = Fake::player([status("UNPLAYABLE", "Not available in your country")]);
    assert_eq!(fake.refused().await.title(), Some("A Song"));
}

#[tokio::test]
async fn an_empty_object_is_a_video_that_never_existed() {
    let fake = Fake::player([page(200, "{}")]);
    assert_eq!(fake.refused().await.kind(), Kind::NotFound);
    assert_eq!(fake.count("player answer"), 1);
}
