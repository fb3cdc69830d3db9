//! Held files: they stay on the drive, until the last hold on them has ended.

use std::time::Duration;

use kmds::store::{Accepted, Held, HeldSum, Holder, Key, SpaceLimit, State, Store, StoreError};
use kmds_extract::Format;

use crate::{MIB, Place, accepted, begun, id, key, publish_of, published};

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

fn client(name: &str) -> Holder {
    Holder::Client(name.to_owned())
}

async fn holds(store: &Store, name: &str, holder: &Holder, length: Option<Duration>) {
    let known = store.hold(&key(name), holder, length).await;
    assert!(known.expect("noted"), "{name}");
}

async fn is_ready(store: &Store, name: &str) -> bool {
    let row = store.row(&key(name)).await.expect("read").expect("known");
    row.state == State::Ready
}

/// Room for `mib` more, or why not.
async fn room(store: &Store, mib: u64) -> Result<(), StoreError> {
    let lease = store.lease(&key("new")).await.expect("a lease");
    lease.reserve(Some(mib * MIB)).await
}

/// A cache that three songs of 1 MiB fill, the oldest first.
async fn full(place: &mut Place) -> Store {
    place.config.max_bytes = 3 * MIB;
    let store = place.open();
    for name in ["a", "b", "c"] {
        published(&store, name, MIB as usize).await;
        std::thread::sleep(Duration::from_millis(2));
    }
    store
}

#[tokio::test]
async fn a_held_file_stays_while_all_others_leave() {
    let mut place = Place::make();
    let store = full(&mut place).await;
    holds(&store, "a", &client("bot"), HOUR).await;
    for round in 0..20 {
        published(&store, &format!("storm{round}"), MIB as usize).await;
    }
    assert!(is_ready(&store, "a").await);
    assert!(!is_ready(&store, "b").await);
    let sum = store.held_sum().await.expect("read");
    let want = HeldSum {
        files: 1,
        bytes: MIB,
        pinned: 0,
    };
    assert_eq!(sum, want);
}

#[tokio::test]
async fn a_need_that_only_held_files_could_meet_is_refused_with_the_numbers() {
    let mut place = Place::make();
    let store = full(&mut place).await;
    holds(&store, "a", &client("bot"), HOUR).await;
    holds(&store, "b", &Holder::Pin, None).await;
    let refused = room(&store, 2).await.expect_err("one is free");
    let StoreError::DiskFull {
        need_bytes,
        have_bytes,
        held_bytes,
        limit,
    } = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (need_bytes, have_bytes, held_bytes, limit),
        (2 * MIB, MIB, 2 * MIB, SpaceLimit::MaxBytes)
    );
    assert!(
        refused.to_string().contains("2097152 more are held"),
        "{refused}"
    );
    for name in ["a", "b", "c"] {
        assert!(is_ready(&store, name).await, "nothing left for nothing");
    }
    // A new song is refused at once: waiting would not help.
    let large = Accepted {
        approximate_bytes: Some(2 * MIB),
        ..accepted("large")
    };
    let refused = store.accept(vec![large]).await.expect_err("never");
    assert!(refused.to_string().contains("held"), "{refused}");
    store
        .release(&key("b"), &Holder::Pin)
        .await
        .expect("released");
    room(&store, 2).await.expect("b and c make room");
    assert!(is_ready(&store, "a").await);
}

#[tokio::test]
async fn a_hold_ends_by_itself_and_a_later_end_is_never_brought_forward() {
    let mut place = Place::make();
    let store = full(&mut place).await;
    holds(&store, "b", &client("x"), HOUR).await;
    holds(&store, "b", &client("x"), Some(Duration::ZERO)).await;
    holds(&store, "c", &client("x"), Some(Duration::ZERO)).await;
    holds(&store, "c", &client("y"), Some(Duration::from_millis(50))).await;
    std::thread::sleep(Duration::from_millis(60));
    room(&store, 2).await.expect("a and c make room");
    assert!(is_ready(&store, "b").await);
    // Its hold has ended, and it counted as a read: `a` was the oldest.
    assert!(!is_ready(&store, "c").await);
    let held = store.held(None).await.expect("read");
    assert_eq!(held.keys().collect::<Vec<_>>(), [&key("b")]);
}

#[tokio::test]
async fn two_holders_of_one_file_do_not_end_each_others_hold() {
    let mut place = Place::make();
    let store = full(&mut place).await;
    let queue = Holder::Queue("x".to_owned());
    holds(&store, "a", &client("x"), HOUR).await;
    holds(&store, "a", &queue, HOUR).await;
    assert!(
        store
            .release(&key("a"), &client("x"))
            .await
            .expect("released")
    );
    assert!(
        !store
            .release(&key("a"), &client("x"))
            .await
            .expect("nothing left")
    );
    room(&store, 2).await.expect("b and c make room");
    room(&store, 3).await.expect_err("the queue holds a");
    assert!(is_ready(&store, "a").await);
    store.release_all(&queue).await.expect("released");
    room(&store, 3).await.expect("all make room");
    assert!(!is_ready(&store, "a").await);
}

#[tokio::test]
async fn a_queue_holds_what_is_in_it_and_lets_the_rest_go() {
    let mut place = Place::make();
    let store = full(&mut place).await;
    let queue = Holder::Queue("room 1".to_owned());
    let unknown = key("unknown");
    store
        .hold_only(vec![key("a"), key("b"), unknown], &queue, HOUR)
        .await
        .expect("held");
    store
        .hold_only(vec![key("b"), key("c")], &queue, HOUR)
        .await
        .expect("held");
    let held = store.held(None).await.expect("read");
    let mut keys: Vec<&Key> = held.keys().collect();
    keys.sort();
    assert_eq!(keys, [&key("b"), &key("c")]);
    room(&store, 1).await.expect("a makes room");
    room(&store, 2).await.expect_err("the rest is held");
}

#[tokio::test]
async fn holds_survive_a_restart_and_age_takes_no_held_file() {
    let mut place = Place::make();
    place.config.max_age = Some(Duration::from_millis(20));
    let store = place.open();
    for name in ["a", "b"] {
        published(&store, name, 1_000).await;
    }
    holds(&store, "a", &Holder::Pin, None).await;
    drop(store);
    let store = place.open();
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(store.prune().await.expect("pruned"), 1);
    assert!(is_ready(&store, "a").await && !is_ready(&store, "b").await);
    let held = store.held(Some(&id("a"))).await.expect("read");
    let pinned = Held {
        until: None,
        pinned: true,
    };
    assert_eq!(held.get(&key("a")), Some(&pinned));
}

#[tokio::test]
async fn a_hold_of_one_form_keeps_the_file_that_forms_share() {
    let mut place = Place::make();
    place.config.max_bytes = 3 * MIB;
    let store = place.open();
    // MP3 was asked for and M4A arrived, which stood there already.
    published(&store, "a", MIB as usize).await;
    let other = Key::original(id("a"), Format::Mp3);
    let asked = Accepted {
        key: other.clone(),
        format: Format::Mp3,
        canonical_name: "youtube-a.mp3".to_owned(),
        accept: kmds_extract::choose::Accept::new([Format::Mp3]).expect("one"),
        ..accepted("a")
    };
    store.accept(vec![asked]).await.expect("accepted");
    let mut lease = store.lease(&other).await.expect("a lease");
    lease.begin("v1", Some(MIB), 0).await.expect("begun");
    lease
        .write(crate::audio("a", MIB as usize))
        .await
        .expect("written");
    lease.publish(publish_of("a")).await.expect("published");
    for held in [&other, &key("a")] {
        assert!(store.hold(held, &client("x"), HOUR).await.expect("noted"));
        room(&store, 3).await.expect_err("it is held");
        assert!(is_ready(&store, "a").await);
        store.release(held, &client("x")).await.expect("released");
    }
    assert_eq!(place.names("youtube"), ["a.m4a", "a.m4a.json"]);
}

#[tokio::test]
async fn a_deleted_song_is_held_no_more() {
    let place = Place::make();
    let store = place.open();
    published(&store, "a", 1_000).await;
    holds(&store, "a", &Holder::Pin, None).await;
    assert!(store.delete(&key("a")).await.expect("deleted"));
    assert!(place.names("youtube").is_empty());
    assert!(store.held(None).await.expect("read").is_empty());
    let again = store.hold(&key("a"), &Holder::Pin, None).await;
    assert!(!again.expect("read"), "a deleted song is unknown");
}

#[tokio::test]
async fn a_drive_that_a_length_unknown_before_overfills_keeps_what_is_held() {
    let mut place = Place::make();
    place.config.max_bytes = 20 * MIB;
    let store = place.open();
    published(&store, "old", 10 * MIB as usize).await;
    holds(&store, "old", &client("x"), HOUR).await;
    store.accept(vec![accepted("new")]).await.expect("accepted");
    let mut lease = begun(&store, "new", 15 * MIB).await;
    let bytes = crate::audio("new", 15 * MIB as usize);
    lease.write(bytes).await.expect("written");
    lease.publish(publish_of("new")).await.expect("published");
    assert!(is_ready(&store, "old").await && is_ready(&store, "new").await);
}
