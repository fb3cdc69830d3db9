use kmds::store::{Found, Kept, Mark, State, Store, StoreError};

use crate::{MIB, Place, accepted, audio, begun, key, publish_of, published, read_all};

#[tokio::test]
async fn bytes_kept_over_a_restart_are_continued_to_the_same_file() {
    let place = Place::make();
    let song = audio("a", 200_000);
    {
        let store = place.open();
        store.accept(vec![accepted("a")]).await.expect("accepted");
        let mut lease = begun(&store, "a", 200_000).await;
        lease.write(song.slice(..120_000)).await.expect("written");
        lease.mark("segment 7").await.expect("marked");
        lease
            .write(song.slice(120_000..130_000))
            .await
            .expect("written");
    }
    let store = place.open();
    assert_eq!(store.pending().await.expect("read").len(), 1);
    let mut lease = store.lease(&key("a")).await.expect("a lease");
    let mark = Some(Mark {
        bytes: 120_000,
        text: "segment 7".to_owned(),
    });
    let kept = Kept {
        bytes: 130_000,
        validator: "v1".to_owned(),
        total: Some(200_000),
        mark,
    };
    assert_eq!(lease.kept(), Some(kept));
    lease
        .begin("v1", Some(200_000), 120_000)
        .await
        .expect("continued");
    lease.write(song.slice(120_000..)).await.expect("written");
    lease.publish(publish_of("a")).await.expect("published");
    let mut open = store.open_published(&key("a")).await.expect("ready");
    assert_eq!(read_all(&mut open.reader).await.expect("whole"), song);
}

#[tokio::test]
async fn kept_bytes_of_another_validator_are_never_continued() {
    let place = Place::make();
    let store = place.open();
    let mut lease = begun(&store, "a", 200_000).await;
    lease.write(audio("a", 100_000)).await.expect("written");
    drop(lease);
    let mut lease = store.lease(&key("a")).await.expect("a lease");
    assert!(matches!(
        lease.begin("v2", Some(200_000), 100_000).await,
        Err(StoreError::Gone)
    ));
    assert!(matches!(
        lease.begin("v1", Some(200_000), 100_001).await,
        Err(StoreError::Gone)
    ));
    let partial = lease
        .begin("v2", Some(200_000), 0)
        .await
        .expect("begun anew");
    assert_eq!(partial.progress().written, 0);
}

#[tokio::test]
async fn after_another_boot_only_flushed_bytes_are_trusted() {
    let place = Place::make();
    let store = place.open();
    let mut lease = begun(&store, "a", 20 * MIB).await;
    for _ in 0..9 {
        lease
            .write(audio("a", MIB as usize))
            .await
            .expect("written");
    }
    drop(lease);
    let note = place.work().join("youtube-a.m4a.note");
    let text = std::fs::read_to_string(&note).expect("a note");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("linux");
    std::fs::write(&note, text.replace(boot.trim(), "another")).expect("written");
    let kept = store
        .lease(&key("a"))
        .await
        .expect("a lease")
        .kept()
        .expect("flushed bytes");
    assert_eq!(kept.bytes, 8 * MIB);
}

#[tokio::test]
async fn going_on_within_one_lease_keeps_its_readers() {
    let place = Place::make();
    let store = place.open();
    let song = audio("a", 1_000);
    let mut lease = begun(&store, "a", 1_000).await;
    lease.write(song.slice(..400)).await.expect("written");
    let mut reader = store.open_reader(&lease.partial().expect("growing"));
    let listening = tokio::spawn(async move { read_all(&mut reader).await });
    lease
        .begin("v1", Some(1_000), 400)
        .await
        .expect("the same file");
    lease.write(song.slice(400..)).await.expect("written");
    lease.publish(publish_of("a")).await.expect("published");
    assert_eq!(listening.await.expect("no panic").expect("whole"), song);
}

#[tokio::test]
async fn a_discarded_partial_is_gone() {
    let place = Place::make();
    let store = place.open();
    let mut lease = begun(&store, "a", 1_000).await;
    lease.write(audio("a", 400)).await.expect("written");
    lease.discard().await.expect("discarded");
    assert_eq!(store.lease(&key("a")).await.expect("a lease").kept(), None);
    assert!(
        std::fs::read_dir(place.work())
            .expect("work")
            .next()
            .is_none()
    );
}

/// A kill between the rename of the audio and the row: the song is ready, and not downloaded again.
#[tokio::test]
async fn a_publish_that_a_kill_interrupted_is_finished_at_the_next_start() {
    for sidecar_in_place in [true, false] {
        let place = Place::make();
        {
            let store = place.open();
            published(&store, "a", 50_000).await;
            store
                .set_state(&key("a"), State::Downloading)
                .await
                .expect("as before the last step");
        }
        if !sidecar_in_place {
            let staged = place.work().join("youtube-a.m4a.staged");
            std::fs::rename(place.cache("youtube/a.m4a.json"), staged)
                .expect("as before the last but one");
        }
        let store = place.open();
        assert_eq!(
            store.pending().await.expect("read"),
            [],
            "sidecar in place: {sidecar_in_place}"
        );
        assert_eq!(place.names("youtube"), ["a.m4a", "a.m4a.json"]);
        store.open_published(&key("a")).await.expect("ready");
    }
}

#[tokio::test]
async fn a_staged_sidecar_whose_audio_was_never_renamed_leaves_the_song_pending() {
    let place = Place::make();
    {
        let store = place.open();
        store.accept(vec![accepted("a")]).await.expect("accepted");
        let mut lease = begun(&store, "a", 1_000).await;
        lease.write(audio("a", 1_000)).await.expect("written");
        std::fs::write(place.work().join("youtube-a.m4a.staged"), b"{}").expect("staged");
    }
    let store = place.open();
    assert_eq!(store.pending().await.expect("read").len(), 1);
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
async fn a_damaged_catalog_is_set_aside_and_rebuilt_from_the_drive() {
    for harm in ["garbage", "zeros inside", "missing", "another program's"] {
        let place = Place::make();
        {
            let store = place.open();
            for number in 0..30 {
                published(&store, &format!("song{number}"), 2_000).await;
            }
        }
        let db = place.config.state_dir.join("kmds.db");
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(place.config.state_dir.join(format!("kmds.db{suffix}")));
        }
        match harm {
            "garbage" => std::fs::write(
                &db,
                b"this is not a database, not at all, however long it is",
            )
            .expect("written"),
            "zeros inside" => {
                let mut text = std::fs::read(&db).expect("a database");
                let half = text.len() / 2;
                text[4_096..half].fill(0);
                std::fs::write(&db, text).expect("written");
            }
            "missing" => std::fs::remove_file(&db).expect("removed"),
            _ => std::fs::copy("/proc/self/exe", &db)
                .map(drop)
                .expect("copied"),
        }
        let store = place.open();
        let aside = place.config.state_dir.join("kmds.db.damaged-1");
        assert_eq!(aside.exists(), harm != "missing", "{harm}");
        let mut open = store.open_published(&key("song7")).await.expect(harm);
        assert_eq!(
            read_all(&mut open.reader).await.expect("whole"),
            audio("song7", 2_000)
        );
        assert_eq!(
            store.find_name("youtube-song7.m4a").await.expect("read"),
            Found::One(key("song7"))
        );
        assert_eq!(
            store
                .find_name("Somebody - Song song7.m4a")
                .await
                .expect("read"),
            Found::One(key("song7"))
        );
        let known = store
            .track(&crate::id("song7"))
            .await
            .expect("read")
            .expect("known");
        assert_eq!(known, crate::track("song7"), "{harm}");
        assert_eq!(
            store.stats().await.expect("read").by_state.get("ready"),
            Some(&30),
            "{harm}"
        );
    }
}

#[tokio::test]
async fn a_catalog_of_a_later_release_is_left_untouched() {
    let place = Place::make();
    drop(place.open());
    let db = place.config.state_dir.join("kmds.db");
    rusqlite::Connection::open(&db)
        .expect("open")
        .pragma_update(None, "user_version", 99)
        .expect("set");
    let refused = Store::open(place.config.clone()).map(drop);
    assert!(
        matches!(refused, Err(StoreError::Catalog { .. })),
        "{refused:?}"
    );
    assert!(!place.config.state_dir.join("kmds.db.damaged-1").exists());
}

/// `kmds.db` tells who asked for what, and any user of the machine could read it.
#[tokio::test]
async fn the_state_folder_is_private_and_one_that_was_open_before_is_closed() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    let set = |path: &std::path::Path, to| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(to)).expect("set")
    };
    let names = ["kmds.db", "kmds.db-wal", "kmds.db-shm", "instance", "lock"];
    let place = Place::make();
    let state = &place.config.state_dir;
    let store = place.open();
    published(&store, "a", 500).await;
    assert_eq!(mode(state), 0o700);
    names
        .iter()
        .for_each(|name| assert_eq!(mode(&state.join(name)), 0o600, "{name}"));
    drop(store);
    for name in [
        "kmds.db",
        "instance",
        "lock",
        "memory.json",
        "notes of mine",
    ] {
        std::fs::File::options()
            .append(true)
            .create(true)
            .open(state.join(name))
            .expect("a file");
        set(&state.join(name), 0o664);
    }
    set(state, 0o755);
    let store = place.open();
    published(&store, "b", 500).await;
    assert_eq!(mode(state), 0o700);
    names
        .iter()
        .chain(&["memory.json"])
        .for_each(|name| assert_eq!(mode(&state.join(name)), 0o600, "{name}"));
    assert_eq!(
        mode(&state.join("notes of mine")),
        0o664,
        "not ours by its name"
    );
}

/// Reading a catalog of 100,000 songs takes a third of a second, which a start does not have.
#[tokio::test]
async fn a_large_catalog_is_read_whole_before_it_is_used_only_after_a_kill_and_else_beside_it() {
    let place = Place::quick();
    published(&place.open(), "a", 500).await;
    let db = place.config.state_dir.join("kmds.db");
    let large = rusqlite::Connection::open(&db).expect("open");
    large
        .execute_batch("INSERT INTO memory VALUES ('large', printf('%.*c', 20000000, 'x'), 0)")
        .expect("written");
    drop(large);
    let mut text = std::fs::read(&db).expect("a database");
    let inside = text.len() - 4_096 * 1_000;
    text[inside..inside + 4_096].fill(0);
    std::fs::write(&db, text).expect("written");
    let aside = place.config.state_dir.join("kmds.db.damaged-1");
    let in_use = place.config.state_dir.join("catalog-in-use");
    assert!(!in_use.exists(), "it was closed");
    {
        let store = place.open();
        assert!(!aside.exists() && in_use.exists());
        store.open_published(&key("a")).await.expect("served");
        store.tidy().await.expect("tidied");
    }
    assert!(in_use.exists(), "the next start is told of the damage");
    let store = place.open();
    assert!(aside.exists(), "and sets the catalog aside");
    store.open_published(&key("a")).await.expect("served");
    drop(store);
    assert!(!in_use.exists());
}

#[tokio::test]
async fn a_look_at_a_damaged_catalog_leaves_it_to_the_service() {
    let place = Place::make();
    published(&place.open(), "song", 500).await;
    let db = place.config.state_dir.join("kmds.db");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(place.config.state_dir.join(format!("kmds.db{suffix}")));
    }
    std::fs::write(&db, vec![0x55; 20_000]).expect("damaged");
    let error = Store::inspect(place.config.clone()).expect_err("damaged");
    let sentence = error.to_string();
    assert!(
        sentence.contains("damaged") && sentence.contains("start KMDS"),
        "{sentence}"
    );
    assert_eq!(std::fs::read(&db).expect("there"), vec![0x55; 20_000]);
    let aside = place.config.state_dir.join("kmds.db.damaged-1");
    assert!(!aside.exists());
    let store = place.open();
    assert!(aside.exists(), "the service sets it aside");
    assert!(store.row(&key("song")).await.expect("read").is_some());
}

#[tokio::test]
async fn a_start_that_fails_remembers_that_the_last_run_was_killed_and_no_more_than_that() {
    for was_killed in [true, false] {
        let place = Place::make();
        let (state, mark) = (
            &place.config.state_dir,
            place.config.state_dir.join("catalog-in-use"),
        );
        std::fs::create_dir_all(state).expect("made");
        if was_killed {
            std::fs::write(&mark, "").expect("a mark");
        }
        // No file at all: it can be neither opened nor set aside as damaged.
        std::fs::create_dir(state.join("kmds.db")).expect("a folder");
        Store::open(place.config.clone()).expect_err("no catalog can be opened");
        assert_eq!(mark.exists(), was_killed);
        std::fs::remove_dir(state.join("kmds.db")).expect("removed");
        drop(place.open());
        assert!(!mark.exists(), "it was closed in good order");
    }
}
