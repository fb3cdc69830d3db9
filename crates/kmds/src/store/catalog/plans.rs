//! Tests: SQLite's plan of every statement, and the sums after every mixture of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::path::Path;

use jiff::Timestamp;
use kmds_extract::choose::Accept;
use kmds_extract::{Codec, Container, Failure, Format, Kind, Site, Source, Track, TrackId};
use parking_lot::Mutex;
use rusqlite::config::DbConfig;

use super::*;
use crate::store::key::{CopyForm, etag};

/// A statement, and the place in the sources that prepared it.
type Prepared = BTreeMap<String, BTreeSet<(String, u32)>>;

static PREPARED: Mutex<Prepared> = Mutex::new(BTreeMap::new());

/// Records a statement. Only in tests.
#[track_caller]
pub(super) fn note(statement: &str) {
    let place = Location::caller();
    let file = place.file().rsplit('/').next().unwrap_or_default();
    PREPARED
        .lock()
        .entry(statement.to_owned())
        .or_default()
        .insert((file.to_owned(), place.line()));
}

const SONGS: u64 = 40;

/// The same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).expect("small")]
    }
}

fn song(number: u64, title: &str) -> Track {
    let site = [Site::YouTube, Site::SoundCloud, Site::Bandcamp][(number % 3) as usize];
    Track {
        id: TrackId::new(site, &format!("{}", 1_000 + number)).expect("an id"),
        source: Source::YouTube {
            video: number.to_string(),
        },
        link: format!("https://example.test/{number}"),
        title: title.to_owned(),
        artist: Some("Mixed".to_owned()),
        album: None,
        album_artist: None,
        number: None,
        total: None,
        duration: None,
        cover_url: None,
        date: None,
        streams: Vec::new(),
        loudness_db: None,
        offered: None,
        withheld: None,
    }
}

/// Two originals, which may become one file, and a copy.
fn key_of(numbers: &mut Numbers) -> Key {
    let track = song(numbers.below(SONGS), "").id;
    match numbers.below(4) {
        0 => Key::copy(track, CopyForm::parse("mp3-tagged").expect("a form")),
        1 => Key::original(track, Format::Mp3),
        _ => Key::original(track, Format::M4a),
    }
}

fn file_of(key: &Key, numbers: &mut Numbers) -> ReadyFile {
    let size_bytes = 1_000 + numbers.below(5) * 100;
    ReadyFile {
        key: key.clone(),
        format: numbers.one_of(&[Format::M4a, Format::Mp3]),
        size_bytes,
        sha256: "ab".to_owned(),
        mtime_ns: 7,
        etag: etag(key, "v", size_bytes),
        validator: "v".to_owned(),
        stream: "itag 140".to_owned(),
        container: Container::Mp4,
        codec: Codec::Aac,
        bitrate_bps: None,
        duration_ms: None,
        published_at: Timestamp::from_millisecond(1_790_000_000_000 + numbers.below(50) as i64)
            .expect("a time"),
        human_name: format!("{key}.name"),
    }
}

fn wish(key: &Key, numbers: &mut Numbers) -> Accepted {
    let titles = ["Kettle", "Kettles and Pans", "ÄÖ 東京", "x"];
    let number: u64 = key.track().id().parse::<u64>().expect("a number") - 1_000;
    Accepted {
        track: song(number, numbers.one_of(&titles)),
        key: key.clone(),
        listed: numbers.below(2) == 0,
        canonical_name: format!("{}.{}", key.track(), numbers.below(2)),
        human_name: format!("name {}", numbers.below(30)),
        format: Format::M4a,
        total_bytes: None,
        approximate_bytes: None,
        accept: Accept::default(),
        requester: "bot".to_owned(),
        enqueue: numbers.below(3) > 0,
    }
}

/// One change of a song, possible after any other.
fn happens(catalog: &mut Catalog, numbers: &mut Numbers) -> Result<(), StoreError> {
    let key = key_of(numbers);
    match numbers.below(13) {
        0..=2 => {
            let wishes: Vec<Accepted> = (0..=numbers.below(3))
                .map(|_| wish(&key_of(numbers), numbers))
                .collect();
            let whole = numbers.below(2) == 0;
            let refused = numbers.below(4) == 0;
            let now = Timestamp::now();
            // A refused request leaves nothing.
            let may = |_: &[&Accepted]| match refused {
                true => Err(StoreError::QueueFull),
                false => Ok(()),
            };
            let _ = catalog.accept(&wishes, |_| whole, may, now);
        }
        3 | 4 => {
            catalog.keep_track(&song(numbers.below(SONGS), "From a sidecar"))?;
            catalog.set_ready(&file_of(&key, numbers))?;
        }
        5 => drop(catalog.set_state(&key, numbers.one_of(&State::ALL))?),
        6 => {
            let started = Started {
                format: Format::Mp3,
                total_bytes: None,
                stream: "http".to_owned(),
            };
            catalog.started(&key, &started)?;
        }
        7 => {
            let failure = Failure::new(Kind::Unavailable, "gone");
            catalog.fail(&key, &failure, Timestamp::now())?;
        }
        8 => {
            catalog.requeue(&key, numbers.below(2) == 0)?;
            catalog.requeue_for(&key_of(numbers), "bot")?;
            catalog.unqueue(&[key_of(numbers)])?;
        }
        9 => {
            // Evicted, or deleted, together with all rows that share the file.
            let victims = catalog.victims(|_| std::ops::ControlFlow::Continue(true))?;
            if let Some(victim) = victims.first() {
                for key in catalog.rows_of_file(&victim.key, victim.format)? {
                    catalog.set_state(&key, numbers.one_of(&[State::Evicted, State::Deleted]))?;
                }
            }
        }
        10 => {
            let (holder, now) = (Holder::Queue("q".to_owned()), Timestamp::now());
            catalog.hold(&key, &holder, Some(now), now)?;
            catalog.hold_only(std::slice::from_ref(&key), &Holder::Pin, None, now)?;
            catalog.release(&key, &holder)?;
            catalog.release_all(&holder)?;
            if numbers.below(2) == 0 {
                catalog.release_key(&key)?;
            }
        }
        11 => catalog.touch_read(&key, Timestamp::now(), Timestamp::now())?,
        _ => {
            catalog.note_mtime(&key, 8)?;
            catalog.promote(&key)?;
        }
    }
    Ok(())
}

/// All questions to the catalog that change nothing.
fn asked(catalog: &mut Catalog) -> Result<(), StoreError> {
    let track = song(1, "").id;
    let key = Key::original(track.clone(), Format::M4a);
    catalog.row(&key)?;
    catalog.seqs_of(std::slice::from_ref(&key))?;
    catalog.evicted_of(vec![key.clone()])?;
    catalog.delete_pending(&key)?;
    let list = FetchedList {
        site: Site::YouTube,
        id: "PL1".to_owned(),
        asked: "one".to_owned(),
        link: "another".to_owned(),
        requester: "7".to_owned(),
    };
    catalog.note_list(&list, Timestamp::now())?;
    queue_is_kept(catalog)?;
    for link in ["one", "another"] {
        let fetches = catalog.fetches_of("", Some(link))?;
        assert_eq!(fetches, std::slice::from_ref(&list));
    }
    catalog.renditions(&track)?;
    catalog.pending()?;
    catalog.track(&track)?;
    catalog.track_alone(&track)?;
    catalog.track_by_link("https://example.test/1")?;
    catalog.find_name("name 1")?;
    catalog.try_writing()?;
    catalog.ready_bytes()?;
    let now = Timestamp::now();
    catalog.held(Some(&track), now)?;
    catalog.held(None, now)?;
    catalog.held_sum(now)?;
    catalog.held_files(now)?;
    catalog.ready_of([track].iter())?;
    catalog.rows_of_file(&key, Format::M4a)?;
    let mut after = 0;
    while let Some((_, end)) = catalog.page_after(after)? {
        after = end;
    }
    for text in [None, Some("kettle"), Some("ö"), Some("東京 ä")] {
        for state in [None, Some(State::Ready)] {
            let filter = Filter {
                text: text.map(str::to_owned),
                state,
                ..Filter::default()
            };
            catalog.list(&filter, 10, None)?;
        }
    }
    Ok(())
}

/// A queue is written, read, moved and ended.
fn queue_is_kept(catalog: &mut Catalog) -> Result<(), StoreError> {
    let queue = PlayQueue {
        name: "q".to_owned(),
        requester: 7,
        ahead: 3,
        accept: None,
        begun: 0,
        songs: 2,
        until: Timestamp::from_millisecond(1_790_000_000_000).expect("a time"),
    };
    let songs = ["youtube/a", "youtube/b"].map(str::to_owned);
    catalog.put_queue(&queue, &songs)?;
    catalog.begin_queue("q", 1)?;
    let begun = PlayQueue { begun: 1, ..queue };
    assert_eq!(catalog.queues()?, [begun]);
    assert_eq!(catalog.queue_songs("q", 1, 9)?, songs[1..]);
    catalog.removed_since("q", &song(1, "").id)?;
    // A song that waits for it is the next fetch's, for good.
    let key = Key::original(song(900, "").id, Format::M4a);
    let mut wish = Accepted {
        enqueue: true,
        ..wish(&key, &mut Numbers(1))
    };
    for (requester, of) in [("7", "7"), ("8", "8"), ("7", "8"), ("9", "8")] {
        wish.requester = requester.to_owned();
        let one = std::slice::from_ref(&wish);
        catalog.accept(one, |_| true, |_| Ok(()), Timestamp::now())?;
        let row = catalog.row(&key)?.expect("a row");
        assert_eq!((row.state, &*row.requester), (State::Queued, of));
    }
    catalog.forget_queue("q")?;
    assert!(catalog.queues()?.is_empty() && catalog.queue_songs("q", 0, 9)?.is_empty());
    Ok(())
}

fn in_memory() -> Catalog {
    Catalog::open(Path::new(":memory:"), Check::Whole)
        .expect("a catalog")
        .catalog
}

/// After any mixture of accepting, publishing, sharing, evicting, deleting, refusing and fetching again, the sums of
/// the triggers are those of the rows.
#[test]
fn sums_are_those_of_the_rows_after_every_mixture_of_changes() {
    for seed in 1..=6 {
        let mut numbers = Numbers(seed * 0x9e37_79b9);
        let folder = std::env::temp_dir().join(format!("kmds-sums-{}-{seed}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let mut catalog = Catalog::open(&folder.join("kmds.db"), Check::Whole)
            .expect("a catalog")
            .catalog;
        for step in 0..150 {
            happens(&mut catalog, &mut numbers).expect("changed");
            if step % 50 == 49 {
                // A restart.
                drop(catalog);
                catalog = Catalog::open(&folder.join("kmds.db"), Check::Whole)
                    .expect("a catalog")
                    .catalog;
            }
            let wrong = catalog.correct_sums().expect("counted");
            assert_eq!(wrong, [], "seed {seed}, step {step}");
        }
        let stats = catalog.stats().expect("read");
        assert!(stats.tracks > 0 && !stats.by_state.is_empty(), "{stats:?}");
        drop(catalog);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}

#[test]
fn a_wrong_sum_is_told_and_put_right() {
    let mut catalog = in_memory();
    let mut numbers = Numbers(5);
    let key = Key::original(song(1, "").id, Format::M4a);
    catalog
        .set_ready(&file_of(&key, &mut numbers))
        .expect("ready");
    let bytes = catalog.ready_bytes().expect("read");
    catalog
        .connection
        .execute_batch("UPDATE sums SET number = -5 WHERE what = 'bytes'")
        .expect("changed");
    assert_eq!(catalog.ready_bytes().expect("read"), 0, "never an error");
    let wrong = catalog.correct_sums().expect("counted");
    assert_eq!(wrong.len(), 1);
    assert_eq!((wrong[0].kept, wrong[0].counted), (-5, bytes as i64));
    assert_eq!(catalog.ready_bytes().expect("read"), bytes);
}

#[test]
fn a_damaged_size_leaves_nothing_in_the_sums() {
    let mut catalog = in_memory();
    let mut numbers = Numbers(5);
    let key = Key::original(song(1, "").id, Format::M4a);
    let other = Key::original(song(2, "").id, Format::M4a);
    for key in [&key, &other] {
        let file = file_of(key, &mut numbers);
        catalog.set_ready(&file).expect("ready");
    }
    let bytes = catalog.ready_bytes().expect("read");
    let size = catalog
        .row(&key)
        .expect("read")
        .and_then(|row| row.size_bytes);
    let size = size.expect("a size").to_string();
    for damaged in [
        "9e999",
        "-9e999",
        "9223372036854775807",
        "'many'",
        "x'00'",
        "-5",
    ] {
        for size in [damaged, &size] {
            let change = format!(
                "UPDATE renditions SET size = {size} WHERE id = '{}'",
                key.track().id()
            );
            catalog.connection.execute_batch(&change).expect(damaged);
            let sum = catalog.ready_bytes().expect(damaged);
            assert!(sum <= (1 << 50) + bytes, "{damaged}: {sum}");
            assert_eq!(catalog.correct_sums().expect(damaged), [], "{damaged}");
        }
        assert_eq!(catalog.ready_bytes().expect("read"), bytes, "{damaged}");
    }
}

/// These may read whole tables: the counting of `kmds cache verify`, and the waiting songs that a start reads.
const MAY_WALK: [&str; 2] = [
    "FROM sums s FULL JOIN counted",
    "WHERE r.state IN ('queued', 'downloading', 'converting')",
];

/// A step that reads all rows of a large table, or sorts what it read. The sums are a few dozen rows, lists 2,000 and
/// queues 1,000 at most, and there are as many holds as songs are held now.
fn walks(step: &str) -> bool {
    let of = step.split(' ').nth(1).unwrap_or_default();
    let is_small = ["sums", "h", "lists", "queues", "json_each", "CONSTANT"].contains(&of);
    // Without anything to look up, a virtual table says 0.
    let is_search = step.contains("VIRTUAL TABLE INDEX") && !step.ends_with("INDEX 0:");
    let is_victims = step.starts_with("SCAN r USING INDEX renditions_by_use");
    (step.starts_with("SCAN") && !is_small && !is_search && !is_victims)
        || step.contains("TEMP B-TREE")
        || step.contains("AUTOMATIC")
        // All rows of a state: a hundred thousand are ready.
        || step.ends_with("renditions_by_state (state=?)")
}

/// No request, publish, eviction or probe reads a large table from its beginning to its end: the plans of all
/// statements show that, also of those in triggers. (The victims of an eviction come out of their index in order, and
/// only as many are read as are needed.)
#[test]
fn no_statement_walks_the_catalog() {
    let mut catalog = in_memory();
    let mut numbers = Numbers(42);
    for _ in 0..400 {
        happens(&mut catalog, &mut numbers).expect("changed");
    }
    asked(&mut catalog).expect("read");
    catalog.correct_sums().expect("counted");
    let prepared = PREPARED.lock().clone();
    every_place_was_reached(&prepared);
    catalog
        .connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_TRIGGER_EQP, true)
        .expect("plans of triggers");
    let mut bad = Vec::new();
    for statement in prepared.keys() {
        if MAY_WALK.iter().any(|may| statement.contains(may)) {
            continue;
        }
        let steps = plan(&catalog, statement);
        // Rows of one song are few.
        let is_one_song = steps
            .iter()
            .any(|step| step.contains("sqlite_autoindex_renditions_1 (site=? AND id=?"));
        for step in steps {
            if walks(&step) && !(is_one_song && step.contains("TEMP B-TREE")) {
                bad.push(format!("{step}\n    in {statement}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

fn plan(catalog: &Catalog, statement: &str) -> Vec<String> {
    let mut explained = catalog
        .connection
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .expect(statement);
    let rows = explained
        .raw_query()
        .mapped(|row| row.get::<_, Option<String>>("detail"))
        .collect::<Result<Vec<_>, _>>();
    // A trigger begins with a line without text.
    rows.expect(statement).into_iter().flatten().collect()
}

/// Each call that prepares a statement, in the sources, was made: a statement that no test reaches has no plan here.
/// None goes past `statement::prepare`.
fn every_place_was_reached(prepared: &Prepared) {
    let reached: BTreeSet<&(String, u32)> = prepared.values().flatten().collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/catalog");
    let mut missing = Vec::new();
    for file in std::fs::read_dir(folder).expect("the sources").flatten() {
        let name = file.file_name().into_string().expect("a name");
        let text = std::fs::read_to_string(file.path()).expect("a source");
        for (line, number) in text.lines().zip(1..) {
            let calls = [" prepare(", "(prepare(", " update(", ".rows("]
                .iter()
                .any(|call| line.contains(call) && !line.contains("fn "));
            let is_elsewhere = ["plans.rs", "open.rs", "schema.rs"].contains(&name.as_str())
                || line.trim_start().starts_with("//")
                || (name == "statement.rs" && line.contains("prepare(connection"))
                || (name == "mod.rs" && line.contains("prepare(&self.connection, statement)"));
            let may_prepare = ["statement.rs", "rows.rs", "plans.rs"].contains(&name.as_str());
            let is_past = line.contains(".prepare_cached(") && !may_prepare;
            if is_past || (calls && !is_elsewhere && !reached.contains(&(name.clone(), number))) {
                missing.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(missing.is_empty(), "not reached:\n{}", missing.join("\n"));
}
