//! The client id, and what a refusal of a request means.

use std::time::Duration;

use kmds_extract::{ExtractError, Kind, Link, Origin as _, OriginError, Page, Recipes, Resolved};

use crate::soundcloud_fake::*;
use crate::*;

#[tokio::test]
async fn a_refused_id_is_renewed_once_and_the_call_tried_once_more() {
    for status in [401, 403] {
        let fake = Fake::new(move |asked| match asked.query("client_id").as_deref() {
            Some(FRESH_ID) => ok(&song(7)),
            _ => page(status, ""),
        });
        resolve_song(&fake).await.expect("resolves");
        assert_eq!(
            fake.pages(),
            ["home page", "resolve answer", "home page", "resolve answer"]
        );
    }
}

#[tokio::test]
async fn a_refusal_that_a_fresh_id_does_not_cure_is_a_block() {
    for status in [401, 403] {
        let fake = Fake::new(move |_| page(status, ""));
        let error = resolve_song(&fake).await.expect_err("refused");
        assert_eq!(error.kind(), Kind::OriginRefused);
        assert!(
            !error.to_string().contains(ID) && !error.to_string().contains(FRESH_ID),
            "{error}"
        );
        assert_eq!(fake.pages().len(), 4);
        // Within the minute no other id is looked for.
        assert_eq!(
            resolve_song(&fake).await.expect_err("refused").kind(),
            Kind::OriginRefused
        );
        assert_eq!(fake.pages()[4..], ["resolve answer"]);
        *fake.now.lock().expect("whole") += 61;
        resolve_song(&fake).await.expect_err("refused");
        assert_eq!(
            fake.pages()[5..],
            ["resolve answer", "home page", "resolve answer"]
        );
    }
}

#[tokio::test]
async fn a_bot_block_burns_no_id() {
    let table: [Reply; 2] = [
        |_| with_header(page(403, ""), "x-datadome", "protected"),
        |_| {
            page(
                403,
                r#"{"url":"https://geo.captcha-delivery.com/captcha/?x"}"#,
            )
        },
    ];
    for answer in table {
        let fake = Fake::new(answer);
        let error = resolve_song(&fake).await.expect_err("blocked");
        assert_eq!(
            (error.kind(), error.retry_after()),
            (Kind::BotCheck, Some(Duration::from_secs(600)))
        );
        assert_eq!(fake.pages(), ["home page", "resolve answer"]);
        let fake = Fake::bare(answer);
        assert_eq!(
            resolve_song(&fake).await.expect_err("blocked").kind(),
            Kind::BotCheck
        );
        assert_eq!(fake.pages(), ["home page"]);
    }
}

#[tokio::test]
async fn without_an_id_in_the_home_page_its_scripts_are_read() {
    const HOME: &str = r#"<script src="https://a-v2.sndcdn.com/assets/1-a.js"></script><script src="https://a-v2.sndcdn.com/assets/53-b.js"></script>"#;
    fn scripted(head: &'static str, head_status: u16, whole: &'static str) -> Fake {
        Fake::bare(move |asked| match asked.request.page {
            "home page" => page(200, HOME),
            "asset script"
                if asked
                    .request
                    .headers
                    .iter()
                    .any(|(name, value)| *name == "range" && value == "bytes=0-50000") =>
            {
                page(head_status, head)
            }
            "asset script" => page(200, whole),
            _ => ok(&song(7)),
        })
    }
    const WITH: &str = r#"a,client_id:"firstfirstfirstfirstfirstfirst01",client_is_expiring:!1"#;
    let fake = scripted(WITH, 206, "");
    resolve_song(&fake).await.expect("resolves");
    assert_eq!(
        fake.pages(),
        ["home page", "asset script", "resolve answer"]
    );
    assert_eq!(fake.asked()[1].url.path(), "/assets/53-b.js");
    assert_eq!(fake.asked()[2].query("client_id").as_deref(), Some(ID));

    let fake = scripted("nothing", 206, WITH);
    resolve_song(&fake).await.expect("resolves");
    assert_eq!(
        fake.pages(),
        [
            "home page",
            "asset script",
            "asset script",
            "asset script",
            "resolve answer"
        ]
    );
    let paths: Vec<_> = fake.asked()[1..4]
        .iter()
        .map(|asked| asked.url.path().to_owned())
        .collect();
    assert_eq!(
        paths,
        ["/assets/53-b.js", "/assets/1-a.js", "/assets/53-b.js"]
    );

    for fake in [
        scripted("nothing", 206, "nothing"),
        scripted("nothing", 200, WITH),
        Fake::bare(|_| page(200, "<html>")),
    ] {
        assert_eq!(
            resolve_song(&fake).await.expect_err("changed").kind(),
            Kind::PageChanged
        );
    }
}

/// A home page without the id and with `count` scripts, of which `says` answers one.
fn with_scripts(
    count: usize,
    says: impl Fn(&str) -> Result<Page, OriginError> + Send + Sync + 'static,
) -> Fake {
    let names = (0..count)
        .rev()
        .map(|number| format!(r#"<script src="https://a-v2.sndcdn.com/assets/{number}-x.js">"#));
    let home: String = names.collect();
    Fake::bare(move |asked| match asked.request.page {
        "home page" => page(200, home.clone()),
        "asset script" => says(asked.url.path()),
        _ => ok(&song(7)),
    })
}

#[tokio::test]
async fn the_id_is_found_in_any_of_the_pages_own_scripts() {
    const WITH: &str = "x={client_id:'firstfirstfirstfirstfirstfirst01'}";
    for holder in 0..9 {
        for other in [
            page(200, "void 0;"),
            page(404, ""),
            page(503, ""),
            Err(OriginError::TooLarge(1)),
        ] {
            let path = format!("/assets/{holder}-x.js");
            let fake = with_scripts(9, move |asked| {
                if asked == path {
                    page(206, WITH)
                } else {
                    other.clone()
                }
            });
            resolve_song(&fake).await.expect("resolves");
            assert_eq!(
                fake.pages().len(),
                2 + holder + 1,
                "the last script is asked for first"
            );
            assert!(
                fake.asked()
                    .iter()
                    .all(|asked| asked.request.max_bytes <= 16 << 20)
            );
        }
    }
    // Bounded in number and in bytes, and a site that says nothing is not asked nine times.
    let fake = with_scripts(100, |_| page(206, "void 0;"));
    assert_eq!(
        resolve_song(&fake).await.expect_err("no id").kind(),
        Kind::PageChanged
    );
    assert_eq!(fake.pages().len(), 1 + 12 + 12);
    let fake = with_scripts(9, |_| page(200, "x".repeat(6 << 20)));
    assert_eq!(
        resolve_song(&fake).await.expect_err("no id").kind(),
        Kind::PageChanged
    );
    assert_eq!(fake.pages().len(), 1 + 3);
    let fake = with_scripts(9, |_| Err(OriginError::Timeout));
    assert_eq!(
        resolve_song(&fake).await.expect_err("silence").kind(),
        Kind::Timeout
    );
    assert_eq!(fake.pages().len(), 1 + 1);
}

const OWN: &str = "operatoroperatoroperatoroperat03";

async fn resolve_with_own_id(fake: &Fake) -> Result<Resolved, ExtractError> {
    let (recipes, _) =
        Recipes::over_built_in(&format!("[soundcloud]\nclient_id = '{OWN}'\n")).expect("recipes");
    kmds_extract::resolve(&Link::parse(SONG).expect("a link"), fake, &recipes).await
}

#[tokio::test]
async fn an_id_of_the_operators_is_used_first_and_until_it_is_refused() {
    let ids = |fake: &Fake| {
        fake.asked()
            .iter()
            .filter_map(|asked| asked.query("client_id"))
            .collect::<Vec<_>>()
    };
    // While it is good the home page is not asked, which may be closed.
    let fake = Fake::bare(|asked| {
        if asked.request.page == "home page" {
            page(403, "")
        } else {
            ok(&song(7))
        }
    });
    resolve_with_own_id(&fake).await.expect("resolves");
    assert_eq!(
        (fake.pages(), ids(&fake)),
        (vec!["resolve answer"], vec![OWN.to_owned()])
    );

    for status in [401, 403] {
        let fake = Fake::new(move |asked| match asked.query("client_id").as_deref() {
            Some(OWN) => page(status, ""),
            _ => ok(&song(7)),
        });
        resolve_with_own_id(&fake)
            .await
            .expect("another id is found");
        resolve_with_own_id(&fake).await.expect("and kept");
        assert_eq!(ids(&fake), [OWN, ID, ID]);
    }
    // The kept one may be refused as well.
    let fake = Fake::new(|asked| match asked.query("client_id").as_deref() {
        Some(FRESH_ID) => ok(&song(7)),
        _ => page(401, ""),
    });
    fake.remember("soundcloud.client_id", ID);
    *fake.now.lock().expect("whole") += 61;
    resolve(SONG, &fake)
        .await
        .expect_err("the home page still tells the first");
    *fake.now.lock().expect("whole") += 61;
    resolve_with_own_id(&fake).await.expect("resolves");
    assert_eq!(ids(&fake)[2..], [OWN, ID, FRESH_ID]);
}

#[tokio::test]
async fn a_block_costs_the_operators_id_nothing() {
    let blocked = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let site = std::sync::Arc::clone(&blocked);
    let fake = Fake::new(move |_| {
        if site.load(std::sync::atomic::Ordering::Relaxed) {
            page(403, "")
        } else {
            ok(&song(7))
        }
    });
    assert_eq!(
        resolve_with_own_id(&fake)
            .await
            .expect_err("blocked")
            .kind(),
        Kind::OriginRefused
    );
    blocked.store(false, std::sync::atomic::Ordering::Relaxed);
    resolve_with_own_id(&fake).await.expect("resolves");
    assert_eq!(
        fake.asked()
            .last()
            .and_then(|asked| asked.query("client_id"))
            .as_deref(),
        Some(OWN)
    );
}

#[tokio::test]
async fn many_resolves_at_once_find_and_renew_one_id() {
    let fake = Fake::new(|asked| match asked.query("client_id").as_deref() {
        Some(FRESH_ID) => ok(&song(7)),
        _ => page(401, ""),
    });
    let all = futures_util::future::join_all((0..8).map(|_| resolve_song(&fake))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(
        fake.pages()
            .iter()
            .filter(|page| **page == "home page")
            .count(),
        2
    );
}

#[tokio::test]
async fn limits_say_how_long_to_wait_if_the_site_does() {
    let reset = r#"{"errors":[{"meta":{"rate_limit":{"bucket":"b","max_nr_of_requests":600,"time_window":"PT10M","name":"n"},"remaining_requests":0,"reset_time":"2026/02/21 01:40:24 +0000"}}]}"#;
    let table = [
        (Some("17"), reset, Some(17)),
        (None, reset, Some(300)),
        (None, r#"{"error":"Rate Limit Exceeded"}"#, None),
        (None, "Please slow down.", None),
        (
            None,
            r#"{"errors":[{"meta":{"reset_time":"2020/02/21 01:40:24 +0000"}}]}"#,
            None,
        ),
    ];
    for (retry_after, body, seconds) in table {
        let limited = move |asked: &Asked| match asked.request.page {
            "home page" => home(ID),
            _ => match retry_after {
                Some(value) => with_header(page(429, body), "retry-after", value),
                None => page(429, body),
            },
        };
        let fake = Fake::bare(limited);
        let error = resolve_song(&fake).await.expect_err("limited");
        assert_eq!(
            (error.kind(), error.retry_after()),
            (Kind::RateLimited, seconds.map(Duration::from_secs)),
            "{body}"
        );
        let track = resolve_song(&says(song(7))).await.expect("resolves");
        assert_eq!(
            locate(&track.streams[0], &fake).await.expect_err("limited"),
            error,
            "formats are limited likewise"
        );
    }
}

#[tokio::test]
async fn failing_and_silent_sites_are_named_so() {
    let table: [(Reply, Kind); 9] = [
        (|_| page(500, ""), Kind::OriginFailed),
        (|_| page(502, "<html>"), Kind::OriginFailed),
        (|_| page(503, ""), Kind::OriginFailed),
        (|_| page(504, ""), Kind::OriginFailed),
        (|_| page(400, ""), Kind::OriginFailed),
        (
            |_| Err(OriginError::Failed("reset".to_owned())),
            Kind::OriginFailed,
        ),
        (|_| Err(OriginError::Timeout), Kind::Timeout),
        (|_| Err(OriginError::TooLarge(1)), Kind::PageChanged),
        (
            |_| Err(OriginError::Wait(Duration::from_secs(9))),
            Kind::RateLimited,
        ),
    ];
    for (index, (answer, kind)) in table.into_iter().enumerate() {
        assert_eq!(
            resolve_song(&Fake::new(answer))
                .await
                .expect_err("fails")
                .kind(),
            kind,
            "row {index}"
        );
        if index != 4 {
            assert_eq!(
                resolve_song(&Fake::bare(answer))
                    .await
                    .expect_err("fails")
                    .kind(),
                kind,
                "home page, row {index}"
            );
        }
    }
}
