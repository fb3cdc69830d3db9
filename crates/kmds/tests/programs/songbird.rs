//! The sample for songbird with the real songbird: by yt-dlp's command line, by path, and as a stream.
//!
//! `KMDS_TEST_SONGBIRD` is the sample as `./test` builds it; without it the sample is skipped, loudly.

use std::path::PathBuf;

use kmds_lab::Lab;
use serde_json::{Value, json};

use crate::harness::{Kmds, PATIENCE, Setup};
use crate::js_client::packet_sizes;
use crate::{root, skipped};

/// What the sample read of a song: a kind of input and what it needs.
async fn heard(sample: &PathBuf, kmds: &Kmds, arguments: &[&str]) -> Value {
    let mut command = tokio::process::Command::new(sample);
    command
        .args(arguments)
        .env("KMDS_SERVER", &kmds.url)
        .kill_on_drop(true);
    let out = tokio::time::timeout(PATIENCE * 2, command.output())
        .await
        .expect("it ends")
        .expect("it runs");
    assert!(
        out.status.success(),
        "{arguments:?}: {}\n{}",
        String::from_utf8_lossy(&out.stderr),
        kmds.log()
    );
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn songbird_reads_opus_to_the_end_by_yt_dlp_s_line_by_path_and_as_a_stream() {
    let what = "the sample for songbird";
    let Some(sample) = std::env::var_os("KMDS_TEST_SONGBIRD").map(PathBuf::from) else {
        return skipped(what, "KMDS_TEST_SONGBIRD is not set (./test builds it)");
    };
    let lab = Lab::start().await;
    let song = lab.youtube().video("Copper Kettles").seconds(3.0).publish();
    let kmds = Setup::of(&lab).start();
    let program = kmds.folder.path("kmds-ytdlp");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kmds"), &program).expect("a link");
    let program = program.display().to_string();

    let webm = kmds.folder.path("wanted.webm");
    std::fs::write(&webm, song.stream_bytes("251").expect("a stream")).expect("a file");
    let wanted = json!(packet_sizes(&webm));
    for link in [song.link(), "ytsearch:copper kettles".to_owned()] {
        let heard = heard(&sample, &kmds, &["ytdl", &program, &link]).await;
        assert_eq!(heard["title"], "Copper Kettles");
        assert_eq!(heard["codec"], "opus", "songbird passes only this on");
        assert_eq!(heard["sizes"], wanted);
        assert_eq!(
            heard["decoded"],
            heard["sizes"].as_array().map_or(0, Vec::len)
        );
    }

    let asked = json!({"url": song.link(), "accept": "discord"});
    let (status, reply) = kmds.v1_fetch(asked).await;
    assert_eq!(status, 200, "{reply}");
    let stream = kmds.at(&reply.tracks[0].links["stream"]);
    let streamed = heard(&sample, &kmds, &["stream", &stream]).await;
    let file = kmds
        .folder
        .path("cache")
        .join(format!("youtube/{}.opus", song.id()));
    let file = file.display().to_string();
    let read = heard(&sample, &kmds, &["file", &file]).await;
    let wanted = json!(packet_sizes(file.as_ref()));
    for heard in [streamed, read] {
        assert_eq!(heard["codec"], "opus");
        assert_eq!(heard["sizes"], wanted);
    }
}

#[test]
fn the_page_for_bots_shows_the_code_that_reads_songs_for_songbird() {
    let page = std::fs::read_to_string(root().join("docs/bots.md")).expect("the page");
    let sample = root().join("clients/songbird/src/main.rs");
    let sample = std::fs::read_to_string(sample).expect("the sample");
    let shown = page
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let shown = shown.expect("a block of Rust");
    for function in shown.split("\n\n") {
        assert!(sample.contains(function.trim_end()), "{function}");
    }
}
