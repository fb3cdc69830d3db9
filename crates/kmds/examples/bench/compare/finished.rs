//! A finished file for 1, 16 and 64 clients, beside nginx with sendfile and Python's aiohttp.
//!
//! Owns the other servers, which serve the very file that the service serves, and clients that take bytes and drop
//! them.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kmds_lab::{Lab, Site};
use rustix::net::{RecvFlags, recv};

use super::fetching::large;
use super::{ROUNDS, free_address, program};
use crate::service::{Folder, Service, processor};
use crate::table::{Goal, Table};

const SIZE_BYTES: u64 = 150_000_000;
/// Clients at once, and how often each of them takes the file in one turn.
const CLIENTS: [(usize, usize); 3] = [(1, 12), (16, 1), (64, 1)];
const START: Duration = Duration::from_secs(15);

const AIOHTTP: &str = "\
import sys
from aiohttp import web
app = web.Application()
app.router.add_static('/', sys.argv[1])
web.run_app(app, host='127.0.0.1', port=int(sys.argv[2]), print=None, access_log=None)
";

/// A server under measurement.
struct Server {
    name: &'static str,
    process: String,
    address: String,
    path: String,
}

/// Another server, which ends with this.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor seconds for a gigabyte, and MB a second, of each turn.
#[derive(Default)]
struct Turns {
    processor: Vec<f64>,
    throughput: Vec<f64>,
}

pub async fn measure(binary: &Path, lab: &Lab, table: &mut Table) {
    let folder = Folder::new();
    let cache = folder.join("cache").display().to_string();
    let service = Service::start(binary, lab, &[("KMDS_CACHE__DIR", &cache)]);
    let song = large(lab, Site::Bandcamp, "For many", SIZE_BYTES);
    let path = service.whole(&song).await;
    song.let_go();
    let shelf = folder.join("cache/bandcamp");
    let name = format!("{}.mp3", song.id());
    let mut servers = vec![Server {
        name: "KMDS",
        process: service.id().to_string(),
        address: service.address.clone(),
        path,
    }];
    let mut peers = Vec::new();
    for (peer, started) in [
        ("nginx", nginx(&folder, &shelf)),
        ("aiohttp", aiohttp(&shelf)),
    ] {
        match started {
            Ok((child, address)) => {
                servers.push(Server {
                    name: peer,
                    process: child.0.id().to_string(),
                    address,
                    path: format!("/{name}"),
                });
                peers.push(child);
            }
            Err(why) => table.skip(&format!("finished, beside {peer}"), why),
        }
    }
    for (clients, times) in CLIENTS {
        let mut turns: Vec<Turns> = servers.iter().map(|_| Turns::default()).collect();
        for _ in 0..ROUNDS {
            for (server, turns) in servers.iter().zip(&mut turns) {
                turn(server, clients, times, turns).await;
            }
        }
        show(table, clients, &servers, &turns);
    }
}

fn show(table: &mut Table, clients: usize, servers: &[Server], turns: &[Turns]) {
    let Some((ours, others)) = turns.split_first() else {
        return;
    };
    for (server, theirs) in servers.iter().skip(1).zip(others) {
        let is_nginx = server.name == "nginx";
        table.compare(
            &format!("150 MB for {clients} clients: processor time"),
            &ours.processor,
            (server.name, &theirs.processor),
            "s/GB",
            is_nginx.then_some(Goal::AtMost(1.5)),
        );
        table.compare(
            &format!("150 MB for {clients} clients: throughput"),
            &ours.throughput,
            (server.name, &theirs.throughput),
            "MB/s",
            is_nginx.then_some(Goal::AtLeast(0.9)),
        );
    }
}

async fn turn(server: &Server, clients: usize, times: usize, turns: &mut Turns) {
    let (begun, before) = (Instant::now(), processor(&server.process).0);
    let all: Vec<_> = (0..clients)
        .map(|_| {
            let (address, path) = (server.address.clone(), server.path.clone());
            tokio::task::spawn_blocking(move || {
                (0..times).map(|_| drain(&address, &path)).sum::<u64>()
            })
        })
        .collect();
    let mut bytes = 0;
    for client in all {
        bytes += client.await.expect("a client");
    }
    assert!(
        bytes >= SIZE_BYTES * (clients * times) as u64,
        "{}: {bytes} bytes",
        server.name
    );
    let (seconds, bytes) = (begun.elapsed().as_secs_f64(), bytes as f64);
    turns.throughput.push(bytes / 1e6 / seconds);
    turns
        .processor
        .push((processor(&server.process).0 - before) / (bytes / 1e9));
}

/// Takes what one request brings; the kernel drops the bytes, so that the client costs little.
pub fn drain(address: &str, path: &str) -> u64 {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let (mut block, mut bytes) = (vec![0; 1 << 20], 0);
    while let Ok((_, count @ 1..)) = recv(&stream, &mut block[..], RecvFlags::TRUNC) {
        bytes += count as u64;
    }
    bytes
}

fn nginx(folder: &Path, shelf: &Path) -> Result<(Peer, String), &'static str> {
    let program = program("nginx").ok_or("there is no nginx")?;
    let (at, root, address) = (folder.display(), shelf.display(), free_address());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {at}/{name};\n"))
        .concat();
    let config = folder.join("nginx.conf");
    let text = format!(
        "daemon off;\nmaster_process off;\npid {at}/nginx.pid;\nerror_log {at}/nginx.log;\nevents {{}}\n\
         http {{\naccess_log off;\nsendfile on;\n{temporary}server {{\nlisten {address};\nroot {root};\n}}\n}}\n"
    );
    std::fs::write(&config, text).expect("a file");
    let mut command = Command::new(program);
    command.arg("-e").arg(folder.join("nginx-start.log"));
    started(command.arg("-c").arg(config), address)
}

fn aiohttp(shelf: &Path) -> Result<(Peer, String), &'static str> {
    let missing = "KMDS_TEST_PYTHON names no Python that has aiohttp";
    let python = std::env::var_os("KMDS_TEST_PYTHON").ok_or(missing)?;
    let has = Command::new(&python)
        .args(["-c", "import aiohttp"])
        .stderr(Stdio::null())
        .status();
    if !has.is_ok_and(|status| status.success()) {
        return Err(missing);
    }
    let address = free_address();
    let port = address.rsplit(':').next().unwrap_or_default().to_owned();
    let mut command = Command::new(python);
    command.args(["-c", AIOHTTP]).arg(shelf).arg(port);
    started(&mut command, address)
}

fn started(command: &mut Command, address: String) -> Result<(Peer, String), &'static str> {
    let child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|_| "it does not start")?;
    let peer = Peer(child);
    let begun = Instant::now();
    while TcpStream::connect(&address).is_err() {
        if begun.elapsed() > START {
            return Err("it does not answer");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((peer, address))
}
