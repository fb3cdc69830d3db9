//! The names that replies gave out: they lead to their song for ever.

use rusqlite::{Connection, named_params};

use super::statement::KeyColumns;
use crate::store::key::Key;

/// Gives both names out: from now on they lead to this key.
pub(super) fn name(
    connection: &Connection,
    canonical: &str,
    human: &str,
    key: &Key,
) -> Result<(), rusqlite::Error> {
    let key = KeyColumns::of(key);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO names (name, site, id, rendition) \
             VALUES (:name, :site, :id, :rendition)",
        )?
        .execute(key.and(named_params! {":name": canonical}).as_slice())?;
    let names = named_params! {":name": human, ":canonical": canonical};
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO human_names (name, canonical, site, id, rendition) \
             VALUES (:name, :canonical, :site, :id, :rendition)",
        )?
        .execute(key.and(names).as_slice())
        .map(drop)
}

/// The same for a name that a later reply will give out; one in use keeps leading where it leads.
pub(super) fn name_once(
    connection: &Connection,
    canonical: &str,
    human: &str,
    key: &Key,
) -> Result<(), rusqlite::Error> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM names WHERE name = ?1")?
        .exists([canonical])?;
    if taken {
        Ok(())
    } else {
        name(connection, canonical, human, key)
    }
}
