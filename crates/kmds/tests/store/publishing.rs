use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kmds::store::{Sidecar, State, StoreError};

use crate::{Place, accepted, audio, begun, key, publish_of, published, read_all};

#[tokio::test]
async fn a_published_song_is_whole_hashed_described_and_served() {
    let place = Place::make();
    let store = place.open();
    let row = published(&store, "a", 100_000).await;
    assert_eq!(row.state, State::Ready);
    assert_eq!(place.names("youtube"), ["a.m4a", "a.m4a.json"]);
    assert!(
        std::fs::read_dir(place.work())
            .expect("work")
            .next()
            .is_none(),
        "nothing is left in the work folder"
    );
    let text = std::fs::read(place.cache("youtube/a.m4a.json")).expect("a sidecar");
    let sidecar: Sidecar = serde_json::from_slice(&text).expect("readable");
    let hash = ring::digest::digest(&ring::digest::SHA256, &audio("a", 100_000));
    let hash: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        (sidecar.sha256.as_str(), sidecar.size_bytes),
        (hash.as_str(), 100_000)
    );
    assert_eq!(
        (sidecar.file.as_str(), sidecar.title.as_str()),
        ("a.m4a", "Song a")
    );
    assert_eq!(row.sha256, Some(hash));
    let mut open = store.open_published(&key("a")).await.expect("open");
    assert_eq!((open.content_type, open.size_bytes), ("audio/mp4", 100_000));
    assert_eq!(
        read_all(&mut open.reader).await.expect("whole"),
        audio("a", 100_000)
    );
}

#[tokio::test]
async fn what_is_shorter_or_longer_than_announced_or_empty_is_never_published() {
    let place = Place::make();
    let store = place.open();
    for (written, total) in [(99, Some(100)), (101, Some(100)), (0, None), (0, Some(0))] {
        let mut lease = store.lease(&key("a")).await.expect("a lease");
        lease.begin("v1", total, 0).await.expect("begun");
        lease.write(audio("a", written)).await.expect("written");
        let refused = lease.publish(publish_of("a")).await;
        assert!(
            matches!(refused, Err(StoreError::Incomplete { .. })),
            "{written} of {total:?}"
        );
        assert!(place.names("youtube").is_empty());
    }
}

/// Five hundred publishes beside a reader that looks all the time.
#[tokio::test]
async fn a_watcher_never_sees_half_a_file_nor_a_sidecar_without_its_file() {
    const LENGTH: usize = 40_000;
    let place = Place::quick();
    let store = place.open();
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (stop, folder) = (Arc::clone(&stop), place.cache("youtube"));
        std::thread::spawn(move || {
            let (mut looks, mut files) = (0_u32, 0_u32);
            while !stop.load(Ordering::Relaxed) {
                looks += 1;
                for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if let Some(audio) = name.strip_suffix(".json") {
                        assert!(folder.join(audio).exists(), "{name} stands alone");
                        let text = std::fs::read(entry.path()).expect("a sidecar");
                        serde_json::from_slice::<Sidecar>(&text).expect("a whole sidecar");
                    } else {
                        let length = std::fs::metadata(entry.path()).expect("a file").len();
                        assert_eq!(length, LENGTH as u64, "{name} is not whole");
                        files += 1;
                    }
                }
            }
            (looks, files)
        })
    };
    for number in 0..500 {
        let name = format!("song{number}");
        let mut lease = begun(&store, &name, LENGTH as u64).await;
        for piece in audio(&name, LENGTH).chunks(LENGTH / 4) {
            lease
                .write(bytes::Bytes::copy_from_slice(piece))
                .await
                .expect("written");
        }
        lease.publish(publish_of(&name)).await.expect("published");
    }
    stop.store(true, Ordering::Relaxed);
    let (looks, files) = watcher.join().expect("the watcher saw nothing wrong");
    assert!(
        looks > 10 && files > 100,
        "it looked: {looks} times, {files} files"
    );
}

#[tokio::test]
async fn audio_that_cannot_be_put_in_place_gets_no_sidecar_and_keeps_its_bytes() {
    let place = Place::make();
    let store = place.open();
    store.accept(vec![accepted("a")]).await.expect("accepted");
    std::fs::create_dir_all(place.cache("youtube/a.m4a/in the way")).expect("made");
    let mut lease = begun(&store, "a", 1_000).await;
    lease.write(audio("a", 1_000)).await.expect("written");
    assert!(matches!(
        lease.publish(publish_of("a")).await,
        Err(StoreError::Foreign { .. })
    ));
    assert_eq!(place.names("youtube"), ["a.m4a"]);
    assert_eq!(
        store
            .lease(&key("a"))
            .await
            .expect("a lease")
            .kept()
            .map(|kept| kept.bytes),
        Some(1_000)
    );
}

#[tokio::test]
async fn a_file_changed_or_removed_by_another_program_is_never_served_and_is_fetched_again() {
    let place = Place::make();
    let store = place.open();
    for (name, harm) in [("cut", 0), ("same-length", 1), ("gone", 2)] {
        published(&store, name, 10_000).await;
        let path = place.cache(&format!("youtube/{name}.m4a"));
        match harm {
            0 => std::fs::write(&path, b"short").expect("written"),
            1 => std::fs::write(&path, vec![7; 10_000]).expect("written"),
            _ => std::fs::remove_file(&path).expect("removed"),
        }
        assert!(
            matches!(
                store.open_published(&key(name)).await,
                Err(StoreError::Gone)
            ),
            "{name}"
        );
        assert_eq!(
            store
                .row(&key(name))
                .await
                .expect("read")
                .expect("known")
                .state,
            State::Evicted,
            "{name}"
        );
        let again = store.accept(vec![accepted(name)]).await.expect("accepted");
        assert!(again[0].newly_queued, "{name}");
    }
}

#[tokio::test]
async fn a_fetch_notices_a_missing_file_without_anybody_reading_it() {
    let place = Place::make();
    let store = place.open();
    published(&store, "a", 10_000).await;
    let known = store.accept(vec![accepted("a")]).await.expect("accepted");
    assert_eq!(
        (known[0].row.state, known[0].newly_queued),
        (State::Ready, false)
    );
    std::fs::remove_file(place.cache("youtube/a.m4a")).expect("removed");
    let known = store.accept(vec![accepted("a")]).await.expect("accepted");
    assert_eq!(
        (known[0].row.state, known[0].newly_queued),
        (State::Queued, true)
    );
}

#[tokio::test]
async fn a_file_only_touched_is_still_ours() {
    let place = Place::make();
    let store = place.open();
    published(&store, "a", 10_000).await;
    let file = std::fs::File::options()
        .write(true)
        .open(place.cache("youtube/a.m4a"))
        .expect("open");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .expect("touched");
    store
        .open_published(&key("a"))
        .await
        .expect("the bytes are the same");
}

/// As many publishes as there are threads that may wait, and a reader of rows between any two of them.
#[test]
fn songs_that_are_published_all_at_once_leave_room_for_each_other() {
    let place = Place::make();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build();
    let runtime = runtime.expect("a runtime");
    let all = async {
        let store = place.open();
        let songs = (0..60).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = format!("song{number}");
                published(&store, &name, 2000).await;
                store
                    .row(&key(&name))
                    .await
                    .expect("readable")
                    .map(|row| row.state)
            })
        });
        for song in songs.collect::<Vec<_>>() {
            assert_eq!(song.await.expect("published"), Some(State::Ready));
        }
    };
    let patience = std::time::Duration::from_secs(60);
    runtime
        .block_on(async { tokio::time::timeout(patience, all).await })
        .expect("no wait is for ever");
}
