use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kmds::store::{SpaceLimit, State, StoreError};

use crate::{MIB, Place, accepted, audio, begun, key, published, read_all};

async fn state(store: &kmds::store::Store, name: &str) -> State {
    store
        .row(&key(name))
        .await
        .expect("read")
        .expect("known")
        .state
}

#[tokio::test]
async fn the_least_recently_read_leaves_first_and_only_as_much_as_needed() {
    let mut place = Place::make();
    place.config.max_bytes = 3 * MIB;
    let store = place.open();
    for name in ["a", "b", "c"] {
        published(&store, name, MIB as usize).await;
        std::thread::sleep(Duration::from_millis(2));
    }
    store.touch_read(&key("a")).await.expect("read");
    let lease = store.lease(&key("new")).await.expect("a lease");
    lease.reserve(Some(MIB)).await.expect("room");
    assert_eq!(state(&store, "b").await, State::Evicted);
    assert_eq!(
        (state(&store, "a").await, state(&store, "c").await),
        (State::Ready, State::Ready)
    );
    assert_eq!(
        place.names("youtube"),
        ["a.m4a", "a.m4a.json", "c.m4a", "c.m4a.json"]
    );
}

#[tokio::test]
async fn what_is_being_read_stays_and_a_need_that_cannot_be_met_evicts_nothing() {
    let mut place = Place::make();
    place.config.max_bytes = 3 * MIB;
    let store = place.open();
    for name in ["a", "b"] {
        published(&store, name, MIB as usize).await;
    }
    let mut open = store.open_published(&key("a")).await.expect("open");
    let lease = store.lease(&key("new")).await.expect("a lease");
    let refused = lease.reserve(Some(3 * MIB)).await;
    let want = (3 * MIB, 2 * MIB, 0, SpaceLimit::MaxBytes);
    assert!(
        matches!(refused, Err(StoreError::DiskFull { need_bytes, have_bytes, held_bytes, limit }) if (need_bytes, have_bytes, held_bytes, limit) == want),
        "{refused:?}"
    );
    assert_eq!(
        (state(&store, "a").await, state(&store, "b").await),
        (State::Ready, State::Ready)
    );
    lease.reserve(Some(2 * MIB)).await.expect("b makes room");
    assert_eq!(
        (state(&store, "a").await, state(&store, "b").await),
        (State::Ready, State::Evicted)
    );
    assert_eq!(
        read_all(&mut open.reader).await.expect("whole"),
        audio("a", MIB as usize)
    );
    drop(open);
    lease
        .reserve(Some(3 * MIB))
        .await
        .expect("no reader of a is left");
    assert_eq!(state(&store, "a").await, State::Evicted);
}

#[tokio::test]
async fn a_reader_that_reads_nothing_keeps_no_job_from_having_room_and_still_gets_every_byte() {
    let mut place = Place::make();
    place.config.max_bytes = 2 * MIB;
    place.config.reader_pause = Duration::ZERO;
    let store = place.open();
    published(&store, "a", MIB as usize).await;
    let mut asleep = store.open_published(&key("a")).await.expect("open");
    let lease = store.lease(&key("new")).await.expect("a lease");
    lease.reserve(Some(2 * MIB)).await.expect("room");
    assert_eq!(state(&store, "a").await, State::Evicted);
    assert_eq!(
        read_all(&mut asleep.reader).await.expect("whole"),
        audio("a", MIB as usize)
    );
}

#[tokio::test]
async fn room_is_had_when_those_who_read_fall_asleep() {
    let mut place = Place::make();
    place.config.max_bytes = 2 * MIB;
    place.config.reader_pause = Duration::from_millis(200);
    let store = place.open();
    published(&store, "a", MIB as usize).await;
    let asleep = store.open_published(&key("a")).await.expect("open");
    let lease = store.lease(&key("new")).await.expect("a lease");
    lease
        .room(Some(2 * MIB), Duration::from_secs(60))
        .await
        .expect("it falls asleep");
    assert_eq!(state(&store, "a").await, State::Evicted);
    drop(asleep);
}

#[tokio::test]
async fn a_reader_of_a_file_deleted_under_it_still_gets_every_byte() {
    let place = Place::make();
    let store = place.open();
    published(&store, "a", 300_000).await;
    let mut open = store.open_published(&key("a")).await.expect("open");
    assert!(store.delete(&key("a")).await.expect("deleted"));
    assert!(place.names("youtube").is_empty());
    assert_eq!(state(&store, "a").await, State::Deleted);
    assert_eq!(
        read_all(&mut open.reader).await.expect("whole"),
        audio("a", 300_000)
    );
}

#[tokio::test]
async fn a_file_that_is_taken_away_while_it_is_opened_is_gone_and_no_failure() {
    let place = Place::quick();
    let store = place.open();
    let (file, away) = (place.cache("youtube/a.m4a"), place.cache("away"));
    let stop = Arc::new(AtomicBool::new(false));
    let thief = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let _ = std::fs::rename(&file, &away);
                let _ = std::fs::rename(&away, &file);
            }
        })
    };
    let (mut opened, mut gone) = (0, 0);
    for _ in 0..300 {
        published(&store, "a", 1_000).await;
        loop {
            match store.open_published(&key("a")).await {
                Ok(_) if opened > 3_000 => break,
                Ok(_) => opened += 1,
                Err(StoreError::Gone) => {
                    gone += 1;
                    break;
                }
                Err(error) => panic!("{error} after {opened} opened and {gone} gone"),
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    thief.join().expect("it ends");
}

#[tokio::test]
async fn running_downloads_count_for_what_they_reserved() {
    let mut place = Place::make();
    place.config.max_bytes = 3 * MIB;
    let store = place.open();
    let first = store.lease(&key("a")).await.expect("a lease");
    first.reserve(Some(2 * MIB)).await.expect("room");
    let second = store.lease(&key("b")).await.expect("a lease");
    assert!(matches!(
        second.reserve(Some(2 * MIB)).await,
        Err(StoreError::DiskFull { .. })
    ));
    drop(first);
    second
        .reserve(Some(2 * MIB))
        .await
        .expect("the first gave up");
}

#[tokio::test]
async fn room_that_comes_while_it_is_looked_for_is_found() {
    let mut place = Place::quick();
    place.config.max_bytes = 1_500;
    let store = place.open();
    for round in 0..400 {
        published(&store, "a", 1_000).await;
        let open = store.open_published(&key("a")).await.expect("open");
        let lease = store.lease(&key("new")).await.expect("a lease");
        // At any moment of the other's looking.
        let leaves = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round % 200));
            drop(open);
        });
        lease
            .room(Some(1_000), Duration::from_secs(60))
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        leaves.join().expect("it left");
    }
}

#[tokio::test]
async fn a_floor_above_what_is_free_refuses_with_the_setting_named() {
    let mut place = Place::make();
    place.config.min_free_bytes = 1 << 60;
    let store = place.open();
    let lease = store.lease(&key("a")).await.expect("a lease");
    let refused = lease
        .reserve(Some(MIB))
        .await
        .expect_err("no drive has that");
    assert!(
        refused.to_string().contains("cache.min_free_bytes"),
        "{refused}"
    );
    assert_eq!(refused.kind(), kmds_extract::Kind::DiskFull);
}

#[tokio::test]
async fn files_that_were_not_read_for_max_age_leave() {
    let mut place = Place::make();
    place.config.max_age = Some(Duration::from_secs(1));
    let store = place.open();
    published(&store, "old", 1_000).await;
    std::thread::sleep(Duration::from_millis(1_100));
    published(&store, "new", 1_000).await;
    assert_eq!(store.prune().await.expect("pruned"), 1);
    assert_eq!(
        (state(&store, "old").await, state(&store, "new").await),
        (State::Evicted, State::Ready)
    );
}

#[tokio::test]
async fn a_lowered_budget_is_met_in_bites_and_a_song_waits_for_its_own_room_only() {
    const SONGS: u64 = 100;
    let mut place = Place::make();
    let store = place.open();
    for number in 0..SONGS {
        published(&store, &format!("song{number}"), 1000).await;
    }
    drop(store);
    place.config.max_bytes = 10_000;
    let store = place.open();
    let ready = async || store.stats().await.expect("read").by_state["ready"];
    let lease = store.lease(&key("new")).await.expect("a lease");
    lease.reserve(Some(1500)).await.expect("room");
    assert_eq!(ready().await, SONGS - 2);
    // Requests are answered while songs leave.
    let (mut shrinking, mut seen) = (std::pin::pin!(store.shrink()), Vec::new());
    let shrunk = loop {
        tokio::select! {
            shrunk = &mut shrinking => break shrunk,
            now = ready() => seen.push(now),
        }
    };
    shrunk.expect("evicted");
    assert!(
        seen.iter().any(|&now| now > 8 && now < SONGS - 2),
        "{seen:?}"
    );
    assert_eq!(ready().await, 8);
}

#[tokio::test]
async fn two_songs_that_make_room_at_once_do_not_take_the_same_room() {
    let mut place = Place::make();
    place.config.max_bytes = 70_000;
    let store = place.open();
    for number in 0..70 {
        published(&store, &format!("song{number}"), 1000).await;
    }
    let one = store.lease(&key("one")).await.expect("a lease");
    let other = store.lease(&key("other")).await.expect("a lease");
    let (one, other) = tokio::join!(one.reserve(Some(67_000)), other.reserve(Some(67_000)));
    assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn a_length_not_known_before_is_made_room_for_after_publishing() {
    let mut place = Place::make();
    place.config.max_bytes = 20 * MIB;
    let store = place.open();
    published(&store, "old", 10 * MIB as usize).await;
    published(&store, "new", 15 * MIB as usize).await;
    assert_eq!(
        (state(&store, "old").await, state(&store, "new").await),
        (State::Evicted, State::Ready)
    );
}

/// A tmpfs of a few MiB for the cache; unmounted at the end.
struct SmallDrive(std::path::PathBuf);

impl SmallDrive {
    fn mount(at: std::path::PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).ok()?;
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&at)
            .output();
        if done.as_ref().is_ok_and(|done| done.status.success()) {
            return Some(Self(at));
        }
        eprintln!(
            "SKIPPED: mounting a tmpfs is refused here, the full drive was not tested: {done:?}"
        );
        None
    }
}

impl Drop for SmallDrive {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .output();
    }
}

#[tokio::test]
async fn a_drive_that_fills_up_while_writing_says_so_and_recovers() {
    let place = Place::make();
    let Some(_drive) = SmallDrive::mount(place.config.cache_dir.clone()) else {
        return;
    };
    let store = place.open();
    store.accept(vec![accepted("a")]).await.expect("accepted");
    let mut lease = begun(&store, "a", 8 * MIB).await;
    let piece = Bytes::from(vec![1; MIB as usize]);
    let mut refused = None;
    for _ in 0..8 {
        if let Err(error) = lease.write(piece.clone()).await {
            refused = Some(error);
            break;
        }
    }
    assert!(
        matches!(refused, Some(StoreError::DiskFull { .. })),
        "{refused:?}"
    );
    lease.discard().await.expect("discarded");
    published(&store, "b", 2 * MIB as usize).await;
    // Room is made by evicting songs that no client reads.
    published(&store, "c", 3 * MIB as usize).await;
    assert_eq!(
        (state(&store, "b").await, state(&store, "c").await),
        (State::Evicted, State::Ready)
    );
}

#[tokio::test]
async fn needs_beyond_all_numbers_are_refused_and_do_not_wrap() {
    let mut place = Place::make();
    place.config.max_bytes = 3 * MIB;
    let store = place.open();
    published(&store, "a", MIB as usize).await;
    let lease = store.lease(&key("new")).await.expect("a lease");
    for need in [u64::MAX, u64::MAX - MIB / 2, u64::MAX / 2 + 1] {
        assert!(
            matches!(
                lease.reserve(Some(need)).await,
                Err(StoreError::DiskFull { .. })
            ),
            "{need}"
        );
    }
    assert_eq!(state(&store, "a").await, State::Ready);
}
