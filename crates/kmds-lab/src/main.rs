//! `kmds-lab`: the simulated sites, for a person who runs them by hand.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use kmds_lab::Lab;

/// YouTube, SoundCloud and Bandcamp, simulated on this machine: an HTTPS proxy on loopback, with faults.
///
/// Prints where it is (proxy, ca, control), the links it has, and `ready`. Point a client's proxy at it and let the
/// client trust the CA file; `curl CONTROL/` tells what can be asked and broken.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Serve the exchanges recorded in this folder instead of a made-up world.
    #[arg(long, value_name = "DIR")]
    recordings: Option<PathBuf>,
    /// The made-up world: `demo`, or `empty`. Without --recordings, `demo`.
    #[arg(long, value_enum)]
    world: Option<World>,
    /// Milliseconds added to each request and each connection set-up.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// The address to listen on: for clients in other networks of this machine.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen: std::net::IpAddr,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum World {
    Demo,
    Empty,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let lab = Lab::begin_at(arguments.listen, arguments.recordings.as_deref())?;
    lab.delay_ms(arguments.delay);
    let mut out = std::io::stdout();
    writeln!(out, "proxy {}", lab.proxy_url())?;
    writeln!(out, "ca {}", lab.ca_file().display())?;
    writeln!(out, "control {}", lab.control_url())?;
    let world = arguments
        .world
        .unwrap_or(if arguments.recordings.is_some() {
            World::Empty
        } else {
            World::Demo
        });
    if world == World::Demo {
        for (what, link) in lab.publish_demo_world() {
            writeln!(out, "link {link} {what}")?;
        }
    } else {
        for song in lab.songs() {
            writeln!(out, "link {} {}", song.link(), song.title())?;
        }
    }
    writeln!(out, "ready")?;
    out.flush()?;
    wait_for_the_end()
}

/// Until the process is told to stop.
fn wait_for_the_end() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminated =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => stopped,
            _ = terminated.recv() => Ok(()),
        }
    })
}
