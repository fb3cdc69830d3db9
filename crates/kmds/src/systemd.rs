//! Tells the service manager the state of the service (`sd_notify`), by datagrams to the socket in `NOTIFY_SOCKET`.
//!
//! It never fails: without a service manager it does nothing.

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

/// Tells the manager twice in each interval of its watchdog that the runtime still runs; returns at once without a
/// watchdog.
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
