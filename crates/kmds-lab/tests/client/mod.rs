//! A client of one request a connection, which speaks through the lab's proxy and follows nothing; and the few calls
//! that every test makes.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use kmds_lab::{Lab, Song};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub struct Client {
    proxy: String,
    tls: TlsConnector,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// As many bytes came as `Content-Length` said.
    pub is_whole: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Client {
    pub fn of(lab: &Lab) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(lab.ca_file()).expect("a CA file"))
            .expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let proxy = lab.proxy_url().trim_start_matches("http://").to_owned();
        Self {
            proxy,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    pub async fn get(&self, url: &str) -> Answer {
        self.try_get(url).await.expect("an answer")
    }

    pub async fn try_get(&self, url: &str) -> Option<Answer> {
        self.send("GET", url, "", b"").await
    }

    pub async fn head(&self, url: &str) -> Answer {
        self.send("HEAD", url, "", b"").await.expect("an answer")
    }

    pub async fn get_range(&self, url: &str, range: &str) -> Answer {
        self.send("GET", url, &format!("Range: {range}\r\n"), b"")
            .await
            .expect("an answer")
    }

    pub async fn post(&self, url: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let headers = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        self.send("POST", url, &headers, body.as_bytes())
            .await
            .expect("an answer")
    }

    /// Sends `text` to the proxy as it is; gives the status.
    pub async fn plain(&self, text: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.proxy).await.expect("the proxy");
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("read");
        String::from_utf8_lossy(&answer)
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status")
    }

    async fn send(&self, method: &str, url: &str, headers: &str, body: &[u8]) -> Option<Answer> {
        let rest = url.strip_prefix("https://").expect("https");
        let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut stream = TcpStream::connect(&self.proxy).await.ok()?;
        stream
            .write_all(
                format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes(),
            )
            .await
            .ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        if !head.starts_with(b"HTTP/1.1 200") {
            return None;
        }
        let name = ServerName::try_from(host.to_owned()).expect("a host name");
        let mut stream = self.tls.connect(name, stream).await.ok()?;
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        stream.write_all(body).await.ok()?;
        stream.flush().await.ok()?;
        let mut answer = Vec::new();
        // A cut connection is an error here; what came before it is what counts.
        let mut block = [0; 16 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut block).await {
            answer.extend_from_slice(&block[..count]);
        }
        Some(parse(&answer))
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .expect("a status");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let body = bytes[end + 4..].to_vec();
    let length = headers
        .iter()
        .find(|(name, _)| name == "Content-Length")
        .and_then(|(_, value)| value.parse().ok());
    Answer {
        status,
        headers,
        is_whole: length == Some(body.len()),
        body,
    }
}

/// The body of a YouTube call.
pub fn call(client_name: &str, version: &str, rest: Value) -> Value {
    let mut body = json!({"context": {"client": {"clientName": client_name, "clientVersion": version, "visitorData": "v"}}});
    for (key, value) in rest.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

/// The URL of the AAC stream that VISIONOS is told.
pub async fn aac_url(client: &Client, song: &Song) -> String {
    let body = call("VISIONOS", "1.02", json!({"videoId": song.id()}));
    let answer = client
        .post(
            "https://youtubei.googleapis.com/youtubei/v1/player?prettyPrint=false",
            &body,
        )
        .await
        .json();
    let formats = answer["streamingData"]["adaptiveFormats"]
        .as_array()
        .expect("formats");
    formats
        .iter()
        .find(|format| format["itag"] == 140)
        .expect("itag 140")["url"]
        .as_str()
        .expect("a URL")
        .to_owned()
}

/// Resolves a SoundCloud track and gives the URL of its first format of this protocol.
pub async fn format_url(client: &Client, song: &Song, id: &str, protocol: &str) -> String {
    let resolve = format!(
        "https://api-v2.soundcloud.com/resolve?url={}&client_id={id}",
        song.link()
    );
    let track = client.get(&resolve).await.json();
    let list = track["media"]["transcodings"]
        .as_array()
        .expect("transcodings");
    let one = list
        .iter()
        .find(|t| t["format"]["protocol"] == protocol)
        .expect("the protocol");
    let url = format!("{}?client_id={id}", one["url"].as_str().expect("a URL"));
    client.get(&url).await.json()["url"]
        .as_str()
        .expect("a URL")
        .to_owned()
}

pub async fn client_id(client: &Client) -> String {
    let home = client.get("https://soundcloud.com/").await.text();
    let (_, rest) = home
        .split_once("\"apiClient\",\"data\":{\"id\":\"")
        .expect("hydration");
    rest.split('"').next().expect("an id").to_owned()
}
