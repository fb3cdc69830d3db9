//! Recorded exchanges, served again.

mod client;

use std::path::{Path, PathBuf};

use client::{Client, aac_url, call, client_id, format_url};
use kmds_lab::{Lab, Site};
use serde_json::{Value, json};

const PLAYER: &str = "https://youtubei.googleapis.com/youtubei/v1/player";
const REEL: &str = "https://youtubei.googleapis.com/youtubei/v1/reel/reel_item_watch";

/// A folder of made-up recordings that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("kmds-lab-recorded-{}-{name}", std::process::id()));
        std::fs::create_dir_all(folder.join("case")).expect("a folder");
        Self(folder)
    }

    fn record(&self, name: &str, method: &str, url: &str, body: &Value, status: u16, answer: &str) {
        let exchange = json!({"request": {"method": method, "url": url, "headers": {}, "body": body},
            "response": {"status": status, "final_url": "https://soundcloud.com/a/b?si=1", "headers": {}, "body": answer}});
        std::fs::write(self.0.join("case").join(name), exchange.to_string()).expect("written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

#[tokio::test]
async fn a_video_for_kids_is_refused_as_recorded_and_its_muxed_stream_is_served() {
    let folder = Folder::new("kids");
    let refused = json!({"playabilityStatus": {"status": "UNPLAYABLE", "reason": "This video is not available"},
        "videoDetails": {"videoId": "KIDSKIDSKIs", "title": "Ducks", "lengthSeconds": "20"}});
    folder.record(
        "player.json",
        "POST",
        PLAYER,
        &call("VISIONOS", "1.02", json!({"videoId": "KIDSKIDSKIs"})),
        200,
        &refused.to_string(),
    );
    let url = "https://rr1---sn-a.googlevideo.com/videoplayback?expire=1&ei=e&id=o-K&itag=18&lmt=5&sparams=expire%2Cid%2Citag%2Clmt&sig=s";
    let plays = json!({"playerResponse": {"playabilityStatus": {"status": "OK"}, "videoDetails": {"videoId": "KIDSKIDSKIs"},
        "streamingData": {"formats": [{"itag": 18, "url": url, "mimeType": "video/mp4; codecs=\"avc1, mp4a\"", "lastModified": "5",
            "approxDurationMs": "20000", "audioSampleRate": "44100"}]}}});
    let asked = call(
        "ANDROID",
        "21",
        json!({"playerRequest": {"videoId": "KIDSKIDSKIs"}}),
    );
    folder.record("reel.json", "POST", REEL, &asked, 200, &plays.to_string());
    let missing = call(
        "ANDROID",
        "21",
        json!({"playerRequest": {"videoId": "GONEGONEGOs"}}),
    );
    folder.record("reel-gone.json", "POST", REEL, &missing, 200, "{}");
    let lab = Lab::with_recordings(&folder).await;
    let client = Client::of(&lab);
    let said = client
        .post(
            PLAYER,
            &call("VISIONOS", "9", json!({"videoId": "KIDSKIDSKIs"})),
        )
        .await
        .json();
    assert_eq!(said["playabilityStatus"]["status"], "UNPLAYABLE");
    let reel = client.post(REEL, &asked).await.json();
    let url = reel["playerResponse"]["streamingData"]["formats"][0]["url"]
        .as_str()
        .expect("a URL")
        .to_owned();
    let file = client.get_range(&url, "bytes=0-9999999").await;
    assert_eq!(
        (file.status, file.body.get(4..8)),
        (206, Some(&b"ftyp"[..]))
    );
    assert_eq!(client.post(REEL, &missing).await.json(), json!({}));
    let gone = client
        .post(
            PLAYER,
            &call("VISIONOS", "1.02", json!({"videoId": "GONEGONEGOs"})),
        )
        .await
        .json();
    assert_eq!(gone["playabilityStatus"]["status"], "ERROR");
}

#[tokio::test]
async fn a_recorded_short_link_redirects_and_what_is_not_recorded_is_missing() {
    let folder = Folder::new("short");
    folder.record(
        "short.json",
        "GET",
        "https://on.soundcloud.com/rdt7e",
        &Value::Null,
        200,
        "<html>",
    );
    let lab = Lab::with_recordings(&folder).await;
    let client = Client::of(&lab);
    let answer = client.get("https://on.soundcloud.com/rdt7e").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("https://soundcloud.com/a/b?si=1"))
    );
    assert_eq!(
        client.get("https://on.soundcloud.com/other").await.status,
        404
    );
    let id = client_id(&client).await;
    let missing = format!(
        "https://api-v2.soundcloud.com/resolve?url=https://soundcloud.com/a/b&client_id={id}"
    );
    assert_eq!(
        (
            client.get(&missing).await.status,
            client.get(&missing).await.text()
        ),
        (404, "{}".to_owned())
    );
}

#[tokio::test]
async fn recordings_live_again() {
    let Some(folder) = std::env::var_os("KMDS_RECORDINGS") else {
        eprintln!("SKIPPED: KMDS_RECORDINGS is not set, so no recorded exchange was served");
        return;
    };
    let lab = Lab::with_recordings(folder).await;
    let client = Client::of(&lab);
    for song in lab
        .songs()
        .into_iter()
        .filter(|song| song.site() == Site::YouTube && song.seconds() > 0.0)
    {
        let url = aac_url(&client, &song).await;
        let head = client.get_range(&url, "bytes=0-99").await;
        assert_eq!(head.status, 206, "{song:?}");
        assert!(head.header("content-range").is_some_and(|range| {
            url.contains(&format!("clen={}", range.rsplit('/').next().unwrap_or("")))
        }));
    }
    let private = call("VISIONOS", "1.02", json!({"videoId": "8VajtrESJzA"}));
    let answer = client
        .post(
            "https://youtubei.googleapis.com/youtubei/v1/player",
            &private,
        )
        .await
        .json();
    assert_eq!(
        answer["playabilityStatus"]["reason"], "This video is private",
        "lent to another client, unwrapped"
    );
    let id = client_id(&client).await;
    let open_minds = lab
        .song(Site::SoundCloud, "1356023209")
        .expect("a recorded track");
    let url = format_url(&client, &open_minds, &id, "progressive").await;
    assert!(client.get(&url).await.body == open_minds.bytes());
}
