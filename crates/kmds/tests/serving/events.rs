//! Events of one song.

use kmds_lab::Lab;
use reqwest::Response;

use super::harness::{PATIENCE, Setup};
use super::{ask, header};

#[tokio::test]
async fn events_tell_a_song_s_states_and_resume_after_the_last_seen() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Ordinary Days").seconds(5.0).publish();
    let kmds = Setup::of(&lab).start();
    let track = format!("youtube-{}", song.id());
    let mut events = kmds.get(&format!("/api/v1/events?track={track}")).await;
    assert_eq!(header(&events, "content-type"), "text/event-stream");
    kmds.download(&song.link()).await;
    let text = read_until(&mut events, "\"state\":\"ready\"").await;
    assert!(
        text.starts_with(": "),
        "a comment says at once that the line is open: {text}"
    );
    assert!(
        text.contains("event: track") && text.contains("\"state\":\"downloading\""),
        "{text}"
    );
    let first = text
        .split("id: ")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .expect("an id")
        .to_owned();
    let mut again = ask(
        &kmds,
        &format!("/api/v1/events?track={track}"),
        &[("last-event-id", &first)],
    )
    .await;
    let text = read_until(&mut again, "id: ").await;
    let next: u64 = first.parse::<u64>().expect("a number") + 1;
    assert_eq!(
        text.split("id: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()),
        Some(next.to_string().as_str())
    );
}

/// Reads an answer until this is in it.
pub(super) async fn read_until(answer: &mut Response, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let piece = tokio::time::timeout(PATIENCE, answer.chunk())
            .await
            .expect("in time")
            .expect("no cut");
        text.push_str(&String::from_utf8_lossy(&piece.expect("no end")));
    }
    text
}
