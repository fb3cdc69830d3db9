//! When the native engine no longer understands a site, yt-dlp takes over, and hands back.

use kmds_lab::soundcloud::Format;
use kmds_lab::youtube::Refusal;
use kmds_lab::{Fault, Injection, Lab, Site, Song};

use super::harness::replies::Refused;
use super::harness::{FAST_RECIPES, Kmds, Setup, unhurried_recipes};
use super::tools::{ONE_IDENTITY, WithYtDlp as _, Wrapper, engine, work_folders, ytdlp};

/// A site that changes and heals: four songs through yt-dlp, the fourth without asking our own engine, the fifth
/// natively.
struct Story {
    site: Site,
    songs: Vec<Song>,
    change: Injection,
    /// Whether a request is one of our own engine's.
    is_native: fn(&kmds_lab::Seen) -> bool,
}

async fn falls_back_and_returns(lab: &Lab, ytdlp: &str, story: Story) {
    let wrapper = Wrapper::around(ytdlp);
    let setup = Setup::of(lab)
        .ytdlp(&wrapper.command())
        .recipes(&format!("{}{ONE_IDENTITY}", unhurried_recipes()));
    let kmds = setup.start();
    let name = story.site.name();
    lab.inject(story.change);
    for (at, song) in story.songs[..3].iter().enumerate() {
        assert_eq!(
            engine(&kmds, name).await["first"],
            "native",
            "before song {at}"
        );
        assert_eq!(kmds.download(&song.link()).await, song.bytes(), "song {at}");
        assert_eq!(wrapper.runs().len(), at + 1, "one run a song");
    }
    let row = engine(&kmds, name).await;
    assert_eq!(
        (&row["first"], &row["native"], &row["native_failures"]),
        (&"ytdlp".into(), &"resting".into(), &3.into())
    );
    assert!(
        row["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("changed")),
        "{row}"
    );
    let metrics = kmds.get("/metrics").await.text().await.expect("metrics");
    assert!(
        metrics.contains(&format!("kmds_native_first{{site=\"{name}\"}} 0")),
        "{metrics}"
    );
    assert!(metrics.contains("kmds_ytdlp_runs_total 3"), "{metrics}");

    let before = lab.count(story.is_native);
    assert_eq!(
        kmds.download(&story.songs[3].link()).await,
        story.songs[3].bytes()
    );
    assert_eq!(lab.count(story.is_native), before, "yt-dlp goes first");

    // The site heals, and the pause is over: the shorter one of the recipes counts at once.
    lab.clear_faults();
    reload(
        &kmds,
        &format!(
            "{}{ONE_IDENTITY}",
            unhurried_recipes().replace("[time]", "[time]\nbreaker_pause = 0.01")
        ),
    )
    .await;
    assert_eq!(
        kmds.download(&story.songs[4].link()).await,
        story.songs[4].bytes()
    );
    assert_eq!(wrapper.runs().len(), 4, "the native engine is back");
    assert_eq!(engine(&kmds, name).await["first"], "native");
    assert!(engine(&kmds, name).await["reason"].is_null());
    assert!(work_folders(&kmds).is_empty());
}

/// Other recipes from now on.
async fn reload(kmds: &Kmds, recipes: &str) {
    std::fs::write(kmds.folder.path("recipes.toml"), recipes).expect("recipes");
    let pid = i32::try_from(kmds.pid())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("alive");
    kmds.until("the recipes are read", async || {
        kmds.log().contains("recipes read again")
    })
    .await;
}

#[tokio::test]
async fn a_changed_youtube_is_read_by_yt_dlp_until_it_heals() {
    let Some(ytdlp) = ytdlp() else { return };
    let lab = Lab::start().await;
    let songs = (1..=5)
        .map(|n| {
            lab.youtube()
                .video(&format!("Song {n}"))
                .seconds(20.0)
                .publish()
        })
        .collect();
    // Our identity has a host of its own; yt-dlp asks another.
    let change = Fault::ChangedPage
        .on_pages()
        .at_host("youtubei.googleapis.com");
    let is_native = |seen: &kmds_lab::Seen| seen.host == "youtubei.googleapis.com";
    falls_back_and_returns(
        &lab,
        &ytdlp,
        Story {
            site: Site::YouTube,
            songs,
            change,
            is_native,
        },
    )
    .await;
}

#[tokio::test]
async fn a_changed_soundcloud_is_read_by_yt_dlp_until_it_heals() {
    let Some(ytdlp) = ytdlp() else { return };
    let lab = Lab::start().await;
    // As one file, and in segments.
    let formats = [
        Format::Mp3Progressive,
        Format::AacHls,
        Format::Mp3Hls,
        Format::AacHls,
        Format::Mp3Progressive,
    ];
    let song = |(n, format)| {
        lab.soundcloud()
            .track(&format!("song-{n}"))
            .seconds(25.0)
            .formats(&[format])
            .publish()
    };
    let songs = (1..).zip(formats).map(song).collect();
    let change = Fault::ChangedPage
        .on_pages()
        .of_site(Site::SoundCloud)
        .only_agent(OUR_AGENT);
    falls_back_and_returns(
        &lab,
        &ytdlp,
        Story {
            site: Site::SoundCloud,
            songs,
            change,
            is_native: is_ours,
        },
    )
    .await;
}

#[tokio::test]
async fn a_changed_bandcamp_is_read_by_yt_dlp_until_it_heals() {
    let Some(ytdlp) = ytdlp() else { return };
    let lab = Lab::start().await;
    let songs = (1..=5)
        .map(|n| {
            lab.bandcamp()
                .track(&format!("Song {n}"))
                .seconds(20.0)
                .publish()
        })
        .collect();
    let change = Fault::ChangedPage
        .on_pages()
        .of_site(Site::Bandcamp)
        .only_agent(OUR_AGENT);
    falls_back_and_returns(
        &lab,
        &ytdlp,
        Story {
            site: Site::Bandcamp,
            songs,
            change,
            is_native: is_ours,
        },
    )
    .await;
}

/// In the User-Agent of our own engine for SoundCloud and Bandcamp (recipes), and in none of yt-dlp's.
const OUR_AGENT: &str = "rv:153.0";

fn is_ours(seen: &kmds_lab::Seen) -> bool {
    seen.kind == kmds_lab::Kind::Page && seen.user_agent.contains(OUR_AGENT)
}

#[tokio::test]
async fn the_last_word_of_a_site_never_starts_yt_dlp() {
    let wrapper = Wrapper::doing("exit 1");
    let lab = Lab::start().await;
    let (youtube, soundcloud, bandcamp) = (lab.youtube(), lab.soundcloud(), lab.bandcamp());
    let refused = |refusal| youtube.video("Refused").refused(refusal).publish().link();
    let locked = |lock| bandcamp.track("Locked").locked(lock).publish().link();
    let cases = [
        (refused(Refusal::Private), "private"),
        (refused(Refusal::GeoBlocked), "geo_blocked"),
        (refused(Refusal::MembersOnly), "members_only"),
        (refused(Refusal::Premium), "paid_only"),
        (refused(Refusal::Deleted), "not_found"),
        (refused(Refusal::Terminated), "not_found"),
        (refused(Refusal::Upcoming), "unreleased"),
        (youtube.video("Live").live().publish().link(), "live"),
        (
            "https://www.youtube.com/watch?v=aaaaaaaaaaA".to_owned(),
            "not_found",
        ),
        (
            "https://www.youtube.com/playlist?list=PL11111111111111111111111111111111".to_owned(),
            "not_found",
        ),
        (
            "https://www.youtube.com/playlist?list=WL".to_owned(),
            "private",
        ),
        (
            soundcloud.track("snip").snip().publish().link(),
            "preview_only",
        ),
        (
            soundcloud.track("block").block().publish().link(),
            "geo_blocked",
        ),
        (
            soundcloud.track("gone").deleted().publish().link(),
            "not_found",
        ),
        (
            soundcloud.track("odd").policy("LATER").publish().link(),
            "unavailable",
        ),
        (locked(kmds_lab::bandcamp::Lock::Paid), "paid_only"),
        (bandcamp.album(2).all_locked().publish().link(), "paid_only"),
        (
            bandcamp.album(2).subscribers_only().publish().link(),
            "members_only",
        ),
        (bandcamp.band_page("somebody"), "unsupported_link"),
        (
            "https://nobody.bandcamp.com/track/nothing".to_owned(),
            "not_found",
        ),
    ];
    let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
    for (link, kind) in cases {
        let (status, reply) = kmds.fetch(&link).await;
        assert_eq!(reply.kind, kind, "{link}: {status} {reply}");
    }
    // DRM shows when the audio is asked for.
    let song = soundcloud.track("drm").encrypted_only().publish();
    let (status, reply) = kmds.fetch(&song.link()).await;
    let kind = if status == 200 {
        let tunnel = format!("{}&wait=30", reply.songs[0].tunnel);
        let (_, answer) = kmds.body::<Refused>(&tunnel).await;
        answer.kind.clone()
    } else {
        reply.kind.clone()
    };
    assert_eq!(kind, "drm_only");
    assert_eq!(
        wrapper.runs(),
        Vec::<i32>::new(),
        "{}",
        wrapper.note("arguments")
    );
}

#[tokio::test]
async fn a_song_withheld_from_our_client_is_fetched_by_yt_dlp_where_it_may() {
    // The stand-in gives the URL that another client would get.
    let lab = Lab::start().await;
    let kids = lab
        .youtube()
        .video("For Kids")
        .seconds(15.0)
        .refused(Refusal::NotAvailable)
        .publish();
    let other = lab.youtube().video("Other").seconds(15.0).publish();
    let wrapper = Wrapper::doing("exit 1");
    let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
    let (status, reply) = kmds.fetch(&kids.link()).await;
    // Title and length are told all the same, or the refusal has its kind.
    if status == 200 {
        let tunnel = format!("{}&wait=30", reply.songs[0].tunnel);
        let (_, answer) = kmds.body::<Refused>(&tunnel).await;
        assert_eq!(answer.kind, "unavailable", "{answer}");
    } else {
        assert_eq!((status, &*reply.kind), (403, "unavailable"));
    }
    assert!(!wrapper.runs().is_empty(), "another engine may have it");
    assert_eq!(kmds.download(&other.link()).await, other.bytes());
}

#[tokio::test]
async fn an_address_that_youtube_distrusts_keeps_away_though_there_is_no_second_engine() {
    let lab = Lab::start().await;
    lab.inject(Fault::BotCheck.on_pages().at_path("/youtubei/v1/player"));
    let kmds = Setup::of(&lab).start();
    let mut asked = 0;
    for place in 0..8 {
        let song = lab.youtube().video(&format!("Song {place}")).publish();
        let answer = kmds.get(&format!("/fetch?url={}", song.link())).await;
        let wait: u64 = answer.headers()["retry-after"]
            .to_str()
            .expect("text")
            .parse()
            .expect("seconds");
        assert_eq!(
            (answer.status().as_u16(), wait > 800),
            (429, true),
            "song {place}: {wait} s"
        );
        if place < 5 {
            asked = lab.page_requests(Site::YouTube);
        }
    }
    assert_eq!(
        lab.page_requests(Site::YouTube),
        asked,
        "nothing was asked after the fifth"
    );
}

#[tokio::test]
async fn what_yt_dlp_is_told_to_wait_for_is_told_on() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Song").publish();
    lab.inject(Fault::HtmlInstead.on_pages().at_path("/youtubei/v1/player"));
    let wrapper = Wrapper::doing(
        "echo 'ERROR: [youtube] x: Sign in to confirm you’re not a bot' >&2; exit 1",
    );
    let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!((status, &*reply.kind), (429, "bot_check"), "{reply}");
}

#[tokio::test]
async fn soundcloud_opus_only_through_both_engines_is_the_same_song() {
    let Some(ytdlp) = ytdlp() else { return };
    if !super::tools::has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("only-opus")
        .seconds(20.0)
        .formats(&[Format::OpusHls])
        .publish();
    lab.inject(
        Fault::ChangedPage
            .on_pages()
            .of_site(Site::SoundCloud)
            .only_agent(OUR_AGENT),
    );
    let wrapper = Wrapper::around(&ytdlp);
    let kmds = Setup::of(&lab)
        .ytdlp(&wrapper.command())
        .set("KMDS_AUDIO__OPUS", "keep")
        .start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(
        kmds.whole(&reply.songs[0]).await,
        song.stream_bytes("opus").expect("opus")
    );
    assert_eq!(wrapper.runs().len(), 1);
}

#[tokio::test]
async fn audio_that_ends_at_a_wall_for_all_our_clients_is_gone_on_with_by_yt_dlp_which_then_goes_first()
 {
    let Some(ytdlp) = ytdlp() else { return };
    let lab = Lab::start().await;
    let wrapper = Wrapper::around(&ytdlp);
    let kmds = Setup::of(&lab)
        .ytdlp(&wrapper.command())
        .recipes(FAST_RECIPES)
        .start();
    // Our identities; yt-dlp names a browser of its own when it asks for audio.
    for agent in ["com.google.visionos.youtube", "Intel Mac OS X 15_7_3"] {
        lab.inject(Fault::WallAt(1_000_000).on_media().only_agent(agent));
    }
    let song = lab
        .youtube()
        .video("Walled for us")
        .seconds(150.0)
        .aac_only()
        .publish();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert_eq!(wrapper.runs().len(), 1);
    let theirs = |seen: &kmds_lab::Seen| {
        seen.kind == kmds_lab::Kind::Media
            && !seen.user_agent.contains("visionos")
            && !seen.user_agent.contains("15_7_3")
    };
    let requests = lab.requests();
    let ranges: Vec<&str> = requests
        .iter()
        .filter(|seen| theirs(seen))
        .filter_map(|seen| seen.range.as_deref())
        .collect();
    assert!(
        !ranges.is_empty() && ranges.iter().all(|range| !range.starts_with("bytes=0-")),
        "{ranges:?}"
    );
    let row = engine(&kmds, "youtube").await;
    assert_eq!(row["first"], "ytdlp", "{row}");
    assert!(
        row["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("from byte")),
        "{row}"
    );
    let next = lab
        .youtube()
        .video("The next song")
        .seconds(20.0)
        .aac_only()
        .publish();
    assert_eq!(kmds.download(&next.link()).await, next.bytes());
    assert_eq!(wrapper.runs().len(), 2, "no song more is begun in vain");
}

#[tokio::test]
async fn an_advertisement_that_yt_dlp_tells_of_is_waited_for() {
    let Some(ytdlp) = ytdlp() else { return };
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Behind an advertisement")
        .seconds(20.0)
        .advertisement(6)
        .publish();
    lab.inject(
        Fault::ChangedPage
            .on_pages()
            .at_host("youtubei.googleapis.com"),
    );
    let wrapper = Wrapper::around(&ytdlp);
    let kmds = Setup::of(&lab)
        .ytdlp(&wrapper.command())
        .recipes(&format!("{FAST_RECIPES}{ONE_IDENTITY}"))
        .start();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert_eq!(wrapper.runs().len(), 1);
    let refused = lab.count(|seen| seen.kind == kmds_lab::Kind::Media && seen.status == 403);
    assert_eq!(refused, 0, "nothing was asked too soon");
}

#[tokio::test]
async fn a_song_with_sabr_alone_is_asked_of_yt_dlp_and_then_has_a_clear_kind() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Nothing to play").sabr_only().publish();
    let wrapper =
        Wrapper::doing("echo 'ERROR: [youtube] x: Requested format is not available' >&2; exit 1");
    let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!((status, &*reply.kind), (502, "page_changed"));
    assert_eq!(wrapper.runs().len(), 1);
}

#[tokio::test]
async fn runtimes_that_yt_dlp_does_not_take_by_itself_are_named_for_youtube_alone() {
    let lab = Lab::start().await;
    let video = lab.youtube().video("Changed").sabr_only().publish();
    let track = lab.bandcamp().track("Changed").publish();
    lab.inject(Fault::ChangedPage.on_pages().of_site(Site::Bandcamp));
    let wrapper = Wrapper::doing("exit 1");
    let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
    kmds.fetch(&track.link()).await;
    assert!(!wrapper.note("arguments").contains("--js-runtimes"));
    kmds.fetch(&video.link()).await;
    let said = wrapper.note("arguments");
    assert!(
        said.contains("--js-runtimes\nnode\n--js-runtimes\nquickjs\n"),
        "{said}"
    );
}

#[tokio::test]
async fn a_runtime_of_the_operators_choice_is_the_only_one_named() {
    let lab = Lab::start().await;
    let video = lab.youtube().video("Changed").sabr_only().publish();
    let wrapper = Wrapper::doing("exit 1");
    let kmds = Setup::of(&lab)
        .ytdlp(&wrapper.command())
        .set(
            "KMDS_ENGINES__YTDLP__EXTRA_ARGS",
            "[\"--js-runtimes\", \"bun\"]",
        )
        .start();
    kmds.fetch(&video.link()).await;
    let said = wrapper.note("arguments");
    assert_eq!(said.matches("--js-runtimes").count(), 1, "{said}");
}

#[tokio::test]
async fn an_old_yt_dlp_that_knows_no_runtimes_is_asked_without() {
    let lab = Lab::start().await;
    let songs = [1, 2].map(|n| {
        let video = lab.youtube().video(&format!("Changed {n}"));
        video.sabr_only().publish()
    });
    let wrapper = Wrapper::doing(
        "case \"$*\" in *--js-runtimes*) echo 'yt-dlp: error: no such option: --js-runtimes' >&2; exit 2;; esac; \
         echo 'ERROR: [youtube] x: Private video' >&2; exit 1",
    );
    let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
    for (song, runs) in songs.iter().zip([2, 3]) {
        let (_, reply) = kmds.fetch(&song.link()).await;
        assert_eq!(reply.kind, "private", "{reply}");
        assert_eq!(wrapper.runs().len(), runs, "it is told once");
    }
}

/// Answers as a yt-dlp that Bandcamp challenges unless it imitates Firefox.
const CHALLENGED: &str = r#"case "$*" in
*--list-impersonate-targets*) printf '[info] Available impersonate targets\nClient OS Source\n----\n%s\n' "$TARGETS"; exit 0;;
*'--impersonate firefox'*) echo 'ERROR: [Bandcamp] x: Private video' >&2; exit 1;;
*) echo 'ERROR: [Bandcamp] x: Got client challenge webpage response with chrome-151' >&2; exit 1;;
esac"#;

async fn challenged(targets: &str) -> (String, String, usize) {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Challenged").publish();
    lab.inject(Fault::BotCheck.on_pages().of_site(Site::Bandcamp));
    let wrapper = Wrapper::doing(&format!("TARGETS='{targets}'\n{CHALLENGED}"));
    let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let kind = reply.kind.clone();
    (kind, wrapper.note("arguments"), wrapper.runs().len())
}

#[tokio::test]
async fn bandcamps_challenge_is_met_plain_first_and_then_as_the_best_browser_that_yt_dlp_lists() {
    let listed = "Chrome-152 Macos curl_cffi\nFirefox-155 Windows curl_cffi\nTor - curl_cffi";
    let (kind, arguments, runs) = challenged(listed).await;
    assert_eq!(kind, "private", "what it heard as Firefox counts");
    assert_eq!(runs, 3, "plain, the list, Firefox: {arguments}");
    let plain = arguments.find("--list-impersonate-targets").expect("asked");
    assert!(!arguments[..plain].contains("--impersonate\n"));
    assert!(
        arguments.contains("--impersonate\nfirefox\n"),
        "{arguments}"
    );
}

#[tokio::test]
async fn bandcamps_challenge_stays_one_where_yt_dlp_can_imitate_nothing_better() {
    for (targets, runs) in [
        ("Firefox - curl_cffi>=0.10 (unavailable)", 2),
        // Chrome is what is challenged; it is not tried by name.
        ("Chrome-152 Macos curl_cffi", 2),
        ("Safari-26 Macos curl_cffi", 3),
    ] {
        let (kind, arguments, made) = challenged(targets).await;
        assert_eq!((kind.as_str(), made), ("bot_check", runs), "{arguments}");
    }
}
