//! Promises of the origin client, against scripted sites.

mod scripted;

use std::io::Write;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use kmds::origin::{Client, ClientConfig, MediaAsk, MediaError, SharedRecipes};
use kmds_extract::origin::Redirects;
use kmds_extract::{Origin, OriginError, Page, PageRequest, Site};
use scripted::{Answer, Asked, Scripted, fast_recipes};

const PAGE: &str = "https://www.youtube.com/page?key=s3cret";

fn get() -> PageRequest {
    PageRequest::get(Site::YouTube, "page", PAGE.to_owned())
}

/// The outcome of one request and how many the site saw.
async fn outcome(
    request: PageRequest,
    script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static,
) -> (Result<Page, OriginError>, Vec<Asked>) {
    let site = Scripted::start(script).await;
    let outcome = site.client(&fast_recipes()).send(request).await;
    (outcome, site.asked())
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

#[tokio::test]
async fn a_page_comes_back_whole_and_decompressed_with_its_headers() {
    let (page, asked) = outcome(get().header("X-Test", "1"), |_, _| {
        Answer::new(200, gzip(b"hello"))
            .with("Content-Encoding", "gzip")
            .with("X-Site", "yes")
    })
    .await;
    let page = page.expect("answered");
    assert_eq!(
        (page.status, page.body.as_slice(), page.header("x-site")),
        (200, &b"hello"[..], Some("yes"))
    );
    assert_eq!(page.final_url, PAGE);
    assert_eq!(asked[0].header("accept-encoding"), Some("gzip"));
    assert_eq!(asked[0].header("x-test"), Some("1"));
}

#[tokio::test]
async fn a_failing_site_is_asked_three_times_and_its_last_answer_is_the_page() {
    for status in [500, 502, 503, 504] {
        let (page, asked) = outcome(get(), move |_, _| Answer::new(status, "")).await;
        assert_eq!((page.expect("a page").status, asked.len()), (status, 3));
    }
    let (page, asked) = outcome(get(), |number, _| {
        Answer::new(if number < 2 { 503 } else { 200 }, "")
    })
    .await;
    assert_eq!((page.expect("a page").status, asked.len()), (200, 3));
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_not_asked_again() {
    for status in [401, 403, 404, 429] {
        let (page, asked) = outcome(get(), move |_, _| {
            Answer::new(status, "no").with("Retry-After", "7")
        })
        .await;
        let page = page.expect("a page");
        assert_eq!((page.status, asked.len()), (status, 1));
        assert_eq!(page.retry_after(0).map(|wait| wait.as_secs()), Some(7));
    }
}

#[tokio::test]
async fn broken_and_cut_answers_are_asked_for_again() {
    let text = b"a page ".repeat(1000);
    let whole = gzip(&text);
    let faults: [fn(&[u8]) -> Answer; 4] = [
        |whole| {
            Answer::new(200, whole)
                .with("Content-Encoding", "gzip")
                .cut_at(whole.len() / 2)
        },
        |whole| Answer::new(200, &whole[..whole.len() / 2]).with("Content-Encoding", "gzip"),
        |_| Answer::raw("HTTP/1.1 200 Cut in the he".to_owned()),
        |_| {
            Answer::raw(format!(
                "HTTP/1.1 200 OK\r\n{}",
                "X-Endless: header\r\n".repeat(40_000)
            ))
        },
    ];
    for (name, fault) in faults.into_iter().enumerate() {
        let sent = whole.clone();
        let (page, asked) = outcome(get(), move |number, _| match number {
            0 | 1 => fault(&sent),
            _ => Answer::new(200, sent.clone()).with("Content-Encoding", "gzip"),
        })
        .await;
        assert_eq!(
            page.map(|page| page.body.len()),
            Ok(text.len()),
            "fault {name}"
        );
        assert_eq!(asked.len(), 3, "fault {name}");
        let sent = whole.clone();
        let (failed, asked) = outcome(get(), move |_, _| fault(&sent)).await;
        assert!(
            matches!(&failed, Err(OriginError::Failed(why)) if !why.contains("s3cret")),
            "fault {name}: {failed:?}"
        );
        assert_eq!(asked.len(), 3, "fault {name}");
    }
}

#[tokio::test]
async fn a_silent_site_is_asked_once_more() {
    let (failed, asked) = outcome(get(), |_, _| Answer::nothing()).await;
    assert_eq!((failed, asked.len()), (Err(OriginError::Timeout), 2));
    let (failed, asked) = outcome(get(), |_, _| {
        Answer::new(200, vec![b'x'; 100]).silent_at(50)
    })
    .await;
    assert_eq!((failed, asked.len()), (Err(OriginError::Timeout), 2));
    let dispensable = PageRequest {
        insist: false,
        ..get()
    };
    let (failed, asked) = outcome(dispensable, |_, _| Answer::nothing()).await;
    assert_eq!(
        (failed, asked.len()),
        (Err(OriginError::Timeout), 1),
        "a page the flow can do without"
    );
}

#[tokio::test]
async fn a_bomb_and_an_endless_page_are_cut_off_at_the_limit() {
    let bomb = gzip(&vec![0; 20 << 20]);
    let small = PageRequest {
        max_bytes: 1 << 20,
        ..get()
    };
    let (failed, asked) = outcome(small.clone(), move |_, _| {
        Answer::new(200, bomb.clone()).with("Content-Encoding", "gzip")
    })
    .await;
    assert_eq!(
        (failed, asked.len()),
        (Err(OriginError::TooLarge(1 << 20)), 1)
    );
    let (failed, asked) = outcome(small, |_, _| {
        Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 200000000\r\n".into())
    })
    .await;
    assert_eq!(
        (failed, asked.len()),
        (Err(OriginError::TooLarge(1 << 20)), 1)
    );
}

#[tokio::test]
async fn redirects_stay_on_the_site_and_end() {
    let to = |location: &'static str| {
        move |_: usize, _: &Asked| Answer::new(302, "").with("Location", location)
    };
    for hostile in [
        "http://169.254.169.254/latest",
        "https://169.254.169.254/",
        "https://evil.example/",
        "http://www.youtube.com/",
    ] {
        let (refused, asked) = outcome(get(), to(hostile)).await;
        assert!(
            matches!(refused, Err(OriginError::NotAllowed(_))),
            "{hostile}: {refused:?}"
        );
        assert_eq!(asked.len(), 1, "{hostile}");
    }
    let (looping, asked) = outcome(get(), to("/again")).await;
    assert!(
        matches!(looping, Err(OriginError::Failed(_))),
        "{looping:?}"
    );
    assert_eq!(asked.len(), 6, "the first and five more");

    let (page, asked) = outcome(get(), |number, _| match number {
        0 => Answer::new(301, "").with("Location", "https://youtubei.googleapis.com/there"),
        _ => Answer::new(200, "there"),
    })
    .await;
    assert_eq!(
        page.expect("followed").final_url,
        "https://youtubei.googleapis.com/there"
    );
    assert_eq!(asked.len(), 2);

    let (page, asked) = outcome(
        PageRequest {
            redirects: Redirects::Show,
            ..get()
        },
        to("https://evil.example/"),
    )
    .await;
    let page = page.expect("shown");
    assert_eq!(
        (page.status, page.header("location"), asked.len()),
        (302, Some("https://evil.example/"), 1)
    );
}

#[tokio::test]
async fn without_a_proxy_a_name_that_leads_inside_is_not_connected_to() {
    let mut recipes = fast_recipes();
    recipes.bandcamp.hosts.pages = vec!["localhost".to_owned()];
    recipes.bandcamp.hosts.media = vec!["localhost".to_owned()];
    let client =
        Client::new(&ClientConfig::default(), SharedRecipes::new(recipes)).expect("settings");
    let page = client
        .send(PageRequest::get(
            Site::Bandcamp,
            "page",
            "https://localhost/".to_owned(),
        ))
        .await;
    assert!(
        matches!(&page, Err(OriginError::NotAllowed(why)) if why.contains("not a public address")),
        "{page:?}"
    );
    let audio = client
        .media(Site::Bandcamp, "https://localhost/", &MediaAsk::default())
        .await;
    assert!(matches!(audio, Err(MediaError::NotAllowed(_))), "{audio:?}");
}

#[tokio::test]
async fn requests_to_one_site_keep_their_pace_and_a_long_wait_is_told() {
    let mut recipes = fast_recipes();
    recipes.bandcamp.hosts.pace = Duration::from_secs(60);
    let site = Scripted::start(|_, _| Answer::new(200, "")).await;
    let client = site.client(&recipes);
    let ask = || {
        client.send(PageRequest::get(
            Site::Bandcamp,
            "page",
            "https://bandcamp.com/".to_owned(),
        ))
    };
    assert!(ask().await.is_ok());
    let told = ask().await;
    assert!(
        matches!(told, Err(OriginError::Wait(wait)) if wait.as_secs() >= 50),
        "{told:?}"
    );
    assert!(
        client.send(get()).await.is_ok(),
        "another site has its own pace"
    );
    assert_eq!(site.asked().len(), 2);
}

#[tokio::test]
async fn links_asked_for_at_once_wait_for_the_pace_while_there_is_time_for_an_answer() {
    let mut recipes = fast_recipes();
    (recipes.bandcamp.hosts.pace, recipes.time.longest_pause) =
        (Duration::from_millis(50), Duration::from_millis(100));
    let site = Scripted::start(|_, _| Answer::new(200, "")).await;
    let client = site.client(&recipes);
    let ask = |place: u32| {
        client.send(PageRequest::get(
            Site::Bandcamp,
            "page",
            format!("https://bandcamp.com/?{place}"),
        ))
    };
    let answers = futures_util::future::join_all((0..10).map(ask)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test]
async fn a_posted_body_survives_only_redirects_that_say_so() {
    for (status, method, body) in [(303, "GET", &b""[..]), (307, "POST", &b"{}"[..])] {
        let post = PageRequest::post(Site::YouTube, "page", PAGE.to_owned(), b"{}".to_vec());
        let (_, asked) = outcome(post, move |number, _| match number {
            0 => Answer::new(status, "").with("Location", "/next"),
            _ => Answer::new(200, ""),
        })
        .await;
        assert_eq!(
            (asked[0].method.as_str(), asked[0].body.as_slice()),
            ("POST", &b"{}"[..])
        );
        assert_eq!(
            (asked[1].method.as_str(), asked[1].body.as_slice()),
            (method, body),
            "{status}"
        );
    }
}

#[tokio::test]
async fn audio_redirects_keep_the_range_and_stay_on_media_hosts() {
    let url = "https://rr1---sn-a.googlevideo.com/videoplayback?sig=s3cret";
    let ask = MediaAsk {
        range: Some((5, Some(9))),
        ..MediaAsk::default()
    };
    let site = Scripted::start(|number, asked| match number {
        0 => Answer::new(302, "").with(
            "Location",
            "https://rr2---sn-b.googlevideo.com/videoplayback?sig=other",
        ),
        _ => Answer::of_file(b"0123456789", asked),
    })
    .await;
    let mut answer = site
        .client(&fast_recipes())
        .media(Site::YouTube, url, &ask)
        .await
        .expect("answered");
    assert_eq!(
        answer.body.next().await.expect("bytes").as_deref(),
        Some(&b"56789"[..])
    );
    assert_eq!(answer.body.next().await, Ok(None));
    assert_eq!(answer.final_url.host(), "rr2---sn-b.googlevideo.com");
    assert_eq!(site.ranges(), ["bytes=5-9", "bytes=5-9"]);
    assert_eq!(site.asked()[1].header("accept-encoding"), Some("identity"));

    for (location, requests) in [
        ("https://www.youtube.com/x", 1),
        ("https://10.0.0.1/x", 1),
        ("/round", 6),
    ] {
        let site =
            Scripted::start(move |_, _| Answer::new(302, "").with("Location", location)).await;
        let refused = site
            .client(&fast_recipes())
            .media(Site::YouTube, url, &ask)
            .await
            .expect_err("refused");
        assert!(
            matches!(refused, MediaError::NotAllowed(_)),
            "{location}: {refused:?}"
        );
        assert_eq!(site.asked().len(), requests, "{location}");
    }
}

#[tokio::test]
async fn limited_audio_tells_the_wait_in_seconds_or_as_a_date() {
    let tomorrow = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(86_400));
    for (told, least, most) in [("9".to_owned(), 9, 9), (tomorrow, 86_300, 86_400)] {
        let site =
            Scripted::start(move |_, _| Answer::new(429, "").with("Retry-After", &told)).await;
        let client = site.client(&fast_recipes());
        let url = "https://t4.bcbits.com/stream/a";
        let answer = client
            .media(Site::Bandcamp, url, &MediaAsk::default())
            .await
            .expect("answered");
        let seconds = answer.retry_after.expect("told").as_secs();
        assert!((least..=most).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn silent_and_dripping_audio_counts_as_stalled() {
    let url = "https://t4.bcbits.com/stream/a";
    for script in [
        |_: usize, _: &Asked| Answer::nothing(),
        |_: usize, _: &Asked| Answer::new(200, "abc").silent_at(1),
    ] {
        let site = Scripted::start(script).await;
        let answer = site
            .client(&fast_recipes())
            .media(Site::Bandcamp, url, &MediaAsk::default())
            .await;
        let stalled = match answer {
            Ok(mut answer) => {
                assert!(answer.body.next().await.expect("first byte").is_some());
                answer.body.next().await.expect_err("nothing more")
            }
            Err(error) => error,
        };
        assert_eq!(stalled, MediaError::Stalled);
    }
}

#[tokio::test]
async fn compressed_audio_is_refused_and_a_cover_has_a_limit() {
    let site =
        Scripted::start(|_, _| Answer::new(200, "abc").with("Content-Encoding", "gzip")).await;
    let client = site.client(&fast_recipes());
    let refused = client
        .media(
            Site::Bandcamp,
            "https://t4.bcbits.com/stream/a",
            &MediaAsk::default(),
        )
        .await;
    assert!(matches!(refused, Err(MediaError::Failed(_))), "{refused:?}");

    let site =
        Scripted::start(|_, _| Answer::new(200, vec![7; 100]).with("Content-Type", "image/jpeg"))
            .await;
    let client = site.client(&fast_recipes());
    let cover = client
        .cover(Site::YouTube, "https://i.ytimg.com/vi/a/b.jpg", 100)
        .await
        .expect("small enough");
    assert_eq!(
        (cover.content_type.as_deref(), cover.bytes.len()),
        (Some("image/jpeg"), 100)
    );
    assert!(
        client
            .cover(Site::YouTube, "https://i.ytimg.com/vi/a/b.jpg", 99)
            .await
            .is_err()
    );
    assert!(
        client
            .cover(Site::YouTube, "https://evil.example/b.jpg", 100)
            .await
            .is_err()
    );
}
