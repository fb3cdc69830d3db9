//! The entry: an HTTP proxy that ends TLS itself.
//!
//! Owns accepting, `CONNECT`, the handshake and keep-alive. The steps of each request are: answer, note, break, send.
//! Plain requests through the proxy are refused and counted.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::fault::{Fault, Meeting};
use crate::log::Seen;
use crate::send::{After, Sending};
use crate::tls::Authority;
use crate::wire::{Channel, Reply, Request, Wire};
use crate::world::{Shared, Site, place_of};
use crate::{bandcamp, control, soundcloud, youtube};

pub async fn serve(listener: TcpListener, shared: Arc<Shared>, authority: Arc<Authority>) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of file handles, mostly: give them a moment to come back.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        drop(stream.set_nodelay(true));
        let (shared, authority) = (Arc::clone(&shared), Arc::clone(&authority));
        tokio::spawn(async move { drop(connection(stream, from.ip(), &shared, &authority).await) });
    }
}

pub async fn serve_control(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut wire = Wire::new(stream);
            while let Some(request) = wire.next().await {
                let reply = control::answer(&shared, &request);
                let sending = Sending {
                    request: &request,
                    log: &shared.log,
                    number: usize::MAX,
                };
                if !matches!(
                    sending.send(&mut wire, reply, None).await,
                    Ok(After::KeepAlive)
                ) {
                    break;
                }
            }
        });
    }
}

async fn connection(
    stream: TcpStream,
    from: IpAddr,
    shared: &Shared,
    authority: &Authority,
) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    let Some(request) = wire.next().await else {
        return Ok(());
    };
    if request.method != "CONNECT" {
        shared.log.note_plain(&request.target);
        return refuse(&mut wire, 403, "this proxy carries https only").await;
    }
    let host = request
        .target
        .split(':')
        .next()
        .unwrap_or("")
        .to_ascii_lowercase();
    if !request.target.ends_with(":443") {
        shared.log.note_plain(&request.target);
        return refuse(&mut wire, 403, "port 443 only").await;
    }
    shared.log.note_connection(&host);
    delay(shared).await;
    let (site, kind) = place_of(&host);
    let fault = shared.faults.for_connection(&host, site, kind);
    if fault == Some(Fault::DnsFailure) {
        return refuse(&mut wire, 502, "no such host").await;
    }
    wire.channel
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    wire.channel.flush().await?;
    if fault == Some(Fault::TlsError) {
        // Neither a handshake nor an alert.
        wire.channel
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await?;
        return wire.channel.shutdown().await;
    }
    let Some(stream) = wire.into_inner() else {
        return Ok(());
    };
    let config = authority.config_for(&host).map_err(io::Error::other)?;
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let mut wire = Wire::new(stream);
    while let Some(request) = wire.next().await {
        delay(shared).await;
        if exchange(&mut wire, shared, from, &host, request).await? == After::Close {
            break;
        }
    }
    Ok(())
}

async fn refuse<C: Channel>(wire: &mut Wire<C>, status: u16, why: &str) -> io::Result<()> {
    let reply = format!(
        "HTTP/1.1 {status} Refused\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{why}",
        why.len()
    );
    wire.channel.write_all(reply.as_bytes()).await?;
    wire.channel.shutdown().await
}

async fn delay(shared: &Shared) {
    let milliseconds = shared.delay_ms.load(Ordering::Relaxed);
    if milliseconds > 0 {
        sleep(Duration::from_millis(milliseconds)).await;
    }
}

async fn exchange<C: Channel>(
    wire: &mut Wire<C>,
    shared: &Shared,
    from: IpAddr,
    host: &str,
    mut request: Request,
) -> io::Result<After> {
    // One certificate, one host: a request for another name on this connection gets what a real edge would say.
    let reply = if request.host == host {
        answer(shared, &request)
    } else {
        Reply::refusal(421)
    };
    host.clone_into(&mut request.host);
    let (site, kind) = place_of(host);
    let call = Call::of(&request);
    let meeting = Meeting {
        from,
        site,
        kind,
        song: reply.song.as_deref(),
        client: call.client.as_deref(),
    };
    let fault = shared.faults.for_request(&request, &meeting);
    let number = shared.log.note(Seen {
        from,
        site,
        kind,
        method: request.method.clone(),
        host: host.to_owned(),
        path: request.path.clone(),
        query: request.query.clone(),
        range: request.header("range").map(str::to_owned),
        client_name: call.client,
        visitor: call.visitor,
        user_agent: request.header("user-agent").unwrap_or("").to_owned(),
        song: reply.song.clone(),
        status: reply.status,
        fault: fault.as_ref().map(ToString::to_string),
        sent_bytes: 0,
        at: Instant::now(),
    });
    Sending {
        request: &request,
        log: &shared.log,
        number,
    }
    .send(wire, reply, fault)
    .await
}

/// What a YouTube call says of its sender.
#[derive(Default)]
struct Call {
    client: Option<String>,
    visitor: Option<String>,
}

impl Call {
    fn of(request: &Request) -> Self {
        if !request.path.starts_with("/youtubei/") {
            return Self::default();
        }
        let body = request.json().unwrap_or(Value::Null);
        let text = |pointer: &str| {
            body.pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Self {
            client: text("/context/client/clientName"),
            visitor: text("/context/client/visitorData")
                .or_else(|| request.header("x-goog-visitor-id").map(str::to_owned)),
        }
    }
}

fn answer(shared: &Shared, request: &Request) -> Reply {
    match place_of(&request.host).0 {
        Some(Site::YouTube) => youtube::answer(shared, request),
        Some(Site::SoundCloud) => soundcloud::answer(shared, request),
        Some(Site::Bandcamp) => bandcamp::answer(shared, request),
        None => file(shared, request),
    }
}

/// A host that is no site's has the files that were put there, and nothing else.
fn file(shared: &Shared, request: &Request) -> Reply {
    let files = shared.files.lock();
    match files.get(&format!("{}{}", request.host, request.path)) {
        Some(bytes) => Reply::new(200, "application/octet-stream", bytes.clone()),
        None => Reply::not_found(),
    }
}
