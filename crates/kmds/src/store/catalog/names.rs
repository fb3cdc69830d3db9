//! The names in replies: each leads to its song for ever.

use rusqlite::{Connection, named_params};

use super::statement::{KeyColumns, prepare};
use crate::store::key::Key;

/// Records both names: from now on they lead to this key. Most lead there already, and are not written again.
pub(super) fn name(
    connection: &Connection,
    canonical: &str,
    human: &str,
    key: &Key,
) -> Result<(), rusqlite::Error> {
    let key = KeyColumns::of(key);
    prepare(
        connection,
        "INSERT INTO names (name, site, id, rendition) VALUES (:name, :site, :id, :rendition) \
         ON CONFLICT DO UPDATE SET site = :site, id = :id, rendition = :rendition \
         WHERE (site, id, rendition) <> (:site, :id, :rendition)",
    )?
    .execute(key.and(named_params! {":name": canonical}).as_slice())?;
    let names = named_params! {":name": human, ":canonical": canonical};
    prepare(
        connection,
        "INSERT INTO human_names (name, canonical, site, id, rendition) \
         VALUES (:name, :canonical, :site, :id, :rendition) \
         ON CONFLICT DO UPDATE SET site = :site, id = :id, rendition = :rendition \
         WHERE (site, id, rendition) <> (:site, :id, :rendition)",
    )?
    .execute(key.and(names).as_slice())
    .map(drop)
}

/// The same for a name in a later reply; a name in use keeps its song.
pub(super) fn name_once(
    connection: &Connection,
    canonical: &str,
    human: &str,
    key: &Key,
) -> Result<(), rusqlite::Error> {
    let taken = prepare(connection, "SELECT 1 FROM names WHERE name = ?1")?.exists([canonical])?;
    if taken {
        Ok(())
    } else {
        name(connection, canonical, human, key)
    }
}
