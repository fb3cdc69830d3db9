//! An Opus-only song, beside ffmpeg alone.
//!
//! Owns the same encoder with the same options, from file to file; the service downloads the song, too, and publishes it.

use std::path::Path;
use std::time::Instant;

use kmds_lab::Lab;

use super::{ROUNDS, program, run};
use crate::service::{Folder, Service};
use crate::table::{Goal, Table};

const SECONDS: f64 = 300.0;
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
    let (mut ours, mut theirs) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for round in 0..ROUNDS {
        let title = format!("Opus alone {round}");
        let video = lab.youtube().video(&title).seconds(SECONDS).opus_only();
        let song = video.publish();
        let bytes = song.stream_bytes("251").expect("its Opus");
        std::fs::write(folder.join("in.webm"), bytes).expect("a file");
        let (begun, before) = (Instant::now(), service.tree_seconds());
        let path = service.whole(&song).await;
        ours.0.push(service.tree_seconds() - before);
        ours.1.push(begun.elapsed().as_secs_f64());
        assert!(path.contains(".ogg"), "{path} is no Ogg Vorbis");
        let mut alone = tokio::process::Command::new(&ffmpeg);
        alone.current_dir(&*folder).args(ARGUMENTS.split(' '));
        let cost = run(&mut alone).await;
        theirs.0.push(cost.processor);
        theirs.1.push(cost.seconds);
    }
    let goal = Some(Goal::AtMost(1.05));
    table.compare(
        "an Opus-only song of 300 s: processor time of the tree",
        &ours.0,
        ("ffmpeg", &theirs.0),
        "s",
        goal,
    );
    table.compare(
        "an Opus-only song of 300 s: time",
        &ours.1,
        ("ffmpeg", &theirs.1),
        "s",
        None,
    );
}
