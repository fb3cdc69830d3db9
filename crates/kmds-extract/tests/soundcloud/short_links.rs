//! `on.` links.

use kmds_extract::Kind;

use crate::soundcloud_fake::*;
use crate::*;

#[tokio::test]
async fn a_short_link_costs_one_redirect_that_is_not_followed() {
    let fake = Fake::new(|asked| match asked.request.page {
        "short link" => redirect(
            "https://soundcloud.com/someone/song-7?ref=clipboard&p=a&c=0&si=73&utm_source=x",
        ),
        _ => ok(&song(7)),
    });
    resolve("https://on.soundcloud.com/rdt7e", &fake)
        .await
        .expect("resolves");
    assert_eq!(fake.pages(), ["short link", "home page", "resolve answer"]);
    let asked = fake.asked();
    assert_eq!(
        asked[0].request.redirects,
        kmds_extract::origin::Redirects::Show
    );
    assert_eq!(asked[2].query("url").as_deref(), Some(SONG));
}

#[tokio::test]
async fn short_links_that_lead_nowhere_are_dead() {
    let table: [(Reply, Kind); 11] = [
        (|_| page(302, ""), Kind::NotFound),
        (|_| page(200, "<html>"), Kind::NotFound),
        (|_| nothing(), Kind::NotFound),
        (|_| redirect("https://evil.example/a/b"), Kind::NotFound),
        (|_| redirect("https://youtu.be/M4gD1WSo5mA"), Kind::NotFound),
        (|_| redirect("http://soundcloud.com/a/b"), Kind::NotFound),
        (|_| redirect("/a/b/c"), Kind::NotFound),
        (
            |asked| redirect(&format!("https://on.soundcloud.com/hop{}", asked.before)),
            Kind::NotFound,
        ),
        (
            |_| redirect("https://soundcloud.com/someone?si=1"),
            Kind::UnsupportedLink,
        ),
        (|_| page(429, ""), Kind::RateLimited),
        (
            |_| with_header(page(403, ""), "x-datadome", "protected"),
            Kind::BotCheck,
        ),
    ];
    for (index, (answer, kind)) in table.into_iter().enumerate() {
        let fake = Fake::new(answer);
        let error = resolve("https://on.soundcloud.com/rdt7e", &fake)
            .await
            .expect_err("dead");
        assert_eq!(error.kind(), kind, "row {index}");
        assert!(
            fake.pages().iter().all(|page| *page == "short link") && fake.pages().len() <= 3,
            "row {index}"
        );
    }
}

#[tokio::test]
async fn three_hops_of_short_links_are_read() {
    let fake = Fake::new(|asked| match (asked.request.page, asked.before) {
        ("short link", 2) => redirect(SONG),
        ("short link", _) => redirect("https://on.soundcloud.com/next"),
        _ => ok(&song(7)),
    });
    resolve("https://on.soundcloud.com/first", &fake)
        .await
        .expect("resolves");
}
