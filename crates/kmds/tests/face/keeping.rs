//! Songs as bytes: into files by a template, and to standard output.

use kmds_lab::{Fault, Lab};

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
