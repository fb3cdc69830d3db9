//! What earlier releases left: their catalogs and sidecars are opened by today's code, those of later ones are not
//! touched.
//!
//! `released/N.sql` is the catalog of the first release with schema N, `released/N.json` a sidecar of that time.

use kmds::store::{Key, State, StoreError};
use kmds_extract::{Format, Kind, Site, TrackId};
use rusqlite::Connection;

use crate::{Place, read_all};

const CATALOGS: [&str; 6] = [
    include_str!("released/1.sql"),
    include_str!("released/2.sql"),
    include_str!("released/3.sql"),
    include_str!("released/4.sql"),
    include_str!("released/5.sql"),
    include_str!("released/6.sql"),
];
const SIDECAR: &str = include_str!("released/1.json");
/// The audio both tell of.
const AUDIO: &str = "audio of KMDS 0.1.0\n";

fn database(place: &Place) -> std::path::PathBuf {
    place.config.state_dir.join("kmds.db")
}

/// A place as a release left it.
fn left_by(release: &str) -> Place {
    let place = Place::make();
    std::fs::create_dir_all(&place.config.state_dir).expect("made");
    std::fs::create_dir_all(place.cache("youtube")).expect("made");
    std::fs::write(place.cache("youtube/LabDemo001A.m4a"), AUDIO).expect("written");
    std::fs::write(place.cache("youtube/LabDemo001A.m4a.json"), SIDECAR).expect("written");
    Connection::open(database(&place))
        .expect("made")
        .execute_batch(release)
        .expect("filled");
    place
}

/// Every table and index as it was made.
fn schema(connection: &Connection) -> Vec<String> {
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name")
        .expect("SQL");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("text")
}

fn version(connection: &Connection) -> u32 {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .expect("a version")
}

fn key(site: Site, id: &str, format: Format) -> Key {
    Key::original(TrackId::new(site, id).expect("an id"), format)
}

#[tokio::test]
async fn the_catalog_of_every_release_is_opened_with_all_it_holds() {
    for release in CATALOGS {
        let place = left_by(release);
        let store = place.open();
        for (site, id, format, state) in [
            (Site::YouTube, "LabDemo001A", Format::M4a, State::Ready),
            (Site::YouTube, "LabDemo003I", Format::Ogg, State::Failed),
            (
                Site::SoundCloud,
                "2150900001",
                Format::M4a,
                State::Downloading,
            ),
            (Site::SoundCloud, "2150000018", Format::M4a, State::Queued),
            (Site::Bandcamp, "3400900001", Format::Mp3, State::Evicted),
            (Site::Bandcamp, "3400000030", Format::Mp3, State::Deleted),
        ] {
            let row = store
                .row(&key(site, id, format))
                .await
                .expect("read")
                .expect("known");
            assert_eq!(row.state, state, "{id}");
            let track = store
                .track(row.key.track())
                .await
                .expect("read")
                .expect("its metadata");
            assert!(
                !track.title.is_empty() && track.duration.is_some(),
                "{track:?}"
            );
            assert_eq!(
                row.failure.map(|failure| failure.kind),
                (state == State::Failed).then_some(Kind::ConversionUnavailable)
            );
        }
        let pending = store.pending().await.expect("read");
        let pending: Vec<&str> = pending.iter().map(|row| row.key.track().id()).collect();
        assert_eq!(
            pending,
            ["2150900001", "2150000018"],
            "the work goes on, in its order"
        );
        let ready = key(Site::YouTube, "LabDemo001A", Format::M4a);
        let mut published = store.open_published(&ready).await.expect("served");
        assert_eq!(
            read_all(&mut published.reader).await.expect("read"),
            AUDIO.as_bytes()
        );
        assert!(
            matches!(store.find_name("youtube-LabDemo001A.m4a").await, Ok(kmds::store::Found::One(found)) if found == ready)
        );
    }
}

#[tokio::test]
async fn a_migrated_catalog_and_a_new_one_have_the_same_tables() {
    let new = Place::make();
    drop(new.open());
    let new = Connection::open(database(&new)).expect("open");
    assert_eq!(
        version(&new) as usize,
        CATALOGS.len(),
        "each schema has the catalog of its release in tests/store/released"
    );
    for (number, release) in CATALOGS.into_iter().enumerate() {
        let place = left_by(release);
        assert_eq!(
            version(&Connection::open(database(&place)).expect("open")) as usize,
            number + 1
        );
        drop(place.open());
        let migrated = Connection::open(database(&place)).expect("open");
        assert_eq!(
            (version(&migrated), schema(&migrated)),
            (version(&new), schema(&new))
        );
    }
}

#[tokio::test]
async fn a_sidecar_of_every_release_is_enough_for_a_lost_catalog() {
    let place = left_by(CATALOGS[0]);
    std::fs::remove_dir_all(&place.config.state_dir).expect("lost");
    let store = place.open();
    let ready = key(Site::YouTube, "LabDemo001A", Format::M4a);
    let row = store.row(&ready).await.expect("read").expect("known");
    assert_eq!(
        (row.state, row.human_name.as_str()),
        (State::Ready, "The Proxies - Copper Kettles.m4a")
    );
    assert_eq!(
        store
            .track(ready.track())
            .await
            .expect("read")
            .expect("known")
            .title,
        "Copper Kettles"
    );
    store.open_published(&ready).await.expect("served");
}

#[tokio::test]
async fn a_catalog_of_a_later_release_is_refused_and_not_touched() {
    let place = left_by(CATALOGS[0]);
    let later = CATALOGS.len() + 1;
    let connection = Connection::open(database(&place)).expect("open");
    let tomorrow = format!("ALTER TABLE tracks RENAME TO songs; PRAGMA user_version = {later};");
    connection.execute_batch(&tomorrow).expect("written");
    drop(connection);
    let before = std::fs::read(database(&place)).expect("read");
    for opened in [
        kmds::store::Store::open(place.config.clone()),
        kmds::store::Store::inspect(place.config.clone()),
    ] {
        let Err(refused @ StoreError::Catalog { .. }) = opened else {
            panic!("opened")
        };
        let sentence = refused.to_string();
        assert!(
            sentence.contains("later KMDS") && sentence.contains("state.dir"),
            "{sentence}"
        );
    }
    assert_eq!(
        std::fs::read(database(&place)).expect("read"),
        before,
        "not a byte"
    );
    let beside: Vec<_> = std::fs::read_dir(&place.config.state_dir)
        .expect("listed")
        .flatten()
        .collect();
    assert!(
        beside
            .iter()
            .all(|file| !file.file_name().to_string_lossy().contains("damaged")),
        "{beside:?}"
    );
    assert_eq!(
        place.names("youtube"),
        ["LabDemo001A.m4a", "LabDemo001A.m4a.json"]
    );
}
