//! Exchanges in the shape of the recordings, made up for what was not recorded, and what the field notes say of each.
//!
//! Owns writing them into a folder of the test's own. What is wanted stands beside each case and comes from the notes,
//! never from what the service did.

mod bandcamp;
mod bandcamp_albums;
mod soundcloud;
mod youtube;
mod youtube_lists;

use kmds_lab::Site;
use serde_json::{Value, json};

use super::harness::{Folder, Kmds};
use super::judge_folder;
use super::wanted::{Audio, LeadsTo, Size, Wanted, WantedSong};

/// A folder of exchanges and the expected results of their links, requested in this order.
struct Recordings {
    site: Site,
    folder: Folder,
    written: usize,
    wanted: Vec<Wanted>,
}

impl Recordings {
    fn of(site: Site) -> Self {
        Self {
            site,
            folder: Folder::new(),
            written: 0,
            wanted: Vec::new(),
        }
    }

    fn exchange(&mut self, method: &str, url: &str, asked: Value, status: u16, body: &str) {
        let exchange = json!({
            "request": {"method": method, "url": url, "headers": {}, "body": asked},
            "response": {"status": status, "final_url": url, "headers": {}, "body": body},
        });
        self.write(&exchange);
    }

    fn write(&mut self, exchange: &Value) {
        let path = self.folder.path(&format!("{:04}.json", self.written));
        std::fs::write(path, exchange.to_string()).expect("written");
        self.written += 1;
    }

    fn get(&mut self, url: &str, status: u16, body: &str) {
        self.exchange("GET", url, Value::Null, status, body);
    }

    /// A redirect.
    fn exchange_to(&mut self, url: &str, target: &str) {
        let exchange = json!({
            "request": {"method": "GET", "url": url, "headers": {}, "body": null},
            "response": {"status": 302, "final_url": url, "headers": {"Location": [target]}, "body": ""},
        });
        self.write(&exchange);
    }

    fn want(&mut self, link: &str, leads_to: LeadsTo) {
        self.wanted.push(Wanted {
            site: self.site,
            link: link.to_owned(),
            leads_to,
        });
    }

    async fn judge(self) -> Kmds {
        judge_folder(&self.folder.0, &self.wanted).await
    }
}

fn refused(kind: &str) -> LeadsTo {
    LeadsTo::Refused(kind.to_owned())
}

fn list(places: Vec<Result<WantedSong, String>>) -> LeadsTo {
    LeadsTo::List {
        places,
        truncated: false,
    }
}

/// A song of `seconds` that arrives as it was sent, alone and without album or cover.
fn song(id: &str, title: &str, artist: &str, seconds: f64) -> WantedSong {
    WantedSong {
        id: id.to_owned(),
        title: title.to_owned(),
        artist: Some(artist.to_owned()),
        album: None,
        number: 0,
        total: None,
        seconds: Some(seconds),
        slack: 0.001,
        size: Size::Any,
        cover: None,
        audio: Audio::AsSent,
    }
}

/// The songs at places 1, 2, 3… of a whole.
fn numbered(songs: Vec<Result<WantedSong, String>>) -> Vec<Result<WantedSong, String>> {
    let total = u32::try_from(songs.len()).ok();
    songs
        .into_iter()
        .zip(1..)
        .map(|(song, number)| {
            song.map(|song| WantedSong {
                number,
                total,
                ..song
            })
        })
        .collect()
}
