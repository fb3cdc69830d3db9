//! Each site's songs arrive whole.

use kmds_lab::soundcloud::Format;
use kmds_lab::{Fault, Lab, Site};

use super::harness::{Kmds, read};

#[tokio::test]
async fn a_youtube_video_arrives_whole_and_its_metadata_at_once() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Ordinary Days")
        .artist("Klaus Veen")
        .seconds(61.0)
        .publish();
    let kmds = Kmds::start(&lab);
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let entry = &reply.songs[0];
    assert_eq!(entry.metadata.title, "Ordinary Days");
    assert_eq!(entry.metadata.artist.as_deref(), Some("Klaus Veen"));
    assert_eq!(entry.metadata.bytes, Some(song.len()));
    assert_eq!(entry.metadata.number, 0);
    assert_eq!(entry.metadata.total, None);
    assert_eq!(entry.file_name, "Klaus Veen - Ordinary Days.m4a");
    assert_eq!(kmds.whole(entry).await, song.bytes());
    // On the drive too, under an id, with a sidecar beside it.
    let path = &entry.path;
    assert_eq!(read(&kmds.folder.path("cache").join(path)), song.bytes());
    assert_eq!(kmds.published(), [path.to_owned(), format!("{path}.json")]);
    assert!(kmds.partials().is_empty());
}

/// glibc gives a thread a heap of its own, 64 MB of addresses: each keeps what was freed in it.
#[tokio::test]
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
async fn the_threads_that_wait_for_the_drive_have_no_heaps_of_their_own() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("One heap").seconds(10.0).publish();
    let kmds = Kmds::start(&lab);
    let entry = kmds.fetch(&song.link()).await.1.songs[0].clone();
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    let process = format!("/proc/{}", kmds.pid());
    let threads = std::fs::read_dir(format!("{process}/task")).map_or(0, Iterator::count);
    assert!(threads > 1, "some wait for the drive");
    let maps = std::fs::read_to_string(format!("{process}/maps")).expect("it runs");
    let reserved = |line: &&str| {
        let number = |text: &str| u64::from_str_radix(text, 16).expect("hex");
        let mut words = line.split(' ');
        let (from, to) = words
            .next()
            .and_then(|range| range.split_once('-'))
            .expect("a range");
        words.next() == Some("---p") && number(to) - number(from) > 32 << 20
    };
    assert_eq!(maps.lines().find(reserved), None);
}

#[tokio::test]
async fn the_ranges_of_a_long_video_come_over_one_connection() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    for number in 0..3 {
        // 40 MB: eleven ranges.
        let video = lab
            .youtube()
            .video(&format!("long {number}"))
            .seconds(2500.0)
            .aac_only()
            .publish();
        let song = kmds.fetch(&video.link()).await.1.songs[0].clone();
        assert_eq!(kmds.whole(&song).await.len() as u64, video.len());
    }
    let media: Vec<_> = lab
        .connections()
        .into_iter()
        .filter(|one| one.host.ends_with("googlevideo.com"))
        .collect();
    assert_eq!(media.len(), 1, "{media:?}");
}

#[tokio::test]
async fn a_soundcloud_song_joined_from_segments_arrives_whole() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("ordinary-days")
        .seconds(45.0)
        .publish();
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
}

#[tokio::test]
async fn soundcloud_aac_as_one_file_is_taken_where_it_is_listed() {
    let lab = Lab::start().await;
    let formats = [
        Format::AacHls,
        Format::Mp3Progressive,
        Format::AacProgressive,
    ];
    let song = lab
        .soundcloud()
        .track("one-file")
        .seconds(12.0)
        .formats(&formats)
        .publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    let media = lab
        .requests()
        .into_iter()
        .filter(|seen| seen.kind == kmds_lab::Kind::Media);
    assert!(
        media
            .map(|seen| seen.path)
            .all(|path| path.ends_with(".160.m4a"))
    );
}

#[tokio::test]
async fn a_bandcamp_album_arrives_whole_in_order() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).publish();
    let kmds = Kmds::start(&lab);
    let (status, reply) = kmds.fetch(&album.link()).await;
    assert_eq!(status, 200, "{reply}");
    let songs = &reply.songs;
    for (place, (entry, song)) in songs.iter().zip(album.songs()).enumerate() {
        assert_eq!(entry.metadata.number as usize, place + 1);
        assert_eq!(entry.metadata.total, Some(3));
        assert_eq!(kmds.whole(entry).await, song.bytes());
    }
    assert_eq!(
        lab.page_requests(Site::Bandcamp),
        1,
        "one page for the whole album"
    );
}

#[tokio::test]
async fn a_client_id_is_found_where_neither_the_home_page_nor_its_last_script_has_it() {
    let lab = Lab::start().await;
    let song = lab.soundcloud().track("one").seconds(2.0).publish();
    lab.inject(Fault::ChangedPage.on_pages().at_host("soundcloud.com"));
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    let scripts =
        lab.count(|seen| seen.host == "a-v2.sndcdn.com" && seen.kind == kmds_lab::Kind::Page);
    assert_eq!(scripts, 2, "the last, and the one that has it");
}
