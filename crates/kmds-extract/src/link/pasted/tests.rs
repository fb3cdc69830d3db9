//! Texts that people paste, and the link that is read from each.

use super::*;
use crate::link::{Link, YouTubeLink};
use crate::site::Site;

const LINKS: [&str; 9] = [
    "https://youtu.be/dQw4w9WgXcQ",
    "https://www.youtube.com/watch?v=dQw4w9WgXcQ&si=AbCdEf",
    "https://music.youtube.com/playlist?list=OLAK5uy_lEBUW9iTwqf0IlYPxZ8LrzpgqjAHZgZpM&si=x",
    "youtube.com/watch?v=dQw4w9WgXcQ",
    "https://soundcloud.com/some-one/a_song-1",
    "https://on.soundcloud.com/Ab12",
    "soundcloud.com/some-one/sets/a-set?si=1",
    "https://band.bandcamp.com/track/a-song_2",
    "band.bandcamp.com/album/an-album",
];

fn is_read_as(text: &str, link: &str) {
    assert_eq!(Link::parse(text), Link::parse(link), "{text:?}");
}

#[test]
fn a_link_out_of_a_chat_is_the_link_alike_on_all_sites() {
    for link in LINKS {
        let read = Link::parse(link);
        assert!(read.is_ok(), "{link}");
        for (before, after) in [
            ("<", ">"),
            ("(", ")"),
            ("[", "]"),
            ("{", "}"),
            ("«", "»"),
            ("“", "”"),
            ("„", "“"),
            ("‘", "’"),
            ("\"", "\""),
            ("'", "'"),
            ("`", "`"),
            ("```", "```"),
            ("||", "||"),
            ("*", "*"),
            ("**", "**"),
            ("_", "_"),
            ("__", "__"),
            ("***", "***"),
            ("**_", "_**"),
            ("~~", "~~"),
            ("||<", ">||"),
            ("(<", ">)."),
            ("<(", ")>"),
            ("「", "」"),
            ("（", "）。"),
            ("> ", ""),
            ("", ")"),
            ("", "),"),
            ("", "."),
            ("", "..."),
            ("", "…"),
            ("", "!"),
            ("", "?"),
            ("", "?!"),
            ("", ";"),
            ("", ":"),
            ("", ">"),
            ("", "\""),
            ("", "'"),
            ("", "*"),
            ("", "~"),
            ("", "|"),
            ("", "]"),
            ("", "}"),
            ("", ">."),
            ("", ")."),
            ("", "，"),
            ("listen to ", " please"),
            ("song: ", ""),
            ("Artist - Title (Official Video) ", " :)"),
            ("¿ ", " ?"),
            ("this (", ") is good, and so on"),
            ("Listen on #SoundCloud\n", ""),
            ("a\r\n\tb ", "\r\n"),
            ("[a title](", ")"),
            ("[a title](", "), is good"),
            ("look: [youtu.be](<", ">)"),
            ("[t](", " \"title\")"),
            ("[](", ")"),
        ] {
            is_read_as(&format!("{before}{link}{after}"), link);
            is_read_as(&format!(" {before}{link}{after} "), link);
        }
        let same = format!("[{link}]({link})");
        is_read_as(&same, link);
        is_read_as(&format!("<{link}|a title>"), link);
        is_read_as(&format!("<{link}|{link}> please"), link);
    }
    is_read_as(
        "https://band.bandcamp.com/track/a b",
        "https://band.bandcamp.com/track/a",
    );
}

#[test]
fn invisible_characters_are_not_seen_before_inside_the_edges_and_after() {
    for unseen in [
        "\u{feff}",
        "\u{200b}",
        "\u{200c}",
        "\u{200d}",
        "\u{200e}",
        "\u{200f}",
        "\u{202a}",
        "\u{202e}",
        "\u{2060}",
        "\u{2064}",
        "\u{2066}",
        "\u{2069}",
        "\u{fe0f}",
        "\u{a0}",
        "\u{ad}",
        "\u{61c}",
        "\u{3000}",
        "\u{2028}",
        "\u{180e}",
        "\u{e0020}",
    ] {
        for link in LINKS {
            for (before, after) in [
                ("", ""),
                ("<", ">"),
                ("(", ")."),
                ("||", "||"),
                ("**", "**"),
                ("", ","),
                ("[t](", ")"),
            ] {
                is_read_as(&format!("{unseen}{before}{link}{after}"), link);
                is_read_as(&format!("{before}{link}{after}{unseen}"), link);
                is_read_as(&format!("{before}{unseen}{link}{unseen}{after}"), link);
                is_read_as(
                    &format!("{unseen}{unseen} {before}{unseen}{link}{unseen}{after}{unseen}"),
                    link,
                );
            }
        }
    }
    // Where a chat breaks a line inside a link.
    is_read_as(
        "https://youtu.be/dQw4\u{200b}w9WgXcQ",
        "https://youtu.be/dQw4w9WgXcQ",
    );
    is_read_as(
        "https://sound\u{ad}cloud.com/some-one/a-song",
        "https://soundcloud.com/some-one/a-song",
    );
}

#[test]
fn of_two_links_none_is_dropped_in_silence() {
    let second = "https://youtu.be/M4gD1WSo5mA";
    for first in LINKS {
        for between in [
            " ", "\n", ",", ", ", ";", "|", " and ", " | ", ") (", "\u{200b}", "> <", "\t", "",
            "#", "\"", "...",
        ] {
            for second in [
                second,
                "https://soundcloud.com/else/where",
                "http://band.bandcamp.com/track/x",
                first,
            ] {
                let text = format!("{first}{between}{second}");
                let glued_into_the_first = between.is_empty() || between == "#" || between == "...";
                match Link::parse(&text) {
                    Err(LinkError::TwoLinks) => {}
                    // One that cannot be read with the other's letters in it, or has no scheme of its own.
                    Err(_) if glued_into_the_first => {}
                    Ok(_) if glued_into_the_first && !second.contains("://") => {}
                    other => panic!("{text:?}: {other:?}"),
                }
            }
        }
        for text in [
            format!("{first} youtu.be/M4gD1WSo5mA"),
            format!("{first} (see https://example.com/x)"),
            format!("<{first}> <{second}>"),
        ] {
            assert_eq!(Link::parse(&text), Err(LinkError::TwoLinks), "{text}");
        }
        assert_eq!(
            Link::parse(&format!("[a]({first}) [b]({second})")),
            Err(LinkError::TwoLinks)
        );
    }
    // A link within a link's query is a part of it, a bare host in a sentence is a word.
    let inner = "https://w.soundcloud.com/player/?url=https://api.soundcloud.com/tracks/1&color=x";
    is_read_as(inner, "https://api.soundcloud.com/tracks/1");
    is_read_as(&format!("from youtube.com: {second}"), second);
}

#[test]
fn what_is_no_link_on_its_own_is_none_in_a_text() {
    for text in [
        "",
        " ",
        "\u{200b}",
        "<>",
        "words only",
        "dQw4w9WgXcQ",
        "javascript:location='https://youtu.be/dQw4w9WgXcQ'",
        "data:text/html,https://youtu.be/dQw4w9WgXcQ",
        "see:https://youtu.be/dQw4w9WgXcQ",
        "ftp://youtu.be/dQw4w9WgXcQ",
        "https://evil.example/(https://youtu.be/dQw4w9WgXcQ)",
        "https://evil.example/#https://youtu.be/dQw4w9WgXcQ",
        "https://youtu.be/dQw4\nw9WgXcQ",
        "https://youtu.be/dQw4w9WgXcQ\nX: y",
        "https://youtu.be/dQw4w9WgXcQ\u{1b}[0m",
        "https://youtu.be\\@evil.example/dQw4w9WgXcQ",
        "\u{0}https://youtu.be/dQw4w9WgXcQ",
    ] {
        assert_eq!(Link::parse(text), Err(LinkError::NotOurs), "{text:?}");
    }
    // A letter that may belong to the id is a part of it.
    assert_eq!(
        Link::parse("https://youtu.be/dQw4w9WgXcQ_"),
        Err(LinkError::InvalidId {
            site: Site::YouTube
        })
    );
    assert_eq!(
        bare(" <\u{200b}https://example.com/a,b> "),
        "https://example.com/a,b"
    );
}

#[test]
fn every_share_form_of_youtube_music_is_what_it_shares() {
    let list = "OLAK5uy_lEBUW9iTwqf0IlYPxZ8LrzpgqjAHZgZpM";
    let video = "https://youtu.be/dQw4w9WgXcQ";
    for host in [
        "music.youtube.com",
        "www.youtube.com",
        "m.youtube.com",
        "youtube.com",
    ] {
        for more in ["", "&si=AbC_d-E", "&feature=share", "&feature=shared&si=x"] {
            is_read_as(&format!("https://{host}/watch?v=dQw4w9WgXcQ{more}"), video);
            is_read_as(
                &format!("https://{host}/watch?v=dQw4w9WgXcQ&list={list}{more}"),
                video,
            );
            is_read_as(
                &format!("https://{host}/watch?v=dQw4w9WgXcQ&list=RDAMVMdQw4w9WgXcQ{more}"),
                video,
            );
            let whole = Link::parse(&format!(
                "https://{host}/watch?list={list}&v=dQw4w9WgXcQ{more}"
            ))
            .map(Link::whole_list);
            let album = Link::parse(&format!("https://{host}/playlist?list={list}{more}"));
            assert_eq!(whole, album);
            assert!(
                matches!(&album, Ok(Link::YouTube(YouTubeLink::List(id))) if id.as_str() == list),
                "{album:?}"
            );
            is_read_as(
                &format!("https://{host}/channel/UCBR8-60-B28hp2BmDPdntcQ?x=1{more}"),
                "https://www.youtube.com/channel/UCBR8-60-B28hp2BmDPdntcQ",
            );
        }
    }
    for more in ["", "?si=AbC", "?feature=share", "/"] {
        is_read_as(&format!("https://youtu.be/dQw4w9WgXcQ{more}"), video);
        is_read_as(
            &format!("https://music.youtube.com/browse/VL{list}{more}"),
            &format!("https://www.youtube.com/playlist?list={list}"),
        );
        let album = Link::parse(&format!(
            "https://music.youtube.com/browse/MPREb_K8qWMWVqXGi{more}"
        ));
        assert!(
            matches!(album, Ok(Link::YouTube(YouTubeLink::MusicAlbum(id))) if id == "MPREb_K8qWMWVqXGi")
        );
        let mix = Link::parse(&format!(
            "https://music.youtube.com/browse/VLRDAMVMdQw4w9WgXcQ{more}"
        ));
        assert!(
            matches!(
                mix,
                Ok(Link::YouTube(YouTubeLink::Mix { seed: Some(_), .. }))
            ),
            "{mix:?}"
        );
    }
}
