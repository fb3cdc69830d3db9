use jiff::{SignedDuration, Timestamp};
use kmds::store::{Accepted, Filter, Found, Key, Started, State};
use kmds_extract::choose::Accept;
use kmds_extract::{Failure, Format, Kind};

use crate::{Place, accepted, id, key, published, track};

/// A failure and when it happened.
fn failure(kind: Kind, age: SignedDuration) -> (Failure, Timestamp) {
    let at = Timestamp::now().checked_sub(age).expect("a time");
    (Failure::new(kind, "It is blocked here."), at)
}

#[tokio::test]
async fn five_hundred_songs_are_accepted_at_once_and_survive_a_restart_in_order() {
    let place = Place::make();
    let names: Vec<String> = (0..500).map(|number| format!("song{number:03}")).collect();
    {
        let store = place.open();
        let songs = names.iter().map(|name| accepted(name)).collect();
        let rows = store.accept(songs).await.expect("accepted");
        assert!(rows.len() == 500 && rows.iter().all(|row| row.newly_queued));
        let again = store
            .accept(vec![accepted("song007")])
            .await
            .expect("accepted");
        assert!(!again[0].newly_queued, "it is queued already");
        store.promote(&key("song400")).await.expect("promoted");
    }
    let store = place.open();
    let pending = store.pending().await.expect("read");
    let order: Vec<&str> = pending.iter().map(|row| row.key.track().id()).collect();
    assert_eq!(order[..3], ["song400", "song000", "song001"]);
    assert_eq!(order.len(), 500);
}

#[tokio::test]
async fn what_a_state_means_for_the_next_fetch() {
    let minutes = SignedDuration::from_mins;
    let store_at = Place::make();
    let store = store_at.open();
    for (name, (failure, at), next, queued) in [
        (
            "retryable",
            failure(Kind::Timeout, minutes(0)),
            State::Queued,
            true,
        ),
        (
            "final",
            failure(Kind::GeoBlocked, minutes(9)),
            State::Failed,
            false,
        ),
        (
            "final-and-old",
            failure(Kind::GeoBlocked, minutes(11)),
            State::Queued,
            true,
        ),
    ] {
        store.accept(vec![accepted(name)]).await.expect("accepted");
        store.fail(&key(name), failure, at).await.expect("failed");
        let row = store
            .accept(vec![accepted(name)])
            .await
            .expect("accepted")
            .remove(0);
        assert_eq!((row.row.state, row.newly_queued), (next, queued), "{name}");
        assert_eq!(row.row.failure.is_some(), next == State::Failed, "{name}");
    }
    for state in [State::Evicted, State::Deleted] {
        store.set_state(&key("final"), state).await.expect("set");
        let row = store
            .accept(vec![accepted("final")])
            .await
            .expect("accepted")
            .remove(0);
        assert_eq!(
            (row.row.state, row.newly_queued),
            (State::Queued, true),
            "{state:?}"
        );
    }
    for state in [State::Downloading, State::Converting] {
        store.set_state(&key("final"), state).await.expect("set");
        let row = store
            .accept(vec![accepted("final")])
            .await
            .expect("accepted")
            .remove(0);
        assert_eq!(
            (row.row.state, row.newly_queued),
            (state, false),
            "{state:?}"
        );
    }
}

#[tokio::test]
async fn a_song_accepted_without_queueing_waits_for_its_reader() {
    let place = Place::make();
    let store = place.open();
    let row = store
        .accept(vec![Accepted {
            enqueue: false,
            ..accepted("a")
        }])
        .await
        .expect("accepted")
        .remove(0);
    assert_eq!((row.row.state, row.newly_queued), (State::Evicted, false));
    assert_eq!(store.pending().await.expect("read"), []);
    store.requeue(&key("a"), true).await.expect("queued");
    assert_eq!(store.pending().await.expect("read").len(), 1);
}

#[tokio::test]
async fn a_deleted_song_is_not_called_failed_by_the_job_that_ends_after_it() {
    let place = Place::make();
    let store = place.open();
    store.accept(vec![accepted("a")]).await.expect("accepted");
    store.delete(&key("a")).await.expect("deleted");
    let (failure, at) = failure(Kind::Timeout, SignedDuration::ZERO);
    store.fail(&key("a"), failure, at).await.expect("ran");
    assert_eq!(
        store
            .row(&key("a"))
            .await
            .expect("read")
            .expect("known")
            .state,
        State::Deleted
    );
}

#[tokio::test]
async fn names_lead_to_songs_while_they_are_unique() {
    let place = Place::make();
    let store = place.open();
    let same = |name: &str| Accepted {
        human_name: "Same.m4a".to_owned(),
        ..accepted(name)
    };
    store.accept(vec![same("a")]).await.expect("accepted");
    assert_eq!(
        store.find_name("youtube-a.m4a").await.expect("read"),
        Found::One(key("a"))
    );
    assert_eq!(
        store.find_name("Same.m4a").await.expect("read"),
        Found::One(key("a"))
    );
    for unknown in [
        "youtube-a.exe",
        "youtube-a",
        "YOUTUBE-A.m4a",
        "",
        "../kmds.db",
        "%",
    ] {
        assert_eq!(
            store.find_name(unknown).await.expect("read"),
            Found::None,
            "{unknown}"
        );
    }
    store.accept(vec![same("b")]).await.expect("accepted");
    let both = vec!["youtube-a.m4a".to_owned(), "youtube-b.m4a".to_owned()];
    assert_eq!(
        store.find_name("Same.m4a").await.expect("read"),
        Found::Many(both)
    );
    store.delete(&key("b")).await.expect("deleted");
    assert_eq!(
        store.find_name("Same.m4a").await.expect("read"),
        Found::One(key("a"))
    );
}

#[tokio::test]
async fn a_name_stays_valid_when_another_container_arrives() {
    let place = Place::make();
    let store = place.open();
    store.accept(vec![accepted("a")]).await.expect("accepted");
    let started = Started {
        format: Format::Mp3,
        total_bytes: Some(9),
        stream: "http mp3".to_owned(),
    };
    store.started(&key("a"), started).await.expect("started");
    let mut lease = crate::begun(&store, "a", 9).await;
    lease.write(crate::audio("a", 9)).await.expect("written");
    let publish = kmds::store::Publish {
        format: Format::Mp3,
        ..crate::publish_of("a")
    };
    lease.publish(publish).await.expect("published");
    for name in ["youtube-a.m4a", "youtube-a.mp3"] {
        assert_eq!(
            store.find_name(name).await.expect("read"),
            Found::One(key("a")),
            "{name}"
        );
    }
    assert_eq!(
        store
            .open_published(&key("a"))
            .await
            .expect("ready")
            .content_type,
        "audio/mpeg"
    );
}

#[tokio::test]
async fn a_form_that_stands_on_the_drive_under_another_ones_name_is_not_fetched_again() {
    let place = Place::make();
    let store = place.open();
    store.accept(vec![accepted("a")]).await.expect("accepted");
    let mut lease = crate::begun(&store, "a", 700).await;
    lease.write(crate::audio("a", 700)).await.expect("written");
    let publish = kmds::store::Publish {
        format: Format::Mp3,
        ..crate::publish_of("a")
    };
    lease.publish(publish).await.expect("published");
    let mp3 = Key::original(id("a"), Format::Mp3);
    // Another wish: the same one again would be answered with the first row.
    let only = |form| Accept::new([form]).expect("a wish");
    let canonical_name = "youtube-a.mp3".to_owned();
    let wanted = Accepted {
        key: mp3.clone(),
        canonical_name,
        accept: only(Format::Mp3),
        ..accepted("a")
    };
    let row = store
        .accept(vec![wanted.clone()])
        .await
        .expect("accepted")
        .remove(0);
    assert_eq!((row.row.state, row.newly_queued), (State::Ready, false));
    assert_eq!(
        store.open_published(&mp3).await.expect("ready").size_bytes,
        700
    );
    let ogg = Key::original(id("a"), Format::Ogg);
    let row = store
        .accept(vec![Accepted {
            key: ogg,
            accept: only(Format::Ogg),
            ..wanted
        }])
        .await
        .expect("accepted")
        .remove(0);
    assert!(row.newly_queued, "Vorbis is not there");
}

/// A client that asked for M4A and a client that asked for MP3 both got MP3: one file, which they share.
#[tokio::test]
async fn two_forms_that_became_one_file_share_its_bytes_and_its_end() {
    let place = Place::make();
    let store = place.open();
    let mp3 = Key::original(id("a"), Format::Mp3);
    let wanted_mp3 = Accepted {
        key: mp3.clone(),
        canonical_name: "youtube-a.mp3".to_owned(),
        ..accepted("a")
    };
    store
        .accept(vec![accepted("a"), wanted_mp3])
        .await
        .expect("accepted");
    for (key, length) in [(&key("a"), 500), (&mp3, 700)] {
        let mut lease = store.lease(key).await.expect("a lease");
        lease
            .begin(&format!("v{length}"), Some(length), 0)
            .await
            .expect("begun");
        lease
            .write(crate::audio("a", length as usize))
            .await
            .expect("written");
        let publish = kmds::store::Publish {
            format: Format::Mp3,
            ..crate::publish_of("a")
        };
        lease.publish(publish).await.expect("published");
    }
    for key in [&key("a"), &mp3] {
        assert_eq!(
            store.open_published(key).await.expect("ready").size_bytes,
            700
        );
    }
    assert_eq!(store.stats().await.expect("read").ready_bytes, 700);
    store.delete(&mp3).await.expect("deleted");
    assert_eq!(
        store
            .row(&key("a"))
            .await
            .expect("read")
            .expect("known")
            .state,
        State::Evicted
    );
}

#[tokio::test]
async fn a_song_asked_for_alone_is_not_answered_with_a_lists_numbers() {
    let place = Place::make();
    let store = place.open();
    let mut listed = Accepted {
        listed: true,
        ..accepted("a")
    };
    (listed.track.number, listed.track.total) = (Some(7), Some(12));
    store.accept(vec![listed.clone()]).await.expect("accepted");
    assert_eq!(store.track_alone(&id("a")).await.expect("read"), None);
    store.accept(vec![accepted("a")]).await.expect("accepted");
    store.accept(vec![listed.clone()]).await.expect("accepted");
    let (alone, _) = store
        .track_alone(&id("a"))
        .await
        .expect("read")
        .expect("known alone");
    assert_eq!(alone, track("a"));
    assert_eq!(
        store.track(&id("a")).await.expect("read"),
        Some(listed.track)
    );
}

#[tokio::test]
async fn songs_are_listed_newest_first_page_by_page_and_by_what_they_are() {
    let place = Place::make();
    let store = place.open();
    let songs = (0..7)
        .map(|number| accepted(&format!("s{number}")))
        .collect();
    store.accept(songs).await.expect("accepted");
    published(&store, "s3", 100).await;
    store.delete(&key("s0")).await.expect("deleted");
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = store
            .list(Filter::default(), 4, cursor)
            .await
            .expect("listed");
        seen.extend(
            page.songs
                .iter()
                .map(|song| song.row.key.track().id().to_owned()),
        );
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["s6", "s5", "s4", "s3", "s2", "s1"]);
    let ids = |filter: Filter| {
        let store = store.clone();
        async move {
            let page = store.list(filter, 50, None).await.expect("listed");
            page.songs
                .iter()
                .map(|song| song.row.key.track().id().to_owned())
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(
        ids(Filter {
            state: Some(State::Ready),
            ..Filter::default()
        })
        .await,
        ["s3"]
    );
    assert_eq!(
        ids(Filter {
            state: Some(State::Deleted),
            ..Filter::default()
        })
        .await,
        ["s0"]
    );
    assert_eq!(
        ids(Filter {
            text: Some("SONG S5".to_owned()),
            ..Filter::default()
        })
        .await,
        ["s5"]
    );
    assert_eq!(
        ids(Filter {
            text: Some(" Somebody  s5 ".to_owned()),
            ..Filter::default()
        })
        .await,
        ["s5"]
    );
    assert!(
        ids(Filter {
            text: Some("s5 s4".to_owned()),
            ..Filter::default()
        })
        .await
        .is_empty()
    );
    assert!(
        ids(Filter {
            text: Some("%".to_owned()),
            ..Filter::default()
        })
        .await
        .is_empty()
    );
    let elsewhere = Filter {
        site: Some(kmds_extract::Site::Bandcamp),
        ..Filter::default()
    };
    assert!(ids(elsewhere).await.is_empty());
}

/// For words of any length, the index over words finds what checking every song would find.
#[tokio::test]
async fn words_are_found_wherever_they_stand_and_no_more_when_a_song_is_renamed() {
    let place = Place::make();
    let store = place.open();
    let titles = [
        ("a", "Kettle of \"Fish\" 東京の夜"),
        ("b", "Kettles & Pans, U2"),
        ("c", "Nothing like it"),
    ];
    let mut songs: Vec<_> = titles.iter().map(|(name, _)| accepted(name)).collect();
    for (song, (_, title)) in songs.iter_mut().zip(titles) {
        song.track.title = title.to_owned();
        song.track.artist = None;
    }
    store.accept(songs.clone()).await.expect("accepted");
    let found = async |text: &str, state: Option<State>| {
        let filter = Filter {
            text: Some(text.to_owned()),
            state,
            ..Filter::default()
        };
        let page = store.list(filter, 50, None).await.expect("listed");
        let ids = page.songs.iter().map(|song| song.row.key.track().id());
        ids.collect::<Vec<_>>().join(" ")
    };
    for (text, wanted) in [
        ("kettle", "b a"),
        ("ETTLE", "b a"),
        ("kettles", "b"),
        ("fish kettle", "a"),
        ("\"fish\"", "a"),
        ("\"", "a"),
        ("u2", "b"),
        ("東京", "a"),
        ("夜", "a"),
        ("の夜 et", "a"),
        ("t", "c b a"),
        ("it like", "c"),
        ("kettlefish", ""),
        ("kettle nothing", ""),
        ("q", ""),
        ("AND", ""),
        ("*", ""),
        ("&", "b"),
        ("\u{0}", ""),
    ] {
        assert_eq!(found(text, None).await, wanted, "{text}");
        // Few songs: each is looked at.
        assert_eq!(found(text, Some(State::Queued)).await, wanted, "{text}");
    }
    songs[0].track.title = "Another".to_owned();
    store.accept(songs).await.expect("accepted");
    assert_eq!(found("kettle", None).await, "b");
    assert_eq!(found("東京", None).await, "");
    assert_eq!(found("another", None).await, "a");
}
