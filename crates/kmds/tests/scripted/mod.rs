//! Sites that answer by a script: a TLS-ending proxy on loopback whose every answer one test decides.
//!
//! For promises about single exchanges (which range, how many tries); whole sites are the lab's business.
//! Reached like any operator's proxy, by its address and its certificate.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kmds::origin::{Client, ClientConfig, EgressConfig, SharedRecipes};
use kmds_extract::Recipes;
use parking_lot::Mutex;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const NAMES: [&str; 9] = [
    "www.youtube.com",
    "youtubei.googleapis.com",
    "*.googlevideo.com",
    "i.ytimg.com",
    "api-v2.soundcloud.com",
    "soundcloud.com",
    "*.sndcdn.com",
    "bandcamp.com",
    "*.bcbits.com",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// `https://host/path?query`
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn range(&self) -> &str {
        self.header("range").unwrap_or("-")
    }
}

/// What goes back. `sent` bytes of the body are sent, then `end`.
#[derive(Debug, Clone)]
pub struct Answer {
    head: String,
    body: Vec<u8>,
    sent: usize,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    KeepAlive,
    Close,
    Silence,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = format!(
            "HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n",
            body.len()
        );
        Self {
            head,
            sent: body.len(),
            body,
            end: End::KeepAlive,
        }
    }

    /// The answer to a range request for a file, as RFC 9110 has it.
    pub fn of_file(file: &[u8], asked: &Asked) -> Self {
        let Some(range) = asked
            .header("range")
            .and_then(|range| range.strip_prefix("bytes="))
        else {
            return Self::new(200, file);
        };
        let (first, last) = range.split_once('-').expect("range");
        let first: usize = first.parse().expect("first byte");
        let last = last.parse().unwrap_or(usize::MAX).min(file.len() - 1);
        if first >= file.len() {
            return Self::new(416, "").with("content-range", &format!("bytes */{}", file.len()));
        }
        Self::new(206, &file[first..=last]).with(
            "content-range",
            &format!("bytes {first}-{last}/{}", file.len()),
        )
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// The connection closes after this many bytes of the body.
    pub fn cut_at(mut self, bytes: usize) -> Self {
        (self.sent, self.end) = (bytes.min(self.body.len()), End::Close);
        self
    }

    /// Nothing follows after this many bytes of the body.
    pub fn silent_at(mut self, bytes: usize) -> Self {
        (self.sent, self.end) = (bytes.min(self.body.len()), End::Silence);
        self
    }

    /// Not even a head.
    pub fn nothing() -> Self {
        Self {
            head: String::new(),
            body: Vec::new(),
            sent: 0,
            end: End::Silence,
        }
    }

    pub fn raw(head: String) -> Self {
        Self {
            head,
            body: Vec::new(),
            sent: 0,
            end: End::Close,
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Script = dyn Fn(usize, Asked) -> Answering + Send + Sync;

/// What happened so far.
#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<Asked>>,
    /// Host and the client's address of each connection.
    connections: Mutex<Vec<(String, IpAddr)>>,
    open: AtomicUsize,
    /// Connections to this host are closed as soon as they are made.
    hung_up_on: Mutex<Option<String>>,
}

pub struct Scripted {
    address: String,
    ca_file: PathBuf,
    seen: Arc<Seen>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
        let _ = std::fs::remove_file(&self.ca_file);
    }
}

impl Scripted {
    /// `script` gets the number of the request, from 0, and the request.
    pub async fn start(script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_async(move |number, asked| {
            let answer = script(number, &asked);
            Box::pin(async move { answer })
        })
        .await
    }

    pub async fn start_async(
        script: impl Fn(usize, Asked) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let made =
            rcgen::generate_simple_self_signed(NAMES.map(str::to_owned)).expect("certificate");
        let ca_file = std::env::temp_dir().join(format!("kmds-scripted-{}.pem", unique()));
        std::fs::write(&ca_file, made.cert.pem()).expect("written");
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address").to_string();
        let seen: Arc<Seen> = Arc::default();
        let script: Arc<Script> = Arc::new(script);
        let noted = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, script, seen) =
                    (acceptor.clone(), Arc::clone(&script), Arc::clone(&noted));
                tokio::spawn(async move {
                    seen.open.fetch_add(1, Ordering::Relaxed);
                    drop(connection(stream, &acceptor, &*script, &seen).await);
                    seen.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self {
            address,
            ca_file,
            seen,
            server,
        }
    }

    pub fn client(&self, recipes: &Recipes) -> Client {
        self.client_from(recipes, None)
    }

    pub fn client_from(&self, recipes: &Recipes, source_address: Option<IpAddr>) -> Client {
        let egress = EgressConfig {
            proxy: Some(format!("http://{}", self.address)),
            ca_file: Some(self.ca_file.clone()),
            source_address,
            ..EgressConfig::default()
        };
        Client::new(
            &ClientConfig {
                egress,
                ..ClientConfig::default()
            },
            SharedRecipes::new(recipes.clone()),
        )
        .expect("settings")
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.seen.asked.lock().clone()
    }

    /// Host and the client's address of each connection so far.
    pub fn connections(&self) -> Vec<(String, IpAddr)> {
        self.seen.connections.lock().clone()
    }

    pub fn hosts(&self) -> Vec<String> {
        self.connections()
            .into_iter()
            .map(|(host, _)| host)
            .collect()
    }

    /// Connections that the client keeps open.
    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::Relaxed)
    }

    pub fn hang_up_on(&self, host: Option<&str>) {
        *self.seen.hung_up_on.lock() = host.map(str::to_owned);
    }

    pub fn ranges(&self) -> Vec<String> {
        self.asked()
            .iter()
            .map(|asked| asked.range().to_owned())
            .collect()
    }
}

/// Recipes with pauses too short to notice.
pub fn fast_recipes() -> Recipes {
    let text = "[time]\nmetadata_request = 0.6\nretry_pauses = [0.001]\naudio_pauses = [0.001]\naudio_stall = 0.6\n\
                [bandcamp.hosts]\npace = 0.0\n";
    Recipes::over_built_in(text).expect("recipes").0
}

fn unique() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

async fn connection(
    mut stream: TcpStream,
    acceptor: &TlsAcceptor,
    script: &Script,
    seen: &Seen,
) -> io::Result<()> {
    let Some(connect) = read_request(&mut stream, "").await? else {
        return Ok(());
    };
    let host = connect
        .url
        .trim_start_matches("https://")
        .trim_end_matches(":443")
        .to_owned();
    let peer = stream.peer_addr()?.ip();
    seen.connections.lock().push((host.clone(), peer));
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    let mut stream = acceptor.accept(stream).await?;
    if seen.hung_up_on.lock().as_ref() == Some(&host) {
        return stream.shutdown().await;
    }
    while let Some(asked) = read_request(&mut stream, &host).await? {
        let number = {
            let mut noted = seen.asked.lock();
            noted.push(asked.clone());
            noted.len() - 1
        };
        let answer = script(number, asked).await;
        if !answer.head.is_empty() {
            stream.write_all(answer.head.as_bytes()).await?;
            stream.write_all(b"\r\n").await?;
        }
        stream.write_all(&answer.body[..answer.sent]).await?;
        stream.flush().await?;
        match answer.end {
            End::KeepAlive => {}
            End::Close => break,
            End::Silence => {
                // Until the client has had enough.
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                break;
            }
        }
    }
    let _ = stream.shutdown().await;
    Ok(())
}

async fn read_request<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
) -> io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (
        first.next().unwrap_or_default(),
        first.next().unwrap_or_default(),
    );
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut asked = Asked {
        method: method.to_owned(),
        url: format!("https://{host}{target}"),
        headers,
        body: Vec::new(),
    };
    let length = asked
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    asked.body = vec![0; length];
    stream.read_exact(&mut asked.body).await?;
    Ok(Some(asked))
}
