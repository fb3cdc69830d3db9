//! The new requests to a site after something stopped working: only as many as the song needs.

use kmds_lab::soundcloud::Format;
use kmds_lab::{Fault, Kind, Lab};

use super::harness::{Kmds, Setup};

/// Paths of the pages asked for, in order; a format call by its last word.
fn pages(lab: &Lab) -> Vec<String> {
    let short = |path: &str| match path.strip_prefix("/media/") {
        Some(format) => format!("format {}", format.rsplit('/').next().unwrap_or_default()),
        None => path.to_owned(),
    };
    lab.requests()
        .iter()
        .filter(|seen| seen.kind == Kind::Page)
        .map(|seen| short(&seen.path))
        .collect()
}

#[tokio::test]
async fn soundclouds_expired_url_is_replaced_by_one_call_that_leads_to_it() {
    for (format, word) in [
        (Format::Mp3Progressive, "progressive"),
        (Format::AacHls, "hls"),
    ] {
        let lab = Lab::start().await;
        let song = lab
            .soundcloud()
            .track("ordinary-days")
            .seconds(30.0)
            .formats(&[format])
            .publish();
        lab.inject(Fault::Status(403, None).on_media().first(1));
        let kmds = Kmds::start(&lab);
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
        let call = format!("format {word}");
        assert_eq!(pages(&lab), ["/", "/resolve", &call, &call]);
    }
}

#[tokio::test]
async fn soundclouds_limit_on_format_calls_costs_no_second_look_at_the_song() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("ordinary-days")
        .seconds(30.0)
        .formats(&[Format::Mp3Progressive])
        .publish();
    lab.inject(
        Fault::Status(429, Some(1))
            .on_pages()
            .at_path("/media/")
            .first(1),
    );
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert_eq!(
        pages(&lab),
        ["/", "/resolve", "format progressive", "format progressive"]
    );
}

#[tokio::test]
async fn a_song_none_of_whose_encodings_is_served_is_looked_at_once_more() {
    let lab = Lab::start().await;
    let (formats, calls) = (
        [Format::Mp3Progressive, Format::AacHls],
        ["format hls", "format progressive"],
    );
    let song = lab
        .soundcloud()
        .track("processing")
        .formats(&formats)
        .dead(&formats)
        .publish();
    let kmds = Kmds::start(&lab);
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let answer = kmds
        .get(&format!("{}&wait=60", reply.songs[0].tunnel))
        .await;
    assert_eq!(answer.status(), 500);
    assert!(
        answer
            .text()
            .await
            .expect("a body")
            .contains("origin_failed")
    );
    let again = format!("/tracks/{}", song.id());
    assert_eq!(
        pages(&lab),
        [
            "/", "/resolve", calls[0], calls[1], &again, calls[0], calls[1]
        ]
    );
}

#[tokio::test]
async fn bandcamps_refused_url_is_replaced_from_the_page() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Ordinary Days")
        .seconds(30.0)
        .publish();
    lab.inject(Fault::Status(410, None).on_media().first(1));
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    let page = pages(&lab)[0].clone();
    assert!(page.starts_with("/track/"), "{page}");
    assert_eq!(pages(&lab), [page.clone(), page]);
}

#[tokio::test]
async fn after_a_kill_one_page_brings_the_streams_of_all_songs_of_an_album() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(5).publish();
    album.songs().iter().for_each(|song| song.hold_at(0));
    let setup = Setup::of(&lab);
    let mut kmds = setup.start();
    let (status, reply) = kmds.fetch(&album.link()).await;
    assert_eq!(status, 200, "{reply}");
    kmds.kill();
    lab.forget_requests();
    album.songs().iter().for_each(kmds_lab::Song::release);
    let kmds = setup.start();
    for (told, song) in reply.songs.iter().zip(album.songs()) {
        assert_eq!(kmds.whole(told).await, song.bytes());
    }
    assert_eq!(pages(&lab).len(), 1, "{:?}", pages(&lab));
}
