//! SoundCloud's real answers, read from `KMDS_RECORDINGS` where that is set.

#[expect(dead_code, reason = "the tests against made-up answers use the rest")]
mod soundcloud_fake;

use std::path::PathBuf;
use std::time::Duration;

use kmds_extract::origin::{OriginError, Page};
use kmds_extract::{
    Codec, Collection, Delivery, Entry, ExtractError, Link, Recipes, Resolved, Track,
};
use serde_json::Value;
use soundcloud_fake::{Asked, Fake, nothing};

/// One recorded exchange: the path it was asked at, and the answer.
struct Recorded {
    path: String,
    page: Page,
}

/// The exchanges of these cases; `None`, loudly, where there are no recordings.
fn recorded(cases: &[&str]) -> Option<Vec<Recorded>> {
    let Some(folder) =
        std::env::var_os("KMDS_RECORDINGS").map(|folder| PathBuf::from(folder).join("soundcloud"))
    else {
        eprintln!(
            "SKIPPED: KMDS_RECORDINGS is not set, SoundCloud's recorded answers are NOT tested"
        );
        return None;
    };
    let mut exchanges = Vec::new();
    for case in cases {
        let files =
            std::fs::read_dir(folder.join(case)).unwrap_or_else(|error| panic!("{case}: {error}"));
        for file in files {
            let text =
                std::fs::read_to_string(file.expect("an entry").path()).expect("a recording");
            let exchange: Value = serde_json::from_str(&text).expect("a recording is JSON");
            let url = url::Url::parse(exchange["request"]["url"].as_str().expect("a URL"))
                .expect("a URL");
            let status = exchange["response"]["status"]
                .as_u64()
                .and_then(|status| u16::try_from(status).ok());
            let body = exchange["response"]["body"]
                .as_str()
                .unwrap_or_default()
                .as_bytes()
                .to_vec();
            exchanges.push(Recorded {
                path: format!("{}{}", url.host_str().unwrap_or_default(), url.path()),
                page: Page {
                    status: status.expect("a status"),
                    final_url: url.into(),
                    headers: Vec::new(),
                    body,
                },
            });
        }
    }
    Some(exchanges)
}

/// A site that answers by host and path alone; a set's page, recorded by its number, also by `/resolve`.
fn replay(exchanges: Vec<Recorded>) -> Fake {
    Fake::bare(move |asked| answer(&exchanges, asked))
}

fn answer(exchanges: &[Recorded], asked: &Asked) -> Result<Page, OriginError> {
    let wanted = format!(
        "{}{}",
        asked.url.host_str().unwrap_or_default(),
        asked.url.path()
    );
    let of_set =
        |path: &str| asked.request.page == "resolve answer" && path.contains("/playlists/");
    let found = exchanges
        .iter()
        .find(|recorded| recorded.path == wanted)
        .or_else(|| exchanges.iter().find(|recorded| of_set(&recorded.path)));
    found.map_or_else(nothing, |recorded| Ok(recorded.page.clone()))
}

async fn resolve(link: &str, fake: &Fake) -> Resolved {
    let link = Link::parse(link).expect("a link");
    kmds_extract::resolve(&link, fake, &Recipes::built_in())
        .await
        .expect("resolves")
}

async fn song(link: &str, fake: &Fake) -> Track {
    match resolve(link, fake).await {
        Resolved::Track(track) => *track,
        Resolved::Collection(list) => panic!("a list: {list:?}"),
    }
}

async fn located(track: &Track, fake: &Fake) -> Vec<Result<(String, Option<u64>), ExtractError>> {
    let recipes = Recipes::built_in();
    let mut all = Vec::new();
    for stream in &track.streams {
        all.push(
            kmds_extract::locate(stream, fake, &recipes)
                .await
                .map(|stream| match stream.delivery {
                    Delivery::File { url } | Delivery::Hls { url } => (
                        url.split('?').next().unwrap_or_default().to_owned(),
                        stream.expires_unix,
                    ),
                    Delivery::Asked { .. } => panic!("still to be asked for"),
                }),
        );
    }
    all
}

#[tokio::test]
async fn technicality_is_mp3_only_and_its_urls_are_found() {
    let Some(exchanges) = recorded(&["client-id", "track-technicality"]) else {
        return;
    };
    let fake = replay(exchanges);
    let track = song(
        "https://soundcloud.com/garrett-cameron-1/technicality",
        &fake,
    )
    .await;
    assert_eq!(fake.pages(), ["home page", "resolve answer"]);
    assert_eq!(track.id.to_string(), "soundcloud-135535700");
    assert_eq!(
        (track.title.as_str(), track.artist.as_deref()),
        ("Technicality", Some("Samuel Cameron (ZVW)"))
    );
    assert_eq!(
        (track.album.as_deref(), track.number, track.total),
        (None, None, None)
    );
    assert_eq!(track.duration, Some(Duration::from_millis(182_873)));
    let cover = "https://i1.sndcdn.com/artworks-000071246919-n0azrs-t500x500.jpg";
    assert_eq!(track.cover_url.as_deref(), Some(cover));
    assert_eq!(track.date.as_deref(), Some("2014-02-18"));
    assert_eq!(track.streams[0].approximate_size(), Some(182_873 * 16));
    let urls = located(&track, &fake).await;
    assert_eq!(
        urls,
        [
            Ok((
                "https://cf-media.sndcdn.com/LLAz2k0c4uom.128.mp3".to_owned(),
                Some(1_771_636_406)
            )),
            Ok((
                "https://cf-hls-media.sndcdn.com/playlist/LLAz2k0c4uom.128.mp3/playlist.m3u8"
                    .to_owned(),
                Some(1_771_636_405)
            )),
        ]
    );
}

#[tokio::test]
async fn open_minds_has_mp3_and_opus_and_the_format_that_is_off_is_never_asked_for() {
    let Some(exchanges) = recorded(&["client-id", "track-open-minds"]) else {
        return;
    };
    let fake = replay(exchanges);
    let link = "https://soundcloud.com/wearecc/open-minds-ep-21-dr-beth-harris-and-dr-steven-zucker-of-smarthistory";
    let track = song(link, &fake).await;
    assert_eq!(track.id.id(), "1356023209");
    assert_eq!(
        track.title,
        "Open Minds, Ep 21: Dr. Beth Harris and Dr. Steven Zucker of Smarthistory"
    );
    assert_eq!(track.artist.as_deref(), Some("Creative Commons"));
    assert_eq!(track.duration, Some(Duration::from_millis(1_500_317)));
    assert_eq!(track.date.as_deref(), Some("2022-10-04"));
    let codecs: Vec<Codec> = track.streams.iter().map(|stream| stream.codec).collect();
    assert_eq!(codecs, [Codec::Mp3, Codec::Mp3, Codec::Opus]);
    let urls = located(&track, &fake).await;
    assert!(
        urls.iter()
            .all(|url| matches!(url, Ok((_, Some(1_771_637_724))))),
        "{urls:?}"
    );
    assert!(
        fake.asked()
            .iter()
            .all(|asked| !asked.url.path().contains("1abf07a8")),
        "abr_sq is left alone"
    );
}

#[tokio::test]
async fn the_luv_tape_is_ten_songs_in_order_for_two_requests() {
    let Some(exchanges) = recorded(&["client-id", "set-luv-tape"]) else {
        return;
    };
    let fake = replay(exchanges);
    for link in [
        "https://soundcloud.com/liluzivert/sets/the-perfect-luv-tape-r",
        "soundcloud:playlists:246349810",
    ] {
        let Resolved::Collection(set) = resolve(link, &fake).await else {
            panic!("a song")
        };
        luv_tape(&set);
    }
    assert_eq!(
        fake.pages(),
        [
            "home page",
            "resolve answer",
            "tracks batch",
            "set answer",
            "tracks batch"
        ]
    );
}

fn luv_tape(set: &Collection) {
    assert_eq!(
        (set.id.as_str(), set.title.as_deref()),
        ("246349810", Some("THE PERFECT LUV TAPE®️"))
    );
    assert_eq!(
        (set.artist.as_deref(), set.truncated),
        (Some("Lil Uzi Vert"), false)
    );
    let cover = "https://i1.sndcdn.com/artworks-000174203688-bweu12-t500x500.jpg";
    assert_eq!(set.cover_url.as_deref(), Some(cover));
    let expected = [
        (
            276_206_960,
            "Do What I Want [Produced By Maaly Raw + Don Cannon]",
            175_249,
        ),
        (
            276_233_032,
            "Of Course We Ghetto Flowers Ft. Playboi Carti & Offset [Produced By Maaly Raw]",
            262_028,
        ),
        (
            276_233_401,
            "Original Uzi(4 Of Us) [Produced By Maaly Raw + Ike Beatz]",
            166_812,
        ),
        (276_233_719, "Money Mitch [Produced By Zaytoven]", 247_138),
        (
            276_233_852,
            "SideLine Watching (Hold Up) [Produced By Zaytoven]",
            191_079,
        ),
        (
            276_234_004,
            "Alfa Romeo AW30 (I Can Drive) [Produced By DP Beatz]",
            153_829,
        ),
        (
            276_234_137,
            "You're Lost [Produced By Don Cannon + Slade Da Monsta]",
            156_963,
        ),
        (
            276_234_413,
            "Erase Your Social [Produced By Don Cannon + Lyle LeDuff]",
            200_039,
        ),
        (
            276_234_639,
            "Ronda (Winners) [Produced By Metro Boomin + CuBeatz]",
            216_340,
        ),
        (
            276_234_770,
            "Seven Million Ft. Future [Produced By Nard & B/XL + Don Cannon]",
            182_537,
        ),
    ];
    assert_eq!(set.entries.len(), expected.len());
    for ((number, entry), (id, title, milliseconds)) in (1..).zip(&set.entries).zip(expected) {
        let Entry::Track(track) = entry else {
            panic!("{entry:?}")
        };
        assert_eq!(
            (track.id.id(), track.title.as_str()),
            (id.to_string().as_str(), title)
        );
        assert_eq!(track.artist.as_deref(), Some("Lil Uzi Vert"));
        assert_eq!(track.album.as_deref(), Some("THE PERFECT LUV TAPE®️"));
        assert_eq!((track.number, track.total), (Some(number), Some(10)));
        assert_eq!(track.duration, Some(Duration::from_millis(milliseconds)));
        assert_eq!(track.date.as_deref(), Some("2016-07-31"));
        assert!(
            track
                .cover_url
                .as_deref()
                .is_some_and(|url| url.ends_with("-t500x500.jpg"))
        );
        assert_eq!(track.streams[0].label, "aac_160k hls");
        assert_eq!(
            track.streams[0].approximate_size(),
            Some((milliseconds as f64 * 20.2).round() as u64)
        );
    }
}

#[tokio::test]
async fn home_page_and_script_tell_the_same_client_id() {
    let Some(mut exchanges) = recorded(&["client-id", "track-technicality"]) else {
        return;
    };
    let link = "https://soundcloud.com/garrett-cameron-1/technicality";
    let id_used = |fake: &Fake| {
        fake.asked()
            .last()
            .and_then(|asked| asked.query("client_id"))
    };

    let fake = Fake::bare({
        let exchanges = recorded(&["client-id", "track-technicality"]).expect("there a moment ago");
        move |asked| answer(&exchanges, asked)
    });
    song(link, &fake).await;
    let of_home_page = id_used(&fake);
    assert!(of_home_page.as_deref().is_some_and(|id| id.len() == 32));

    for recorded in exchanges
        .iter_mut()
        .filter(|recorded| recorded.path == "soundcloud.com/")
    {
        recorded.page.body = String::from_utf8_lossy(&recorded.page.body)
            .replace("apiClient", "none")
            .into_bytes();
    }
    let fake = replay(exchanges);
    song(link, &fake).await;
    assert_eq!(
        fake.pages(),
        ["home page", "asset script", "resolve answer"]
    );
    assert_eq!(id_used(&fake), of_home_page);
}
