//! No answer, however broken, makes a flow panic or ask for ever.

use std::future::Future;

use proptest::prelude::*;

use crate::fake::{AAC, Fake, format, page, playing};
use crate::lists;

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(work);
}

/// The answer with one byte changed and its end cut off.
fn broken(answer: &[u8], at: prop::sample::Index, byte: u8, end: prop::sample::Index) -> String {
    let mut answer = answer.to_vec();
    let at = at.index(answer.len());
    answer[at] = byte;
    answer.truncate(end.index(answer.len()) + 1);
    String::from_utf8_lossy(&answer).into_owned()
}

proptest! {
    #[test]
    fn broken_player_answers_end_within_three_calls(
        at: prop::sample::Index, byte in 0x20u8..0x7f, end: prop::sample::Index, whole: bool, text in ".{0,60}",
    ) {
        let mut answer = playing(&[format(140, AAC)]);
        answer["videoDetails"]["shortDescription"] = format!("Provided to YouTube by {text}\n\n{text}\n\n{text}").into();
        let answer = answer.to_string();
        let broken = broken(answer.as_bytes(), at, byte, end);
        let fake = Fake::player([page(200, if whole { answer } else { broken })]);
        run(async {
            let _ = fake.track().await;
            assert!(fake.count("player answer") <= 3);
        });
    }

    #[test]
    fn broken_list_answers_end(at: prop::sample::Index, byte in 0x20u8..0x7f, end: prop::sample::Index, whole: bool) {
        let mut items = lists::songs(1..=3);
        items.push(lists::lockup(4, "3:07"));
        items.push(lists::more("again"));
        let answer = lists::first(items, "L", "9").body;
        let whole_answer = String::from_utf8_lossy(&answer).into_owned();
        let broken = broken(&answer, at, byte, end);
        let fake = Fake::list([page(200, if whole { whole_answer } else { broken })]);
        run(async {
            let _ = fake.resolve(lists::LIST).await;
            assert!(fake.count("list answer") <= 6);
        });
    }
}

#[tokio::test]
async fn one_bad_value_in_a_field_that_is_not_read_costs_that_value_and_not_the_answer() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for odd in [
        r#""x \ud83d""#,
        r#""\udc00""#,
        "\"a\u{1b}b\"",
        "1e999",
        "NaN",
        &deep,
        r#"1, "keywords": 2"#,
    ] {
        let turned = |answer: &str| format!("\u{feff}{}", answer.replace(r#""ODD""#, odd));
        let mut answer = playing(&[format(140, AAC)]);
        answer["videoDetails"]["keywords"] = "ODD".into();
        let fake = Fake::player([page(200, turned(&answer.to_string()))]);
        fake.track()
            .await
            .unwrap_or_else(|error| panic!("{odd:.9}: {error}"));
        assert_eq!(fake.count("player answer"), 1);

        let mut items = lists::songs(1..=3);
        items[1]["odd"] = "ODD".into();
        let answer = String::from_utf8(lists::first(items, "L", "3").body).expect("text");
        let fake = Fake::list([page(200, turned(&answer))]);
        assert!(fake.resolve(lists::LIST).await.is_ok(), "{odd:.9}");
        assert_eq!(fake.count("list answer"), 1);
    }
    let mut answer = playing(&[format(140, AAC)]);
    answer["videoDetails"]["title"] = "Cut MARK".into();
    let fake = Fake::player([page(200, answer.to_string().replace("MARK", r"\ud83d"))]);
    assert_eq!(fake.track().await.expect("a song").title, "Cut \u{fffd}");
}
