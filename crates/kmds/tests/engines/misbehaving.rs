//! A yt-dlp that hangs, floods, crashes, prints nonsense or is missing: the run is limited, the error clear, and
//! nothing stays behind.

use kmds_lab::{Fault, Lab, Site};

use super::harness::{Kmds, Setup};
use super::tools::{WithYtDlp as _, Wrapper, alive_in_group, work_folders};

/// Fetches a song whose page has changed with this yt-dlp; our own engine's error must stand.
async fn native_error_stands(body: &str, settings: &[(&str, &str)]) -> (Kmds, Wrapper, Lab) {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Changed").publish();
    lab.inject(Fault::ChangedPage.on_pages().of_site(Site::Bandcamp));
    let wrapper = Wrapper::doing(body);
    let mut setup = Setup::of(&lab).ytdlp(&wrapper.command());
    for (name, value) in settings {
        setup = setup.set(name, value);
    }
    let kmds = setup.start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(
        (status, &*reply.kind),
        (502, "page_changed"),
        "{reply}\n{}",
        kmds.log()
    );
    for group in wrapper.runs() {
        kmds.until("its whole process group is gone", async || {
            alive_in_group(group).is_empty()
        })
        .await;
    }
    assert_eq!(wrapper.runs().len(), 1, "once, and no more");
    assert!(work_folders(&kmds).is_empty(), "{:?}", work_folders(&kmds));
    assert!(kmds.published().is_empty() && kmds.partials().is_empty());
    (kmds, wrapper, lab)
}

const SOON: (&str, &str) = ("KMDS_ENGINES__YTDLP__TIMEOUT", "1 s");

#[tokio::test]
async fn one_that_hangs_is_ended_with_its_children() {
    let body = "trap '' TERM; sleep 600 & echo $! > \"$NOTES/child\"; sleep 600";
    let (kmds, wrapper, _lab) = native_error_stands(body, &[SOON]).await;
    assert!(!wrapper.note("child").is_empty(), "the child had started");
    kmds.until("its end is told", async || {
        kmds.log().contains("did not finish within")
    })
    .await;
}

#[tokio::test]
async fn one_that_ends_but_leaves_a_child_behind_takes_it_along() {
    // The child keeps the pipes open: without an end of the run it would be waited for.
    native_error_stands("sleep 600 & exit 1", &[SOON]).await;
}

#[tokio::test]
async fn one_that_prints_a_hundred_megabytes_is_cut_off() {
    let (kmds, ..) =
        native_error_stands("yes '{\"id\": \"x\"}' | head -c 104857600; sleep 600", &[]).await;
    kmds.until("its end is told", async || {
        kmds.log().contains("printed more than its limit")
    })
    .await;
}

#[tokio::test]
async fn one_that_complains_for_a_hundred_megabytes_is_heard_to_the_last_line() {
    let body =
        "yes WARNING | head -c 104857600 >&2; echo 'ERROR: [x] y: something odd' >&2; exit 1";
    let (kmds, ..) = native_error_stands(body, &[]).await;
    kmds.until("its end is told", async || {
        kmds.log().contains("something odd")
    })
    .await;
}

#[tokio::test]
async fn one_that_crashes_is_told_so() {
    let (kmds, ..) = native_error_stands("kill -SEGV $$", &[]).await;
    kmds.until("its end is told", async || {
        kmds.log().contains("signal: 11")
    })
    .await;
}

#[tokio::test]
async fn half_an_answer_is_none() {
    native_error_stands("printf '{\"id\": \"12\", \"title\": \"Hal'", &[]).await;
}

#[tokio::test]
async fn nonsense_fields_are_no_answer() {
    native_error_stands(
        "echo '{\"id\": {}, \"title\": 7, \"url\": \"file:///etc/passwd\"}'",
        &[],
    )
    .await;
}

#[tokio::test]
async fn one_that_wants_all_memory_gets_what_is_allowed() {
    let body = "exec python3 -c 'import sys; x = bytearray(1 << 29); print(\"{}\", file=open(sys.argv[0] + \"/got\", \"w\"))' \"$NOTES\"";
    let limit = ("KMDS_ENGINES__YTDLP__MAX_MEMORY", "64 MiB");
    let (kmds, ..) = native_error_stands(body, &[limit]).await;
    let told = async || kmds.log().contains("MemoryError") || kmds.log().contains("could not help");
    kmds.until("its end is told", told).await;
}

#[tokio::test]
async fn one_that_is_not_there_changes_nothing() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Fine").publish();
    let changed = lab.bandcamp().track("Changed").publish();
    lab.inject(Fault::ChangedPage.on_pages().of(&changed));
    let kmds = Setup::of(&lab).ytdlp("/nonexistent/yt-dlp").start();
    let (status, reply) = kmds.fetch(&changed.link()).await;
    assert_eq!((status, &*reply.kind), (502, "page_changed"));
    kmds.until("it is named", async || {
        kmds.log().contains("/nonexistent/yt-dlp")
    })
    .await;
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert!(work_folders(&kmds).is_empty());
}

#[tokio::test]
async fn what_yt_dlp_yields_is_checked_like_everything_else() {
    // It points at this very machine, at another site, and at a file: none is asked.
    for url in [
        "https://127.0.0.1/a.mp3",
        "https://evil.example/a.mp3",
        "file:///etc/passwd",
        "http://t4.bcbits.com/a",
    ] {
        let lab = Lab::start().await;
        let song = lab.bandcamp().track("Changed").publish();
        lab.inject(Fault::ChangedPage.on_pages().of_site(Site::Bandcamp));
        let id = song.id();
        let answer = format!(
            r#"{{"id": "{id}", "title": "T", "ext": "mp3", "acodec": "mp3", "protocol": "https", "url": "{url}", "webpage_url": "{}"}}"#,
            song.link()
        );
        let wrapper = Wrapper::doing(&format!("echo '{answer}'"));
        let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
        let (status, reply) = kmds.fetch(&song.link()).await;
        if status == 200 {
            let tunnel = format!("{}&wait=30", reply.songs[0].tunnel);
            assert_eq!(kmds.get(&tunnel).await.status(), 500, "{url}");
        }
        assert!(
            lab.connections()
                .iter()
                .all(|connection| connection.host.ends_with("bandcamp.com")),
            "{url}"
        );
        assert!(kmds.published().is_empty(), "{url}");
    }
}

#[tokio::test]
async fn hostile_links_never_reach_a_process() {
    let wrapper = Wrapper::doing("exit 1");
    let lab = Lab::start().await;
    for sites in ["three", "any"] {
        let kmds = Setup::of(&lab)
            .ytdlp(&wrapper.command())
            .set("KMDS_ENGINES__YTDLP__SITES", sites)
            .start();
        for link in [
            "--exec=touch /tmp/x",
            "-o/etc/x",
            "--config-locations=/etc",
            "file:///etc/passwd",
            "ytsearchall:song",
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://localhost/x",
            "https://router/x",
            "https://169.254.169.254/latest/meta-data",
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://user:secret@example.com/x",
            "https://example.com:8443/x",
            "http://example.com/x",
            "https://printer.local/x",
            "https://db.internal/x",
            "https://me.localhost/x",
            "https://www.youtube.com@evil.example/watch?v=M4gD1WSo5mA",
            "https://www.youtube.com/watch?v=../../../etc",
            "https://soundcloud.com/a/..%2f..%2fx",
            "https://x.bandcamp.com/track/%00",
        ] {
            let (status, reply) = kmds.fetch(link).await;
            assert_eq!(
                (status, &*reply.kind),
                (400, "unsupported_link"),
                "{sites}: {link}: {reply}"
            );
        }
    }
    assert!(wrapper.runs().is_empty(), "{}", wrapper.note("arguments"));
}
