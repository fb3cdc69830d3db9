//! The recorded YouTube cases give what the real site showed. Skipped, loudly, without `KMDS_RECORDINGS`.

mod replay;

use std::time::Duration;

use kmds_extract::choose::{Accept, choose};
use kmds_extract::{
    Collection, Entry, ExtractError, Kind, Link, Loudness, Recipes, Resolved, Track,
};
use replay::{Replay, recordings};

async fn resolve(link: &str, replay: &Replay) -> Result<Resolved, ExtractError> {
    kmds_extract::resolve(
        &Link::parse(link).expect("a link"),
        replay,
        &Recipes::built_in(),
    )
    .await
}

async fn track(video: &str, case: &str) -> Option<(Track, Replay)> {
    let replay = Replay::of(&recordings()?, &[case]);
    match resolve(&format!("https://youtu.be/{video}"), &replay).await {
        Ok(Resolved::Track(track)) => Some((*track, replay)),
        other => panic!("{case}: {other:?}"),
    }
}

async fn list(link: &str, cases: &[&str]) -> Option<(Collection, Replay)> {
    let replay = Replay::of(&recordings()?, cases);
    match resolve(link, &replay).await {
        Ok(Resolved::Collection(collection)) => Some((collection, replay)),
        other => panic!("{link}: {other:?}"),
    }
}

fn songs(collection: &Collection) -> Vec<&Track> {
    collection
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Track(track) => track.as_ref(),
            Entry::Unavailable(gone) => panic!("{gone:?}"),
        })
        .collect()
}

#[tokio::test]
async fn recorded_videos_give_their_metadata_and_the_original_stream() {
    for (video, case, title, artist, size, ms, cover, loudness) in [
        (
            "M4gD1WSo5mA",
            "youtube/video-plain",
            "William Fisher, CopyrightX: Lecture 3.2, The Subject Matter of Copyright: Drama and choreography",
            "The Berkman Klein Center for Internet & Society",
            11_664_965,
            720_724,
            "maxresdefault",
            -13.91,
        ),
        (
            "rCAS2eD-mcw",
            "youtube/video-12-tracks",
            "Laryngeal Mask Airway (LMA) insertion | ESSENTIAL TECHNIQUES for standard patients",
            "ABCs of Anaesthesia",
            5_554_732,
            343_144,
            "maxresdefault",
            -3.51,
        ),
        (
            "cJ9to6EmElQ",
            "youtube/video-drc",
            "Merci pour les 3 millions d'abonnés 🎉| ARTE",
            "ARTE",
            730_759,
            45_093,
            "maxresdefault",
            -2.9,
        ),
        (
            "K4DyBUG242c",
            "youtube/video-no-maxres",
            "Cartoon, Jéja - On & On (feat. Daniel Levi) | Electronic Pop | NCS - Copyright Free Music",
            "NoCopyrightSounds",
            3_367_468,
            208_027,
            "hqdefault",
            6.88,
        ),
    ] {
        let Some((track, replay)) = track(video, case).await else {
            return;
        };
        assert_eq!(track.title, title);
        assert_eq!(track.artist.as_deref(), Some(artist));
        assert_eq!(
            (track.album, track.number, track.total, track.withheld),
            (None, None, None, None)
        );
        assert_eq!(track.duration, Some(Duration::from_millis(ms)), "{video}");
        assert_eq!(
            track.loudness_db.map(Loudness::db),
            Some(loudness),
            "{video}"
        );
        assert_eq!(
            track.cover_url,
            Some(format!("https://i.ytimg.com/vi/{video}/{cover}.jpg"))
        );
        let chosen = &choose(&track.streams, &Accept::default())[0].stream;
        assert_eq!(
            (chosen.label.as_str(), chosen.size_bytes),
            ("itag 140", Some(size)),
            "{video}"
        );
        assert!(chosen.expires_unix.is_some() && chosen.bounded_ranges && !chosen.muxed);
        assert_eq!(replay.pages(), ["visitor id", "player answer"]);
    }
}

#[tokio::test]
async fn of_recorded_drc_and_dubbed_copies_none_is_offered() {
    let Some((drc, _)) = track("cJ9to6EmElQ", "youtube/video-drc").await else {
        return;
    };
    let sizes: Vec<Option<u64>> = drc.streams.iter().map(|stream| stream.size_bytes).collect();
    assert_eq!(
        sizes,
        [730_759, 276_627, 823_453, 418_605, 312_810].map(Some)
    );
    let Some((dubbed, _)) = track("rCAS2eD-mcw", "youtube/video-12-tracks").await else {
        return;
    };
    assert!(
        dubbed
            .streams
            .iter()
            .all(|stream| stream.validator.ends_with("/acont=original:lang=en-US"))
    );
}

#[tokio::test]
async fn the_second_video_needs_no_visitor_id() {
    let Some(folder) = recordings() else { return };
    let replay = Replay::of(&folder, &["youtube/video-plain", "youtube/video-drc"]);
    for video in ["M4gD1WSo5mA", "cJ9to6EmElQ"] {
        resolve(&format!("https://youtu.be/{video}"), &replay)
            .await
            .expect("plays");
    }
    assert_eq!(
        replay.pages(),
        ["visitor id", "player answer", "player answer"]
    );
}

#[tokio::test]
async fn a_recorded_private_video_is_private() {
    let Some(folder) = recordings() else { return };
    let replay = Replay::of(&folder, &["youtube/video-private"]);
    let error = resolve("https://youtu.be/8VajtrESJzA", &replay)
        .await
        .expect_err("private");
    assert_eq!(error.kind(), Kind::Private);
}

#[tokio::test]
async fn a_recorded_list_of_49_takes_one_request() {
    let link = "https://www.youtube.com/playlist?list=PL8dPuuaLjXtOAKed_MxxWBNaPno5h3Zs8";
    let Some((list, replay)) = list(link, &["youtube/playlist-49"]).await else {
        return;
    };
    let songs = songs(&list);
    assert_eq!(
        (songs.len(), list.truncated, list.endless),
        (49, false, false)
    );
    assert_eq!(list.artist.as_deref(), Some("CrashCourse"));
    assert_eq!(list.id, "PL8dPuuaLjXtOAKed_MxxWBNaPno5h3Zs8");
    assert!(
        songs
            .iter()
            .zip(1..)
            .all(|(song, number)| song.number == Some(number) && song.total == Some(49))
    );
    assert_eq!(
        songs[0].cover_url.as_deref(),
        Some("https://i.ytimg.com/vi/pVkUCrgQCCc/hqdefault.jpg")
    );
    assert!(
        songs
            .iter()
            .all(|song| song.duration.is_some() && song.streams.is_empty() && song.album.is_none())
    );
    assert_eq!(replay.pages(), ["list answer"]);
}

#[tokio::test]
async fn a_recorded_list_of_150_takes_two_requests() {
    let link =
        "https://www.youtube.com/watch?v=u2ah9tWTkmk&list=PLoumn5BIsUDeGF1vy5Nylf_RJKn5aL_nr";
    let Some(folder) = recordings() else { return };
    let replay = Replay::of(&folder, &["youtube/playlist-150"]);
    let whole = Link::parse(link).expect("a link").whole_list();
    let Ok(Resolved::Collection(list)) =
        kmds_extract::resolve(&whole, &replay, &Recipes::built_in()).await
    else {
        panic!("a list")
    };
    let songs = songs(&list);
    assert_eq!((songs.len(), list.truncated), (150, false));
    assert_eq!(list.artist.as_deref(), Some("Redlist - Chart Playlists"));
    assert_eq!(songs[0].title, "Alex Warren - Ordinary (Official Video)");
    assert_eq!(songs[0].artist.as_deref(), Some("Alex Warren"));
    assert_eq!(songs[0].duration, Some(Duration::from_secs(187)));
    assert_eq!(
        (songs[100].id.id(), songs[100].number),
        ("aQMKAZpcynA", Some(101))
    );
    assert_eq!(
        (songs[149].id.id(), songs[149].total),
        ("zUtTpuqV55U", Some(150))
    );
    assert_eq!(replay.pages(), ["list answer", "list answer"]);
}

#[tokio::test]
async fn a_recorded_missing_list_is_not_found() {
    let Some(folder) = recordings() else { return };
    let replay = Replay::of(&folder, &["youtube/playlist-missing"]);
    let link = "https://www.youtube.com/playlist?list=PL11111111111111111111111111111111";
    assert_eq!(
        resolve(link, &replay).await.expect_err("missing").kind(),
        Kind::NotFound
    );
    assert_eq!(replay.pages().len(), 2);
}

#[tokio::test]
async fn a_recorded_mix_gives_its_first_25() {
    let Some((mix, replay)) = list(
        "https://www.youtube.com/playlist?list=RDFAqYW76GLPA",
        &["youtube/mix"],
    )
    .await
    else {
        return;
    };
    let songs = songs(&mix);
    assert_eq!((songs.len(), mix.truncated, mix.endless), (25, true, true));
    assert_eq!(songs[0].duration, Some(Duration::from_secs(171)));
    assert_eq!(
        songs[0].artist.as_deref(),
        Some("Free To Use — royalty free music, no copyright")
    );
    assert_eq!((songs[24].number, songs[24].total), (Some(25), Some(25)));
    assert_eq!(replay.pages(), ["mix answer"]);
}
