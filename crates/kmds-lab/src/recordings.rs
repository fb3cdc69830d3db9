//! A folder of recorded exchanges, read into the three sites.
//!
//! Owns the file format. Each site knows the meaning of its exchanges. It does not write to the folder.

use std::io;
use std::path::Path;

use serde_json::Value;

use crate::world::Shared;
use crate::{bandcamp, soundcloud, youtube};

/// One recorded request and its answer.
pub struct Exchange {
    pub host: String,
    pub path: String,
    pub query: String,
    pub request_body: Value,
    pub status: u16,
    pub body: String,
    /// `Location`, else where the recorder ended up.
    pub leads_to: String,
}

impl Exchange {
    pub fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }

    fn parse(text: &str) -> Option<Self> {
        let recorded: Value = serde_json::from_str(text).ok()?;
        let url = url::Url::parse(recorded["request"]["url"].as_str()?).ok()?;
        let path = percent_encoding::percent_decode_str(url.path())
            .decode_utf8_lossy()
            .into_owned();
        let sent = &recorded["request"]["body"];
        Some(Self {
            host: url.host_str()?.to_owned(),
            path,
            query: url.query().unwrap_or("").to_owned(),
            request_body: match sent {
                Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
                other => other.clone(),
            },
            status: u16::try_from(recorded["response"]["status"].as_u64()?).ok()?,
            body: recorded["response"]["body"].as_str()?.to_owned(),
            leads_to: location(&recorded["response"]),
        })
    }
}

fn location(response: &Value) -> String {
    let headers = response["headers"].as_object();
    let named = headers.and_then(|headers| {
        headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("location"))
    });
    let told = named.and_then(|(_, values)| values.as_str().or_else(|| values.get(0)?.as_str()));
    told.or_else(|| response["final_url"].as_str())
        .unwrap_or_default()
        .to_owned()
}

/// Reads every `.json` under `folder` into `shared`; gives how many exchanges there were.
pub fn load(shared: &Shared, folder: &Path) -> io::Result<usize> {
    let mut exchanges = Vec::new();
    read_into(folder, &mut exchanges)?;
    youtube::load(shared, &exchanges);
    soundcloud::load(shared, &exchanges);
    bandcamp::load(shared, &exchanges);
    Ok(exchanges.len())
}

fn read_into(folder: &Path, exchanges: &mut Vec<Exchange>) -> io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            read_into(&path, exchanges)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            exchanges.extend(Exchange::parse(&std::fs::read_to_string(&path)?));
        }
    }
    Ok(())
}
