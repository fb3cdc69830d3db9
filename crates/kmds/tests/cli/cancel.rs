//! `kmds cancel`: a list that was queued by mistake ends by its link.

use kmds_lab::{Lab, Song};

use super::Person;
use super::harness::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_ended_by_its_link_and_what_was_ended_is_said() {
    let lab = Lab::start().await;
    let songs: Vec<Song> = (0..5)
        .map(|n| {
            let video = lab.youtube().video(&format!("Ended {n}")).seconds(1.0);
            video.holds_at(0).publish()
        })
        .collect();
    let link = lab.youtube().playlist(0).songs(&songs).publish().link();
    let kmds = Setup::of(&lab).patient().start();
    kmds.fetch(&link).await;
    kmds.until("two songs run", async || {
        songs
            .iter()
            .filter(|song| lab.media_requests(song.id()) > 0)
            .count()
            == 2
    })
    .await;
    let person = Person::alone();
    let said = person
        .runs(&["cancel", "--server", &kmds.url, &link])
        .with(0);
    assert_eq!(said.out.trim(), "ended: 3 that waited, 2 that ran");
    let again = person
        .runs(&["cancel", "--server", &kmds.url, "--json", &link])
        .with(0)
        .json();
    assert_eq!(again["ended"], serde_json::json!([]));
    let never = person
        .runs(&["cancel", "--server", &kmds.url, &songs[0].link()])
        .with(1);
    assert!(never.err.contains("no list"), "{never:?}");
}
