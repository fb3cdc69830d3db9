//! Every row of the link table of the YouTube field notes (1.3).

use kmds_extract::link::youtube::{ListHint, ListId};
use kmds_extract::link::{Link, LinkError, YouTubeLink};

#[derive(Debug, PartialEq)]
enum Kind {
    Video(&'static str),
    /// Id, list hint.
    VideoIn(&'static str, &'static str),
    Playlist(&'static str),
    /// Id, seed.
    Mix(&'static str, &'static str),
    PrivateList(&'static str),
    MusicAlbum(&'static str),
    Channel(&'static str),
    Unsupported,
    InvalidId,
}
use Kind::{
    Channel, InvalidId, Mix, MusicAlbum, Playlist, PrivateList, Unsupported, Video, VideoIn,
};

const M: Kind = Video("M4gD1WSo5mA");
const PL: &str = "PLoumn5BIsUDeGF1vy5Nylf_RJKn5aL_nr";

#[rustfmt::skip]
const TABLE: [(u8, &str, Kind); 81] = [
    (1, "https://www.youtube.com/watch?v=M4gD1WSo5mA", M),
    (2, "http://youtube.com/watch?v=M4gD1WSo5mA", M),
    (3, "HTTPS://WWW.YouTube.COM/watch?v=M4gD1WSo5mA", M),
    (4, "youtube.com/watch?v=M4gD1WSo5mA", M),
    (5, "//www.youtube.com/watch?v=M4gD1WSo5mA", M),
    (6, "https://m.youtube.com/watch?v=M4gD1WSo5mA&feature=share", M),
    (7, "https://music.youtube.com/watch?v=M4gD1WSo5mA&si=AbCdEf", M),
    (8, "https://youtu.be/M4gD1WSo5mA?si=xyz&t=42", M),
    (9, "https://youtu.be/M4gD1WSo5mA#t=30", M),
    (10, "https://youtu.be/M4gD1WSo5mA//x/y", M),
    (11, "https://youtu.be/watch?v=M4gD1WSo5mA", M),
    (12, "https://www.youtube.com/shorts/tjz2u2DiveM?feature=share", Video("tjz2u2DiveM")),
    (13, "https://www.youtube.com/live/X4VbdwhkE10?si=abc", Video("X4VbdwhkE10")),
    (14, "https://www.youtube.com/embed/M4gD1WSo5mA?autoplay=1", M),
    (15, "https://www.youtube-nocookie.com/embed/M4gD1WSo5mA", M),
    (16, "https://www.youtube.com/v/M4gD1WSo5mA?version=3", M),
    (17, "https://www.youtube.com/e/M4gD1WSo5mA", M),
    (18, "https://www.youtube.com/watch/M4gD1WSo5mA", M),
    (19, "https://www.youtube.com/watch_popup?v=M4gD1WSo5mA", M),
    (20, "https://www.youtube.com/?v=M4gD1WSo5mA", M),
    (21, "https://www.youtube.com/watch?app=desktop&v=M4gD1WSo5mA&pp=ygUE&ab_channel=X", M),
    (22, "https://www.youtube.com/watch?feature=x&amp;v=M4gD1WSo5mA", M),
    (23, "https://www.youtube.com/watch?v=M4gD1WSo5mA&v=T4XJQO3qol8", M),
    (24, "https://www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3DM4gD1WSo5mA%26feature%3Dshare", M),
    (25, "https://consent.youtube.com/m?continue=https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3DM4gD1WSo5mA&gl=DE", M),
    (26, "https://www.youtube.com/watch?v=u2ah9tWTkmk&list=PLoumn5BIsUDeGF1vy5Nylf_RJKn5aL_nr&index=1", VideoIn("u2ah9tWTkmk", PL)),
    (27, "https://www.youtube.com/watch?v=u2ah9tWTkmk&list=WL", Video("u2ah9tWTkmk")),
    (28, "https://www.youtube.com/watch?v=FAqYW76GLPA&list=RDFAqYW76GLPA&start_radio=1", VideoIn("FAqYW76GLPA", "RDFAqYW76GLPA")),
    (29, "https://www.youtube.com/playlist?list=PLoumn5BIsUDeGF1vy5Nylf_RJKn5aL_nr&si=x", Playlist(PL)),
    (30, "https://music.youtube.com/playlist?list=OLAK5uy_lEBUW9iTwqf0IlYPxZ8LrzpgqjAHZgZpM", Playlist("OLAK5uy_lEBUW9iTwqf0IlYPxZ8LrzpgqjAHZgZpM")),
    (31, "https://www.youtube.com/playlist?list=PL36D642111D65BE7C", Playlist("PL36D642111D65BE7C")),
    (32, "https://www.youtube.com/playlist?list=UUBR8-60-B28hp2BmDPdntcQ", Playlist("UUBR8-60-B28hp2BmDPdntcQ")),
    (33, "https://www.youtube.com/watch?list=PLoumn5BIsUDeGF1vy5Nylf_RJKn5aL_nr", Playlist(PL)),
    (34, "https://www.youtube.com/embed/videoseries?list=PLoumn5BIsUDeGF1vy5Nylf_RJKn5aL_nr", Playlist(PL)),
    (35, "https://music.youtube.com/browse/VLPLoumn5BIsUDeGF1vy5Nylf_RJKn5aL_nr", Playlist(PL)),
    (36, "https://www.youtube.com/playlist?list=RDCLAK5uy_ly6s4irLuZAcjEDwJmqcA_UtSipMyGgbQ", Playlist("RDCLAK5uy_ly6s4irLuZAcjEDwJmqcA_UtSipMyGgbQ")),
    (37, "https://www.youtube.com/playlist?list=RDAMVMdQw4w9WgXcQ", Mix("RDAMVMdQw4w9WgXcQ", "dQw4w9WgXcQ")),
    (38, "https://www.youtube.com/playlist?list=WL", PrivateList("WL")),
    (39, "https://music.youtube.com/browse/MPREb_K8qWMWVqXGi", MusicAlbum("MPREb_K8qWMWVqXGi")),
    (40, "https://www.youtube.com/channel/UCBR8-60-B28hp2BmDPdntcQ", Channel("UCBR8-60-B28hp2BmDPdntcQ")),
    (41, "https://www.youtube.com/@EEVblog/videos", Channel("@EEVblog")),
    (42, "https://www.youtube.com/user/NASAgovVideo", Channel("user/NASAgovVideo")),
    (43, "https://www.youtube.com/clip/UgkxWCEmMJaHDdzPLpD7F7bZbQdXCKfYDOSp", Unsupported),
    (44, "https://www.youtube.com/results?search_query=abc", Unsupported),
    (45, "https://www.youtube.com/feed/trending?list=PLoumn5BIsUDeGF1vy5Nylf_RJKn5aL_nr", Unsupported),
    (46, "https://www.youtube.com/redirect?q=https%3A%2F%2Fyoutu.be%2FM4gD1WSo5mA", Unsupported),
    (47, "https://www.youtube.com/oembed?url=https://youtu.be/M4gD1WSo5mA", Unsupported),
    (48, "https://www.youtube.com/watch?v=M4gD1WSo5mAX", InvalidId),
    (49, "https://www.youtube.com/watch?v=M4gD1WSo5m", InvalidId),
    (50, "https://youtu.be/M4gD1WSo5mA)", M),
    (51, "https://www.youtube.com/watch?v=M4gD1WSo5%6dA", M),
    (52, "https://www.youtube.com/watch?v=", InvalidId),
    (53, "https://www.youtube.com.evil.com/watch?v=M4gD1WSo5mA", Unsupported),
    (54, "https://evil.com/watch?v=M4gD1WSo5mA#https://www.youtube.com/watch?v=M4gD1WSo5mA", Unsupported),
    (55, "https://evil.com\\@www.youtube.com/watch?v=M4gD1WSo5mA", Unsupported),
    (56, "https://www.youtube.com\\@evil.com/watch?v=M4gD1WSo5mA", Unsupported),
    (57, "https://www.youtube.com@evil.com/watch?v=M4gD1WSo5mA", Unsupported),
    (58, "https://user:pass@www.youtube.com/watch?v=M4gD1WSo5mA", Unsupported),
    (59, "https://www.youtube.com:8443/watch?v=M4gD1WSo5mA", Unsupported),
    (60, "https://www.youtube.com:443/watch?v=M4gD1WSo5mA", M),
    (61, "https://www.youtube.com./watch?v=M4gD1WSo5mA", M),
    (62, "https://notyoutube.com/watch?v=M4gD1WSo5mA", Unsupported),
    (63, "https://xyoutu.be/M4gD1WSo5mA", Unsupported),
    (64, "https://foo.youtube.com/watch?v=M4gD1WSo5mA", Unsupported),
    (65, "javascript:location='https://youtu.be/M4gD1WSo5mA'", Unsupported),
    (66, "data:text/html,https://youtu.be/M4gD1WSo5mA", Unsupported),
    (67, "file:///youtube.com/watch?v=M4gD1WSo5mA", Unsupported),
    (68, "ftp://youtu.be/M4gD1WSo5mA", Unsupported),
    (69, "https://www.y\u{43e}utube.com/watch?v=M4gD1WSo5mA", Unsupported),
    (70, "https://ｗｗｗ.ｙｏｕｔｕｂｅ.com/watch?v=M4gD1WSo5mA", M),
    (71, "https://www.youtube.com/watch?v=M4gD1WSo5m\u{410}", InvalidId),
    (72, "https://www.youtube.com/watch#v=M4gD1WSo5mA", Unsupported),
    (73, "https://www.youtube.com/#/watch?v=M4gD1WSo5mA", Unsupported),
    (74, "https://www.youtube.com/watch?V=M4gD1WSo5mA", Unsupported),
    (75, "https://www.youtube.com/watch?v=../../../etc", InvalidId),
    (76, "https://www.youtube.com/attribution_link?u=%2F%2Fevil.com%2Fwatch%3Fv%3DM4gD1WSo5mA", Unsupported),
    (77, "https://consent.youtube.com/m?continue=https%3A%2F%2Fevil.com%2Fwatch%3Fv%3DM4gD1WSo5mA", Unsupported),
    (78, "http://127.0.0.1/watch?v=M4gD1WSo5mA", Unsupported),
    (79, " https://youtu.be/M4gD1WSo5mA\n", M),
    (80, "https://youtu.be/M4gD\nWSo5mA", Unsupported),
    (81, "M4gD1WSo5mA", Unsupported),
];

fn text(id: impl ToString) -> &'static str {
    id.to_string().leak()
}

fn read(link: &str) -> Kind {
    match Link::parse(link) {
        Ok(Link::YouTube(YouTubeLink::Video {
            id,
            list: ListHint(None),
        })) => Video(text(id)),
        Ok(Link::YouTube(YouTubeLink::Video {
            id,
            list: ListHint(Some(list)),
        })) => VideoIn(text(id), text(list)),
        Ok(Link::YouTube(YouTubeLink::List(list))) => Playlist(text(list)),
        Ok(Link::YouTube(YouTubeLink::Mix { list, seed })) => Mix(
            text(list),
            text(seed.map_or_else(String::new, |id| id.to_string())),
        ),
        Ok(Link::YouTube(YouTubeLink::PrivateList(list))) => PrivateList(text(list)),
        Ok(Link::YouTube(YouTubeLink::MusicAlbum(id))) => MusicAlbum(text(id)),
        Ok(Link::YouTube(YouTubeLink::Channel(name))) => Channel(text(name)),
        Err(LinkError::InvalidId { .. }) => InvalidId,
        Err(LinkError::NotOurs | LinkError::Unsupported { .. } | LinkError::TooLong) => Unsupported,
        other => panic!("{link}: {other:?}"),
    }
}

#[test]
fn every_row_of_the_table_reads_as_it_says() {
    for (row, link, kind) in TABLE {
        assert_eq!(read(link), kind, "row {row}: {link}");
    }
    assert!(
        TABLE
            .iter()
            .zip(1..)
            .all(|((row, ..), expected)| *row == expected),
        "every row once, in order"
    );
}

#[test]
fn canonical_forms_are_the_sites_own_and_stand() {
    for (row, link, _) in TABLE {
        if let Ok(link) = Link::parse(link) {
            assert_eq!(Link::parse(&link.canonical()), Ok(link), "row {row}");
        }
    }
    let canonical = |link: &str| Link::parse(link).expect("a link").canonical();
    assert_eq!(
        canonical("youtu.be/M4gD1WSo5mA?list=PL1&t=3"),
        "https://www.youtube.com/watch?v=M4gD1WSo5mA"
    );
    assert_eq!(
        canonical("music.youtube.com/browse/VLPL1"),
        "https://www.youtube.com/playlist?list=PL1"
    );
}

#[test]
fn a_video_is_the_same_link_in_whatever_list_it_was_opened() {
    assert_eq!(
        Link::parse("youtu.be/M4gD1WSo5mA?list=PL1"),
        Link::parse("youtu.be/M4gD1WSo5mA")
    );
}

#[test]
fn the_whole_list_is_taken_only_where_there_is_one() {
    let whole = |link: &str| Link::parse(link).expect("a link").whole_list().canonical();
    let video = "https://www.youtube.com/watch?v=u2ah9tWTkmk";
    assert_eq!(
        whole(&format!("{video}&list={PL}")),
        format!("https://www.youtube.com/playlist?list={PL}")
    );
    assert_eq!(whole(video), video);
    for private in ["WL", "LL", "LM", "HL"] {
        assert_eq!(
            whole(&format!("{video}&list={private}")),
            video,
            "{private}"
        );
    }
    let mix = |list: &str| match Link::parse(&format!("{video}&list={list}"))
        .expect("a link")
        .whole_list()
    {
        Link::YouTube(YouTubeLink::Mix { seed, .. }) => seed.map(|seed| seed.to_string()),
        other => panic!("{other:?}"),
    };
    for list in [
        "RDu2ah9tWTkmk",
        "RDFAqYW76GLPA",
        "RDMMFAqYW76GLPA",
        "RDEM1234567890abcdefghijkl",
    ] {
        assert_eq!(mix(list).as_deref(), Some("u2ah9tWTkmk"), "{list}");
    }
    // A mix is another one at another of its songs.
    assert_eq!(
        whole(&format!("{video}&list=RDFAqYW76GLPA")),
        "https://www.youtube.com/playlist?list=RDFAqYW76GLPA&v=u2ah9tWTkmk"
    );
    assert_eq!(
        whole(&format!("{video}&list=RDu2ah9tWTkmk")),
        "https://www.youtube.com/playlist?list=RDu2ah9tWTkmk"
    );
}

#[test]
fn mixes_tell_their_seed_and_editorial_lists_are_none() {
    let list = |id: &str| ListId::parse(id).expect("an id");
    for (id, seed) in [
        ("RDdQw4w9WgXcQ", true),
        ("RDMMdQw4w9WgXcQ", true),
        ("RDAMVMdQw4w9WgXcQ", true),
        ("RDEMabc", false),
    ] {
        assert!(list(id).is_mix());
        assert_eq!(list(id).seed().is_some(), seed, "{id}");
    }
    assert!(!list("RDCLAK5uy_ly6s4irLuZAcjEDwJmqcA_UtSipMyGgbQ").is_mix());
}

#[test]
fn a_wrapped_link_is_unwrapped_once() {
    let twice = "https://www.youtube.com/attribution_link?u=%2Fattribution_link%3Fu%3D%252Fwatch%253Fv%253DM4gD1WSo5mA";
    assert_eq!(read(twice), Unsupported);
}
