//! Songs as bytes: into files by a template, and to standard output.

use std::io::Read;
use std::process::Stdio;

use kmds_lab::{Fault, Lab};
use rustix::fs::{FlockOperation, flock};

use super::Caller;
use super::harness::{Kmds, read};

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_the_picked_form_go_to_standard_output_or_into_a_file() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("A/B: C")
        .artist("Ada")
        .seconds(20.0)
        .publish();
    let kmds = Kmds::start(&lab);
    for caller in [Caller::of(&kmds), Caller::alone(&lab)] {
        for (selector, itag) in [("ba", "251"), ("ba[ext=m4a]", "140")] {
            let said = caller
                .runs(&["-o", "-", "-f", selector, &song.link()])
                .with(0);
            assert!(
                said.out == song.stream_bytes(itag).expect("a stream"),
                "{selector}"
            );
            assert_eq!(said.err, "");
        }
        let template = "music/%(uploader)s/%(title)s.%(ext)s";
        let printed = "after_move:%(filepath)s";
        let said = caller
            .runs(&["-o", template, "--print", printed, &song.link()])
            .with(0);
        let file = caller.folder.path("music/Ada/A⧸B： C.webm");
        assert_eq!(said.text().trim(), file.display().to_string());
        assert!(read(&file) == song.stream_bytes("251").expect("a stream"));
        let again = caller.runs(&["-o", template, &song.link()]).with(0);
        assert!(
            again.text().contains("has already been downloaded"),
            "{again:?}"
        );
        assert_eq!(caller.left_behind(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_song_that_breaks_off_leaves_no_file_and_fails() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Broken").seconds(20.0).publish();
    lab.inject(Fault::Status(403, None).on_media().of(&song));
    let kmds = Kmds::start(&lab);
    for caller in [Caller::of(&kmds), Caller::alone(&lab)] {
        let said = caller.runs(&["-o", "song.%(ext)s", &song.link()]).with(1);
        assert!(said.err.starts_with("ERROR: [Bandcamp] "), "{said:?}");
        let files = std::fs::read_dir(&caller.folder.0)
            .expect("a folder")
            .flatten();
        let songs = files.filter(|file| file.file_name().to_string_lossy().starts_with("song"));
        assert_eq!(songs.count(), 0, "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_ended_while_its_output_is_not_read_leaves_nothing_behind() {
    let lab = Lab::start().await;
    let long = lab.youtube().video("Long").seconds(600.0).publish();
    let kmds = Kmds::start(&lab);
    for caller in [Caller::of(&kmds), Caller::alone(&lab)] {
        let mut command = caller.command(&caller.program());
        command.args(["-q", "-o", "-", &long.link()]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("kmds starts");
        // Its first bytes are here, and the pipe is full soon after: a song of MBs is not read on.
        let mut first = [0; 1024];
        let mut pipe = child.stdout.take().expect("piped");
        pipe.read_exact(&mut first).expect("the beginning");
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::TERM)
            .expect("a signal");
        let ended = child.wait().expect("an end");
        assert_eq!(
            ended.code(),
            Some(1),
            "yt-dlp's own for an interrupted call"
        );
        assert_eq!(caller.left_behind(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_removes_the_folder_of_a_killed_call_and_leaves_that_of_a_living_one() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Song").publish();
    let caller = Caller::alone(&lab);
    // No process here has this id, as if the living call ran in another PID namespace.
    let [killed, living] = ["killed", "living"].map(|name| {
        let folder = caller
            .folder
            .path(&format!("tmp/kmds-yt-dlp-4194304-{name}"));
        std::fs::create_dir(&folder).expect("a folder");
        let lock = std::fs::File::create(folder.join("lock")).expect("a file");
        (folder, lock)
    });
    flock(&living.1, FlockOperation::LockExclusive).expect("a lock");
    caller.runs(&["-e", &song.link()]).with(0);
    assert!(!killed.0.exists());
    assert!(living.0.join("lock").exists());
    assert_eq!(caller.left_behind(), 1, "its own folder is gone too");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_title_leads_out_of_the_folder_that_was_asked_for() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("..").artist("\u{1}").publish();
    let kmds = Kmds::start(&lab);
    for caller in [Caller::of(&kmds), Caller::alone(&lab)] {
        for (template, path) in [
            ("%(uploader)s/%(title)s/x", "music/_/__/x"),
            ("%(nothing|)s/etc/x", "music/_/etc/x"),
        ] {
            let arguments = ["-P", "music", "-o", template, "--print", "filename"];
            let said = caller.runs(&[&arguments[..], &[&song.link()]].concat());
            assert_eq!(said.with(0).text().trim(), path, "{template}");
        }
    }
}
