//! Opening the database file.
//!
//! Owns the judgement whether it is damaged, and setting a damaged one aside. Never deletes one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use super::rows::COLUMNS;
use super::statement::sql;
use super::{Catalog, schema};
use crate::store::error::{StoreError, io};

/// A catalog and how it came about.
pub(in crate::store) struct Opened {
    pub(in crate::store) catalog: Catalog,
    pub(in crate::store) news: News,
}

/// Whether the catalog has songs yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum News {
    /// It was there before.
    None,
    /// It was made: what lies on the drive has to be read in.
    New,
    /// The same, for the one that was there was damaged.
    Damaged { set_aside: PathBuf },
}

impl Catalog {
    /// Opens the database, or makes one; a damaged one is renamed to `kmds.db.damaged-N` and a new one made.
    /// # Errors
    /// [`StoreError::Catalog`] when the file cannot be opened at all or was written by a later release.
    pub(in crate::store) fn open(path: &Path) -> Result<Opened, StoreError> {
        match connect(path) {
            Ok((connection, found)) => Self::opened(connection, found, None),
            Err(error) if is_damage(&error) => {
                let set_aside = set_aside(path)?;
                let (connection, found) = connect(path).map_err(sql("be made anew"))?;
                Self::opened(connection, found, Some(set_aside))
            }
            Err(error) => Err(sql("be opened")(error)),
        }
    }

    fn opened(
        connection: Connection,
        found: schema::Found,
        set_aside: Option<PathBuf>,
    ) -> Result<Opened, StoreError> {
        if found == schema::Found::Newer {
            let why = "it was written by a later KMDS";
            return Err(StoreError::Catalog {
                what: "be opened",
                source: Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(why)),
                advice: "; install that one, or name another state.dir",
            });
        }
        Ok(Opened {
            catalog: Self { connection },
            news: match (found, set_aside) {
                (schema::Found::Tables, _) => News::None,
                (_, Some(set_aside)) => News::Damaged { set_aside },
                (_, None) => News::New,
            },
        })
    }
}

fn connect(path: &Path) -> Result<(Connection, schema::Found), rusqlite::Error> {
    let mut connection = Connection::open(path)?;
    let found = schema::prepare(&mut connection)?;
    if found == schema::Found::Tables {
        let verdict: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some(verdict),
            ));
        }
        connection.prepare(&format!(
            "SELECT {COLUMNS} FROM renditions r, tracks, names, human_names, memory"
        ))?;
    }
    Ok((connection, found))
}

/// Whether the file is no database of ours; anything else (no right to open it, a full disk) is no damage.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::Unknown
                | ErrorCode::TypeMismatch
        )
    )
}

fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let target = (1..)
        .map(|n: u32| with(&format!(".damaged-{n}")))
        .find(|target| !target.exists());
    let target = target.unwrap_or_else(|| with(".damaged"));
    std::fs::rename(path, &target).map_err(io("set the damaged catalog aside"))?;
    for suffix in ["-wal", "-shm"] {
        // What the log holds belongs to the damaged file; a missing one is none.
        let _ = std::fs::remove_file(with(suffix));
    }
    Ok(target)
}
