//! Opening the database file.
//!
//! Owns the check whether the file is damaged, and setting a damaged file aside. It deletes none. A large file that was
//! closed in good order is read whole only later, while it is in use: [`Unchecked`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::rows::COLUMNS;
use super::statement::sql;
use super::{Catalog, schema};
use crate::store::error::{StoreError, io};

/// A catalog, and how it was opened.
pub(in crate::store) struct Opened {
    pub(in crate::store) catalog: Catalog,
    pub(in crate::store) news: News,
    /// The part that is not checked yet.
    pub(in crate::store) unchecked: Option<Unchecked>,
}

/// How much of a catalog is checked for damage before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Check {
    /// All of it: it was in use when the service, or the machine, ended.
    Whole,
    /// All of it, unless it is large.
    IfSmall,
}

/// Larger ones (some 5,000 songs) are not read at every start: 200 MB take a third of a second, 2 GB four seconds.
const SMALL_BYTES: u64 = 16 << 20;

/// A catalog that was opened unread.
#[derive(Debug)]
pub(in crate::store) struct Unchecked(PathBuf);

impl Unchecked {
    /// Reads all of it, through a connection of its own, table by table; meanwhile the catalog can be used.
    /// # Errors
    /// It is damaged, or cannot be read.
    pub(in crate::store) fn check(&self) -> Result<(), StoreError> {
        let check = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.0, flags)?;
            let tables: Vec<String> = connection
                .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for table in tables {
                quick_check(&connection, &format!("'{table}'"))?;
            }
            Ok(())
        };
        check().map_err(sql("be read whole"))
    }
}

/// Whether the catalog has songs yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum News {
    /// It was there before.
    None,
    /// It was made new: the files on the drive must be read into it.
    New,
    /// The same, because the earlier one was damaged.
    Damaged { set_aside: PathBuf },
}

impl Catalog {
    /// Opens the database, or makes one; a damaged one is renamed to `kmds.db.damaged-N` and a new one made.
    /// # Errors
    /// [`StoreError::Catalog`] when the file cannot be opened at all or was written by a later release.
    pub(in crate::store) fn open(path: &Path, check: Check) -> Result<Opened, StoreError> {
        let is_large = check == Check::IfSmall && is_large(path);
        let unchecked = is_large.then(|| Unchecked(path.to_owned()));
        match connect(path, !is_large) {
            Ok((connection, found)) => Self::opened(connection, found, None, unchecked),
            Err(error) if is_damage(&error) => {
                let set_aside = set_aside(path)?;
                let (connection, found) = connect(path, true).map_err(sql("be made anew"))?;
                Self::opened(connection, found, Some(set_aside), None)
            }
            Err(error) => Err(sql("be opened")(error)),
        }
    }

    /// Opens the database to look at it: a damaged one stays where it is.
    /// # Errors
    /// As [`Catalog::open`], and when it is damaged.
    pub(in crate::store) fn look(path: &Path) -> Result<Opened, StoreError> {
        match connect(path, !is_large(path)) {
            Ok((connection, found)) => Self::opened(connection, found, None, None),
            Err(error) if is_damage(&error) => Err(StoreError::Catalog {
                what: "be read: it is damaged",
                source: Arc::new(error),
                advice: "; start KMDS: it sets the catalog aside and makes a new one from the sidecars on the drive",
            }),
            Err(error) => Err(sql("be opened")(error)),
        }
    }

    fn opened(
        connection: Connection,
        found: schema::FileContent,
        set_aside: Option<PathBuf>,
        unchecked: Option<Unchecked>,
    ) -> Result<Opened, StoreError> {
        if found == schema::FileContent::Newer {
            let why = "it was written by a later KMDS";
            return Err(StoreError::Catalog {
                what: "be opened",
                source: Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(why)),
                advice: "; install that version, or set another state.dir",
            });
        }
        Ok(Opened {
            catalog: Self { connection },
            unchecked,
            news: match (found, set_aside) {
                (schema::FileContent::Tables, _) => News::None,
                (_, Some(set_aside)) => News::Damaged { set_aside },
                (_, None) => News::New,
            },
        })
    }
}

fn is_large(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > SMALL_BYTES)
}

fn connect(path: &Path, whole: bool) -> Result<(Connection, schema::FileContent), rusqlite::Error> {
    let mut connection = Connection::open(path)?;
    let found = schema::prepare(&mut connection)?;
    if found == schema::FileContent::Tables {
        if whole {
            quick_check(&connection, "1")?;
        }
        connection.prepare(&format!(
            "SELECT {COLUMNS} FROM renditions r, tracks, names, human_names, memory, holds, sums, lists, search"
        ))?;
    }
    Ok((connection, found))
}

/// Reads all of the file, or of one table.
fn quick_check(connection: &Connection, of: &str) -> Result<(), rusqlite::Error> {
    let verdict: String =
        connection.query_row(&format!("PRAGMA quick_check({of})"), [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        Some(verdict),
    ))
}

/// Whether the file is damaged or not a database of KMDS; any other error (no right to open it, a full disk) is not
/// damage.
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
        // The log belongs to the damaged file; a missing log is not an error.
        let _ = std::fs::remove_file(with(suffix));
    }
    Ok(target)
}
