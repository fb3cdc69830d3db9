//! Ending a whole list: what waits or runs ends, what is ready and what others ask for stays.

use kmds_lab::{Lab, Song};
use serde_json::{Value, json};

use super::harness::Kmds;
use super::{patient, tunnel};

async fn cancel(kmds: &Kmds, id: &str) -> (u16, Value) {
    let path = kmds.at(&format!("/api/v1/collections/{id}"));
    let answer = kmds.http.delete(path).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).expect("JSON"))
}

fn ids(reply: &Value) -> Vec<&str> {
    let ended = reply["ended"].as_array().expect("songs");
    ended
        .iter()
        .filter_map(|song| song["id"].as_str())
        .collect()
}

/// A list whose first song is whole, and whose others are held back.
fn half_held(lab: &Lab, count: usize) -> (Vec<Song>, String, String) {
    let songs: Vec<Song> = (0..count)
        .map(|n| {
            let video = lab.youtube().video(&format!("Of a list {n}")).seconds(1.0);
            if n == 0 {
                video.publish()
            } else {
                video.holds_at(0).publish()
            }
        })
        .collect();
    let list = lab.youtube().playlist(0).songs(&songs).publish();
    let (id, link) = (list.id().to_owned(), list.link());
    (songs, id, link)
}

#[tokio::test]
async fn ending_a_list_ends_what_waits_or_runs_and_leaves_what_is_ready_or_asked_for_by_another() {
    let lab = Lab::start().await;
    let (songs, id, link) = half_held(&lab, 30);
    let kmds = patient(&lab).start();
    // The same list twice: both fetches are ended.
    let (status, reply) = kmds.fetch(&link).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(kmds.whole(&reply.songs[0]).await, songs[0].bytes());
    kmds.fetch(&link).await;
    kmds.fetch(&songs[20].link()).await;
    kmds.until("two songs run", async || {
        lab.media_requests(songs[1].id()) + lab.media_requests(songs[2].id()) >= 2
    })
    .await;
    let (status, told) = cancel(&kmds, &id).await;
    assert_eq!(
        (status, &told["id"], &told["kept"]),
        (200, &json!(id), &json!(1)),
        "{told}"
    );
    let wanted: Vec<&str> = (1..30)
        .filter(|n| *n != 20)
        .map(|n| songs[n].id())
        .collect();
    assert_eq!(ids(&told).len(), wanted.len());
    assert!(wanted.iter().all(|id| ids(&told).contains(id)), "{told}");
    let ran = told["ended"].as_array().expect("songs");
    assert_eq!(
        ran.iter()
            .filter(|song| song["state"] == "downloading")
            .count(),
        2
    );
    // The ready one is as it was, the ended ones are gone until they are fetched again.
    assert_eq!(kmds.get(&tunnel(&reply.songs[0])).await.status(), 200);
    assert_eq!(kmds.get(&tunnel(&reply.songs[2])).await.status(), 404);
    songs[20].release();
    assert_eq!(kmds.whole(&reply.songs[20]).await, songs[20].bytes());
    let asked = songs
        .iter()
        .filter(|song| lab.media_requests(song.id()) > 0);
    assert_eq!(asked.count(), 4, "nothing else of the list was started");
    assert!(kmds.partials().is_empty(), "{:?}", kmds.partials());
    // Nothing is left to end.
    let (status, told) = cancel(&kmds, &id).await;
    assert_eq!((status, ids(&told).len()), (200, 0));
    let (status, told) = cancel(&kmds, "PLnever").await;
    assert_eq!((status, &told["kind"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn a_list_is_ended_by_its_link_after_a_restart_too_and_its_window_with_it() {
    let lab = Lab::start().await;
    let (songs, _, link) = half_held(&lab, 12);
    let setup = patient(&lab).set("KMDS_LISTS__PREFETCH", "3");
    let mut kmds = setup.start();
    let (_, reply) = kmds.fetch(&link).await;
    assert_eq!(kmds.whole(&reply.songs[0]).await, songs[0].bytes());
    let encoded = |link: &str| {
        link.replace(':', "%3A")
            .replace('/', "%2F")
            .replace('?', "%3F")
    };
    let (status, told) = cancel(&kmds, &encoded(&link)).await;
    assert_eq!(
        (status, ids(&told).len()),
        (200, 3),
        "the window had moved by one: {told}"
    );
    assert_eq!(kmds.get(&tunnel(&reply.songs[0])).await.status(), 200);
    // A window that was kept would move with a song of it that is fetched by itself, onto songs that were never queued.
    songs[1].release();
    let (_, single) = kmds.fetch(&songs[1].link()).await;
    assert_eq!(kmds.whole(&single.songs[0]).await, songs[1].bytes());
    let answer = kmds
        .get("/api/v1/stats")
        .await
        .text()
        .await
        .expect("a body");
    let stats: Value = serde_json::from_str(&answer).expect("JSON");
    let queues = stats["queues"].as_array().expect("lanes");
    assert!(
        queues
            .iter()
            .all(|lane| lane["waiting"] == 0 && lane["running"] == 0),
        "{stats}"
    );
    kmds.fetch(&link).await;
    kmds.kill();
    let again = setup.start();
    let (status, told) = cancel(&again, &encoded(&link)).await;
    assert_eq!(
        (status, ids(&told)),
        (200, vec![songs[2].id()]),
        "the two before it are ready: {told}"
    );
}

#[tokio::test]
async fn a_song_of_two_lists_ends_with_the_second_of_them_whichever_that_is() {
    let lab = Lab::start().await;
    let kmds = patient(&lab).start();
    for first_ends_first in [true, false] {
        let songs: Vec<Song> = (0..15)
            .map(|n| {
                let name = format!("Shared {n} {first_ends_first}");
                lab.youtube().video(&name).holds_at(0).publish()
            })
            .collect();
        let mut lists = [&songs[..10], &songs[5..]].map(|part| {
            let list = lab.youtube().playlist(0).songs(part).publish();
            (list.id().to_owned(), list.link())
        });
        for (_, link) in &lists {
            assert_eq!(kmds.fetch(link).await.0, 200);
        }
        if !first_ends_first {
            lists.reverse();
        }
        let [(one, _), (other, _)] = lists;
        let (status, told) = cancel(&kmds, &one).await;
        assert_eq!(
            (status, ids(&told).len(), &told["kept"]),
            (200, 5, &json!(5)),
            "{told}"
        );
        let (status, told) = cancel(&kmds, &other).await;
        assert_eq!(
            (status, ids(&told).len(), &told["kept"]),
            (200, 10, &json!(0)),
            "{told}"
        );
    }
}

#[tokio::test]
async fn the_link_of_a_list_that_is_ended_is_not_logged() {
    let lab = Lab::start().await;
    let kmds = patient(&lab).start();
    let link = "https%3A%2F%2Fsoundcloud.com%2Fsomeone%2Fsets%2Fmine%2Fs-Pr1v4te";
    assert_eq!(cancel(&kmds, link).await.0, 404);
    let log = kmds.whole_log().await;
    assert!(log.contains("path=/api/v1/collections/{id} "), "{log}");
    assert!(!log.contains("Pr1v4te"), "{log}");
}

#[tokio::test]
async fn a_list_that_cannot_be_noted_is_fetched_all_the_same() {
    let lab = Lab::start().await;
    let list = lab.youtube().playlist(2).publish();
    let kmds = patient(&lab).start();
    let catalog = rusqlite::Connection::open(kmds.folder.path("state/kmds.db")).expect("opened");
    catalog.execute_batch("DROP TABLE lists").expect("dropped");
    let (status, reply) = kmds.fetch(&list.link()).await;
    assert_eq!((status, reply.songs.len()), (200, 2), "{reply}");
    assert_eq!(kmds.whole(&reply.songs[1]).await, list.songs()[1].bytes());
    let log = kmds.whole_log().await;
    assert!(log.contains("a list could not be recorded"), "{log}");
}
