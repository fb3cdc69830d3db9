//! An Opus-only song, beside ffmpeg alone.
//!
//! Owns the same encoder with the same options and the same niceness, from file to file; the service downloads the
//! song, too, and publishes it. Clocks are not compared: both give way to other work, which costs processor time as
//! well.

use std::path::Path;

use kmds_lab::Lab;

use super::{ROUNDS, program, run};
use crate::service::{Folder, Service};
use crate::table::{Goal, Table};

const SECONDS: f64 = 60.0;
/// As `convert` gives it to ffmpeg.
const NICENESS: i32 = 10;
/// As `convert` gives them for Ogg Vorbis.
const ARGUMENTS: &str = "-nostdin -hide_banner -loglevel error -y -threads 1 -i in.webm -vn -sn -map 0:a:0 -map_metadata -1 \
     -fflags +bitexact -flags:a +bitexact -c:a libvorbis -q:a 5 -f ogg out.ogg";

pub async fn measure(binary: &Path, lab: &Lab, table: &mut Table) {
    let Some(ffmpeg) = program("ffmpeg") else {
        return table.skip("convert", "there is no ffmpeg");
    };
    let folder = Folder::new();
    let command = ffmpeg.display().to_string();
    let service = Service::start(binary, lab, &[("KMDS_FFMPEG__COMMAND", &command)]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let title = format!("Opus alone {round}");
        let video = lab.youtube().video(&title).seconds(SECONDS).opus_only();
        let song = video.publish();
        let bytes = song.stream_bytes("251").expect("its Opus");
        std::fs::write(folder.join("in.webm"), bytes).expect("a file");
        let before = service.tree_seconds();
        let path = service.whole(&song).await;
        ours.push(service.tree_seconds() - before);
        assert!(path.contains(".ogg"), "{path} is no Ogg Vorbis");
        let mut alone = tokio::process::Command::new("nice");
        let own = rustix::process::getpriority_process(None).unwrap_or(0);
        alone.args(["-n", &(NICENESS - own).to_string()]);
        alone.arg(&ffmpeg).args(ARGUMENTS.split(' '));
        alone.current_dir(&*folder);
        theirs.push(run(&mut alone).await.processor);
    }
    table.compare(
        "an Opus-only song of 60 s: processor time of the tree",
        &ours,
        ("ffmpeg", &theirs),
        "s",
        Some(Goal::AtMost(1.05)),
    );
}
