//! No answer, however broken, makes a flow panic or ask for ever.

use std::future::Future;

use proptest::prelude::*;

use crate::fake::{AAC, Fake, format, page, playing};
use crate::lists;

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work);
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
