//! The table of Bandcamp links: every shape people paste, and what it stands for.

use kmds_extract::link::{BandPage, BandcampLink, Link, LinkError};
use kmds_extract::track::Site;

fn track(band: &str, slug: &str) -> Link {
    Link::Bandcamp(BandcampLink::Track {
        band: band.to_owned(),
        slug: slug.to_owned(),
    })
}

fn album(band: &str, slug: &str) -> Link {
    Link::Bandcamp(BandcampLink::Album {
        band: band.to_owned(),
        slug: slug.to_owned(),
    })
}

fn playlist(fan: Option<&str>, name: &str) -> Link {
    Link::Bandcamp(BandcampLink::Playlist {
        fan: fan.map(str::to_owned),
        name: name.to_owned(),
    })
}

fn band(band: &str, page: BandPage) -> Link {
    Link::Bandcamp(BandcampLink::Band {
        band: band.to_owned(),
        page,
    })
}

#[test]
fn every_accepted_shape_is_read_and_its_canonical_form_stands() {
    let rows = [
        (
            "https://teaganbear.bandcamp.com/track/just-for-the-halibut",
            track("teaganbear", "just-for-the-halibut"),
        ),
        (
            "http://macbenson.bandcamp.com/album/coming-of-age",
            album("macbenson", "coming-of-age"),
        ),
        (
            "https://MACBENSON.BANDCAMP.COM/ALBUM/COMING-OF-AGE",
            album("macbenson", "coming-of-age"),
        ),
        (
            "macbenson.bandcamp.com/album/coming-of-age/",
            album("macbenson", "coming-of-age"),
        ),
        (
            "//macbenson.bandcamp.com/album/coming-of-age",
            album("macbenson", "coming-of-age"),
        ),
        (
            "https://zachbensonarchive.bandcamp.com//track/say-it-aint-kanye",
            track("zachbensonarchive", "say-it-aint-kanye"),
        ),
        (
            "https://x.bandcamp.com/track/tides?from=footer-cc-a2492083373",
            track("x", "tides"),
        ),
        (
            "https://x.bandcamp.com/track/tides?label=1&tab=music",
            track("x", "tides"),
        ),
        (
            "https://x.bandcamp.com/track/tides?action=download",
            track("x", "tides"),
        ),
        (
            "https://teaganbear.bandcamp.com/track/just-for-the-halibut#t3486455278-buy",
            track("teaganbear", "just-for-the-halibut"),
        ),
        ("https://x.bandcamp.com/album/x#buy", album("x", "x")),
        (
            "https://x.bandcamp.com/album/under_score-2",
            album("x", "under_score-2"),
        ),
        (
            "https://zachjohnson1.bandcamp.com/album/endless",
            album("zachjohnson1", "endless"),
        ),
        (
            "https://bandcamp.com/EmbeddedPlayer/v=2/track=3486455278/size=large/tracklist=false/artwork=small/",
            Link::Bandcamp(BandcampLink::TrackById { id: 3_486_455_278 }),
        ),
        (
            "https://bandcamp.com/EmbeddedPlayer/album=1387612925/size=large/bgcol=ffffff/track=2/",
            Link::Bandcamp(BandcampLink::AlbumById { id: 1_387_612_925 }),
        ),
        (
            "https://bandcamp.com/EmbeddedPlayer/track=2/size=large/album=1387612925",
            Link::Bandcamp(BandcampLink::AlbumById { id: 1_387_612_925 }),
        ),
        (
            "https://bandcamp.com/SomeFan/playlist/late-nights_2?from=share",
            playlist(Some("somefan"), "late-nights_2"),
        ),
        (
            "bandcamp.com/playlist/1234567890/",
            playlist(None, "1234567890"),
        ),
        (
            "https://macbenson.bandcamp.com/",
            band("macbenson", BandPage::Root),
        ),
        ("MacBenson.bandcamp.com", band("macbenson", BandPage::Root)),
        (
            "http://macbenson.bandcamp.com/?from=x#top",
            band("macbenson", BandPage::Root),
        ),
        (
            "https://macbenson.bandcamp.com/music",
            band("macbenson", BandPage::Music),
        ),
        (
            "https://macbenson.bandcamp.com/Releases/",
            band("macbenson", BandPage::Releases),
        ),
    ];
    for (text, link) in rows {
        assert_eq!(Link::parse(text), Ok(link.clone()), "{text}");
        assert_eq!(
            Link::parse(&link.canonical()),
            Ok(link.clone()),
            "{}",
            link.canonical()
        );
        assert!(link.canonical().starts_with("https://"), "{text}");
    }
}

#[test]
fn canonical_forms_are_lower_case_https_without_query_or_slash() {
    let link = Link::parse("http://MacBenson.bandcamp.com//ALBUM/Coming-Of-Age/?from=x#buy")
        .expect("an album");
    assert_eq!(
        link.canonical(),
        "https://macbenson.bandcamp.com/album/coming-of-age"
    );
    assert!(link.is_list());
    assert!(!track("x", "y").is_list());
}

#[test]
fn pages_that_are_no_release_are_refused_with_a_next_step() {
    for (text, word) in [
        ("https://label.bandcamp.com/artists", "list of bands"),
        ("https://macbenson.bandcamp.com/music/x", "neither"),
        ("https://bandcamp.com/radio?show=224", "radio"),
        ("https://bandcamp.com/?show=230", "radio"),
        ("https://daily.bandcamp.com/features/some-story", "neither"),
        ("https://bandcamp.com/", "neither"),
        ("https://bandcamp.com/discover/pop", "neither"),
        ("https://bandcamp.com/search?q=x", "neither"),
        ("https://bandcamp.com/tag/x", "neither"),
        ("https://bandcamp.com/somefan", "neither"),
        ("https://x.bandcamp.com/merch", "neither"),
        ("https://x.bandcamp.com/community", "neither"),
        ("https://x.bandcamp.com/yum", "neither"),
        ("https://x.bandcamp.com/campaign/y", "neither"),
        ("https://x.bandcamp.com/video/z", "neither"),
        ("https://x.bandcamp.com/private/ABCDEF", "private"),
        (
            "https://t4.bcbits.com/stream/0123456789abcdef/mp3-128/1?p=0",
            "expire",
        ),
        (
            "https://bandcamp.com/stream_redirect?enc=mp3-128&track_id=1",
            "expire",
        ),
        ("https://bandcamp.com/download?from=x&id=1", "expire"),
    ] {
        match Link::parse(text) {
            Err(LinkError::Unsupported {
                site: Site::Bandcamp,
                reason,
            }) => {
                assert!(reason.contains(word), "{text}: {reason}");
                assert!(reason.contains("give the link"), "{text}: {reason}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn ids_and_hosts_that_cannot_be_right_are_refused() {
    for text in [
        "https://x.bandcamp.com/track/",
        "https://x.bandcamp.com/track",
        "https://x.bandcamp.com/album/a/b",
        "https://bandcamp.com/track/x",
        "https://bandcamp.com/playlist/",
        "https://bandcamp.com/playlist/a/b",
        "https://bandcamp.com/some.fan/playlist/x",
        "https://www.bandcamp.com/album/x",
        "https://a.b.bandcamp.com/track/y",
        "https://-x.bandcamp.com/track/y",
        "https://x.bandcamp.com/track/..%2f..%2fy",
        "https://x.bandcamp.com/track/%00",
        "https://bandcamp.com/EmbeddedPlayer/track=-1/",
        "https://bandcamp.com/EmbeddedPlayer/album=99999999999999999999/",
        "https://bandcamp.com/EmbeddedPlayer/track=0/",
        "https://bandcamp.com/EmbeddedPlayer/size=large/",
    ] {
        assert_eq!(
            Link::parse(text),
            Err(LinkError::InvalidId {
                site: Site::Bandcamp
            }),
            "{text}"
        );
    }
}

#[test]
fn look_alikes_are_links_of_no_site() {
    for text in [
        "https://x.bandcamp.com.evil.example/track/y",
        "https://evilbandcamp.com/track/y",
        "https://evil.example/x.bandcamp.com/track/y",
        "https://x.bandcamp.com@evil.example/track/y",
        "https://u:p@x.bandcamp.com/track/y",
        "https://x.bandcamp.com:8080/track/y",
        "https://x.bandcamp.com./track/y",
        "https://x.bandcamp.com\\@evil.example/track/y",
        "https://x.b\u{430}ndcamp.com/track/y",
        "https://xn--bndcamp-2fg.com/track/y",
        "ftp://x.bandcamp.com/track/y",
    ] {
        assert_eq!(Link::parse(text), Err(LinkError::NotOurs), "{text}");
    }
    assert!(Link::parse("https://.bandcamp.com/track/y").is_err());
}

#[test]
fn a_bands_own_domain_is_refused_with_the_way_out() {
    for text in [
        "https://lobstertheremin.com/album/x",
        "https://diskak.usopop.com/track/y",
    ] {
        let refusal = Link::parse(text).expect_err("custom domains are not read");
        assert!(
            refusal.to_string().contains("use its bandcamp.com link"),
            "{refusal}"
        );
    }
}
