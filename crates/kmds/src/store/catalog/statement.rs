//! What the statements share: how a row is named, what makes a copy, how a change is written.

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, ErrorCode, ToSql, named_params};

use crate::store::error::StoreError;
use crate::store::key::Key;

/// The row of one key; [`KeyColumns`] gives the values.
pub(super) const OF_KEY: &str = "site = :site AND id = :id AND rendition = :rendition";

/// The condition for the row of a copy: [`Key::slug`] ends the names of copies so.
pub(super) const IS_COPY: &str = "rendition LIKE '%.r'";

/// Sets a row's failure to none.
pub(super) const NO_FAILURE: &str = "failure_kind = NULL, failure_sentence = NULL, \
     failure_retryable = NULL, failed_at = NULL";

pub(super) const NEXT_ORDER: &str = "(SELECT COALESCE(MAX(queue_order), 0) + 1 FROM renditions)";

/// Every statement of the catalog comes from here, prepared once. None of them may walk a large table: the tests ask
/// SQLite for the plan of each (`catalog/plans.rs`).
#[cfg_attr(test, track_caller)]
pub(super) fn prepare<'c>(
    connection: &'c Connection,
    statement: &str,
) -> Result<CachedStatement<'c>, rusqlite::Error> {
    #[cfg(test)]
    super::plans::note(statement);
    connection.prepare_cached(statement)
}

/// Parameters by name.
pub(super) type Named<'v> = [(&'static str, &'v dyn ToSql)];

/// A key as values of the catalog's columns.
pub(super) struct KeyColumns<'k> {
    site: &'static str,
    id: &'k str,
    rendition: String,
}

impl<'k> KeyColumns<'k> {
    pub(super) fn of(key: &'k Key) -> Self {
        Self {
            site: key.track().site().as_str(),
            id: key.track().id(),
            rendition: key.slug(),
        }
    }

    /// `:site`, `:id` and `:rendition`, and `more`.
    pub(super) fn and<'v>(&'v self, more: &Named<'v>) -> Vec<(&'static str, &'v dyn ToSql)> {
        let own: &Named<'v> = named_params! {
            ":site": self.site,
            ":id": self.id,
            ":rendition": self.rendition,
        };
        [own, more].concat()
    }
}

/// Changes the row of a key if `only_if` is true for it. Returns whether there was one.
#[cfg_attr(test, track_caller)]
pub(super) fn update(
    connection: &Connection,
    key: &Key,
    set: &str,
    only_if: &str,
    values: &Named<'_>,
) -> Result<bool, rusqlite::Error> {
    let statement = format!("UPDATE renditions SET {set} WHERE {OF_KEY} AND {only_if}");
    let key = KeyColumns::of(key);
    let changed = prepare(connection, &statement)?.execute(key.and(values).as_slice())?;
    Ok(changed > 0)
}

/// Adds the operation to an error of the catalog. A full drive is recognised here, once.
pub(super) fn sql(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| {
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => return StoreError::StateFull,
            Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                "; check the drive of state.dir, and try again"
            }
            _ => "",
        };
        StoreError::Catalog {
            what,
            source: Arc::new(error),
            advice,
        }
    }
}
