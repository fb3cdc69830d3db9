//! What others who may write to the drive can plant there. None of it leads us outside, makes us wait, or fills our
//! memory.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kmds::store::{Lease, State, Store, StoreError};

use crate::{Place, accepted, audio, begun, key, publish_of, published, read_all};

const PRECIOUS: &[u8] = b"an operator's only copy";

/// A file that nothing of ours may touch.
fn victim(place: &Place) -> PathBuf {
    let path = place.config.state_dir.with_file_name("victim");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(&path, PRECIOUS).expect("written");
    path
}

fn is_untouched(victim: &Path, what: &str) {
    assert_eq!(std::fs::read(victim).expect("there"), PRECIOUS, "{what}");
}

fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo")
        .arg(path)
        .status()
        .expect("mkfifo");
    assert!(made.success());
}

/// Downloads `a`, as far as it goes.
async fn try_song(store: &Store) -> Result<(), StoreError> {
    let mut lease = store.lease(&key("a")).await?;
    assert_eq!(lease.kept(), None, "nothing planted is gone on with");
    lease.begin("v1", Some(500), 0).await?;
    finish(store, lease).await
}

async fn finish(store: &Store, mut lease: Lease) -> Result<(), StoreError> {
    store.accept(vec![accepted("a")]).await?;
    let written = lease.kept().map_or(0, |kept| kept.bytes) as usize;
    lease.begin("v1", Some(500), written as u64).await?;
    lease.write(audio("a", 500).slice(written..)).await?;
    lease.publish(publish_of("a")).await.map(drop)
}

#[tokio::test]
async fn links_under_our_names_are_replaced_and_what_they_lead_to_is_left() {
    for name in ["part", "note", "staged", "note-new", "staged-new"] {
        let place = Place::make();
        let store = place.open();
        let victim = victim(&place);
        symlink(&victim, place.work().join(format!("youtube-a.m4a.{name}"))).expect("planted");
        try_song(&store).await.expect(name);
        is_untouched(&victim, name);
        assert!(
            place
                .cache("youtube/a.m4a")
                .symlink_metadata()
                .expect("there")
                .is_file(),
            "{name}"
        );
        let mut open = store.open_published(&key("a")).await.expect("ready");
        assert_eq!(
            read_all(&mut open.reader).await.expect("whole"),
            audio("a", 500),
            "{name}"
        );
    }
    for name in ["owner-new", "sidecar-new"] {
        let place = Place::make();
        let store = place.open();
        published(&store, "a", 500).await;
        std::fs::remove_file(place.cache("youtube/a.m4a.json")).expect("lost");
        let victim = victim(&place);
        symlink(&victim, place.work().join(name)).expect("planted");
        store.tidy().await.expect("tidied");
        is_untouched(&victim, name);
        assert!(place.cache("youtube/a.m4a.json").exists(), "written again");
    }
}

#[tokio::test]
async fn links_in_place_of_folders_are_not_entered() {
    for name in [".kmds-work", "youtube"] {
        let place = Place::make();
        let other = place.config.state_dir.with_file_name("other");
        std::fs::create_dir_all(other.join("photos")).expect("made");
        std::fs::write(other.join("a.m4a"), PRECIOUS).expect("written");
        std::fs::create_dir_all(&place.config.cache_dir).expect("made");
        symlink(&other, place.cache(name)).expect("planted");
        let store = place.open();
        let _ = store.tidy().await;
        let refused = try_song(&store)
            .await
            .expect_err("there is no place for it")
            .to_string();
        assert!(
            refused.contains(name.trim_start_matches('/')) && refused.contains("no folder"),
            "{refused}"
        );
        let mut left: Vec<_> = std::fs::read_dir(&other)
            .expect("there")
            .flatten()
            .map(|e| e.file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["a.m4a", "photos"], "{name}");
        is_untouched(&other.join("a.m4a"), name);
        let told = store.probe_drive().await.expect("probed").sentences;
        assert!(
            told.iter().any(|sentence| sentence.contains(name)),
            "{told:?}"
        );
        std::fs::remove_file(place.cache(name)).expect("put right");
        finish(&store, store.lease(&key("a")).await.expect("a lease"))
            .await
            .expect("without a restart");
    }
}

#[tokio::test]
async fn the_cache_folder_itself_may_be_a_link() {
    let place = Place::make();
    let real = place.config.state_dir.with_file_name("real");
    std::fs::create_dir_all(&real).expect("made");
    symlink(&real, &place.config.cache_dir).expect("linked");
    try_song(&place.open()).await.expect("published");
    assert!(real.join("youtube/a.m4a").exists());
}

/// The note is forged: with a part of our name, a download would go on in the middle of a foreign file.
#[tokio::test]
async fn a_download_never_goes_on_in_a_file_that_is_not_ours_alone() {
    for hard in [false, true] {
        let place = Place::make();
        let store = place.open();
        begun(&store, "a", 500)
            .await
            .write(audio("a", 300))
            .await
            .expect("written");
        let victim = victim(&place);
        let part = place.work().join("youtube-a.m4a.part");
        std::fs::remove_file(&part).expect("removed");
        match hard {
            true => std::fs::hard_link(&victim, &part).expect("planted"),
            false => symlink(&victim, &part).expect("planted"),
        }
        assert!(place.work().join("youtube-a.m4a.note").exists());
        try_song(&store).await.expect("from its first byte");
        is_untouched(&victim, if hard { "a hard link" } else { "a link" });
    }
}

#[tokio::test]
async fn a_ready_file_that_became_a_link_is_not_served() {
    let place = Place::make();
    let store = place.open();
    let row = published(&store, "a", 500).await;
    let secret = place.config.state_dir.with_file_name("secret");
    std::fs::write(&secret, vec![b's'; 500]).expect("written");
    std::fs::remove_file(place.cache("youtube/a.m4a")).expect("removed");
    symlink(&secret, place.cache("youtube/a.m4a")).expect("planted");
    assert!(matches!(
        store.open_published(&row.key).await,
        Err(StoreError::Gone)
    ));
    assert_eq!(std::fs::read(&secret).expect("there").len(), 500);
    assert_eq!(
        store
            .row(&row.key)
            .await
            .expect("read")
            .expect("known")
            .state,
        State::Evicted
    );
    try_song(&store).await.expect("published anew");
}

#[tokio::test]
async fn a_link_with_a_sidecar_of_our_making_is_not_taken_in() {
    for fresh in [true, false] {
        let place = Place::make();
        drop(place.open());
        let mut other = Place::make();
        other.config.cache_dir = place.config.cache_dir.clone();
        published(&other.open(), "a", 500).await;
        let secret = place.config.state_dir.with_file_name("secret");
        std::fs::rename(place.cache("youtube/a.m4a"), &secret).expect("moved");
        symlink(&secret, place.cache("youtube/a.m4a")).expect("planted");
        if fresh {
            std::fs::remove_dir_all(&place.config.state_dir).expect("lost");
        }
        let store = place.open();
        store.rebuild().await.expect("rebuilt");
        store.tidy().await.expect("tidied");
        assert!(
            matches!(store.open_published(&key("a")).await, Err(StoreError::Gone)),
            "fresh: {fresh}"
        );
        assert!(secret.exists());
    }
}

#[tokio::test]
async fn pipes_devices_folders_and_huge_files_neither_hold_nor_fill_us() {
    let place = Place::make();
    let store = place.open();
    std::fs::create_dir_all(place.cache("youtube")).expect("made");
    pipe(&place.cache(".kmds-owner.json.pipe"));
    std::fs::rename(
        place.cache(".kmds-owner.json.pipe"),
        place.cache(".kmds-owner.json"),
    )
    .expect("planted");
    pipe(&place.cache("youtube/pipe.m4a"));
    symlink("/dev/zero", place.cache("youtube/zero.m4a")).expect("planted");
    std::fs::create_dir(place.cache("youtube/folder.m4a")).expect("planted");
    for name in ["held.m4a", "huge.m4a", "deep.m4a"] {
        std::fs::write(place.cache("youtube").join(name), PRECIOUS).expect("written");
    }
    pipe(&place.cache("youtube/held.m4a.json"));
    std::fs::write(place.cache("youtube/deep.m4a.json"), vec![b'['; 1_000_000]).expect("written");
    let huge = std::fs::File::create(place.cache("youtube/huge.m4a.json")).expect("made");
    huge.set_len(3 << 30).expect("sparse");
    for end in ["note", "part", "staged"] {
        pipe(&place.work().join(format!("youtube-a.m4a.{end}")));
    }
    store.tidy().await.expect("tidied");
    store.rebuild().await.expect("rebuilt");
    try_song(&store).await.expect("published");
    assert!(place.cache("youtube/pipe.m4a").exists() && place.cache("youtube/folder.m4a").is_dir());
    let state = std::fs::read_to_string("/proc/self/status").expect("linux");
    let most = state
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("memory");
    let kib: u64 = most
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    assert!(kib < 500_000, "{kib} KiB at most");
    // A new catalog reads every sidecar.
    drop(store);
    std::fs::remove_dir_all(&place.config.state_dir).expect("lost");
    assert!(place.open().open_published(&key("a")).await.is_ok());
}

#[tokio::test]
async fn only_what_an_instance_puts_into_its_work_folder_is_swept_with_it() {
    let place = Place::make();
    let store = place.open();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(30 * 86_400);
    let all = place.cache(".kmds-work");
    let (gone, photos) = (all.join("0123456789abcdef"), all.join("photos"));
    for folder in [&gone, &photos] {
        std::fs::create_dir_all(folder.join("deep")).expect("made");
        for name in ["youtube-a.m4a.part", "mine.txt"] {
            std::fs::write(folder.join(name), PRECIOUS).expect("written");
        }
    }
    std::fs::create_dir(all.join("fedcba9876543210")).expect("made");
    let elsewhere = place.config.state_dir.with_file_name("elsewhere");
    std::fs::create_dir_all(&elsewhere).expect("made");
    std::fs::write(elsewhere.join("youtube-a.m4a.part"), PRECIOUS).expect("written");
    symlink(&elsewhere, all.join("00000000000000ff")).expect("planted");
    let folders = [
        gone.clone(),
        photos.clone(),
        all.join("fedcba9876543210"),
        elsewhere.clone(),
    ];
    let inside = folders.iter().flat_map(|folder| {
        std::fs::read_dir(folder)
            .expect("there")
            .flatten()
            .map(|e| e.path())
    });
    for path in inside.chain(folders.clone()).collect::<Vec<_>>() {
        std::fs::File::open(path)
            .and_then(|file| file.set_modified(old))
            .expect("aged");
    }
    store.tidy().await.expect("tidied");
    assert!(!gone.join("youtube-a.m4a.part").exists(), "ours, and old");
    assert!(gone.join("mine.txt").exists() && gone.join("deep").exists());
    assert!(
        photos.join("youtube-a.m4a.part").exists(),
        "no instance has such a name"
    );
    assert!(!all.join("fedcba9876543210").exists(), "nothing was in it");
    is_untouched(&elsewhere.join("youtube-a.m4a.part"), "through a link");
}
