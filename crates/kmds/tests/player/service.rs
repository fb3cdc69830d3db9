//! The service on the day that every client without a script is closed.

use kmds_lab::script::{Dialect, PlayerScript};
use kmds_lab::{Lab, Site, Song};

use crate::harness::{Kmds, Setup};

const SCRIPT: PlayerScript = PlayerScript {
    dialect: Dialect::Table,
    seed: 421,
};

async fn on_that_day() -> Lab {
    let lab = Lab::start().await;
    lab.youtube().plays_script(SCRIPT);
    lab.youtube().closes_visionos();
    lab
}

fn asked(lab: &Lab, path: &str) -> usize {
    lab.count(|seen| seen.path.contains(path))
}

async fn arrives(kmds: &Kmds, song: &Song) {
    assert_eq!(
        kmds.download(&song.link()).await,
        song.bytes(),
        "{}\n{}",
        song.link(),
        kmds.log()
    );
}

#[tokio::test]
async fn songs_arrive_whole_without_a_client_that_needs_no_script() {
    let lab = on_that_day().await;
    let songs: Vec<Song> = (0..4)
        .map(|index| {
            let video = lab.youtube().video(&format!("Song {index}")).seconds(20.0);
            if index % 2 == 0 {
                video.aac_only()
            } else {
                video
            }
            .publish()
        })
        .collect();
    let kmds = Setup::of(&lab).start();
    for song in &songs {
        arrives(&kmds, song).await;
    }
    assert_eq!(asked(&lab, "/iframe_api"), 1);
    assert_eq!(asked(&lab, "/base.js"), 1, "the script is fetched once");
    // The three others once each, and then the one that works first.
    assert_eq!(asked(&lab, "/youtubei/v1/player"), 3 + songs.len());
}

#[tokio::test]
async fn a_dubbed_song_comes_in_its_original_language_by_the_script() {
    let lab = on_that_day().await;
    let tracks = [
        ("en-US.4", "English original", "original"),
        ("mr.10", "Marathi", "dubbed-auto"),
    ];
    let song = lab
        .youtube()
        .video("Dubbed")
        .seconds(20.0)
        .tracks(&tracks)
        .publish();
    arrives(&Setup::of(&lab).start(), &song).await;
}

#[tokio::test]
async fn a_list_of_a_hundred_arrives_whole_at_one_request_a_song_and_one_script() {
    let lab = on_that_day().await;
    let list = lab.youtube().playlist(100).seconds(5.0).publish();
    let kmds = Setup::of(&lab).start();
    let (status, reply) = kmds.fetch(&list.link()).await;
    assert_eq!(status, 200, "{reply}");
    let songs = &reply.songs;
    assert_eq!(songs.len(), 100);
    for (told, song) in songs.iter().zip(list.songs()) {
        assert_eq!(kmds.whole(told).await, song.bytes(), "{}", song.link());
    }
    assert_eq!(asked(&lab, "/iframe_api"), 1);
    assert_eq!(asked(&lab, "/base.js"), 1);
    assert_eq!(asked(&lab, "/youtubei/v1/browse"), 1);
    // Songs that begin at the same time find out side by side that the others are closed.
    let others = lab.count(|seen| {
        seen.path == "/youtubei/v1/player" && seen.client_name.as_deref() == Some("VISIONOS")
    });
    let television = lab.count(|seen| {
        seen.path == "/youtubei/v1/player" && seen.client_name.as_deref() == Some("TVHTML5")
    });
    assert_eq!(television, 100, "one a song");
    assert!(
        others <= 3 * 8,
        "{others} requests as a client that is closed"
    );
    assert!(lab.page_requests(Site::YouTube) <= 200);
}

#[tokio::test]
async fn answers_with_sabr_alone_lead_to_the_script_and_then_to_a_clear_kind() {
    let lab = Lab::start().await;
    lab.youtube().plays_script(SCRIPT);
    lab.youtube().gives_visionos_sabr_only();
    let kmds = Setup::of(&lab).start();
    let song = lab.youtube().video("Song").seconds(20.0).publish();
    arrives(&kmds, &song).await;
    let all = lab.youtube().video("Nothing to play").sabr_only().publish();
    let (status, reply) = kmds.fetch(&all.link()).await;
    assert_eq!((status, &*reply.kind), (502, "page_changed"));
    assert!(reply.to_string().contains("streamingData.url"), "{reply}");
}

/// Another player's script under the name of today's: its answers look right, and are not.
fn plays_wrong_answers(lab: &Lab) {
    lab.youtube().plays_script(SCRIPT);
    let other = PlayerScript {
        seed: SCRIPT.seed + 1_000,
        ..SCRIPT
    };
    lab.youtube().spoils_script(&other.text());
}

#[tokio::test]
async fn a_plausible_wrong_answer_costs_its_client_and_no_wrong_byte_is_kept() {
    let lab = Lab::start().await;
    plays_wrong_answers(&lab);
    lab.youtube().closes_visionos();
    let kmds = Setup::of(&lab).start();
    let song = lab.youtube().video("Song").seconds(20.0).publish();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let tunnel = &reply.songs[0].tunnel;
    let answer = kmds.get(&format!("{tunnel}&wait=60")).await;
    assert_eq!(answer.status(), 500);
    let said = answer.text().await.expect("a reason");
    assert!(said.contains("origin_refused"), "{said}");
    assert!(kmds.published().is_empty());
    // The client is left alone, so that the next song is not begun in vain.
    let next = lab.youtube().video("Next").seconds(20.0).publish();
    let before = lab.media_requests(next.id());
    assert_eq!(kmds.fetch(&next.link()).await.1.kind, "page_changed");
    assert_eq!(lab.media_requests(next.id()), before);
}

#[tokio::test]
async fn audio_that_is_throttled_for_a_wrong_answer_comes_whole_all_the_same() {
    let lab = Lab::start().await;
    plays_wrong_answers(&lab);
    lab.youtube().closes_visionos();
    lab.youtube().paces_given_n(400_000);
    let song = lab
        .youtube()
        .video("Song")
        .seconds(20.0)
        .aac_only()
        .publish();
    arrives(&Setup::of(&lab).start(), &song).await;
}

#[tokio::test]
async fn every_dialect_of_the_script_brings_a_song() {
    for dialect in Dialect::ALL {
        let lab = on_that_day().await;
        lab.youtube()
            .plays_script(PlayerScript { dialect, seed: 9 });
        let song = lab.youtube().video("Song").seconds(20.0).publish();
        arrives(&Setup::of(&lab).start(), &song).await;
    }
}

#[tokio::test]
async fn a_song_for_kids_comes_by_the_script_where_itag_18_is_gone() {
    let lab = Lab::start().await;
    lab.youtube().plays_script(SCRIPT);
    let song = lab
        .youtube()
        .video("For kids")
        .seconds(20.0)
        .for_kids()
        .without_muxed()
        .publish();
    let kmds = Setup::of(&lab).start();
    arrives(&kmds, &song).await;
}

#[tokio::test]
async fn a_restart_needs_the_script_no_second_time() {
    let lab = on_that_day().await;
    let first = lab.youtube().video("First").seconds(20.0).publish();
    let second = lab.youtube().video("Second").seconds(20.0).publish();
    let setup = Setup::of(&lab);
    let mut kmds = setup.start();
    arrives(&kmds, &first).await;
    assert_eq!(kmds.terminate(), Some(0));
    let kmds = setup.start();
    arrives(&kmds, &second).await;
    assert_eq!(asked(&lab, "/base.js"), 1);
}

#[tokio::test]
async fn a_script_that_cannot_be_read_spoils_its_own_client_alone() {
    let lab = Lab::start().await;
    lab.youtube().plays_script(SCRIPT);
    lab.youtube()
        .spoils_script("<!DOCTYPE html><title>Sorry</title>");
    let kids = lab
        .youtube()
        .video("For kids")
        .seconds(20.0)
        .for_kids()
        .without_muxed()
        .publish();
    let song = lab.youtube().video("Song").seconds(20.0).publish();
    let kmds = Setup::of(&lab).start();
    arrives(&kmds, &song).await;
    let (_, reply) = kmds.fetch(&kids.link()).await;
    let tunnel = reply.songs[0].tunnel.clone();
    let refused = kmds.get(&format!("{tunnel}&wait=60")).await;
    assert!(refused.status().as_u16() >= 400);
    assert!(
        refused
            .text()
            .await
            .expect("a reason")
            .contains("unavailable")
    );
    lab.youtube().closes_visionos();
    let other = lab.youtube().video("Other").seconds(20.0).publish();
    let (status, reply) = kmds.fetch(&other.link()).await;
    assert_eq!(status, 502, "{reply}");
    assert!(reply.to_string().contains("page_changed"), "{reply}");
    assert_eq!(asked(&lab, "/base.js"), 1, "it is left alone for a while");
    let metrics = kmds.get("/metrics").await.text().await.expect("metrics");
    assert!(
        metrics.contains(&format!(
            "kmds_player_script{{player=\"{}\"}} 0",
            SCRIPT.id()
        )),
        "{metrics}"
    );
    kmds.until("the log names the player", async || {
        kmds.log().contains(&SCRIPT.id())
    })
    .await;
}

#[tokio::test]
async fn the_doctor_names_the_script_and_what_it_is_worth() {
    for (spoilt, words) in [
        (false, "is prepared"),
        (true, "is of no use: the script has no function"),
    ] {
        let lab = on_that_day().await;
        if spoilt {
            lab.youtube()
                .spoils_script("<!DOCTYPE html><title>Sorry</title>");
        }
        let song = lab.youtube().video("Song").seconds(20.0).publish();
        let kmds = Setup::of(&lab).start();
        kmds.fetch(&song.link()).await;
        let state = kmds.folder.path("state");
        let doctor = std::process::Command::new(env!("CARGO_BIN_EXE_kmds"))
            .args(["doctor", "--set", "engines.ytdlp.enabled=false", "--set"])
            .arg(format!("state.dir={}", state.display()))
            .args([
                "--set",
                &format!("cache.dir={}", kmds.folder.path("cache").display()),
            ])
            .output()
            .expect("kmds starts");
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(
            said.contains(&SCRIPT.id()) && said.contains(words),
            "{said}"
        );
    }
}
