//! With `recipes.canary` new recipes have to bring a known song before they are taken.

use kmds_lab::{Fault, Lab, Song, kib, mib};
use serde_json::Value;

use crate::harness::{FAST_RECIPES, Kmds, Setup};
use crate::{doctor, hang_up, metrics, reload, stats, writes};

const OUR_HOST: &str = "youtubei.googleapis.com";

/// Recipes of this day that ask YouTube at one host.
fn asking(host: &str, date: &str) -> String {
    format!(
        r#"date = "{date}"
{FAST_RECIPES}
[[youtube.identities]]
name = "one"
host = "{host}"
user_agent = "com.google.visionos.youtube/1.04"
client = {{ clientName = "VISIONOS", clientVersion = "1.04" }}
"#
    )
}

fn rehearsed_with(lab: &Lab, song: &Song) -> Setup {
    Setup::of(lab)
        .set("KMDS_RECIPES__CANARY", &song.link())
        .recipes(&asking(OUR_HOST, "2031-01-01"))
}

fn video(lab: &Lab, title: &str) -> Song {
    lab.youtube().video(title).size(mib(3)).publish()
}

async fn youtube_engine(kmds: &Kmds) -> Value {
    let text = kmds.get("/api/v1/stats").await.text().await;
    let stats: Value = serde_json::from_str(&text.expect("a body")).expect("JSON");
    let rows = stats["engines"].as_array().expect("engines").clone();
    rows.into_iter()
        .find(|row| row["site"] == "youtube")
        .expect("youtube")
}

/// Names below the state folder.
fn state_of(kmds: &Kmds) -> Vec<String> {
    let entries = std::fs::read_dir(kmds.folder.path("state")).expect("the state folder");
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[tokio::test]
async fn a_new_file_that_repairs_a_changed_site_is_taken_after_its_rehearsal_which_leaves_nothing()
{
    let lab = Lab::start().await;
    let (canary, song) = (video(&lab, "Canary"), video(&lab, "Song"));
    let kmds = rehearsed_with(&lab, &canary).start();
    lab.inject(Fault::ChangedPage.on_pages().at_host(OUR_HOST));
    assert_eq!(kmds.fetch(&song.link()).await.1.kind, "page_changed");
    assert!(!youtube_engine(&kmds).await["reason"].is_null());

    writes(&kmds, &asking("www.youtube.com", "2031-02-02"));
    let (status, reply) = reload(&kmds).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(
        (&reply["taken"], &reply["date"], &reply["remark"]),
        (&true.into(), &"2031-02-02".into(), &Value::Null),
        "{reply}"
    );
    assert!(youtube_engine(&kmds).await["reason"].is_null());
    assert!(lab.media_requests(canary.id()) >= 1, "audio was fetched");
    assert!(lab.media_bytes_sent(canary.id()) >= kib(64));
    assert!(lab.media_bytes_sent(canary.id()) < canary.len());
    let songs = kmds.get("/api/v1/tracks").await.text().await;
    assert!(!songs.expect("a body").contains(canary.id()));
    assert!(kmds.published().is_empty() && kmds.partials().is_empty());
    let kept = state_of(&kmds);
    assert!(!kept.iter().any(|name| name == "rehearsal"), "{kept:?}");

    assert_eq!(kmds.download(&song.link()).await, song.bytes());
}

#[tokio::test]
async fn recipes_that_bring_metadata_and_no_audio_are_refused_and_those_in_force_stay() {
    let lab = Lab::start().await;
    lab.youtube().range_limit(mib(2));
    let canary = lab.youtube().video("Canary").size(mib(6)).aac_only();
    let (canary, song) = (canary.publish(), video(&lab, "Song"));
    let kmds = rehearsed_with(&lab, &canary).start();
    let far = "[youtube]\nfirst_range_bytes = 3_000_000\nleast_range_bytes = 3_000_000\n";
    writes(&kmds, &(asking(OUR_HOST, "2031-02-02") + far));
    let (status, problem) = reload(&kmds).await;
    assert_eq!(status, 502, "{problem}");
    assert_eq!(problem["kind"], "origin_refused", "{problem}");
    let sentence = problem["detail"].as_str().expect("a sentence");
    for part in [
        "with the new recipes, dated 2031-02-02",
        canary.id(),
        "refused the audio",
        "with those in force it can",
        "the recipes of 2031-01-01 stay in force",
    ] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    assert!(!sentence.contains("sig="), "no signature: {sentence}");
    let stats = stats(&kmds).await;
    assert_eq!(stats["date"], "2031-01-01", "{stats}");
    assert_eq!(stats["refused"]["reason"], sentence, "{stats}");
    let ready = kmds.get("/readyz").await.text().await.expect("a body");
    assert!(ready.contains("stay in force"), "{ready}");
    let metrics = metrics(&kmds).await;
    assert!(
        metrics.contains("kmds_recipes_reloads_total{outcome=\"origin_refused\"} 1\n"),
        "{metrics}"
    );
    let said = doctor(&kmds);
    assert!(
        said.contains(canary.id()) && said.contains("stay in force"),
        "{said}"
    );
    kmds.until("the log says why", async || {
        kmds.log().contains("the recipes stay unchanged")
    })
    .await;
    assert_eq!(kmds.download(&song.link()).await, song.bytes());

    writes(&kmds, &asking(OUR_HOST, "2031-03-03"));
    assert_eq!(reload(&kmds).await.0, 200);
    let said = doctor(&kmds);
    assert!(!said.contains("stay in force"), "{said}");
}

#[tokio::test]
async fn where_the_old_recipes_fail_too_the_new_ones_are_taken_and_the_reply_says_so() {
    let lab = Lab::start().await;
    let canary = video(&lab, "Canary");
    let kmds = rehearsed_with(&lab, &canary).start();
    lab.inject(Fault::Status(403, None).on_pages());
    writes(&kmds, &asking("www.youtube.com", "2031-02-02"));
    let (status, reply) = reload(&kmds).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(
        (&reply["taken"], &reply["date"]),
        (&true.into(), &"2031-02-02".into()),
        "{reply}"
    );
    let remark = reply["remark"].as_str().expect("a remark");
    assert!(
        remark.contains(canary.id()) && remark.contains("with the new recipes, nor"),
        "{remark}"
    );
}

#[tokio::test]
async fn what_is_asked_for_during_a_rehearsal_is_answered_by_the_next_reload() {
    let lab = Lab::start().await;
    let canary = lab
        .youtube()
        .video("Canary")
        .size(mib(1))
        .holds_at(kib(16))
        .publish();
    let patient =
        |date: &str| asking(OUR_HOST, date).replace("audio_stall = 1.0", "audio_stall = 25.0");
    let kmds = rehearsed_with(&lab, &canary)
        .recipes(&patient("2031-01-01"))
        .start();
    writes(&kmds, &patient("2031-02-02"));
    let first = reload(&kmds);
    let others = async {
        let id = canary.id().to_owned();
        lab.until(|seen| seen.iter().any(|seen| seen.song.as_deref() == Some(&id)))
            .await;
        writes(&kmds, &patient("2031-03-03"));
        hang_up(&kmds);
        let second = reload(&kmds);
        tokio::join!(second, async { canary.release() }).0
    };
    let (first, second) = tokio::join!(first, others);
    assert_eq!((first.0, &first.1["date"]), (200, &"2031-02-02".into()));
    assert_eq!((second.0, &second.1["date"]), (200, &"2031-03-03".into()));
    assert_eq!(stats(&kmds).await["date"], "2031-03-03");
}

#[tokio::test]
async fn nothing_is_contacted_without_a_canary_nor_for_a_file_that_says_nothing_new() {
    let lab = Lab::start().await;
    let canary = video(&lab, "Canary");
    let kmds = Setup::of(&lab)
        .recipes(&asking(OUR_HOST, "2031-01-01"))
        .start();
    writes(&kmds, &asking("www.youtube.com", "2031-02-02"));
    assert_eq!(reload(&kmds).await.1["taken"], true);
    let rehearsed = rehearsed_with(&lab, &canary).start();
    assert_eq!(reload(&rehearsed).await.1["taken"], false);
    let off = rehearsed_with(&lab, &canary)
        .set("KMDS_YOUTUBE__ENABLED", "false")
        .start();
    writes(&off, &asking("www.youtube.com", "2031-02-02"));
    assert_eq!(reload(&off).await.1["taken"], true);
    assert!(lab.connections().is_empty(), "{:?}", lab.connections());
}

#[tokio::test]
async fn every_site_has_its_own_song_and_one_that_fails_is_enough() {
    let lab = Lab::start().await;
    let songs = [
        video(&lab, "Canary"),
        lab.soundcloud().track("canary").size(mib(1)).publish(),
        lab.bandcamp().track("canary").size(mib(1)).publish(),
    ];
    let links: Vec<String> = songs.iter().map(Song::link).collect();
    let kmds = Setup::of(&lab)
        .set("KMDS_RECIPES__CANARY", &links.join(","))
        .recipes(&asking(OUR_HOST, "2031-01-01"))
        .start();
    writes(&kmds, &asking(OUR_HOST, "2031-02-02"));
    let (status, reply) = reload(&kmds).await;
    assert_eq!((status, &reply["remark"]), (200, &Value::Null), "{reply}");
    for song in &songs {
        assert!(lab.hits(song) >= 1, "{song:?}");
    }
    let bad = asking(OUR_HOST, "2031-03-03");
    let bad = bad.replace("pace = 0.0", "pace = 0.0\nmedia = [\"cdn.example\"]");
    writes(&kmds, &bad);
    let (status, problem) = reload(&kmds).await;
    assert_eq!(status, 502, "{problem}");
    assert!(
        problem["detail"].to_string().contains("bandcamp"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_start_takes_the_file_as_it_stands_and_forgets_what_was_refused() {
    let lab = Lab::start().await;
    let canary = video(&lab, "Canary");
    let setup = rehearsed_with(&lab, &canary);
    let mut kmds = setup.start();
    let bad = asking(OUR_HOST, "2031-02-02") + "[youtube.hosts]\nmedia = [\"cdn.example\"]\n";
    writes(&kmds, &bad);
    assert_eq!(reload(&kmds).await.0, 502);
    assert_eq!(kmds.terminate(), Some(0));
    let kmds = setup.recipes(&bad).start();
    kmds.until("the log warns", async || {
        kmds.log().contains("an earlier reload refused")
    })
    .await;
    assert_eq!(stats(&kmds).await["date"], "2031-02-02");
    assert!(!doctor(&kmds).contains("stay in force"));
}
