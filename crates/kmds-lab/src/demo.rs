//! The made-up songs of the demo: some of every kind of link.

use crate::Lab;
use crate::soundcloud::Format;

/// Publishes it; gives what each link is, and the link.
pub fn publish(lab: &Lab) -> Vec<(String, String)> {
    let youtube = lab.youtube();
    let mut links = Vec::new();
    let mut add = |what: &str, link: String| links.push((what.to_owned(), link));
    add(
        "YouTube video",
        youtube
            .video("Copper Kettles")
            .id("LabDemo001A")
            .artist("The Proxies")
            .seconds(187.3)
            .publish()
            .link(),
    );
    add(
        "YouTube video, a song of a label",
        youtube
            .video("Round Trip Time")
            .id("LabDemo002E")
            .seconds(204.7)
            .topic(
                "Round Trip Time",
                &["Ada Loopback", "The Proxies"],
                "Keep-Alive",
            )
            .publish()
            .link(),
    );
    add(
        "YouTube video, Opus only",
        youtube
            .video("Only Opus Here")
            .id("LabDemo003I")
            .seconds(95.0)
            .opus_only()
            .publish()
            .link(),
    );
    add(
        "YouTube playlist of 12",
        youtube
            .playlist(12)
            .id("PLLabDemo0000000000000000000000001")
            .title("Songs for Sockets")
            .seconds(63.0)
            .publish()
            .link(),
    );
    let soundcloud = lab.soundcloud();
    let aac = [
        Format::AacHls,
        Format::AbrHls,
        Format::Mp3Hls,
        Format::Mp3Progressive,
        Format::OpusHls,
    ];
    add(
        "SoundCloud track",
        soundcloud
            .track("ordinary-days")
            .id(2_150_900_001)
            .seconds(141.2)
            .formats(&aac)
            .publish()
            .link(),
    );
    add(
        "SoundCloud set of 8",
        soundcloud
            .set(8)
            .title("Half Duplex")
            .seconds(48.5)
            .formats(&aac)
            .publish()
            .link(),
    );
    let album = lab
        .bandcamp()
        .album(0)
        .title("Coming of Port")
        .artist("Mac Layer")
        .song("Hello, Checksum", 64.99)
        .song("Home with IPv6", 99.9)
        .song("Bedsheets and Buffers", 71.2)
        .song("Divide by One", 58.4);
    add("Bandcamp album of 4", album.publish().link());
    add(
        "Bandcamp track",
        lab.bandcamp()
            .track("Just for the Packet")
            .id(3_400_900_001)
            .artist("Teabyte")
            .seconds(124.8)
            .publish()
            .link(),
    );
    links
}
