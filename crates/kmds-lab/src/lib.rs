//! The lab: YouTube, SoundCloud and Bandcamp simulated behind a TLS proxy on loopback, with faults by name.
//!
//! Owns a world that tests and the demo build song by song ([`Lab::youtube`], [`Lab::soundcloud`], [`Lab::bandcamp`])
//! or read from a folder of recorded exchanges ([`Lab::with_recordings`]), the log of every request, and the faults. A
//! test needs to know nothing of certificates, containers and wire formats. The lab does not depend on the service that
//! it tests: it describes the sites a second time, from the field notes, so that one mistake cannot hide in both.
//!
//! ```
//! # use kmds_lab::{Fault, Lab, kib, mib};
//! # async fn story() {
//! let lab = Lab::start().await; // a client needs lab.proxy_url() and lab.ca_file()
//! let song = lab.soundcloud().track("ordinary-days").size(mib(1)).holds_at(kib(256)).publish();
//! lab.inject(Fault::Status(503, None).on_pages().first(2));
//! // … let a client fetch song.link(); its audio stops at 256 KiB …
//! song.release();
//! // … what it ends with must equal song.bytes() …
//! assert_eq!(lab.hits(&song), 1);
//! # }
//! ```
//!
//! | module | owns |
//! | --- | --- |
//! | `audio` | audio of any length in every container |
//! | `world`, `wishes` | songs and what all sites share; what builders can be told |
//! | `youtube`, `soundcloud`, `bandcamp` | one site each |
//! | `script` | player scripts of our own making |
//! | `recordings` | recorded exchanges, made to live again |
//! | `fault`, `send` | the faults: their names, and carrying them out |
//! | `proxy`, `wire`, `tls` | the way in |
//! | `log`, `control` | what was asked; the face for a lab run by hand |

mod altered;
pub mod audio;
pub mod bandcamp;
mod control;
mod demo;
pub mod fault;
pub mod log;
mod proxy;
mod recordings;
pub mod script;
mod search;
mod send;
mod sign;
pub mod soundcloud;
mod tls;
mod wire;
mod wishes;
mod world;
pub mod youtube;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

pub use fault::{Fault, Injected, Injection};
pub use log::{Connection, Kind, Seen};
pub use world::{Site, Song, StreamSpec};

use recordings::load;
use world::Shared;

/// `n` KiB in bytes.
pub const fn kib(n: u64) -> u64 {
    n << 10
}

/// `n` MiB in bytes.
pub const fn mib(n: u64) -> u64 {
    n << 20
}

/// A running lab. Dropping it ends it.
pub struct Lab {
    shared: Arc<Shared>,
    proxy: SocketAddr,
    control: SocketAddr,
    folder: PathBuf,
    /// Dropped with the lab, which ends its thread.
    _stop: oneshot::Sender<()>,
}

/// Requests to count: a song's media, a host, a site, or those a closure picks (see [`Lab::count`]).
pub trait Which {
    fn means(&self, seen: &Seen) -> bool;
}

impl Which for Song {
    fn means(&self, seen: &Seen) -> bool {
        seen.kind == Kind::Media && self.is_meant_by(seen.song.as_deref(), seen.site)
    }
}

impl Which for str {
    fn means(&self, seen: &Seen) -> bool {
        seen.host == self
    }
}

impl Which for Site {
    fn means(&self, seen: &Seen) -> bool {
        seen.site == Some(*self)
    }
}

impl Lab {
    /// A lab with nothing in it yet, on ports of its own.
    ///
    /// # Panics
    /// When the machine gives no loopback port, no thread or no temporary folder: no test can go on then.
    pub async fn start() -> Self {
        Self::begin(None).unwrap_or_else(|why| panic!("the lab does not start: {why}"))
    }

    /// A lab that serves the exchanges recorded in `folder`. More can be published beside them.
    ///
    /// # Panics
    /// As [`Lab::start`], and when the folder cannot be read.
    pub async fn with_recordings(folder: impl AsRef<Path>) -> Self {
        Self::begin(Some(folder.as_ref()))
            .unwrap_or_else(|why| panic!("the lab does not start: {why}"))
    }

    /// The same for a caller outside of an async function.
    ///
    /// # Errors
    /// When the machine gives no loopback port, no thread or no temporary folder, or the recordings cannot be read.
    pub fn begin(recordings: Option<&Path>) -> io::Result<Self> {
        Self::begin_at(Ipv4Addr::LOCALHOST.into(), recordings)
    }

    /// The same at another address of this machine.
    ///
    /// # Errors
    /// As [`Lab::begin`].
    pub fn begin_at(address: IpAddr, recordings: Option<&Path>) -> io::Result<Self> {
        static LABS: AtomicU64 = AtomicU64::new(0);
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_nanos());
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("kmds-lab-{}-{number}-{nanos}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder)?;
        let authority = Arc::new(tls::Authority::new().map_err(io::Error::other)?);
        std::fs::write(folder.join("ca.pem"), authority.pem())?;
        let shared = Arc::new(Shared::new(name));
        if let Some(recordings) = recordings {
            load(&shared, recordings)?;
        }
        let (proxy, control) = (listener(address)?, listener(address)?);
        let addresses = (proxy.local_addr()?, control.local_addr()?);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let serving = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("kmds-lab".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let (Ok(proxy), Ok(control)) = (
                        tokio::net::TcpListener::from_std(proxy),
                        tokio::net::TcpListener::from_std(control),
                    ) else {
                        return;
                    };
                    tokio::select! {
                        () = proxy::serve(proxy, Arc::clone(&serving), authority) => {}
                        () = proxy::serve_control(control, serving) => {}
                        _ = stopped => {}
                    }
                });
                runtime.shutdown_background();
            })?;
        Ok(Self {
            shared,
            proxy: addresses.0,
            control: addresses.1,
            folder,
            _stop: stop,
        })
    }

    /// Fills the lab with the made-up world of the demo; gives its links with what they are.
    pub fn publish_demo_world(&self) -> Vec<(String, String)> {
        demo::publish(self)
    }

    /// `http://127.0.0.1:PORT`, for a client's proxy setting.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy)
    }

    /// The CA that signs every host's certificate, as PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Puts a file on a host that is no site's: `recipes.example/recipes.toml`. What stood there is replaced.
    pub fn serve_file(&self, host_and_path: &str, bytes: impl Into<bytes::Bytes>) {
        let mut files = self.shared.files.lock();
        files.insert(host_and_path.to_owned(), bytes.into());
    }

    pub fn remove_file(&self, host_and_path: &str) {
        self.shared.files.lock().remove(host_and_path);
    }

    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    pub fn youtube(&self) -> youtube::YouTube {
        youtube::YouTube(Arc::clone(&self.shared))
    }

    pub fn soundcloud(&self) -> soundcloud::SoundCloud {
        soundcloud::SoundCloud(Arc::clone(&self.shared))
    }

    pub fn bandcamp(&self) -> bandcamp::Bandcamp {
        bandcamp::Bandcamp(Arc::clone(&self.shared))
    }

    /// A song by its id: made up or recorded.
    pub fn song(&self, site: Site, id: &str) -> Option<Song> {
        self.shared.song(site, id)
    }

    pub fn songs(&self) -> Vec<Song> {
        self.shared.songs()
    }

    /// Puts a fault in force.
    pub fn inject(&self, injection: impl Into<Injection>) -> Injected {
        self.shared.faults.add(injection.into())
    }

    /// Lets each address ask for audio so often in each window of time, as sites do; `clear_faults` ends it.
    pub fn limit_each_address(&self, requests: u32, window: Duration) {
        self.shared.faults.limit(requests, window);
    }

    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Adds this to every request head and every connection set-up.
    pub fn delay_ms(&self, milliseconds: u64) {
        self.shared.delay_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Moves the lab's clock ahead: URLs grow old.
    pub fn advance(&self, by: Duration) {
        self.shared.advance(by.as_secs());
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.log.all()
    }

    /// How many requests came in for the media of a song, to a host, or to a site.
    pub fn hits<W: Which + ?Sized>(&self, which: &W) -> usize {
        self.shared.log.count(|seen| which.means(seen))
    }

    pub fn count(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.shared.log.count(wanted)
    }

    /// Pages, scripts and API calls of a site.
    pub fn page_requests(&self, site: Site) -> usize {
        self.count(|seen| seen.site == Some(site) && seen.kind == Kind::Page)
    }

    /// Requests for the audio of the song with this id, playlists and segments included.
    pub fn media_requests(&self, id: &str) -> usize {
        self.count(|seen| seen.kind == Kind::Media && seen.song.as_deref() == Some(id))
    }

    /// Body bytes of the song's audio that went out, repeated ones counted again.
    pub fn media_bytes_sent(&self, id: &str) -> u64 {
        self.shared
            .log
            .sent_bytes(|seen| seen.kind == Kind::Media && seen.song.as_deref() == Some(id))
    }

    /// Every connection that was asked of the proxy.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.log.connections()
    }

    /// Targets of requests that were not a `CONNECT` to port 443, and so were refused.
    pub fn refused(&self) -> Vec<String> {
        self.shared.log.plain()
    }

    pub fn forget_requests(&self) {
        self.shared.log.clear();
    }

    /// Waits until the log satisfies `wanted`; looks again whenever a request or some bytes of a body are noted.
    pub async fn until(&self, wanted: impl Fn(&[Seen]) -> bool) {
        let mut grown = self.shared.log.watch();
        loop {
            grown.mark_unchanged();
            if wanted(&self.shared.log.all()) || grown.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn listener(address: IpAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((address, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
