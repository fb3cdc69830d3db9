//! The service by itself: memory, and the way to the first audio in round trips.
//!
//! Owns the figures that need nothing but the service and the lab.

use std::path::Path;
use std::time::Duration;

use kmds_lab::{Lab, Site, Song, kib, mib};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::service::Service;
use crate::table::Table;
use crate::{MEGABYTE, RUNS, median};

/// One round trip of the lab: a request, or the set-up of a connection.
const ROUND_TRIP: Duration = Duration::from_millis(40);
const LISTENERS: usize = 200;
/// A slow listener rests so long after each 4 KiB.
pub const PAUSE: Duration = Duration::from_millis(60);

pub async fn idle(binary: &Path, lab: &Lab, table: &mut Table) {
    let mut resident = Vec::new();
    for _ in 0..RUNS {
        let service = Service::start(binary, lab, &[]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        resident.push(service.memory("VmRSS"));
    }
    table.row(
        "resident when idle",
        median(resident) / MEGABYTE,
        "MB",
        Some(8.0),
    );
}

/// Eight downloads, each heard by 25 who read slower than it comes.
pub async fn crowded(binary: &Path, lab: &Lab, table: &mut Table) {
    let (mut most, mut after) = (Vec::new(), Vec::new());
    for run in 0..3 {
        let slots = [
            ("KMDS_YOUTUBE__MAX_DOWNLOADS", "3"),
            ("KMDS_QUEUE__MAX_DOWNLOADS", "8"),
        ];
        let service = Service::start(binary, lab, &slots);
        let mut songs = Vec::new();
        for number in 0..8 {
            let name = format!("crowded-{run}-{number}");
            songs.push(match number % 3 {
                0 => lab
                    .youtube()
                    .video(&name)
                    .size(mib(4))
                    .drips(kib(300))
                    .publish(),
                1 => lab
                    .soundcloud()
                    .track(&name)
                    .seconds(240.0)
                    .drips(kib(300))
                    .publish(),
                _ => lab
                    .bandcamp()
                    .track(&name)
                    .size(mib(4))
                    .drips(kib(300))
                    .publish(),
            });
        }
        let mut paths = Vec::new();
        for song in &songs {
            paths.push(service.fetch(song).await);
        }
        let mut listeners = Vec::new();
        for number in 0..LISTENERS {
            let request = service.get(&format!("{}&stream=1", paths[number % paths.len()]));
            let address = service.address.clone();
            listeners.push(tokio::spawn(async move {
                listen_slowly(&address, &request).await
            }));
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        for listener in listeners {
            assert!(!listener.is_finished(), "a slow listener was cut off");
            listener.abort();
        }
        most.push(service.memory("VmHWM"));
        tokio::time::sleep(Duration::from_secs(5)).await;
        after.push(service.memory("VmRSS"));
    }
    table.row(
        "most resident: 8 downloads, 200 slow listeners",
        median(most) / MEGABYTE,
        "MB",
        Some(22.0),
    );
    table.row(
        "resident 5 s after they left",
        median(after) / MEGABYTE,
        "MB",
        None,
    );
}

/// Reads 64 KiB a second.
async fn listen_slowly(address: &str, request: &str) {
    let mut stream = slow_connection(address).await;
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut block = [0; 4096];
    while stream.read(&mut block).await.is_ok_and(|read| read > 0) {
        tokio::time::sleep(PAUSE).await;
    }
}

/// With a small window, so that what is not read waits in the service.
pub async fn slow_connection(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8192).expect("a small window");
    socket
        .connect(address.parse().expect("an address"))
        .await
        .expect("a connection")
}

pub fn fresh_song(lab: &Lab, site: Site, name: &str) -> Song {
    match site {
        Site::YouTube => lab.youtube().video(name).seconds(20.0).publish(),
        Site::SoundCloud => lab.soundcloud().track(name).seconds(20.0).publish(),
        Site::Bandcamp => lab.bandcamp().track(name).seconds(20.0).publish(),
    }
}

/// Round trips from `POST /fetch` to the first byte of audio, by the clock and by the lab's log.
pub async fn first_byte(binary: &Path, lab: &Lab, site: Site, table: &mut Table) {
    let (mut cold, mut warm, mut asked) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    for run in 0..RUNS {
        let mut times = Vec::new();
        for delay in [Duration::ZERO, ROUND_TRIP] {
            lab.delay_ms(0);
            // A service that knows nothing and has no connection yet; then the same, a song later.
            let service = Service::start(binary, lab, &[]);
            lab.delay_ms(u64::try_from(delay.as_millis()).unwrap_or(0));
            for (turn, name) in ["cold", "warm"].into_iter().enumerate() {
                let song = fresh_song(lab, site, &format!("{name}-{run}-{}", delay.as_millis()));
                lab.forget_requests();
                times.push(service.time_to_audio(&song).await.as_secs_f64());
                let first_media = lab
                    .requests()
                    .iter()
                    .take_while(|seen| seen.kind == kmds_lab::Kind::Page)
                    .count()
                    + 1;
                asked[turn].push((first_media + lab.connections().len()) as f64);
                // Whole before the next one, so that its connections are free again.
                let path = service.fetch(&song).await;
                let mut whole = Vec::new();
                let request = service.get(&format!("{path}&wait=30"));
                service
                    .ask(&request)
                    .await
                    .read_to_end(&mut whole)
                    .await
                    .expect("the whole song");
            }
        }
        let trips = |at: usize| (times[at + 2] - times[at]) / ROUND_TRIP.as_secs_f64();
        cold.push(trips(0));
        warm.push(trips(1));
    }
    lab.delay_ms(0);
    let [asked_cold, asked_warm] = asked;
    let name = site.name();
    table.row(
        &format!("{name}: link to first audio, cold"),
        median(cold),
        "round trips",
        Some(6.0),
    );
    table.row(
        &format!("{name}: requests and connections meanwhile"),
        median(asked_cold),
        "",
        None,
    );
    table.row(
        &format!("{name}: link to first audio, warm"),
        median(warm),
        "round trips",
        Some(4.0),
    );
    table.row(
        &format!("{name}: requests and connections meanwhile"),
        median(asked_warm),
        "",
        None,
    );
}

/// Processor time to serve a gigabyte of a finished file.
pub async fn serving(binary: &Path, lab: &Lab, table: &mut Table) {
    let service = Service::start(binary, lab, &[]);
    let song = lab.bandcamp().track("Large").size(mib(32)).publish();
    let before = service.cpu_seconds();
    let path = service.fetch(&song).await;
    let request = service.get(&format!("{path}&wait=60"));
    let mut sink = vec![0; 256 << 10];
    let mut drain = async || {
        let (mut stream, mut sum) = (service.ask(&request).await, 0.0);
        while let Ok(read @ 1..) = stream.read(&mut sink).await {
            sum += read as f64;
        }
        sum
    };
    let gigabytes = drain().await / 1e9;
    table.row(
        "processor time to download (TLS included)",
        (service.cpu_seconds() - before) / gigabytes,
        "s/GB",
        None,
    );
    let before = service.cpu_seconds();
    let mut served = 0.0;
    for _ in 0..30 {
        served += drain().await;
    }
    table.row(
        "processor time to serve",
        (service.cpu_seconds() - before) / (served / 1e9),
        "s/GB",
        None,
    );
}
