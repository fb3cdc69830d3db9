//! The output for a link: JSON, lines, formats, lists, searches and refusals, with a server and without.

use kmds_lab::Lab;
use kmds_lab::soundcloud::Format;

use super::harness::{Kmds, Setup};
use super::{Caller, copper_kettles};

#[tokio::test(flavor = "multi_thread")]
async fn with_a_server_an_address_streams_from_it_and_without_one_from_the_site() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Copper")
        .artist("Ada")
        .seconds(20.0)
        .publish();
    let kmds = Kmds::start(&lab);
    let there = Caller::of(&kmds);
    let said = there.runs(&["-g", "-f", "ba", &song.link()]).with(0);
    let url = said.text().trim().to_owned();
    assert!(
        url.starts_with(&kmds.url) && url.contains("/tunnel?file="),
        "{url}"
    );
    assert_eq!(lab.hits(&song), 0, "nothing is downloaded by asking");
    let answer = kmds.http.get(&url).send().await.expect("an answer");
    let bytes = answer.bytes().await.expect("a body");
    assert_eq!(bytes, song.stream_bytes("251").expect("the Opus stream"));

    let here = Caller::alone(&lab);
    let said = here
        .runs(&["-g", "-f", "ba[ext=m4a]", &song.link()])
        .with(0);
    assert!(
        said.text().contains(".googlevideo.com/videoplayback?"),
        "{said:?}"
    );
    assert_eq!(here.left_behind(), 0, "its folder went away with it");
    assert_eq!(said.err, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_token_is_asked_with_it_and_songs_tell_the_header() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Guarded").seconds(4.0).publish();
    let setup = Setup::of(&lab);
    let tokens = setup.folder.path("tokens");
    std::fs::write(&tokens, "a-token-of-some-length-0123456789\n").expect("a file");
    let kmds = setup
        .set("KMDS_SERVER__TOKENS_FILE", &tokens.display().to_string())
        .start();
    let caller = Caller::of(&kmds);
    let said = caller.runs(&["-j", &song.link()]).with(1);
    assert!(
        said.err.starts_with("ERROR: ") && said.err.contains("KMDS_TOKEN"),
        "{said:?}"
    );
    let caller = caller.set("KMDS_TOKEN", "a-token-of-some-length-0123456789");
    let told = caller.runs(&["-j", &song.link()]).with(0).json();
    let header = told["http_headers"]["Authorization"]
        .as_str()
        .expect("a header");
    let asking = kmds
        .http
        .get(told["url"].as_str().expect("a url"))
        .header("authorization", header);
    assert_eq!(
        asking
            .send()
            .await
            .expect("an answer")
            .bytes()
            .await
            .expect("a body"),
        song.bytes()
    );
    let said = caller.runs(&["-g", &song.link()]).with(0);
    assert!(
        said.err.contains("WARNING") && !said.err.contains("a-token"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_list_that_are_meant_come_in_order_and_what_is_missing_fails_the_call() {
    let lab = Lab::start().await;
    let list = lab
        .youtube()
        .playlist(5)
        .title("Mine")
        .seconds(10.0)
        .private_at(1)
        .publish();
    let kmds = Kmds::start(&lab);
    for caller in [Caller::of(&kmds), Caller::alone(&lab)] {
        let ids = |arguments: &[&str]| {
            let link = list.link();
            let all = [&["--flat-playlist", "--print", "id"], arguments, &[&link]].concat();
            caller.runs(&all)
        };
        // Five songs, and the private one at place 2.
        let of = |numbers: &[usize]| -> String {
            let id = |number: &usize| format!("{}\n", list.songs()[*number - 1].id());
            numbers.iter().map(id).collect()
        };
        assert_eq!(ids(&["-I", "3:5"]).with(0).text(), of(&[2, 3, 4]));
        assert_eq!(ids(&["-I", "-1,1"]).with(0).text(), of(&[5, 1]));
        assert_eq!(ids(&["--playlist-end", "1"]).with(0).text(), of(&[1]));
        let said = ids(&[]).with(1);
        assert_eq!(said.text(), of(&[1, 2, 3, 4, 5]));
        assert!(
            said.err.starts_with("ERROR: [youtube] 2: Private video"),
            "{said:?}"
        );

        let told = caller
            .runs(&["-J", "--flat-playlist", &list.link()])
            .with(1)
            .json();
        assert_eq!(
            (&told["_type"], &told["title"]),
            (&"playlist".into(), &"Mine".into())
        );
        assert_eq!(told["playlist_count"], 6);
        assert!(
            told["entries"][1].is_null() && told["entries"][5]["_type"] == "url",
            "{told}"
        );
    }
    // Songs of a list with all their formats, one at a time.
    let caller = Caller::alone(&lab);
    let told = caller.runs(&["-j", "-I", "3", &list.link()]).with(0).json();
    assert_eq!(
        (&told["playlist_index"], &told["playlist"]),
        (&3.into(), &"Mine".into())
    );
    assert!(told["url"].is_string(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_a_list_and_words_are_searched_for_where_that_is_asked_for() {
    let lab = Lab::start().await;
    let song = copper_kettles(&lab);
    lab.youtube().video("Copper Pots").seconds(20.0).publish();
    let kmds = Kmds::start(&lab);
    for caller in [Caller::of(&kmds), Caller::alone(&lab)] {
        let told = caller
            .runs(&["-J", "--flat-playlist", "ytsearch5:copper"])
            .with(0)
            .json();
        assert_eq!(
            (&told["extractor"], &told["id"]),
            (&"youtube:search".into(), &"copper".into())
        );
        assert_eq!(told["entries"].as_array().map(Vec::len), Some(2), "{told}");
        let lines = caller
            .runs(&["-j", "ytsearch:copper kettles", "--no-playlist"])
            .with(0);
        let told = lines.json();
        assert_eq!(told["id"], song.id());
        assert!(told["url"].is_string(), "{told}");
        let said = caller
            .runs(&["-e", "--default-search", "auto", "copper kettles"])
            .with(0);
        assert_eq!(said.text(), "Copper Kettles\n");
        let said = caller.runs(&["-e", "copper kettles"]).with(1);
        assert!(said.err.contains("is not a valid URL"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_selector_picks_the_form_that_comes() {
    let lab = Lab::start().await;
    let formats = [Format::AacHls, Format::OpusHls, Format::Mp3Progressive];
    let song = lab
        .soundcloud()
        .track("all")
        .seconds(15.0)
        .formats(&formats)
        .publish();
    let kmds = Kmds::start(&lab);
    for caller in [Caller::of(&kmds), Caller::alone(&lab)] {
        for (selector, ext) in [
            ("ba", "m4a"),
            ("ba[acodec=opus]/ba", "opus"),
            ("bestaudio[ext=mp3]", "mp3"),
            ("worst", "mp3"),
            ("ba[abr<100]", "opus"),
            ("bv*+ba/b", "m4a"),
            ("hls_opus_0_0", "opus"),
        ] {
            let said = caller
                .runs(&["-O", "ext", "-f", selector, &song.link()])
                .with(0);
            assert_eq!(said.text().trim(), ext, "{selector}");
        }
        let said = caller
            .runs(&["-g", "-f", "bestvideo", &song.link()])
            .with(1);
        assert!(
            said.err.contains("Requested format is not available"),
            "{said:?}"
        );
        let said = caller.runs(&["-F", &song.link()]).with(0);
        assert!(said.text().contains("http_mp3_1_0"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_option_and_a_failure_look_as_they_do_from_yt_dlp() {
    let lab = Lab::start().await;
    let caller = Caller::alone(&lab);
    for (arguments, told) in [
        (
            &["--exec", "rm", "x"][..],
            "yt-dlp: error: no such option: --exec",
        ),
        (&["-Z", "x"], "yt-dlp: error: no such option: -Z"),
        (&["-f"], "yt-dlp: error: -f option requires 1 argument"),
        (&["-q"], "yt-dlp: error: You must provide at least one URL."),
        (
            &["--compat-options", "no-certifi", "x"],
            "engines.ytdlp.command",
        ),
    ] {
        let said = caller.runs(arguments).with(2);
        assert!(
            said.err.contains("Usage: yt-dlp [OPTIONS] URL [URL...]"),
            "{said:?}"
        );
        assert!(said.err.contains(told) && said.out.is_empty(), "{said:?}");
    }
    for (link, told) in [
        (
            "https://www.youtube.com/watch?v=AAAAAAAAAAA",
            "ERROR: [youtube] AAAAAAAAAAA: Video unavailable",
        ),
        (
            "https://example.org/x",
            "ERROR: Unsupported URL: https://example.org/x",
        ),
    ] {
        let said = caller.runs(&["-j", link]).with(1);
        assert!(
            said.err.starts_with(told) && said.out.is_empty(),
            "{said:?}"
        );
    }
    let said = caller.runs(&["--version"]).with(0).text();
    let parts: Vec<u32> = said
        .trim()
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    assert_eq!(parts.len(), 3, "a day, as yt-dlp's: {said}");
    let said = caller.runs(&["--help"]).with(0).text();
    assert!(
        said.starts_with("Usage: ") && said.contains("KMDS_SERVER"),
        "{said}"
    );
    let away = Caller::alone(&lab).set("KMDS_SERVER", "http://127.0.0.1:9");
    let said = away.runs(&["-j", "https://youtu.be/AAAAAAAAAAA"]).with(1);
    assert!(
        said.err.starts_with("ERROR: ") && said.err.contains("no server answers"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_command_of_kmds_too() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Two Names")
        .artist("Ada")
        .seconds(4.0)
        .publish();
    let caller = Caller::alone(&lab);
    let kmds = env!("CARGO_BIN_EXE_kmds");
    let by = |arguments: &[&str]| {
        super::Said::from(
            caller
                .command(kmds)
                .args(arguments)
                .output()
                .expect("kmds starts"),
        )
        .with(0)
        .text()
    };
    let link = song.link();
    assert_eq!(by(&["yt-dlp", "-e", &link]), "Ada - Two Names\n");
    assert_eq!(
        by(&["--set", "search.site=bandcamp", "yt-dlp", "-e", &link]),
        "Ada - Two Names\n"
    );
    assert!(by(&["yt-dlp", "--help"]).starts_with("Usage: yt-dlp"));
}
