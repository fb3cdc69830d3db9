use jiff::Timestamp;
use kmds::store::{State, Store, StoreError, Tidied};
use kmds_extract::{Failure, Kind};

use crate::{Place, accepted, audio, begun, key, published};

async fn tidy(store: &Store) -> Tidied {
    store.tidy().await.expect("tidied")
}

#[tokio::test]
async fn partials_that_no_job_will_continue_are_swept_and_the_others_kept() {
    let place = Place::make();
    let store = place.open();
    store
        .accept(vec![accepted("wanted")])
        .await
        .expect("accepted");
    for name in ["wanted", "unknown"] {
        let mut lease = begun(&store, name, 1_000).await;
        lease.write(audio(name, 10)).await.expect("written");
    }
    let running = begun(&store, "running", 1_000).await;
    assert_eq!(tidy(&store).await.partials_removed, 1);
    assert!(running.partial().is_some());
    for (name, kept) in [("wanted", true), ("unknown", false)] {
        assert_eq!(
            store
                .lease(&key(name))
                .await
                .expect("a lease")
                .kept()
                .is_some(),
            kept,
            "{name}"
        );
    }
    assert!(place.work().join("youtube-running.m4a.part").exists());
}

#[tokio::test]
async fn bytes_of_a_failed_song_are_kept_for_a_day() {
    let place = Place::make();
    let store = place.open();
    for name in ["lately", "long-ago"] {
        store.accept(vec![accepted(name)]).await.expect("accepted");
        begun(&store, name, 1_000)
            .await
            .write(audio(name, 10))
            .await
            .expect("written");
        let failure = Failure::new(Kind::Timeout, "silence");
        store
            .fail(&key(name), failure, Timestamp::now())
            .await
            .expect("noted");
    }
    for end in ["part", "note"] {
        let path = place.work().join(format!("youtube-long-ago.m4a.{end}"));
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3_600);
        std::fs::File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.set_modified(old))
            .expect("aged");
    }
    store.prune().await.expect("pruned");
    assert!(
        store
            .lease(&key("lately"))
            .await
            .expect("a lease")
            .kept()
            .is_some()
    );
    assert!(
        store
            .lease(&key("long-ago"))
            .await
            .expect("a lease")
            .kept()
            .is_none()
    );
}

/// An operator's own folder `youtube/`: its files were taken into the cache, or removed where they were not whole.
#[tokio::test]
async fn audio_that_neither_a_sidecar_nor_a_row_of_ours_tells_of_is_left_alone() {
    let place = Place::make();
    let store = place.open();
    std::fs::create_dir_all(place.cache("youtube")).expect("made");
    store
        .accept(vec![accepted("asked-for")])
        .await
        .expect("accepted");
    let theirs = [
        "asked-for.m4a",
        "good.m4a",
        "good.r.r.mp3",
        "my mix.mp3",
        "tape.wav",
    ];
    for name in theirs {
        std::fs::write(
            place.cache("youtube").join(name),
            b"an operator's only copy",
        )
        .expect("written");
    }
    published(&store, "ours", 500).await;
    std::fs::rename(
        place.cache("youtube/ours.m4a.json"),
        place.cache("youtube/good.m4a.json"),
    )
    .expect("a wrong sidecar");
    let tidied = tidy(&store).await;
    let named: Vec<&str> = tidied
        .files_unknown
        .iter()
        .filter_map(|name| name.strip_prefix("youtube/"))
        .collect();
    assert_eq!(
        (named, tidied.files_removed, tidied.sidecars_removed),
        (theirs.to_vec(), 0, 0)
    );
    for name in theirs {
        assert_eq!(
            std::fs::read(place.cache("youtube").join(name)).expect("there"),
            b"an operator's only copy",
            "{name}"
        );
    }
    assert_eq!(tidied.files_adopted, 1, "ours has its sidecar again");
    assert_eq!(
        store.pending().await.expect("read").len(),
        1,
        "what waits goes on waiting"
    );
}

#[tokio::test]
async fn a_song_is_never_published_over_a_file_that_is_not_ours() {
    let place = Place::make();
    let store = place.open();
    std::fs::create_dir_all(place.cache("youtube")).expect("made");
    std::fs::write(place.cache("youtube/a.m4a"), b"an operator's only copy").expect("written");
    store.accept(vec![accepted("a")]).await.expect("accepted");
    let mut lease = begun(&store, "a", 500).await;
    lease.write(audio("a", 500)).await.expect("written");
    let refused = lease.publish(crate::publish_of("a")).await;
    let sentence = refused.expect_err("refused").to_string();
    assert!(
        sentence.contains("youtube/a.m4a") && sentence.contains("not ours"),
        "{sentence}"
    );
    assert_eq!(
        std::fs::read(place.cache("youtube/a.m4a")).expect("there"),
        b"an operator's only copy"
    );
    std::fs::remove_file(place.cache("youtube/a.m4a")).expect("moved away");
    let mut lease = store.lease(&key("a")).await.expect("a lease");
    lease
        .begin("v1", Some(500), 500)
        .await
        .expect("its bytes were kept");
    lease
        .publish(crate::publish_of("a"))
        .await
        .expect("published");
}

/// A catalog that was lost, and a kill between the two renames: the staged sidecar tells whose the audio is.
#[tokio::test]
async fn audio_whose_sidecar_was_lost_in_a_crash_is_found_again() {
    for state in [State::Downloading, State::Failed, State::Evicted] {
        let place = Place::make();
        {
            let store = place.open();
            published(&store, "a", 500).await;
            let failure = Failure::new(Kind::Internal, "the drive failed");
            match state {
                State::Failed => store
                    .fail(&key("a"), failure, Timestamp::now())
                    .await
                    .expect("noted"),
                state => store.set_state(&key("a"), state).await.expect("noted"),
            };
        }
        std::fs::rename(
            place.cache("youtube/a.m4a.json"),
            place.work().join("youtube-a.m4a.staged"),
        )
        .expect("as before");
        let store = place.open();
        store.pending().await.expect("read");
        tidy(&store).await;
        assert_eq!(place.names("youtube"), ["a.m4a", "a.m4a.json"], "{state:?}");
        store.open_published(&key("a")).await.expect("ready");
    }
}

#[tokio::test]
async fn a_lost_sidecar_is_written_again_from_the_row() {
    let place = Place::make();
    let store = place.open();
    published(&store, "a", 500).await;
    let path = place.cache("youtube/a.m4a.json");
    let before = std::fs::read(&path).expect("a sidecar");
    std::fs::remove_file(&path).expect("removed");
    tidy(&store).await;
    assert_eq!(std::fs::read(&path).expect("a sidecar"), before);
}

#[tokio::test]
async fn sidecars_without_audio_leave_and_what_is_not_ours_stays() {
    let place = Place::make();
    let store = place.open();
    published(&store, "a", 500).await;
    std::fs::remove_file(place.cache("youtube/a.m4a")).expect("removed");
    for (name, text) in [
        ("notes.txt", "mine"),
        ("x.m4a.json", "{\"not\": \"ours\"}"),
        ("with space.m4a", "mine"),
    ] {
        std::fs::write(place.cache("youtube").join(name), text).expect("written");
    }
    let tidied = tidy(&store).await;
    assert_eq!((tidied.rows_evicted, tidied.files_unknown.len()), (1, 3));
    assert_eq!(
        place.names("youtube"),
        ["notes.txt", "with space.m4a", "x.m4a.json"]
    );
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
async fn a_finished_file_that_another_instance_put_there_becomes_ours() {
    let place = Place::make();
    let mut other = Place::make();
    other.config.cache_dir = place.config.cache_dir.clone();
    let (ours, theirs) = (place.open(), other.open());
    assert_eq!(tidy(&theirs).await.other_owner, None);
    published(&theirs, "a", 500).await;
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
    for name in ["youtube/a.m4a", "youtube/a.m4a.json"] {
        let file = std::fs::File::options()
            .write(true)
            .open(place.cache(name))
            .expect("open");
        file.set_modified(old).expect("aged");
    }
    let tidied = tidy(&ours).await;
    assert!(tidied.other_owner.is_some(), "the other one is named");
    assert_eq!(tidied.files_adopted, 1);
    ours.open_published(&key("a")).await.expect("ready");
}

#[tokio::test]
async fn two_instances_on_one_cache_folder_never_write_the_same_partial() {
    let place = Place::make();
    let mut other = Place::make();
    other.config.cache_dir = place.config.cache_dir.clone();
    let (ours, theirs) = (place.open(), other.open());
    let (mut one, mut two) = (begun(&ours, "a", 300).await, begun(&theirs, "a", 300).await);
    one.write(audio("one", 300)).await.expect("written");
    two.write(audio("two", 300)).await.expect("written");
    one.publish(crate::publish_of("a"))
        .await
        .expect("published");
    two.publish(crate::publish_of("a"))
        .await
        .expect("published");
    assert_eq!(
        std::fs::read(place.cache("youtube/a.m4a")).expect("a file"),
        audio("two", 300)
    );
    assert!(
        matches!(ours.open_published(&key("a")).await, Err(StoreError::Gone)),
        "replaced: not ours any more"
    );
}

#[tokio::test]
async fn one_state_folder_serves_one_process_at_a_time() {
    let place = Place::make();
    let _running = place.open();
    assert!(matches!(
        Store::open(place.config.clone()),
        Err(StoreError::Busy { .. })
    ));
    Store::inspect(place.config.clone()).expect("looking is allowed");
}

#[tokio::test]
async fn verify_finds_the_file_whose_bytes_rotted() {
    let place = Place::make();
    let store = place.open();
    published(&store, "good", 500).await;
    published(&store, "rotten", 500).await;
    let path = place.cache("youtube/rotten.m4a");
    let time = std::fs::metadata(&path)
        .and_then(|found| found.modified())
        .expect("a time");
    std::fs::write(&path, vec![0; 500]).expect("written");
    std::fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_modified(time))
        .expect("hidden");
    let verdicts = store.verify().await.expect("verified").files;
    assert_eq!(
        (verdicts[&key("good")], verdicts[&key("rotten")]),
        (true, false)
    );
    assert!(matches!(
        store.open_published(&key("rotten")).await,
        Err(StoreError::Gone)
    ));
}

#[tokio::test]
async fn the_probe_finds_this_drive_fit_and_leaves_nothing() {
    let place = Place::make();
    let store = place.open();
    let report = store.probe_drive().await.expect("probed");
    assert!(
        report.writable && report.renames_over && report.flushes && report.case_sensitive,
        "{report:?}"
    );
    assert_eq!(report.sentences, Vec::<String>::new());
    assert!(
        std::fs::read_dir(place.work())
            .expect("work")
            .next()
            .is_none()
    );
}

/// More songs than a page has: what is missing, what is too many and what is as it should be are told apart all the
/// same.
#[tokio::test]
async fn hundreds_of_songs_are_compared_page_by_page() {
    let place = Place::quick();
    let store = place.open();
    for number in 0..300 {
        published(&store, &format!("s{number}"), 100).await;
    }
    let gone = |name: &str| std::fs::remove_file(place.cache(name)).expect("removed");
    gone("youtube/s3.m4a");
    gone("youtube/s299.m4a");
    gone("youtube/s4.m4a.json");
    gone("youtube/s298.m4a.json");
    std::fs::write(place.cache("youtube/s5.m4a"), "another length").expect("written");
    std::fs::write(place.cache("youtube/foreign.m4a"), "not ours").expect("written");
    let tidied = tidy(&store).await;
    assert_eq!(
        (
            tidied.rows_evicted,
            tidied.files_adopted,
            tidied.sidecars_removed
        ),
        (3, 2, 0)
    );
    assert_eq!(tidied.files_unknown, ["youtube/foreign.m4a"]);
    let names = place.names("youtube");
    assert_eq!(names.len(), 297 * 2 + 1);
    assert!(names.contains(&"s4.m4a.json".to_owned()));
    let again = tidy(&store).await;
    assert_eq!((again.rows_evicted, again.files_adopted), (0, 0));
}

#[tokio::test]
async fn a_file_that_the_drive_does_not_let_go_ends_no_look_over_the_others() {
    let place = Place::make();
    let store = place.open();
    for name in ["stuck", "gone"] {
        published(&store, name, 500).await;
        std::fs::remove_file(place.cache(&format!("youtube/{name}.m4a"))).expect("removed");
    }
    // A folder in the place of a sidecar: no program can remove it as a file.
    let stuck = place.cache("youtube/stuck.m4a.json");
    std::fs::remove_file(&stuck).expect("removed");
    std::fs::create_dir(&stuck).expect("a folder");
    let tidied = tidy(&store).await;
    assert_eq!(
        (tidied.rows_evicted, tidied.files_unread),
        (1, 1),
        "{tidied:?}"
    );
    for (name, state) in [("stuck", State::Ready), ("gone", State::Evicted)] {
        let row = store.row(&key(name)).await.expect("read").expect("known");
        assert_eq!(row.state, state, "{name}");
    }
}
