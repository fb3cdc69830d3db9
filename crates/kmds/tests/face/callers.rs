//! Programs that run yt-dlp, with KMDS in its place: their exact arguments, and the programs themselves if they are
//! installed.

use std::process::Command;

use kmds_lab::Lab;
use serde_json::Value;

use super::harness::Kmds;
use super::{Caller, Said, copper_kettles, skipped};

/// songbird 0.6, `YoutubeDl::query` and `get_stream`.
#[tokio::test(flavor = "multi_thread")]
async fn songbird_finds_opus_in_webm_and_a_length_it_can_ask_for() {
    let lab = Lab::start().await;
    let song = copper_kettles(&lab);
    let kmds = Kmds::start(&lab);
    let caller = Caller::of(&kmds);
    for query in [song.link(), "ytsearch1:copper kettles".to_owned()] {
        let arguments = [
            "-j",
            &query,
            "-f",
            "ba[abr>0][vcodec=none]/best",
            "--no-playlist",
        ];
        let told = caller.runs(&arguments).with(0).json();
        // The fields of its `Output`, in their types.
        for key in [
            "artist",
            "album",
            "channel",
            "release_date",
            "thumbnail",
            "title",
            "track",
            "upload_date",
            "uploader",
        ] {
            assert!(
                told.get(key)
                    .is_none_or(|value| value.is_null() || value.is_string()),
                "{key}: {told}"
            );
        }
        assert!(
            told["duration"].as_f64().is_some() && told["filesize"].as_u64().is_some(),
            "{told}"
        );
        assert_ne!(told["protocol"], "m3u8_native");
        let last = told["filesize"].as_u64().map_or(0, |size| size - 1);
        let url = told["url"].as_str().expect("a url");
        let asking = kmds
            .http
            .get(url)
            .header("range", format!("bytes=0-{last}"));
        let answer = asking.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 206);
        assert!(
            answer.headers().get("retry-after").is_none(),
            "songbird takes that for a refusal"
        );
        assert_eq!(answer.headers()["content-type"], "audio/webm");
        assert_eq!(
            answer.bytes().await.expect("a body"),
            song.stream_bytes("251").expect("a stream")
        );
    }
}

/// LavaSrc 4.8, `YtdlpAudioSourceManager`: it reads both streams as one text.
#[tokio::test(flavor = "multi_thread")]
async fn lavasrc_loads_searches_and_plays_and_nothing_else_is_said() {
    let lab = Lab::start().await;
    let song = copper_kettles(&lab);
    let list = lab.youtube().playlist(3).seconds(10.0).publish();
    let kmds = Kmds::start(&lab);
    let caller = Caller::of(&kmds);
    let load = [
        "-q",
        "--no-warnings",
        "--flat-playlist",
        "--skip-download",
        "-J",
    ];
    let asked = |arguments: &[&str]| -> Value {
        let said = caller.runs(arguments).with(0);
        assert_eq!(said.err, "");
        said.json()
    };
    let video = asked(&[&load[..], &[&song.link()]].concat());
    assert_eq!(
        (&video["_type"], &video["uploader"]),
        (&"video".into(), &"Ada".into())
    );
    assert_eq!(video["webpage_url"], song.link());
    assert!(
        video["thumbnail"].is_string() && video["duration"] == 20 && video["is_live"] == false,
        "{video}"
    );

    let lists = asked(&[&load[..], &["--playlist-items", "1:1000", &list.link()]].concat());
    assert!(
        lists["thumbnails"].is_array() && lists["webpage_url"].is_string(),
        "{lists}"
    );
    let found = asked(&[&load[..], &["ytsearch10:copper"]].concat());
    assert_eq!(found["extractor"], "youtube:search");
    for entry in [&lists["entries"][0], &found["entries"][0]] {
        assert_eq!(entry["ie_key"], "Youtube");
        assert!(
            entry["url"]
                .as_str()
                .is_some_and(|url| url.contains("watch?v=")),
            "{entry}"
        );
        assert!(
            entry["title"].is_string() && entry["uploader"].is_string() && entry["id"].is_string(),
            "{entry}"
        );
    }

    let play = [
        "-q",
        "--no-warnings",
        "-f",
        "bestaudio",
        "--skip-download",
        "-J",
    ];
    let playing = asked(&[&play[..], &[&song.link()]].concat());
    assert_eq!(playing["ext"], "webm");
    let length = song.stream_bytes("251").map(|bytes| bytes.len() as u64);
    let told = playing["filesize"].as_u64();
    assert!(told.is_none() || told == length, "{playing}");
    let url = playing["url"].as_str().expect("a url");
    assert!(url.starts_with(&kmds.url), "{playing}");
    // It asks for parts of 11 MB each by the address, and never by a header.
    let asking = kmds.http.get(format!("{url}&range=1000-11862014"));
    let part = asking.send().await.expect("an answer");
    assert_eq!(part.status().as_u16(), 206);
    let all = song.stream_bytes("251").expect("a stream");
    assert_eq!(part.bytes().await.expect("a body"), all[1000..]);
}

/// As bots of discord.py run it by the command line, and what `youtube_dl.YoutubeDL(...)` options become there.
#[tokio::test(flavor = "multi_thread")]
async fn python_gets_an_address_by_a_subprocess() {
    let Some(python) = std::env::var("KMDS_TEST_PYTHON")
        .ok()
        .filter(|python| !python.is_empty())
    else {
        return skipped("KMDS_TEST_PYTHON does not name a Python");
    };
    let lab = Lab::start().await;
    let song = copper_kettles(&lab);
    let kmds = Kmds::start(&lab);
    let script = "
import json, subprocess, sys, urllib.request
link = sys.argv[1]
url = subprocess.check_output(['./yt-dlp', '-f', 'bestaudio', '-g', '--no-playlist', link], text=True).strip()
told = json.loads(subprocess.run(['./yt-dlp', '--format', 'bestaudio/best', '--restrict-filenames', '--no-playlist',
    '--no-check-certificate', '--no-abort-on-error', '--quiet', '--no-warnings', '--default-search', 'auto',
    '--source-address' if False else '--force-ipv4', '--dump-single-json', 'copper kettles'],
    capture_output=True, text=True, check=True).stdout)
assert told['entries'][0]['url'] == url, told
with subprocess.Popen(['./yt-dlp', '-q', '-o', '-', '-f', 'bestaudio', link], stdout=subprocess.PIPE) as child:
    piped = child.stdout.read()
assert child.returncode == 0
assert piped == urllib.request.urlopen(url).read()
print(len(piped))
";
    let caller = Caller::of(&kmds);
    let mut command = caller.command(&python);
    command
        .args(["-c", script, &song.link()])
        .env("no_proxy", "*");
    let said = Said::from(command.output().expect("python runs")).with(0);
    let length = song
        .stream_bytes("251")
        .map(|bytes| bytes.len().to_string());
    assert_eq!(Some(said.text().trim()), length.as_deref());
}

/// The package of npm, with the path of this binary in place of the one it would download.
#[tokio::test(flavor = "multi_thread")]
async fn youtube_dl_exec_of_npm_reads_what_it_is_told() {
    let lab = Lab::start().await;
    let song = copper_kettles(&lab);
    let kmds = Kmds::start(&lab);
    let caller = Caller::of(&kmds);
    let package = "youtube-dl-exec@3";
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--fetch-retries=0",
        package,
    ])
    .current_dir(&caller.folder.0)
    .env("HOME", &caller.folder.0);
    match npm.output() {
        Err(error) => {
            return skipped(&format!(
                "npm cannot be run ({error}), so {package} is not tried"
            ));
        }
        Ok(out) if !out.status.success() => {
            let why = String::from_utf8_lossy(&out.stderr).into_owned();
            return skipped(&format!("npm does not install {package}: {why}"));
        }
        Ok(_) => {}
    }
    let script = "
const { create } = require('youtube-dl-exec')
const youtubedl = create('./yt-dlp')
const link = process.argv[1]
;(async () => {
  const told = await youtubedl(link, { dumpSingleJson: true, noCheckCertificates: true, noWarnings: true,
    preferFreeFormats: true, addHeader: ['referer:youtube.com', 'user-agent:googlebot'] })
  const child = youtubedl.exec(link, { output: '-', quiet: true, format: 'bestaudio[ext=webm+acodec=opus]/bestaudio' })
  let piped = 0
  child.stdout.on('data', piece => { piped += piece.length })
  const { stdout } = await youtubedl.exec(link, { getUrl: true, format: 'bestaudio' })
  await child
  console.log(JSON.stringify([told.title, told.formats.length > 0, stdout === told.url, piped]))
})().catch(error => { console.error(error); process.exit(1) })
";
    let mut node = caller.command("node");
    node.args(["-e", script, &song.link()]);
    let said = Said::from(node.output().expect("node runs")).with(0).json();
    let length = song.stream_bytes("251").map(|bytes| bytes.len());
    assert_eq!(
        said,
        serde_json::json!(["Copper Kettles", true, true, length])
    );
}
