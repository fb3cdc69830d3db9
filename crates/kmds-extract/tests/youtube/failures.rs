//! Table 5: what is done first, and what it is if it stays.

use std::time::Duration;

use kmds_extract::origin::{OriginError, Page};
use kmds_extract::{ExtractError, Kind, Lack, Recipes, Source, youtube};
use serde_json::{Value, json};

use crate::fake::{AAC, Fake, VIDEO, bot_check, details, format, good, ok, page, playing, status};

#[tokio::test]
async fn a_good_answer_takes_one_call_and_keeps_the_newest_visitor() {
    let fake = Fake::player([good()]);
    let track = fake.track().await.expect("plays");
    assert_eq!(
        (track.title.as_str(), track.artist.as_deref()),
        ("A Song", Some("Someone"))
    );
    assert_eq!(track.duration, Some(Duration::from_millis(61_500)));
    fake.track().await.expect("plays");
    assert_eq!(
        fake.pages(),
        ["visitor id", "player answer", "player answer"]
    );
    let visitors: Vec<String> = fake
        .callers()
        .into_iter()
        .map(|(_, visitor)| visitor)
        .collect();
    assert_eq!(visitors, ["visitor-1%3D", "newest%3D"]);
}

#[tokio::test]
async fn a_visitor_is_replaced_when_he_has_grown_old_however_fresh_his_last_answer() {
    let fresher = |number: u32| {
        let mut answer = playing(&[format(140, AAC)]);
        answer["responseContext"]["visitorData"] = json!(format!("fresher-{number}"));
        ok(answer)
    };
    let fake = Fake::player([1, 2, 3].map(fresher));
    for late in [0, 14_000, 14_500] {
        *fake.late.lock().expect("lock") = late;
        fake.track().await.expect("plays");
    }
    let visitors: Vec<String> = fake
        .callers()
        .into_iter()
        .map(|(_, visitor)| visitor)
        .collect();
    assert_eq!(visitors, ["visitor-1%3D", "fresher-1", "visitor-2%3D"]);
}

#[tokio::test]
async fn a_refused_identity_gives_way_to_the_next_and_is_passed_over_for_an_hour() {
    for body in ["FAILED_PRECONDITION", "INVALID_ARGUMENT"] {
        let refusal = page(400, json!({"error": {"code": 400, "status": body}}));
        let fake = Fake::player([refusal, good()]);
        fake.track().await.expect("plays as another");
        fake.track().await.expect("plays");
        let devices: Vec<String> = fake
            .callers()
            .into_iter()
            .map(|(device, _)| device)
            .collect();
        assert_eq!(devices, ["26.6.0.23O770", "26.5.23O471", "26.5.23O471"]);
        *fake.late.lock().expect("lock") = 3_600;
        fake.track().await.expect("plays");
        assert_eq!(fake.callers()[3].0, "26.6.0.23O770");
    }
}

#[tokio::test]
async fn the_newest_identity_is_asked_first_and_the_obsolete_one_last() {
    let refusal = || {
        page(
            400,
            json!({"error": {"code": 400, "status": "FAILED_PRECONDITION"}}),
        )
    };
    let fake = Fake::player([refusal(), refusal(), good()]);
    fake.track().await.expect("plays as the last");
    let asked = fake.asked();
    let clients = asked
        .iter()
        .filter(|(page, ..)| *page == "player answer")
        .map(|(.., body)| {
            let client = &body["context"]["client"];
            [
                &client["clientVersion"],
                &client["deviceModel"],
                &client["osVersion"],
            ]
            .map(|it| it.as_str().unwrap_or_default().to_owned())
        });
    let wanted = [
        ["1.04", "RealityDevice17,1", "26.6.0.23O770"],
        ["1.02", "RealityDevice17,1", "26.5.23O471"],
        ["1.02", "RealityDevice14,1", "25.6.0.23O471"],
    ];
    assert!(
        clients.eq(wanted.map(|client| client.map(str::to_owned))),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_refusal_of_which_no_text_is_known_is_asked_once_more_then_as_another_and_is_no_last_word()
 {
    let silent =
        |word: &str| ok(json!({"playabilityStatus": {"status": word}, "videoDetails": details()}));
    for unknown in [
        silent("UNPLAYABLE"),
        silent("ERROR"),
        silent("LOGIN_REQUIRED"),
        silent("CONTENT_CHECK_REQUIRED"),
        silent("A_NEW_WORD"),
        status("UNPLAYABLE", "Something never seen"),
        status("LOGIN_REQUIRED", "Words never seen"),
    ] {
        let fake = Fake::player([unknown.clone()]);
        let error = fake.refused().await;
        assert_eq!(error.kind(), Kind::PageChanged);
        assert!(error.kind().retryable());
        let devices: Vec<String> = fake
            .callers()
            .into_iter()
            .map(|(device, _)| device)
            .collect();
        assert_eq!(devices, ["26.6.0.23O770", "26.6.0.23O770", "26.5.23O471"]);
        Fake::player([unknown.clone(), good()])
            .track()
            .await
            .expect("plays the second time");
        Fake::player([unknown.clone(), unknown, good()])
            .track()
            .await
            .expect("plays as another");
    }
}

#[tokio::test]
async fn identities_all_refused_are_a_changed_page_and_one_of_them_is_asked_next_time() {
    let fake = Fake::player([page(400, json!({"error": {}}))]);
    assert_eq!(fake.refused().await.kind(), Kind::PageChanged);
    assert_eq!(fake.count("player answer"), 3);
    assert_eq!(fake.refused().await.kind(), Kind::PageChanged);
    assert_eq!(fake.count("player answer"), 4);
}

#[tokio::test]
async fn a_limited_address_gets_one_new_visitor_after_a_short_pause() {
    for code in [403, 429] {
        let mut limited = page(code, "<html>sorry</html>");
        let fake = Fake::player([limited.clone(), good()]);
        fake.track().await.expect("plays");
        assert_eq!(
            fake.pages(),
            ["visitor id", "player answer", "visitor id", "player answer"],
            "{code}"
        );

        limited
            .headers
            .push(("retry-after".to_owned(), "77".to_owned()));
        let fake = Fake::player([limited]);
        let error = fake.refused().await;
        assert_eq!(
            (error.kind(), error.retry_after()),
            (Kind::RateLimited, Some(Duration::from_secs(77)))
        );
        assert_eq!(fake.count("player answer"), 2);
        assert!(*fake.paused.lock().expect("lock") <= Duration::from_secs(5));
    }
}

#[tokio::test]
async fn try_again_later_gets_one_new_visitor() {
    for reason in [
        "This content isn’t available, try again later.",
        "Request limit reached",
    ] {
        let fake = Fake::player([status("UNPLAYABLE", reason)]);
        let error = fake.refused().await;
        assert_eq!(error.kind(), Kind::RateLimited);
        assert!(error.retry_after().is_some());
        let visitors: Vec<String> = fake
            .callers()
            .into_iter()
            .map(|(_, visitor)| visitor)
            .collect();
        assert_eq!(visitors, ["visitor-1%3D", "visitor-2%3D"]);
    }
}

#[tokio::test]
async fn a_bot_check_gets_a_new_visitor_once_then_another_identity_once() {
    let captcha = ok(
        json!({"playabilityStatus": {"status": "UNPLAYABLE", "errorScreen": {"playerCaptchaViewModel": {}}}}),
    );
    for check in [bot_check(), captcha] {
        let fake = Fake::player([check]);
        let error = fake.refused().await;
        assert_eq!(
            (error.kind(), error.retry_after()),
            (Kind::BotCheck, Some(Duration::from_secs(900)))
        );
        let callers = fake.callers();
        let callers: Vec<(&str, &str)> = callers
            .iter()
            .map(|(device, visitor)| (device.as_str(), visitor.as_str()))
            .collect();
        assert_eq!(
            callers,
            [
                ("26.6.0.23O770", "visitor-1%3D"),
                ("26.6.0.23O770", "visitor-2%3D"),
                ("26.5.23O471", "visitor-3%3D")
            ]
        );
    }
    Fake::player([bot_check(), good()])
        .track()
        .await
        .expect("plays with a new visitor");
    Fake::player([bot_check(), bot_check(), good()])
        .track()
        .await
        .expect("plays as another");
}

#[tokio::test]
async fn what_is_no_answer_is_asked_for_once_more() {
    let mut oops = good();
    oops.final_url = "https://www.youtube.com/oops".to_owned();
    let mut untitled = playing(&[format(140, AAC)]);
    untitled["videoDetails"]["title"] = Value::Null;
    let mut undetailed = playing(&[format(140, AAC)]);
    undetailed["videoDetails"] = Value::Null;
    for (bad, field) in [
        (
            page(200, "<!DOCTYPE html><html>".to_owned() + &"x".repeat(100)),
            "`JSON`",
        ),
        (
            page(200, "{\"playabilityStatus\": {\"status\": \"OK\""),
            "`JSON`",
        ),
        (page(200, "{\"a\": 1}"), "`playabilityStatus`"),
        (page(200, "[]"), "`JSON`"),
        (oops, "`JSON`"),
        (page(302, ""), "`HTTP status`"),
        (
            ok(json!({"responseContext": {}, "padding": "to be longer than fifty bytes is"})),
            "`playabilityStatus`",
        ),
        (ok(untitled), "`videoDetails.title`"),
        (ok(undetailed), "`videoDetails.videoId`"),
    ] {
        let fake = Fake::player([bad.clone()]);
        let error = fake.refused().await;
        assert_eq!(error.kind(), Kind::PageChanged, "{field}");
        assert!(error.to_string().contains(field), "{error} lacks {field}");
        assert_eq!(fake.count("player answer"), 2, "{field}");
        Fake::player([bad, good()])
            .track()
            .await
            .expect("plays the second time");
    }
}

#[tokio::test]
async fn a_redirect_of_a_call_is_never_followed() {
    let fake = Fake::player([good()])
        .with("list answer", [page(302, "")])
        .with("mix answer", [page(302, "")]);
    fake.track().await.expect("plays");
    let list = fake
        .resolve("https://www.youtube.com/playlist?list=PL1")
        .await
        .expect_err("an interstitial");
    let mix = fake
        .resolve("https://www.youtube.com/playlist?list=RDEM12345678")
        .await
        .expect_err("an interstitial");
    assert_eq!(
        (list.kind(), mix.kind()),
        (Kind::PageChanged, Kind::PageChanged)
    );
    assert_eq!(
        (fake.count("list answer"), fake.count("mix answer")),
        (2, 2),
        "once more each"
    );
    assert_eq!(fake.followed(), Vec::<&str>::new());
}

#[tokio::test]
async fn another_video_than_asked_for_gets_one_new_visitor() {
    let mut other = playing(&[format(140, AAC)]);
    other["videoDetails"]["videoId"] = json!("aQvGIIdgFDM");
    let fake = Fake::player([ok(other.clone())]);
    assert_eq!(fake.refused().await.kind(), Kind::PageChanged);
    assert_eq!(fake.count("player answer"), 2);
    assert_eq!(fake.count("visitor id"), 2);
    Fake::player([ok(other), good()])
        .track()
        .await
        .expect("plays");
}

#[tokio::test]
async fn answers_without_a_usable_url_lead_to_the_next_identity() {
    let strip = |url: Value| {
        let mut format = format(140, AAC);
        format["url"] = url;
        format["signatureCipher"] = json!("s=1");
        ok(playing(&[format]))
    };
    for useless in [
        strip(Value::Null),
        strip(json!("http://rr1---sn-x.googlevideo.com/videoplayback")),
        strip(json!("https://googlevideo.com.evil.example/videoplayback")),
        ok(playing(&[])),
        status("UNPLAYABLE", "The page needs to be reloaded."),
    ] {
        let fake = Fake::player([useless.clone(), good()]);
        fake.track().await.expect("plays as another");
        assert_eq!(fake.callers()[1].0, "26.5.23O471");
        let fake = Fake::player([useless]);
        assert_eq!(fake.refused().await.kind(), Kind::PageChanged);
        assert_eq!(fake.count("player answer"), 3);
    }
}

#[tokio::test]
async fn failures_of_the_network_pass_through() {
    for (failure, kind) in [
        (OriginError::Timeout, Kind::Timeout),
        (
            OriginError::Failed("connection reset".to_owned()),
            Kind::OriginFailed,
        ),
        (OriginError::Wait(Duration::from_secs(9)), Kind::RateLimited),
    ] {
        let fake = Fake::default();
        fake.answers
            .lock()
            .expect("lock")
            .insert("player answer", vec![Err(failure)]);
        assert_eq!(fake.refused().await.kind(), kind);
    }
    assert_eq!(
        Fake::player([page(503, "")]).refused().await.kind(),
        Kind::OriginFailed
    );
    assert_eq!(
        Fake::player([page(404, "{}")]).refused().await.kind(),
        Kind::NotFound
    );
}

#[tokio::test]
async fn a_site_that_gives_no_visitor_id_is_asked_without() {
    let fake = Fake::player([good()]).with("visitor id", [page(200, "<html>")]);
    fake.track().await.expect("plays");
    assert_eq!(fake.callers()[0].1, "-");
}

#[tokio::test]
async fn a_failing_call_for_a_visitor_id_is_done_without_unless_the_site_may_not_be_asked() {
    let failing = |failure: OriginError| {
        let fake = Fake::player([good()]);
        fake.answers
            .lock()
            .expect("lock")
            .insert("visitor id", vec![Err(failure)]);
        fake
    };
    for failure in [
        OriginError::Failed("reset".to_owned()),
        OriginError::Timeout,
        OriginError::TooLarge(8 << 20),
    ] {
        let fake = failing(failure);
        fake.track().await.expect("plays");
        assert_eq!(fake.callers()[0].1, "-");
    }
    for (failure, kind) in [
        (OriginError::Closed("shut".to_owned()), Kind::OriginFailed),
        (
            OriginError::NotAllowed("elsewhere".to_owned()),
            Kind::OriginFailed,
        ),
        (OriginError::Wait(Duration::from_secs(9)), Kind::RateLimited),
    ] {
        let fake = failing(failure);
        assert_eq!(fake.refused().await.kind(), kind);
        assert_eq!(fake.pages(), ["visitor id"]);
    }
}

fn kids() -> Page {
    status("UNPLAYABLE", "This video is not available")
}

fn reel(formats: Value) -> Page {
    let mut answer = playing(&[json!({"itag": 140, "mimeType": AAC})]);
    answer["streamingData"]["formats"] = formats;
    ok(json!({"playerResponse": answer}))
}

#[tokio::test]
async fn a_withheld_video_has_its_metadata_and_gets_its_audio_when_asked_again() {
    let muxed = format(18, "video/mp4; codecs=\"avc1.42001E, mp4a.40.2\"");
    let fake = Fake::player([kids()]).with("reel answer", [reel(json!([muxed]))]);
    let track = fake.track().await.expect("metadata");
    assert_eq!((track.title.as_str(), track.streams.len()), ("A Song", 0));
    assert_eq!(
        track.withheld.as_deref(),
        Some("This video is not available")
    );
    assert_eq!(fake.pages(), ["visitor id", "player answer"]);

    let source = Source::YouTube {
        video: VIDEO.to_owned(),
    };
    let track = kmds_extract::refresh(&source, Lack::Streams, &fake, &Recipes::built_in())
        .await
        .expect("audio")
        .track;
    assert_eq!(track.withheld, None);
    let [stream] = track.streams.as_slice() else {
        panic!("{:?}", track.streams)
    };
    assert!(stream.muxed && stream.label == "itag 18" && stream.headers[0].1.contains("android"));
    let (_, url, body) = fake.asked().pop().expect("asked");
    assert!(
        url.contains("/reel/reel_item_watch?") && url.ends_with("&$fields=playerResponse"),
        "{url}"
    );
    assert_eq!(body["playerRequest"]["videoId"], VIDEO);
}

#[tokio::test]
async fn a_withheld_video_whose_other_call_has_nothing_stays_withheld() {
    for reel in [
        reel(Value::Null),
        page(200, "{}"),
        status("ERROR", "Video unavailable"),
        page(200, "<html>"),
    ] {
        let fake = Fake::player([kids()]).with("reel answer", [reel]);
        let error = youtube::refresh(VIDEO, &fake, &Recipes::built_in())
            .await
            .expect_err("nothing");
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(matches!(error, ExtractError::Withheld { .. }) && error.title() == Some("A Song"));
    }
    let nameless = ok(
        json!({"playabilityStatus": {"status": "ERROR", "reason": "This video is not available"}}),
    );
    assert!(matches!(
        Fake::player([nameless]).refused().await,
        ExtractError::Withheld { .. }
    ));
}
