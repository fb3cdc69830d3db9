//! From a link to bytes against the lab: every delivery of the three sites gives the file the site has.

use kmds::download;
use kmds::origin::{Client, ClientConfig, EgressConfig, SharedRecipes};
use kmds_extract::{Delivery, Link, Recipes, Resolved, Stream, Track, locate, resolve};
use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, Song, kib};

fn recipes() -> Recipes {
    Recipes::over_built_in("[bandcamp.hosts]\npace = 0.0\n")
        .expect("recipes")
        .0
}

fn client(lab: &Lab) -> Client {
    let egress = EgressConfig {
        proxy: Some(lab.proxy_url()),
        ca_file: Some(lab.ca_file()),
        ..EgressConfig::default()
    };
    Client::new(
        &ClientConfig {
            egress,
            ..ClientConfig::default()
        },
        SharedRecipes::new(recipes()),
    )
    .expect("settings")
}

async fn track(client: &Client, song: &Song) -> Track {
    let link = Link::parse(&song.link()).expect("link");
    match resolve(&link, client, &recipes()).await.expect("resolved") {
        Resolved::Track(track) => *track,
        Resolved::Collection(_) => panic!("a song was asked for"),
    }
}

async fn fetch(client: &Client, stream: &Stream) -> (Stream, Vec<u8>) {
    let stream = locate(stream, client, &recipes()).await.expect("located");
    let mut download = download::open(&stream, None, client, &recipes())
        .await
        .expect("opened");
    let mut bytes = Vec::new();
    while let Some(chunk) = download.next().await.expect("whole") {
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(download.total(), Some(bytes.len() as u64));
    (stream, bytes)
}

#[tokio::test]
async fn progressive_files_of_all_sites_arrive_as_they_are() {
    let lab = Lab::start().await;
    let client = client(&lab);
    for song in [
        lab.youtube().video("plain").size(kib(5000)).publish(),
        lab.bandcamp().track("plain").publish(),
        lab.soundcloud()
            .track("plain")
            .formats(&[Format::Mp3Progressive])
            .publish(),
    ] {
        let track = track(&client, &song).await;
        let (stream, bytes) = fetch(&client, track.streams.first().expect("a stream")).await;
        assert!(
            matches!(stream.delivery, Delivery::File { .. }),
            "{stream:?}"
        );
        assert!(
            bytes == song.bytes(),
            "{}: {} bytes of {}",
            song.link(),
            bytes.len(),
            song.len()
        );
    }
    assert!(lab.refused().is_empty(), "{:?}", lab.refused());
}

#[tokio::test]
async fn segments_become_one_file_that_tells_its_length() {
    let lab = Lab::start().await;
    let client = client(&lab);
    for (format, key) in [
        (Format::AacHls, "aac"),
        (Format::Mp3Hls, "mp3"),
        (Format::OpusHls, "opus"),
    ] {
        let song = lab
            .soundcloud()
            .track(&format!("of-{key}"))
            .seconds(65.0)
            .formats(&[format])
            .publish();
        let track = track(&client, &song).await;
        let (stream, bytes) = fetch(&client, track.streams.first().expect("a stream")).await;
        let sent = song.stream_bytes(key).expect("stream");
        // For AAC these are the pieces with their three zero durations filled in.
        assert!(
            bytes == sent,
            "{key}: {} bytes of {}",
            bytes.len(),
            sent.len()
        );
        let path = std::env::temp_dir().join(format!("kmds-joined-{}-{key}", std::process::id()));
        std::fs::write(&path, &bytes).expect("written");
        let file = std::fs::File::open(&path).expect("opened");
        let checked = kmds::media::check(&file, stream.container, stream.duration).expect("whole");
        std::fs::remove_file(path).expect("clean");
        assert!(
            checked.duration.expect("known").as_secs().abs_diff(65) <= 1,
            "{checked:?}"
        );
    }
}
