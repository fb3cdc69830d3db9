//! How loud a song is, wherever a client looks.

use kmds_lab::{Lab, Song};
use serde_json::{Value, json};

use super::harness::{Kmds, Setup};

async fn track(kmds: &Kmds, song: &Song) -> Value {
    let path = format!("/api/v1/tracks/youtube/{}?wait=40", song.id());
    let answer = kmds.get(&path).await;
    let text = answer.text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

fn sidecar(kmds: &Kmds, song: &Song, ext: &str) -> Value {
    let path = format!("cache/youtube/{}.{ext}.json", song.id());
    let text = std::fs::read(kmds.folder.path(&path)).expect("a sidecar");
    serde_json::from_slice(&text).expect("JSON")
}

#[tokio::test]
async fn a_songs_loudness_is_on_its_track_its_events_and_its_sidecar_and_comes_back_from_the_drive()
{
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Loud")
        .seconds(2.0)
        .loudness(json!(6.8800001), json!(1.0))
        .publish();
    let setup = Setup::of(&lab);
    let mut kmds = setup.start();
    let mut events = kmds.get("/api/v1/events").await;
    let (_, reply) = kmds.v1_fetch(json!({"url": song.link()})).await;
    assert_eq!(reply["tracks"][0]["loudness_db"], 6.88, "{reply}");
    assert_eq!(track(&kmds, &song).await["loudness_db"], 6.88);
    let told = super::events::read_until(&mut events, "\"state\":\"ready\"").await;
    let ready = told.lines().find(|line| line.contains("\"ready\""));
    let ready = ready.expect("an event");
    assert!(ready.contains("\"loudness_db\":6.88"), "{ready}");
    assert_eq!(sidecar(&kmds, &song, "m4a")["loudness_db"], 6.88);
    kmds.terminate();
    for name in ["kmds.db", "kmds.db-wal", "kmds.db-shm"] {
        let _ = std::fs::remove_file(kmds.folder.path(&format!("state/{name}")));
    }
    let kmds = setup.start();
    let found = async || track(&kmds, &song).await["state"] == "ready";
    kmds.until("the song is adopted", found).await;
    assert_eq!(track(&kmds, &song).await["loudness_db"], 6.88);
}

#[tokio::test]
async fn a_list_tells_no_loudness_and_a_song_of_it_has_one_once_it_was_downloaded() {
    let lab = Lab::start().await;
    let list = lab.youtube().playlist(2).publish();
    let kmds = Setup::of(&lab).start();
    let request = json!({"url": list.link()});
    let (_, reply) = kmds.v1_fetch(request.clone()).await;
    assert_eq!(reply["tracks"][0]["loudness_db"], Value::Null, "{reply}");
    assert_eq!(track(&kmds, &list.songs()[0]).await["loudness_db"], -3.5);
    // The list, told again, does not take it away.
    kmds.v1_fetch(request).await;
    assert_eq!(track(&kmds, &list.songs()[0]).await["loudness_db"], -3.5);
}

#[tokio::test]
async fn a_loudness_that_cannot_be_costs_nothing_but_itself() {
    let lab = Lab::start().await;
    let kmds = Setup::of(&lab).start();
    for nonsense in [json!("NaN"), json!(1e300), json!([-3.5]), json!(true)] {
        let song = lab
            .youtube()
            .video("Odd")
            .seconds(2.0)
            .loudness(nonsense.clone(), nonsense.clone())
            .publish();
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
        let track = track(&kmds, &song).await;
        assert_eq!(track["loudness_db"], Value::Null, "{nonsense}");
        assert_eq!(track["title"], "Odd");
        let sidecar = sidecar(&kmds, &song, "m4a");
        assert_eq!(sidecar["loudness_db"], Value::Null, "{nonsense}");
    }
}
