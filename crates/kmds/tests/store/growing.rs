use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use kmds::store::{Outcome, READ_BYTES, StoreError};

use crate::{Place, audio, begun, key, publish_of, read_all};

#[tokio::test]
async fn many_readers_get_every_byte_of_a_growing_file_each_at_its_own_pace() {
    let place = Place::make();
    let store = place.open();
    let song = audio("a", 300_000);
    let mut lease = begun(&store, "a", 300_000).await;
    let partial = lease.partial().expect("growing");
    let readers: Vec<_> = (0..50)
        .map(|_| {
            let mut reader = store.open_reader(&partial);
            tokio::spawn(async move { read_all(&mut reader).await })
        })
        .collect();
    for at in (0..song.len()).step_by(50_000) {
        lease
            .write(song.slice(at..at + 50_000))
            .await
            .expect("written");
        tokio::task::yield_now().await;
    }
    lease.publish(publish_of("a")).await.expect("published");
    for reader in readers {
        assert_eq!(reader.await.expect("no panic").expect("whole"), song);
    }
}

#[tokio::test]
async fn a_reader_ahead_of_the_download_waits_and_is_woken_by_its_bytes() {
    let place = Place::make();
    let store = place.open();
    let song = audio("a", 1_000);
    let mut lease = begun(&store, "a", 1_000).await;
    let mut reader = store.open_reader(&lease.partial().expect("growing"));
    let mut early = tokio::spawn(async move { reader.read_at(700, 10).await });
    lease.write(song.slice(..700)).await.expect("written");
    let waited = tokio::time::timeout(Duration::from_millis(50), &mut early).await;
    assert!(waited.is_err(), "byte 700 is not there yet");
    lease.write(song.slice(700..)).await.expect("written");
    assert_eq!(
        early.await.expect("no panic").expect("there"),
        song.slice(700..710)
    );
}

#[tokio::test]
async fn one_read_hands_out_at_most_its_bound() {
    let place = Place::make();
    let store = place.open();
    let mut lease = begun(&store, "a", 500_000).await;
    lease.write(audio("a", 500_000)).await.expect("written");
    let mut reader = store.open_reader(&lease.partial().expect("growing"));
    assert_eq!(
        reader.read_at(0, usize::MAX).await.expect("there").len(),
        READ_BYTES
    );
    assert_eq!(reader.read_at(499_990, 100).await.expect("there").len(), 10);
}

#[tokio::test]
async fn a_listener_that_the_kernel_sends_to_gathers_as_one_that_reads_does() {
    const GATHER: Duration = Duration::from_millis(500);
    const FIRST: u64 = 256 << 10;
    let place = Place::make();
    let store = place.open();
    let mut lease = begun(&store, "a", 500_000).await;
    lease.write(audio("a", 300_000)).await.expect("written");
    let mut reader = store.open_reader(&lease.partial().expect("growing"));
    let first = reader.span_at(0, FIRST).await.expect("there");
    assert_eq!(first.expect("in memory").length, FIRST);
    // A player starts with the first ones; from now on some bytes alone are waited with.
    let begun = Instant::now();
    let second = reader.span_at(FIRST, FIRST).await.expect("there");
    assert_eq!(second.expect("in memory").length, 300_000 - FIRST);
    assert!(begun.elapsed() >= GATHER, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_listener_that_gathers_is_woken_when_no_more_bytes_will_come() {
    const FIRST: u64 = 256 << 10;
    let place = Place::make();
    let store = place.open();
    let song = audio("a", 400_000);
    let mut lease = begun(&store, "a", 400_000).await;
    lease.write(song.slice(..300_000)).await.expect("written");
    let mut reader = store.open_reader(&lease.partial().expect("growing"));
    reader.span_at(0, FIRST).await.expect("there");
    let mut last = Box::pin(reader.span_at(FIRST, FIRST));
    assert!(last.as_mut().now_or_never().is_none(), "it gathers");
    lease.write(song.slice(300_000..)).await.expect("written");
    let last = last.now_or_never().expect("the last bytes are there");
    let span = last.expect("there").expect("in memory");
    assert_eq!(span.length, 400_000 - FIRST);
}

#[tokio::test]
async fn a_failed_download_cuts_its_readers_never_ends_them_cleanly() {
    let place = Place::make();
    let store = place.open();
    let mut lease = begun(&store, "a", 1_000).await;
    lease.write(audio("a", 600)).await.expect("written");
    let partial = lease.partial().expect("growing");
    let mut reader = store.open_reader(&partial);
    let whole = tokio::spawn(async move { read_all(&mut reader).await });
    drop(lease);
    assert!(matches!(
        whole.await.expect("no panic"),
        Err(StoreError::Gone)
    ));
    assert_eq!(partial.progress().done, Some(Outcome::Failed));
    assert!(store.partial(&key("a")).is_none());
}

#[tokio::test]
async fn a_changed_source_starts_a_new_file_and_the_old_readers_never_see_its_bytes() {
    let place = Place::make();
    let store = place.open();
    let mut lease = begun(&store, "a", 1_000).await;
    lease.write(audio("a", 600)).await.expect("written");
    let old = lease.partial().expect("growing");
    let mut reader = store.open_reader(&old);
    lease.restart().await.expect("restarted");
    lease.begin("v2", Some(900), 0).await.expect("begun");
    lease.write(audio("other", 900)).await.expect("written");
    assert_eq!(old.progress().done, Some(Outcome::Restarted));
    assert_eq!(
        reader.read_at(0, 600).await.expect("still readable"),
        audio("a", 600)
    );
    assert!(matches!(
        reader.read_at(600, 1).await,
        Err(StoreError::Gone)
    ));
    let new = lease.partial().expect("growing");
    assert_ne!(old.etag(), new.etag());
}

#[tokio::test]
async fn the_etag_is_known_with_the_length_and_stays_after_publishing() {
    let place = Place::make();
    let store = place.open();
    store
        .accept(vec![crate::accepted("a")])
        .await
        .expect("accepted");
    let mut lease = store.lease(&key("a")).await.expect("a lease");
    let partial = lease.begin("v1", None, 0).await.expect("begun");
    assert_eq!(partial.etag(), None, "no length, no etag");
    lease.announce(400);
    let growing = partial.etag().expect("the length is known");
    lease.write(audio("a", 400)).await.expect("written");
    lease.publish(publish_of("a")).await.expect("published");
    assert_eq!(
        store.open_published(&key("a")).await.expect("ready").etag,
        growing
    );
}

#[tokio::test]
async fn one_key_has_one_writer() {
    let place = Place::make();
    let store = place.open();
    let first = store.lease(&key("a")).await.expect("a lease");
    assert!(matches!(
        store.lease(&key("a")).await,
        Err(StoreError::Busy { .. })
    ));
    drop(first);
    store.lease(&key("a")).await.expect("free again");
}
