//! Section 4: lists that YouTube refuses, and what it says then.

use kmds_extract::Kind;
use serde_json::{Value, json};

use super::{LIST, alert, first, sidebar, songs};
use crate::fake::{Fake, ok, page};

#[tokio::test]
async fn a_list_that_does_not_answer_is_asked_for_its_alert() {
    for nothing in [
        page(400, "{}"),
        page(404, "{}"),
        ok(json!({"responseContext": {}})),
    ] {
        let fake = Fake::list([nothing, alert("The playlist does not exist.")]);
        assert_eq!(
            fake.resolve(LIST).await.expect_err("gone").kind(),
            Kind::NotFound
        );
        let (_, url, body) = fake.asked().pop().expect("asked");
        assert!(url.contains("$fields=sidebar,header,microformat,alerts"));
        assert_eq!(
            (body["browseId"].as_str(), body["params"].as_str()),
            (Some("VLPL1"), Some("wgYCCAA%3D"))
        );
    }
    let fake = Fake::list([
        page(400, "{}"),
        ok(json!({"sidebar": sidebar("L", "2")})),
        first(songs(1..=2), "L", "2"),
    ]);
    assert_eq!(fake.collection(LIST).await.entries.len(), 2);
}

#[tokio::test]
async fn alerts_and_statuses_of_lists_have_their_kinds() {
    for (page, kind, calls) in [
        (alert("The playlist does not exist."), Kind::NotFound, 1),
        (
            alert("This playlist type is unviewable."),
            Kind::NotFound,
            1,
        ),
        (alert("An unknown error occurred."), Kind::OriginFailed, 2),
        (alert("Something else"), Kind::Unavailable, 1),
        (page(429, ""), Kind::RateLimited, 1),
        (page(403, ""), Kind::RateLimited, 1),
        (page(503, ""), Kind::OriginFailed, 1),
        (page(200, "<html>"), Kind::PageChanged, 2),
        (first(Vec::new(), "L", "12"), Kind::PageChanged, 2),
    ] {
        let fake = Fake::list([page]);
        assert_eq!(fake.resolve(LIST).await.expect_err("no list").kind(), kind);
        assert_eq!(fake.count("list answer"), calls, "{kind}");
    }
    let fake = Fake::list([
        alert("An unknown error occurred."),
        first(songs(1..=1), "L", "1"),
    ]);
    assert_eq!(fake.collection(LIST).await.entries.len(), 1);
    assert!(
        Fake::list([first(Vec::new(), "L", "No")])
            .collection(LIST)
            .await
            .entries
            .is_empty()
    );
}

#[tokio::test]
async fn an_alert_without_words_is_told_in_ours() {
    for text in [json!({}), json!({"runs": [{"text": " "}]})] {
        let silent = ok(json!({"alerts": [{"alertRenderer": {"type": "ERROR", "text": text}}]}));
        let error = Fake::list([silent])
            .resolve(LIST)
            .await
            .expect_err("refused");
        assert_eq!(error.to_string(), "YouTube: this list cannot be opened");
    }
}

#[tokio::test]
async fn notices_are_no_errors() {
    let mut page = first(songs(1..=1), "L", "1");
    let mut body: Value = serde_json::from_slice(&page.body).expect("JSON");
    body["alerts"] = json!([{"alertWithButtonRenderer": {"type": "INFO", "text": {"simpleText": "Unavailable videos will be hidden"}}}]);
    page.body = body.to_string().into_bytes();
    assert_eq!(Fake::list([page]).collection(LIST).await.entries.len(), 1);
}

#[tokio::test]
async fn private_lists_and_channels_are_refused_without_a_request() {
    for (link, kind) in [
        ("https://www.youtube.com/playlist?list=WL", Kind::Private),
        ("https://www.youtube.com/playlist?list=LL", Kind::Private),
        ("https://www.youtube.com/playlist?list=LM", Kind::Private),
        ("https://www.youtube.com/playlist?list=HL", Kind::Private),
        ("https://www.youtube.com/@EEVblog", Kind::UnsupportedLink),
    ] {
        let fake = Fake::default();
        assert_eq!(fake.resolve(link).await.expect_err("refused").kind(), kind);
        assert!(fake.pages().is_empty());
    }
}
