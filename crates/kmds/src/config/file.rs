//! A settings file.
//!
//! Owns reading the file into keys and values: TOML, or the `Root_CFG.json` of the classic service. It does not check
//! the values.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::ConfigError;
use super::value::Value;

/// Dotted keys and their values, each key once.
pub type Given = Vec<(String, Value)>;

/// # Errors
/// [`ConfigError::File`] for a file that cannot be read, [`ConfigError::Twice`] for a key that stands twice.
pub fn read(file: &Path) -> Result<Given, ConfigError> {
    let at = file.display().to_string();
    let unreadable = |why: String| ConfigError::File {
        path: at.clone(),
        why,
    };
    let bytes = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| unreadable(not_utf8(&error)))?;
    // Some editors begin a file with a mark of its encoding.
    let text = text.trim_start_matches('\u{feff}');
    if file.extension().is_some_and(|ext| ext == "json") {
        read_classic(text, &at)
    } else {
        read_toml(text, &at)
    }
}

pub fn read_toml(text: &str, at: &str) -> Result<Given, ConfigError> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::File {
            path: at.to_owned(),
            why: error.to_string(),
        })?;
    let mut given = Vec::new();
    flatten(&table, "", &mut given);
    let mut seen = BTreeSet::new();
    // TOML itself refuses a key that stands twice, but takes `"server.listen"` and `listen` in `[server]` for two.
    match given.iter().find(|(key, _)| !seen.insert(key.as_str())) {
        Some((key, _)) => Err(ConfigError::Twice {
            key: key.clone(),
            from: at.to_owned(),
        }),
        None => Ok(given),
    }
}

/// `{"Debug": false, "WebServer": {"Host": "…", "Port": 60071}}`.
fn read_classic(text: &str, at: &str) -> Result<Given, ConfigError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Classic {
        web_server: WebServer,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct WebServer {
        host: String,
        port: u16,
    }
    let classic: Classic = serde_json::from_str(text).map_err(|error| ConfigError::File {
        path: at.to_owned(),
        why: error.to_string(),
    })?;
    let WebServer { host, port } = classic.web_server;
    let listen = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    Ok(vec![("server.listen".to_owned(), Value::Text(listen))])
}

/// Dotted keys of a nested table.
fn flatten(table: &toml::Table, prefix: &str, given: &mut Given) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(table) => flatten(table, &key, given),
            other => given.push((key, Value::from_toml(other))),
        }
    }
}

/// Whether something of this name exists, even a link to nowhere: a file of settings must not be ignored because it
/// cannot be read. A folder that this user may not enter counts as empty.
pub fn is_there(file: &Path) -> bool {
    std::fs::symlink_metadata(file).is_ok()
}

fn not_utf8(error: &std::string::FromUtf8Error) -> String {
    let valid = error.utf8_error().valid_up_to();
    let before = error.as_bytes().get(..valid).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    format!("line {line} is not UTF-8; save the file in UTF-8")
}
