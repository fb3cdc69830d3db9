//! Every row of the link table of SoundCloud's field notes (section 2).

use kmds_extract::link::SoundCloudLink;
use kmds_extract::{Link, LinkError};

fn token(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn track(user: &str, slug: &str, secret: &str) -> SoundCloudLink {
    SoundCloudLink::Track {
        user: user.to_owned(),
        slug: slug.to_owned(),
        token: token(secret),
    }
}

fn set(user: &str, slug: &str, secret: &str) -> SoundCloudLink {
    SoundCloudLink::Set {
        user: user.to_owned(),
        slug: slug.to_owned(),
        token: token(secret),
    }
}

fn track_by_id(id: u64, secret: &str) -> SoundCloudLink {
    SoundCloudLink::TrackById {
        id,
        token: token(secret),
    }
}

fn set_by_id(id: u64, secret: &str) -> SoundCloudLink {
    SoundCloudLink::SetById {
        id,
        token: token(secret),
    }
}

fn short(code: &str) -> SoundCloudLink {
    SoundCloudLink::Short {
        code: code.to_owned(),
    }
}

#[test]
fn links_of_songs_and_sets_are_read() {
    let table = [
        (
            "https://soundcloud.com/blakewhiten/hard-to-break",
            track("blakewhiten", "hard-to-break", ""),
        ),
        (
            "http://www.soundcloud.com/liluzivert/15-luv-scars-ko",
            track("liluzivert", "15-luv-scars-ko", ""),
        ),
        (
            "http://m.soundcloud.com/liluzivert/15-boring-shit",
            track("liluzivert", "15-boring-shit", ""),
        ),
        (
            "soundcloud.com/liluzivert/15-ysl",
            track("liluzivert", "15-ysl", ""),
        ),
        (
            "https://soundcloud.com/liluzivert/ps-qs-produced-by-don-cannon/",
            track("liluzivert", "ps-qs-produced-by-don-cannon", ""),
        ),
        (
            "https://SoundCloud.com/LilUziVert/15-YSL",
            track("liluzivert", "15-ysl", ""),
        ),
        (
            "https://soundcloud.com/lieutenant_rae/bots-was-wollen-wir-trinken",
            track("lieutenant_rae", "bots-was-wollen-wir-trinken", ""),
        ),
        (
            "https://soundcloud.com/kechuspider-sets-1/last-days",
            track("kechuspider-sets-1", "last-days", ""),
        ),
        (
            "https://soundcloud.com/liluzivert/threesome-produced-by-zaytoven#t=1:09",
            track("liluzivert", "threesome-produced-by-zaytoven", ""),
        ),
        (
            "https://soundcloud.com/l2share77/loona-butterfly?utm_source=clipboard&utm_medium=text&utm_campaign=social_sharing",
            track("l2share77", "loona-butterfly", ""),
        ),
        (
            "https://soundcloud.com/murderclubmusik/winter?ref=clipboard&p=a&c=0&si=7329abcd",
            track("murderclubmusik", "winter", ""),
        ),
        (
            "https://soundcloud.com/blackhole48393/neckdivers?in=buzzing-playlists/sets/buzzing-metal",
            track("blackhole48393", "neckdivers", ""),
        ),
        (
            "https://soundcloud.com/a/b?in_system_playlist=weekly%3A%3Aflacmatic",
            track("a", "b", ""),
        ),
        (
            "https://soundcloud.com/user-798052861/asdasdasdsdsd/s-9TqZ7edLJ90",
            track("user-798052861", "asdasdasdsdsd", "s-9TqZ7edLJ90"),
        ),
        (
            "https://soundcloud.com/jaimemf/youtube-dl-test-video-a-y-baw/s-8Pjrp?si=x",
            track("jaimemf", "youtube-dl-test-video-a-y-baw", "s-8Pjrp"),
        ),
        (
            "https://soundcloud.com/liluzivert/sets/the-perfect-luv-tape-r?test=123",
            set("liluzivert", "the-perfect-luv-tape-r", ""),
        ),
        (
            "https://soundcloud.com/the-concept-band/sets/the-royal-concept-ep/s-Ab12",
            set("the-concept-band", "the-royal-concept-ep", "s-Ab12"),
        ),
        ("https://on.soundcloud.com/rdt7e", short("rdt7e")),
        (
            "https://on.soundcloud.com/Z8uNsRy7lABhSBiGgq",
            short("Z8uNsRy7lABhSBiGgq"),
        ),
        (
            "https://api.soundcloud.com/tracks/123998367?secret_token=s-8Pjrp",
            track_by_id(123_998_367, "s-8Pjrp"),
        ),
        (
            "https://api.soundcloud.com/tracks/soundcloud%3Atracks%3A1083788353",
            track_by_id(1_083_788_353, ""),
        ),
        (
            "https://api-v2.soundcloud.com/tracks/2167944333",
            track_by_id(2_167_944_333, ""),
        ),
        (
            "soundcloud:tracks:2167944333",
            track_by_id(2_167_944_333, ""),
        ),
        ("soundcloud:playlists:922213810", set_by_id(922_213_810, "")),
        (
            "https://api.soundcloud.com/playlists/soundcloud:playlists:2104769627?secret_token=s-wmpCLuExeYX",
            set_by_id(2_104_769_627, "s-wmpCLuExeYX"),
        ),
        (
            "https://w.soundcloud.com/player/?url=https%3A%2F%2Fapi.soundcloud.com%2Fplaylists%2F922213810&secret_token=s-ziYey",
            set_by_id(922_213_810, "s-ziYey"),
        ),
        (
            "https://player.soundcloud.com/player?url=https%3A%2F%2Fsoundcloud.com%2Fa%2Fb%2Fs-Own1&secret_token=s-Other",
            track("a", "b", "s-Own1"),
        ),
        (
            "https://p.soundcloud.com/player/?url=https%3A//api.soundcloud.com/tracks/9%3Fsecret_token%3Ds-In1",
            track_by_id(9, "s-In1"),
        ),
    ];
    for (text, expected) in table {
        let link = Link::parse(text);
        assert_eq!(link, Ok(Link::SoundCloud(expected)), "{text}");
        let canonical = link.expect("parsed").canonical();
        assert_eq!(
            Link::parse(&canonical).map(|link| link.canonical()),
            Ok(canonical.clone()),
            "{text}"
        );
    }
}

#[test]
fn canonical_forms_have_plain_hosts_lower_case_names_and_untouched_tokens() {
    let table = [
        (
            "http://www.soundcloud.com/liluzivert/15-luv-scars-ko",
            "https://soundcloud.com/liluzivert/15-luv-scars-ko",
        ),
        (
            "m.soundcloud.com/LilUziVert/15-YSL/?x=1#t=2",
            "https://soundcloud.com/liluzivert/15-ysl",
        ),
        (
            "https://SOUNDCLOUD.com/User-798052861/Asdasdasdsdsd/s-9TqZ7edLJ90",
            "https://soundcloud.com/user-798052861/asdasdasdsdsd/s-9TqZ7edLJ90",
        ),
        (
            "https://soundcloud.com/A/sets/B/s-Ab12?si=1",
            "https://soundcloud.com/a/sets/b/s-Ab12",
        ),
        (
            "https://api-v2.soundcloud.com/tracks/42?secret_token=s-Q",
            "https://api.soundcloud.com/tracks/42?secret_token=s-Q",
        ),
    ];
    for (text, canonical) in table {
        assert_eq!(
            Link::parse(text).map(|link| link.canonical()).as_deref(),
            Ok(canonical),
            "{text}"
        );
    }
}

#[test]
fn pages_that_are_no_songs_say_what_to_give_instead() {
    let table = [
        "https://soundcloud.com/discover/sets/weekly::flacmatic",
        "https://soundcloud.com/discover/sets/charts-top:all-music:de",
        "https://soundcloud.com/trapcity",
        "https://soundcloud.com/liluzivert/tracks",
        "https://soundcloud.com/liluzivert/sets",
        "https://soundcloud.com/clalberg/likes",
        "https://soundcloud.com/jcv246/reposts",
        "https://soundcloud.com/wajang/sexapil-pingers-5/recommended",
        "https://soundcloud.com/wajang/sexapil-pingers-5/albums",
        "https://soundcloud.com/wajang/sexapil-pingers-5/sets",
        "https://soundcloud.com/stations/track/a/b",
        "https://soundcloud.com/stations/artist/a",
        "https://soundcloud.com/a/albums",
        "https://soundcloud.com/a/spotlight",
        "https://soundcloud.com/a/comments",
        "https://soundcloud.com/a/followers",
        "https://soundcloud.com/a/following",
        "https://soundcloud.com/a/popular-tracks",
        "https://soundcloud.com/search?q=x",
        "https://soundcloud.com/you/library",
        "https://soundcloud.com/charts/top",
    ];
    for text in table {
        match Link::parse(text) {
            Err(error @ LinkError::Unsupported { .. }) => {
                assert!(
                    error.to_string().contains("a track or a set"),
                    "{text}: {error}"
                );
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn look_alikes_and_broken_links_are_refused() {
    let table = [
        "https://soundcloud.com/",
        "https://soundcloud.com",
        "https://soundcloud.com/liluzivert/t.e.s.t",
        "https://soundcloud.com/a/b/c",
        "https://soundcloud.com/a/b/s-",
        "https://soundcloud.com/a/b/s-a/c",
        "https://soundcloud.com/a/sets/b/c",
        "https://soundcloud.com.evil.example/a/b",
        "https://evilsoundcloud.com/a/b",
        "https://evil.example/soundcloud.com/a/b",
        "https://soundcloud.com@evil.example/a/b",
        "https://x:y@soundcloud.com/a/b",
        "https://soundcloud.com:8443/a/b",
        "https://soundcloud.com\\@evil.example/a/b",
        "https://soundcloud.com/a/..%2f..%2fx",
        "https://soundcloud.com/a/../b",
        "https://soundcloud.com/a%00/b",
        "https://soundcloud.com/a/%2562",
        "https://\u{0455}oundcloud.com/a/b",
        "https://soundcloud.com./a/b",
        "//soundcloud.com/a/b",
        "javascript:alert(1)//soundcloud.com/a/b",
        "file:///soundcloud.com/a/b",
        "ftp://soundcloud.com/a/b",
        "https://on.soundcloud.com/a/b",
        "https://on.soundcloud.com/",
        "https://on.soundcloud.com/a-b",
        "https://w.soundcloud.com/player/?url=http://127.0.0.1/",
        "https://w.soundcloud.com/player/?url=https%3A%2F%2Fw.soundcloud.com%2Fplayer%2F%3Furl%3Dsoundcloud.com%2Fa%2Fb",
        "https://w.soundcloud.com/player/?url=//soundcloud.com/a/b",
        "https://w.soundcloud.com/player/?url=https%3A%2F%2Fyoutu.be%2FM4gD1WSo5mA",
        "https://w.soundcloud.com/player/",
        "https://w.soundcloud.com/a/b",
        "https://api.soundcloud.com/tracks/0",
        "https://api.soundcloud.com/tracks/99999999999999999999",
        "https://api.soundcloud.com/tracks/-1",
        "https://api.soundcloud.com/tracks/1/2",
        "https://api.soundcloud.com/tracks/1?secret_token=x%26y",
        "https://api-v2.soundcloud.com/resolve?url=x",
        "https://api-widget.soundcloud.com/tracks/1",
        "https://evil.soundcloud.com/a/b",
        "soundcloud:tracks:",
        "soundcloud:tracks:x",
        "soundcloud:",
    ];
    for text in table {
        match Link::parse(text) {
            Err(LinkError::NotOurs | LinkError::InvalidId { .. }) => {}
            other => panic!("{text}: {other:?}"),
        }
    }
}
