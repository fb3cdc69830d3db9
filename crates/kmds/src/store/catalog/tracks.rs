//! Songs, with the metadata from the sites. Known loudness and formats stay: lists and yt-dlp do not tell them.

use jiff::Timestamp;
use kmds_extract::{Loudness, Track};
use rusqlite::{Connection, named_params};

use super::statement::prepare;

/// The source of a song's metadata, which decides what replaces what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Overwrite {
    /// A sidecar never replaces a site's metadata.
    No,
    /// Seen in a list.
    Listed,
    /// Fetched alone.
    Alone,
}

/// The new metadata, with the row's facts that it does not have. A row that is not JSON has none.
macro_rules! with_known_facts {
    () => {
        "IIF((:loudness_db IS NULL OR :offered IS NULL) AND json_valid(metadata), \
         json_set(:metadata, '$.loudness_db', COALESCE(:loudness_db, metadata ->> '$.loudness_db'), \
         '$.offered', json(COALESCE(:offered, metadata -> '$.offered', 'null'))), :metadata)"
    };
}

/// What becomes of a row that is there already.
const fn on_conflict(overwrite: Overwrite) -> &'static str {
    match overwrite {
        Overwrite::No => {
            "DO UPDATE SET metadata = json_set(metadata, \
             '$.loudness_db', COALESCE(metadata ->> '$.loudness_db', :loudness_db), \
             '$.offered', json(COALESCE(:offered, metadata -> '$.offered', 'null'))), \
             alone = json_set(alone, \
             '$.loudness_db', COALESCE(metadata ->> '$.loudness_db', :loudness_db), \
             '$.offered', json(COALESCE(:offered, metadata -> '$.offered', 'null'))) \
             WHERE json_valid(metadata) AND (:offered IS NOT NULL \
             OR (:loudness_db IS NOT NULL AND metadata ->> '$.loudness_db' IS NULL))"
        }
        Overwrite::Listed => {
            // When a list is fetched again, most songs are unchanged, and nothing is written.
            concat!(
                "DO UPDATE SET metadata = ",
                with_known_facts!(),
                ", words = :words, changed_at = :now WHERE metadata <> ",
                with_known_facts!()
            )
        }
        Overwrite::Alone => {
            concat!(
                "DO UPDATE SET metadata = ",
                with_known_facts!(),
                ", alone = ",
                with_known_facts!(),
                ", alone_at = :now, words = :words, changed_at = :now"
            )
        }
    }
}

pub(super) fn write_track(
    connection: &Connection,
    track: &Track,
    overwrite: Overwrite,
    now: Timestamp,
) -> Result<(), rusqlite::Error> {
    let metadata = serde_json::to_string(track).unwrap_or_default();
    let words = [
        Some(&track.title),
        track.artist.as_ref(),
        track.album.as_ref(),
    ];
    let words: Vec<String> = words
        .into_iter()
        .flatten()
        .map(|text| text.to_lowercase())
        .collect();
    let conflict = on_conflict(overwrite);
    let statement = format!(
        "INSERT INTO tracks (site, id, metadata, alone, alone_at, words, changed_at) \
         VALUES (:site, :id, :metadata, :alone, IIF(:alone IS NULL, NULL, :now), :words, :now) \
         ON CONFLICT (site, id) {conflict}"
    );
    let alone = (overwrite == Overwrite::Alone).then_some(&metadata);
    prepare(connection, &statement)?
        .execute(named_params! {
            ":site": track.id.site().as_str(),
            ":id": track.id.id(),
            ":metadata": metadata,
            ":loudness_db": track.loudness_db.map(Loudness::db),
            ":offered": track.offered.as_ref().and_then(|formats| serde_json::to_string(formats).ok()),
            ":alone": alone,
            ":words": words.join(" "),
            ":now": now.as_millisecond(),
        })
        .map(drop)
}
