//! Songs as the sites tell of them.

use jiff::Timestamp;
use kmds_extract::Track;
use rusqlite::{Connection, named_params};

use super::statement::prepare;

/// What is known of a song already, and what beats it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Overwrite {
    /// A sidecar never beats what a site said.
    No,
    /// Seen in a list.
    Listed,
    /// Asked for alone.
    Alone,
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
    let conflict = match overwrite {
        Overwrite::No => "DO NOTHING",
        Overwrite::Listed => {
            // A list that is asked for again says the same of most songs, and nothing is written.
            "DO UPDATE SET metadata = :metadata, words = :words, changed_at = :now \
             WHERE metadata <> :metadata"
        }
        Overwrite::Alone => {
            "DO UPDATE SET metadata = :metadata, alone = :alone, alone_at = :now, words = :words, \
             changed_at = :now"
        }
    };
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
            ":alone": alone,
            ":words": words.join(" "),
            ":now": now.as_millisecond(),
        })
        .map(drop)
}
