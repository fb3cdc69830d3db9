//! `kmds get` and `kmds resolve`.

use kmds_lab::{Lab, kib};

use super::Person;
use super::harness::{PATIENCE, Setup, read, tool};

#[tokio::test(flavor = "multi_thread")]
async fn an_album_lands_tagged_where_a_music_library_wants_it() {
    let lab = Lab::start().await;
    let album = lab
        .bandcamp()
        .album(0)
        .title("Warm Sockets")
        .artist("Ada")
        .song("First", 4.0)
        .song("Second", 5.0)
        .publish();
    let person = Person::of(&lab);
    let said = person.runs(&["get", &album.link(), "-o", "music"]).with(0);
    assert_eq!(
        person.files("music"),
        [
            "Ada/Warm Sockets/01 First.mp3",
            "Ada/Warm Sockets/02 Second.mp3"
        ],
        "{said:?}"
    );
    assert!(
        said.out.contains("music/Ada/Warm Sockets/02 Second.mp3"),
        "{said:?}"
    );
    let again = person.runs(&["get", &album.link(), "-o", "music"]).with(0);
    assert!(again.out.contains("is there already"), "{again:?}");
    assert_eq!(
        album
            .songs()
            .iter()
            .map(|song| lab.hits(song))
            .collect::<Vec<_>>(),
        [1, 1],
        "nothing is fetched twice"
    );
    let Ok(python) = std::env::var("KMDS_TEST_PYTHON") else {
        eprintln!(
            "SKIPPED in part: KMDS_TEST_PYTHON is not set, so no second reader looks at the tags"
        );
        return;
    };
    let script = "import mutagen, sys; tags = mutagen.File(sys.argv[1]).tags; \
        print([str(tags[key]) for key in ('TIT2', 'TPE1', 'TALB', 'TRCK')], any(key.startswith('APIC') for key in tags))";
    let file = person
        .folder
        .path("music/Ada/Warm Sockets/02 Second.mp3")
        .display()
        .to_string();
    assert_eq!(
        tool(&python, &["-c", script, &file]).trim(),
        "['Second', 'Ada', 'Warm Sockets', '2/2'] True"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tags_a_file_is_what_the_site_sends_and_no_other_file_is_overwritten() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Own Name")
        .artist("Ada")
        .seconds(8.0)
        .publish();
    let person = Person::of(&lab);
    std::fs::create_dir_all(person.folder.path("music")).expect("a folder");
    std::fs::write(person.folder.path("music/Ada - Own Name.m4a"), "a diary").expect("a file");
    let said = person
        .runs(&["get", &song.link(), "-o", "music", "--no-tags", "--json"])
        .with(0)
        .json();
    assert_eq!(
        (&said["saved"], &said["failed"]),
        (&1.into(), &0.into()),
        "{said}"
    );
    assert_eq!(
        person.files("music"),
        ["Ada - Own Name (2).m4a", "Ada - Own Name.m4a"]
    );
    assert_eq!(
        read(&person.folder.path("music/Ada - Own Name (2).m4a")),
        song.bytes()
    );
    assert_eq!(
        read(&person.folder.path("music/Ada - Own Name.m4a")),
        b"a diary"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ctrl_c_the_same_call_goes_on_with_the_bytes_it_has() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Long")
        .artist("Ada")
        .seconds(600.0)
        .holds_at(kib(3000))
        .publish();
    let person = Person::of(&lab);
    let arguments = ["get", &song.link(), "-o", "music", "--no-tags"];
    let child = person.starts(&arguments);
    arrived(&person, kib(2900)).await;
    let pid =
        rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    let said = super::Said::from(child.wait_with_output().expect("an end")).with(130);
    assert!(said.err.contains("The same command continues"), "{said:?}");
    song.release();
    person.runs(&arguments).with(0);
    assert_eq!(
        person.files("music"),
        ["Ada - Long.m4a"],
        "no work is left behind"
    );
    assert_eq!(
        read(&person.folder.path("music/Ada - Long.m4a")),
        song.bytes()
    );
    let sent = lab.media_bytes_sent(song.id());
    assert!(
        sent < song.len() + kib(1200),
        "{sent} bytes were sent of a song of {}",
        song.len()
    );
}

/// Waits until this many bytes are on the drive: bytes that the lab has sent may still be on their way.
async fn arrived(person: &Person, bytes: u64) {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let part = person
            .files("music/.kmds/cache/.kmds-work")
            .into_iter()
            .find(|path| path.ends_with(".part"));
        let path = part.map(|part| {
            person
                .folder
                .path("music/.kmds/cache/.kmds-work")
                .join(part)
        });
        if path
            .and_then(|path| std::fs::metadata(path).ok())
            .is_some_and(|found| found.len() >= bytes)
        {
            return;
        }
        assert!(
            std::time::Instant::now() < end,
            "never: {bytes} bytes arrive; {:?}",
            person.files("music")
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_song_is_exit_code_1_and_a_bad_call_2() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Fine").seconds(4.0).publish();
    let person = Person::of(&lab);
    let said = person
        .runs(&[
            "get",
            "https://example.org/x",
            &song.link(),
            "-o",
            "m",
            "--quiet",
        ])
        .with(1);
    assert!(
        said.out.is_empty() && said.err.contains("not a link we know"),
        "{said:?}"
    );
    assert_eq!(person.files("m").len(), 1, "the other song is there");
    for bad in [
        &["get"][..],
        &["get", "x", "--accept", "wma"],
        &["get", "x", "-o", "/proc/kmds"],
        &["nonsense"],
    ] {
        let said = person.runs(bad).with(2);
        assert!(!said.err.is_empty(), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_can_do_the_work_of_get() {
    let lab = Lab::start().await;
    let album = lab
        .bandcamp()
        .album(0)
        .title("Served")
        .artist("Ada")
        .song("One", 4.0)
        .song("Two", 4.0)
        .publish();
    let kmds = Setup::of(&lab).start();
    let person = Person::alone();
    person
        .runs(&["get", &album.link(), "-o", "music", "--server", &kmds.url])
        .with(0);
    assert_eq!(
        person.files("music"),
        ["Ada/Served/01 One.mp3", "Ada/Served/02 Two.mp3"]
    );
    let again = person
        .runs(&[
            "get",
            &album.link(),
            "-o",
            "music",
            "--server",
            &kmds.url,
            "--json",
        ])
        .with(0)
        .json();
    assert_eq!(again["there"], 2, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn resolve_prints_metadata_and_downloads_nothing() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Only Words").seconds(4.0).publish();
    let person = Person::of(&lab);
    let said = person.runs(&["resolve", &song.link()]).with(0).json();
    assert_eq!(said["tracks"][0]["title"], "Only Words", "{said}");
    assert_eq!(lab.hits(&song), 0);
    assert_eq!(person.files("cache"), [""; 0], "nothing is left behind");
    let refused = person
        .runs(&["resolve", "--json", "https://example.org/x"])
        .with(1)
        .json();
    assert_eq!(refused["kind"], "unsupported_link");
}
