//! 200 listeners of a growing file, beside the same 200 when it is finished.
//!
//! Owns two paces at which the site sends. The download itself is in the first figure; it is a two-hundredth of the
//! bytes.

use std::path::Path;

use kmds_lab::{Lab, kib, mib};

use super::finished::drain;
use crate::service::Service;
use crate::table::{Goal, Table};

const LISTENERS: usize = 200;
/// Turns of which the median counts; each waits for the site.
const ROUNDS: usize = 3;
/// Bytes a second from the site, and bytes in all.
const PACES: [(&str, u64, u64); 2] = [
    ("4 MiB/s", mib(4), mib(24)),
    ("400 KiB/s", kib(400), mib(3)),
];

pub async fn measure(binary: &Path, lab: &Lab, table: &mut Table) {
    let service = Service::start(binary, lab, &[]);
    for (name, pace, size) in PACES {
        let (mut growing, mut finished) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let title = format!("heard {name} {round}");
            let song = lab
                .bandcamp()
                .track(&title)
                .size(size)
                .drips(pace)
                .publish();
            let _ = song.len();
            let path = service.fetch(&song).await;
            growing.push(heard(&service, &path, size).await);
            finished.push(heard(&service, &path, size).await);
        }
        table.compare(
            &format!("200 listeners of a growing file, {name}: processor time"),
            &growing,
            ("finished", &finished),
            "s/GB",
            Some(Goal::AtMost(1.5)),
        );
    }
}

/// Processor seconds for a gigabyte that is heard.
async fn heard(service: &Service, path: &str, size: u64) -> f64 {
    let before = service.cpu_seconds();
    let all: Vec<_> = (0..LISTENERS)
        .map(|_| {
            let (address, path) = (service.address.clone(), format!("{path}&stream=1"));
            tokio::task::spawn_blocking(move || drain(&address, &path))
        })
        .collect();
    let mut bytes = 0;
    for listener in all {
        bytes += listener.await.expect("a listener");
    }
    assert!(bytes >= size * LISTENERS as u64, "{bytes} bytes were heard");
    (service.cpu_seconds() - before) / (bytes as f64 / 1e9)
}
