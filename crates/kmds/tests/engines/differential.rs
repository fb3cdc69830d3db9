//! The same links through the real yt-dlp and through us: same titles, lengths and bytes, and where not, why.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kmds_lab::script::{Dialect, PlayerScript};
use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, Song};
use serde_json::Value;

use super::harness::{Folder, Kmds, Setup};
use super::tools::{WithYtDlp as _, Wrapper, has_ffmpeg, ytdlp, ytdlp_with_runtime};

/// A song as yt-dlp saved it.
struct Saved {
    fields: Value,
    file: PathBuf,
}

impl Saved {
    /// yt-dlp writes Bandcamp's titles as "Artist - Title" and keeps the bare one apart.
    fn title(&self) -> &str {
        self.fields["track"]
            .as_str()
            .or(self.fields["title"].as_str())
            .unwrap_or_default()
    }
}

/// Lets yt-dlp save the songs of a link, in its order.
async fn saved_by(ytdlp: &str, lab: &Lab, link: &str, folder: &Path, format: &str) -> Vec<Saved> {
    let name = folder.join("%(id)s.%(format_id)s.%(ext)s");
    let mut command = Command::new(ytdlp);
    command
        .args([
            "--ignore-config",
            "-q",
            "--no-cache-dir",
            "--no-warnings",
            "--compat-options",
            "no-certifi",
        ])
        .args([
            "--fixup",
            "never",
            "--no-part",
            "--extractor-args",
            "youtube:player_skip=webpage,initial_data",
        ])
        .args([
            "-f",
            format,
            "--proxy",
            &lab.proxy_url(),
            "-o",
            &name.display().to_string(),
        ])
        .args([
            "--no-simulate",
            "--print",
            "after_move:%(.{id,title,track,duration,ext,format_id,filepath})j",
            "--",
            link,
        ])
        .env("SSL_CERT_FILE", lab.ca_file())
        .env("HOME", folder)
        .stdin(Stdio::null());
    let out = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("a thread")
        .expect("yt-dlp runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{link}: {said}");
    let lines = String::from_utf8_lossy(&out.stdout).into_owned();
    lines
        .lines()
        .map(|line| {
            let fields: Value = serde_json::from_str(line).expect("JSON");
            let file = PathBuf::from(fields["filepath"].as_str().expect("a path"));
            Saved { fields, file }
        })
        .collect()
}

/// Whether the audio has to be the same byte for byte, or packet by packet (we write the length into joined MP4).
#[derive(Clone, Copy, PartialEq)]
enum Alike {
    Bytes,
    Packets,
}

/// Check sums of all packets, as ffmpeg sees them.
fn packets(file: &Path) -> String {
    let path = file.display().to_string();
    let out = super::harness::tool(
        "ffmpeg",
        &[
            "-v", "error", "-i", &path, "-map", "0:a", "-c", "copy", "-f", "framemd5", "-",
        ],
    );
    let packets: Vec<&str> = out
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit(',').next())
        .collect();
    assert!(!packets.is_empty(), "{path} has no packet");
    packets.join("\n")
}

/// Both engines on one link: `slack` is what their lengths may differ by, in seconds.
async fn agree(ytdlp: &str, lab: &Lab, link: &str, slack: f64, alike: Alike) {
    let folder = Folder::new();
    let kmds = Kmds::start(lab);
    let (status, reply) = kmds.fetch(link).await;
    assert_eq!(status, 200, "{link}: {reply}");
    let ours = &reply.songs;
    let theirs = saved_by(ytdlp, lab, link, &folder.0, "ba[ext=m4a]/ba").await;
    assert_eq!(ours.len(), theirs.len(), "{link}: songs");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let metadata = &ours.metadata;
        assert_eq!(metadata.title, theirs.title(), "{link}");
        let (our, their) = (
            metadata.seconds.expect("a length"),
            theirs.fields["duration"].as_f64(),
        );
        assert!(
            their.is_some_and(|their| (our - their).abs() <= slack),
            "{link}: {our} s, {their:?} s"
        );
        let bytes = kmds.whole(ours).await;
        if alike == Alike::Bytes {
            assert!(
                bytes == std::fs::read(&theirs.file).expect("a file"),
                "{link}: other bytes"
            );
        } else {
            let copy = folder.path(&format!("ours-{}.m4a", theirs.fields["id"]).replace('"', ""));
            std::fs::write(&copy, &bytes).expect("a copy");
            assert_eq!(packets(&copy), packets(&theirs.file), "{link}: packets");
        }
    }
}

/// YouTube's `lengthSeconds` are whole seconds, ours are those of the stream.
const WHOLE_SECONDS: f64 = 1.0;
const EXACT: f64 = 0.01;

#[tokio::test]
async fn made_up_songs_of_every_kind_are_the_same_through_both() {
    let Some(ytdlp) = ytdlp() else { return };
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let youtube = lab.youtube();
    let plain = youtube.video("Plain").artist("Ada").seconds(61.3).publish();
    let dubbed = youtube
        .video("Dubbed")
        .seconds(30.0)
        .tracks(&[
            ("de.3", "German", "dubbed"),
            ("en.4", "English original", "original"),
            ("fr.10", "French", "dubbed-auto"),
        ])
        .publish();
    let loud = youtube.video("Loud").seconds(30.0).with_drc().publish();
    let label = youtube
        .video("Label")
        .seconds(30.0)
        .topic("A Song", &["Ada", "Bob"], "An Album")
        .publish();
    for song in [&plain, &dubbed, &loud, &label] {
        agree(&ytdlp, &lab, &song.link(), WHOLE_SECONDS, Alike::Bytes).await;
    }
    let list = youtube.playlist(3).seconds(10.0).publish();
    agree(&ytdlp, &lab, &list.link(), WHOLE_SECONDS, Alike::Bytes).await;

    let soundcloud = lab.soundcloud();
    let aac = soundcloud
        .track("aac")
        .seconds(35.0)
        .formats(&[Format::AacHls])
        .publish();
    agree(&ytdlp, &lab, &aac.link(), EXACT, Alike::Packets).await;
    for (slug, format) in [("mp3", Format::Mp3Progressive), ("mp3-hls", Format::Mp3Hls)] {
        let song = soundcloud
            .track(slug)
            .seconds(35.0)
            .formats(&[format])
            .publish();
        agree(&ytdlp, &lab, &song.link(), EXACT, Alike::Bytes).await;
    }
    let private = soundcloud
        .track("hidden")
        .seconds(15.0)
        .formats(&[Format::AacHls])
        .private()
        .publish();
    agree(&ytdlp, &lab, &private.link(), EXACT, Alike::Packets).await;
    let set = soundcloud
        .set(3)
        .seconds(12.0)
        .formats(&[Format::AacHls])
        .publish();
    agree(&ytdlp, &lab, &set.link(), EXACT, Alike::Packets).await;

    let track = lab
        .bandcamp()
        .track("Halibut")
        .artist("Teabyte")
        .seconds(15.25)
        .publish();
    agree(&ytdlp, &lab, &track.link(), EXACT, Alike::Bytes).await;
    let album = lab.bandcamp().album(3).seconds(12.0).publish();
    agree(&ytdlp, &lab, &album.link(), EXACT, Alike::Bytes).await;
}

/// A lab on the day that every client without a script is closed.
async fn only_the_script_is_left() -> Lab {
    let lab = Lab::start().await;
    lab.youtube().plays_script(PlayerScript {
        dialect: Dialect::Table,
        seed: 4_711,
    });
    lab.youtube().closes_visionos();
    lab
}

#[tokio::test]
async fn with_the_script_alone_songs_lists_dubs_and_kids_videos_are_the_same_through_both() {
    let Some(ytdlp) = ytdlp_with_runtime() else {
        return;
    };
    let lab = only_the_script_is_left().await;
    let youtube = lab.youtube();
    let plain = youtube.video("Plain").artist("Ada").seconds(31.3).publish();
    let dubbed = youtube
        .video("Dubbed")
        .seconds(20.0)
        .tracks(&[
            ("de.3", "German", "dubbed"),
            ("en.4", "English original", "original"),
        ])
        .publish();
    let kids = youtube
        .video("For kids")
        .seconds(20.0)
        .for_kids()
        .without_muxed()
        .publish();
    for song in [&plain, &dubbed, &kids] {
        agree(&ytdlp, &lab, &song.link(), WHOLE_SECONDS, Alike::Bytes).await;
    }
    let list = youtube.playlist(3).seconds(10.0).publish();
    agree(&ytdlp, &lab, &list.link(), WHOLE_SECONDS, Alike::Bytes).await;

    let folder = Folder::new();
    let all = "all[vcodec=none]";
    let theirs = saved_by(&ytdlp, &lab, &plain.link(), &folder.0, all).await;
    let mut itags: Vec<&str> = theirs
        .iter()
        .filter_map(|saved| saved.fields["format_id"].as_str())
        .collect();
    itags.sort_unstable();
    assert_eq!(itags, ["139", "140", "249", "250", "251"]);
    for saved in &theirs {
        let itag = saved.fields["format_id"].as_str().expect("an itag");
        let bytes = std::fs::read(&saved.file).expect("a file");
        assert!(plain.stream_bytes(itag).expect("audio") == bytes, "{itag}");
    }
}

#[tokio::test]
async fn where_our_script_client_is_off_yt_dlp_with_a_runtime_brings_the_song() {
    let Some(ytdlp) = ytdlp_with_runtime() else {
        return;
    };
    let lab = only_the_script_is_left().await;
    let song = lab.youtube().video("Song").seconds(20.0).publish();
    let wrapper = Wrapper::around(&ytdlp);
    let recipes = format!(
        "{}\n[youtube.script.identity]\noff = true\n",
        super::harness::FAST_RECIPES
    );
    let kmds = Setup::of(&lab)
        .ytdlp(&wrapper.command())
        .recipes(&recipes)
        .start();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert_eq!(wrapper.runs().len(), 1);
}

#[tokio::test]
async fn recorded_songs_are_the_same_through_both() {
    let Some(ytdlp) = ytdlp() else { return };
    let Some(folder) = std::env::var_os("KMDS_RECORDINGS").filter(|folder| !folder.is_empty())
    else {
        eprintln!("SKIPPED: KMDS_RECORDINGS names no folder of recorded exchanges");
        return;
    };
    let lab = Lab::with_recordings(&folder).await;
    let all = lab.songs();
    let plays = |song: &&Song| {
        !song.is_empty()
            && song
                .streams()
                .iter()
                .any(|s| matches!(s.key.as_str(), "mp3" | "mp3-128") || s.key.starts_with("140"))
    };
    let mut compared = 0;
    // A few of each site: the rest differs in nothing but its names.
    for site in [
        kmds_lab::Site::YouTube,
        kmds_lab::Site::SoundCloud,
        kmds_lab::Site::Bandcamp,
    ] {
        for song in all
            .iter()
            .filter(|song| song.site() == site)
            .filter(plays)
            .take(4)
        {
            // Songs of albums and sets whose own pages were not recorded cannot be asked for alone.
            let alone = serde_json::json!({ "url": song.link(), "prefetch": "none" });
            if Kmds::start(&lab).v1_fetch(alone).await.0 != 200 {
                continue;
            }
            let slack = if site == kmds_lab::Site::YouTube {
                WHOLE_SECONDS
            } else {
                EXACT
            };
            if site == kmds_lab::Site::SoundCloud {
                mp3_where_ytdlp_takes_opus(&ytdlp, &lab, song).await;
            } else {
                agree(&ytdlp, &lab, &song.link(), slack, Alike::Bytes).await;
            }
            compared += 1;
        }
    }
    assert!(compared > 0, "nothing recorded plays");
}

/// Without AAC yt-dlp takes Opus before MP3; we take MP3, which every player knows and the classic service's clients
/// save as it is (SoundCloud notes, 10). So yt-dlp is told to take MP3 too.
async fn mp3_where_ytdlp_takes_opus(ytdlp: &str, lab: &Lab, song: &Song) {
    let folder = Folder::new();
    let kmds = Kmds::start(lab);
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let theirs = saved_by(
        ytdlp,
        lab,
        &song.link(),
        &folder.0,
        "ba[ext=m4a]/ba[ext=mp3]",
    )
    .await;
    let [theirs] = theirs.as_slice() else {
        panic!("one song")
    };
    let entry = &reply.songs[0];
    assert_eq!(entry.metadata.title, theirs.title());
    let (our, their) = (
        entry.metadata.seconds.unwrap_or(-1.0),
        theirs.fields["duration"].as_f64().unwrap_or(-2.0),
    );
    assert!((our - their).abs() <= EXACT, "{our} s, {their} s");
    let (bytes, theirs) = (kmds.whole(entry).await, &theirs.file);
    if theirs.extension().is_some_and(|ext| ext == "mp3") {
        assert!(
            bytes == std::fs::read(theirs).expect("a file"),
            "{}: other bytes",
            song.link()
        );
    } else if has_ffmpeg() {
        let copy = folder.path("ours.m4a");
        std::fs::write(&copy, &bytes).expect("a copy");
        assert_eq!(packets(&copy), packets(theirs), "{}: packets", song.link());
    }
}

#[tokio::test]
async fn where_we_differ_from_yt_dlp_it_is_on_purpose() {
    let Some(ytdlp) = ytdlp() else { return };
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    let folder = Folder::new();
    let soundcloud = lab.soundcloud();

    // A preview of 30 s is a success for yt-dlp; our clients asked for the song.
    let preview = soundcloud.track("preview").seconds(200.0).snip().publish();
    let (status, reply) = kmds.fetch(&preview.link()).await;
    assert_eq!((status, &*reply.kind), (403, "preview_only"));

    // Opus before MP3 for yt-dlp; MP3 is what every player knows, and needs no conversion.
    let both = soundcloud
        .track("both")
        .seconds(15.0)
        .formats(&[Format::OpusHls, Format::Mp3Hls])
        .publish();
    let theirs = saved_by(&ytdlp, &lab, &both.link(), &folder.0, "ba[ext=m4a]/ba").await;
    assert_eq!(theirs[0].fields["ext"], "opus");
    let (_, reply) = kmds.fetch(&both.link()).await;
    assert_eq!(kmds.whole(&reply.songs[0]).await, both.bytes());
    assert!(reply.songs[0].file_name.ends_with(".mp3"), "{reply}");

    // The uploader is the artist for yt-dlp; what the publisher says is nearer to the truth (SoundCloud notes, 5).
    let published = soundcloud
        .track("published")
        .seconds(15.0)
        .published_by("The Artist", "The Album")
        .publish();
    let (_, reply) = kmds.fetch(&published.link()).await;
    let metadata = &reply.songs[0].metadata;
    assert_eq!(
        (metadata.artist.as_deref(), metadata.album.as_deref()),
        (Some("The Artist"), Some("The Album"))
    );

    // The guest of a Bandcamp album stays in the title for yt-dlp; we say it once, as the artist (Bandcamp notes, 6).
    let album = lab
        .bandcamp()
        .album(2)
        .seconds(10.0)
        .song_artist_at(1, "A Guest")
        .publish();
    let theirs = saved_by(&ytdlp, &lab, &album.link(), &folder.0, "ba").await;
    let (_, reply) = kmds.fetch(&album.link()).await;
    let metadata = &reply.songs[1].metadata;
    assert_eq!(metadata.artist.as_deref(), Some("A Guest"));
    assert_eq!(theirs[1].title(), format!("A Guest - {}", metadata.title));

    // Joined MP4 of HLS has no length for yt-dlp without its fix-up, and readers of tags show 0:00; ours says it.
    if has_ffmpeg() {
        let aac = soundcloud
            .track("aac")
            .seconds(15.0)
            .formats(&[Format::AacHls])
            .publish();
        let theirs = saved_by(&ytdlp, &lab, &aac.link(), &folder.0, "ba[ext=m4a]/ba").await;
        let ours = kmds.download(&aac.link()).await;
        assert_eq!(ours, aac.bytes());
        assert_ne!(ours, std::fs::read(&theirs[0].file).expect("a file"));
    }
}
