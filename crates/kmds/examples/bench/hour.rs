//! Memory over a long time: eight downloads under way all the time, and 200 listeners that read slower than the songs
//! come.
//!
//! Owns the samples, which stay in a file, and the figures made of them. A download that is whole is followed by the
//! next at once; a listener that has heard its song takes the one that arrives now. The cache is small, so that songs
//! are evicted, too.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kmds_lab::{Lab, Song, kib, mib};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

use crate::own::{PAUSE, slow_connection};
use crate::service::Service;
use crate::table::Table;
use crate::{MEGABYTE, median};

const DOWNLOADS: usize = 8;
const LISTENERS: usize = 200;
const SAMPLE: Duration = Duration::from_secs(10);
const SETTINGS: [(&str, &str); 3] = [
    ("KMDS_YOUTUBE__MAX_DOWNLOADS", "3"),
    ("KMDS_QUEUE__MAX_DOWNLOADS", "8"),
    ("KMDS_CACHE__MAX_BYTES", "1000000000"),
];

/// What the downloads and the listeners tell each other and the samples.
#[derive(Default)]
struct Crowd {
    /// The song that each download brings, by its path and its length.
    now: RefCell<Vec<Option<(String, u64)>>>,
    downloading: Cell<usize>,
    downloaded: Cell<u64>,
    listening: Cell<usize>,
    heard: Cell<u64>,
    cut: Cell<u64>,
}

pub async fn measure(binary: &Path, lab: &Lab, minutes: f64, table: &mut Table) {
    let service = Service::start(binary, lab, &SETTINGS);
    let crowd = Rc::new(Crowd::default());
    crowd.now.borrow_mut().resize(DOWNLOADS, None);
    let service = Rc::new(service);
    let all = LocalSet::new();
    let samples = all
        .run_until(async {
            for place in 0..DOWNLOADS {
                let songs = endless_songs(lab, place);
                tokio::task::spawn_local(download(service.clone(), crowd.clone(), place, songs));
            }
            for number in 0..LISTENERS {
                tokio::task::spawn_local(listen(service.clone(), crowd.clone(), number));
            }
            sample(lab, &service, &crowd, minutes).await
        })
        .await;
    show(&samples, &crowd, service.memory("VmHWM"), minutes, table);
}

/// Songs of the site of this place, each another.
fn endless_songs(lab: &Lab, place: usize) -> impl FnMut() -> Song + use<> {
    let (youtube, soundcloud, bandcamp) = (lab.youtube(), lab.soundcloud(), lab.bandcamp());
    let mut number = 0;
    move || {
        number += 1;
        let name = format!("hour-{place}-{number}");
        match place % 3 {
            0 => youtube.video(&name).size(mib(4)).drips(kib(300)).publish(),
            1 => soundcloud
                .track(&name)
                .seconds(240.0)
                .drips(kib(300))
                .publish(),
            _ => bandcamp.track(&name).size(mib(4)).drips(kib(300)).publish(),
        }
    }
}

async fn download(
    service: Rc<Service>,
    crowd: Rc<Crowd>,
    place: usize,
    mut next: impl FnMut() -> Song,
) {
    loop {
        let song = next();
        let length = song.len();
        let path = service.fetch(&song).await;
        crowd.now.borrow_mut()[place] = Some((path, length));
        crowd.downloading.update(|count| count + 1);
        service.whole(&song).await;
        crowd.downloading.update(|count| count - 1);
        crowd.downloaded.update(|count| count + 1);
        song.let_go();
    }
}

async fn listen(service: Rc<Service>, crowd: Rc<Crowd>, number: usize) {
    loop {
        let now = crowd.now.borrow()[number % DOWNLOADS].clone();
        let Some((path, length)) = now else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let request = service.get(&format!("{path}&stream=1"));
        let mut stream = slow_connection(&service.address).await;
        let mut received = 0;
        let mut block = [0; 4096];
        if stream.write_all(request.as_bytes()).await.is_ok() {
            crowd.listening.update(|count| count + 1);
            while let Ok(read @ 1..) = stream.read(&mut block).await {
                received += read as u64;
                tokio::time::sleep(PAUSE).await;
            }
            crowd.listening.update(|count| count - 1);
        }
        let counted = if received < length {
            &crowd.cut
        } else {
            &crowd.heard
        };
        counted.update(|count| count + 1);
    }
}

/// Resident bytes, every ten seconds.
async fn sample(lab: &Lab, service: &Service, crowd: &Crowd, minutes: f64) -> Vec<f64> {
    let name = format!("kmds-bench-hour-{}.csv", std::process::id());
    let file = std::env::temp_dir().join(name);
    let mut lines = std::fs::File::create(&file).expect("a file");
    println!("hour: samples in {}", file.display());
    writeln!(
        lines,
        "seconds,VmRSS,VmHWM,processor,downloading,listening,downloaded,heard,cut"
    )
    .expect("written");
    let (begun, mut resident) = (Instant::now(), Vec::new());
    while begun.elapsed().as_secs_f64() < minutes * 60.0 {
        tokio::time::sleep(SAMPLE).await;
        lab.forget_requests();
        resident.push(service.memory("VmRSS"));
        writeln!(
            lines,
            "{:.0},{},{},{:.2},{},{},{},{},{}",
            begun.elapsed().as_secs_f64(),
            service.memory("VmRSS"),
            service.memory("VmHWM"),
            service.cpu_seconds(),
            crowd.downloading.get(),
            crowd.listening.get(),
            crowd.downloaded.get(),
            crowd.heard.get(),
            crowd.cut.get()
        )
        .expect("written");
    }
    resident
}

fn show(samples: &[f64], crowd: &Crowd, most: f64, minutes: f64, table: &mut Table) {
    let quarter = (samples.len() / 4).max(1);
    let first = median(samples[..quarter].to_vec()) / MEGABYTE;
    let last = median(samples[samples.len() - quarter..].to_vec()) / MEGABYTE;
    println!(
        "hour: {} songs downloaded, {} heard, {} cut off",
        crowd.downloaded.get(),
        crowd.heard.get(),
        crowd.cut.get()
    );
    let of = format!("8 downloads and 200 slow listeners for {minutes} minutes");
    table.row(
        &format!("most resident: {of}"),
        most / MEGABYTE,
        "MB",
        Some(20.0),
    );
    table.row("resident, first quarter's median", first, "MB", None);
    table.row("resident, last quarter's median", last, "MB", None);
    table.row(
        "resident, last quarter against the first",
        last / first,
        "times",
        Some(1.05),
    );
    table.row(
        "slope of a straight line through all samples",
        slope(samples) / MEGABYTE,
        "MB/h",
        None,
    );
    let cut = crowd.cut.get() as f64;
    table.row("listeners that were cut off", cut, "", Some(0.0));
}

/// By least squares, an hour.
fn slope(samples: &[f64]) -> f64 {
    let count = samples.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, samples.iter().sum::<f64>() / count);
    let (mut above, mut below) = (0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        let apart = at as f64 - middle;
        above += apart * (sample - mean);
        below += apart * apart;
    }
    above / below * 3600.0 / SAMPLE.as_secs_f64()
}
