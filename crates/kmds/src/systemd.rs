//! Telling the service manager how we are (`sd_notify`).
//!
//! Owns the one datagram socket of `NOTIFY_SOCKET`. Hides that mostly nobody listens. Never fails: a service without a
//! manager is fine.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// Sends one state line, like `READY=1`.
pub fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let Ok(socket) = UnixDatagram::unbound() else {
        return;
    };
    let sent = match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => send_abstract(&socket, name, state),
        None => socket.send_to(state.as_bytes(), &path).map(drop),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

fn send_abstract(socket: &UnixDatagram, name: &str, state: &str) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

/// Says that the runtime still turns, twice within each of the manager's intervals; returns where none is set.
pub async fn watchdog() {
    let Some(micros) = std::env::var("WATCHDOG_USEC")
        .ok()
        .and_then(|text| text.parse::<u64>().ok())
    else {
        return;
    };
    let mut beat = tokio::time::interval(Duration::from_micros(micros.max(2) / 2));
    loop {
        beat.tick().await;
        notify("WATCHDOG=1");
    }
}
