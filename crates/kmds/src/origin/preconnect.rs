//! Connections opened in advance: while KMDS asks one host of a site, it connects to the host that comes next.
//!
//! Owns the choice of the host, keeping its connection until a request takes it, and closing it if none does: one task
//! for each such connection, limited by `time.connect`. The HTTP library connects only for requests. So a second
//! client, built like the first, starts a request that is never sent: its connection is handed to the first client, and
//! the library gets an error. Nothing else is sent, and the flow of the site decides which host comes next.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower::BoxError;
use tower::util::MapFutureLayer;

use super::error;
use super::url::MediaUrl;

/// How long an idle connection is sure to be open. Sites close idle ones after a time that they do not tell.
const SURELY_OPEN: Duration = Duration::from_secs(30);

/// A connector of the library at work; `C` is its connection, a type without a public name.
type Connecting<C> = Pin<Box<dyn Future<Output = Result<C, BoxError>> + Send>>;
/// How a request asks for the connection that was opened for its host.
type Call = oneshot::Sender<Box<dyn Any + Send>>;

tokio::task_local! {
    /// The requested host, since the library does not tell its connectors.
    static ASKED: String;
    /// The channel on which a request asks for a connection opened ahead.
    static CALLS: Cell<Option<oneshot::Receiver<Call>>>;
}

/// The clients of one way out, equal except for what they do with a connection.
pub(super) struct Clients {
    /// Sends requests.
    pub(super) asking: reqwest::Client,
    /// Only connects. Its limit for connecting holds for keeping the connection too.
    pub(super) opening: reqwest::Client,
    pub(super) known: KnownHosts,
}

impl Clients {
    /// Sends a request to `to`. Meanwhile connects to `next`, unless that host was asked or connected to lately.
    pub(super) async fn send(
        &self,
        request: reqwest::RequestBuilder,
        to: &MediaUrl,
        next: Option<&MediaUrl>,
    ) -> reqwest::Result<reqwest::Response> {
        self.known.note(to.host());
        if let Some(next) = next
            && let Some(calls) = self.known.expect(next.host())
        {
            let opening = CALLS.scope(
                Cell::new(Some(calls)),
                self.opening.get(next.clone().into_url()).send(),
            );
            let host = next.host().to_owned();
            tokio::spawn(async move {
                if let Err(end) = opening.await {
                    tracing::debug!(host, "opened ahead: {}", outcome(&end));
                }
            });
        }
        ASKED.scope(to.host().to_owned(), request.send()).await
    }
}

/// What happened to a connection that was opened in advance; the library gets an error in every case.
fn outcome(end: &reqwest::Error) -> String {
    if end.is_timeout() {
        return "not connected, or not called for, within time.connect".to_owned();
    }
    error::reason(end).replace("no connection: ", "")
}

/// The hosts that were asked or connected to lately, that is within [`SURELY_OPEN`]: one of their connections is still
/// open. After that time one may still be open, but a second connection costs no time, and waiting would.
#[derive(Clone, Default)]
pub(super) struct KnownHosts(Arc<Mutex<HashMap<String, Host>>>);

struct Host {
    seen: Instant,
    /// Leads to the connection that was opened ahead, or is being opened.
    ahead: Option<oneshot::Sender<Call>>,
}

impl KnownHosts {
    fn note(&self, host: &str) {
        let mut hosts = self.0.lock();
        hosts.retain(|_, host| host.seen.elapsed() < SURELY_OPEN);
        let seen = Instant::now();
        hosts
            .entry(host.to_owned())
            .and_modify(|known| known.seen = seen)
            .or_insert(Host { seen, ahead: None });
    }

    /// The channel on which a connection to this host will be asked for; `None` if the host needs none.
    fn expect(&self, host: &str) -> Option<oneshot::Receiver<Call>> {
        let mut hosts = self.0.lock();
        if hosts
            .get(host)
            .is_some_and(|known| known.seen.elapsed() < SURELY_OPEN)
        {
            return None;
        }
        let (ahead, calls) = oneshot::channel();
        hosts.insert(
            host.to_owned(),
            Host {
                seen: Instant::now(),
                ahead: Some(ahead),
            },
        );
        Some(calls)
    }

    fn take(&self, host: &str) -> Option<oneshot::Sender<Call>> {
        self.0.lock().get_mut(host)?.ahead.take()
    }

    /// For the client that sends requests: a connection opened ahead goes before a new one.
    pub(super) fn taking<C>(
        &self,
    ) -> MapFutureLayer<impl FnMut(Connecting<C>) -> Connecting<C> + Clone + use<C>>
    where
        C: Send + 'static,
    {
        let known = self.clone();
        MapFutureLayer::new(move |connecting: Connecting<C>| -> Connecting<C> {
            let ahead = ASKED.try_with(|host| known.take(host)).ok().flatten();
            Box::pin(async move {
                let (call, answer) = oneshot::channel();
                if ahead.is_some_and(|ahead| ahead.send(call).is_ok())
                    && let Ok(connection) = answer.await
                    && let Ok(connection) = connection.downcast()
                {
                    return Ok(*connection);
                }
                connecting.await
            })
        })
    }
}

/// For the client that only connects: keeps the connection until a request asks for it.
pub(super) fn handing_on<C>() -> MapFutureLayer<impl FnMut(Connecting<C>) -> Connecting<C> + Clone>
where
    C: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    MapFutureLayer::new(|connecting: Connecting<C>| -> Connecting<C> {
        let calls = CALLS.try_with(Cell::take).ok().flatten();
        Box::pin(async move {
            let calls = calls.ok_or("no request can call for it")?;
            let mut connection = TokioIo::new(connecting.await?);
            tokio::select! {
                biased;
                // Nothing was sent: this is its end, or an error page before it.
                _ = connection.read_u8() => {}
                call = calls => if let Ok(call) = call {
                    drop(call.send(Box::new(connection.into_inner())));
                    return Err("a request took it".into());
                },
            }
            Err("the site closed it, or it was forgotten".into())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::error::RequestError;
    use super::*;
    use crate::origin::EgressConfig;
    use crate::origin::egress::Egress;

    #[tokio::test]
    async fn a_connection_opened_in_advance_passes_the_address_check_like_any_request() {
        let egress = Arc::new(
            Egress::new(
                &EgressConfig::default(),
                &kmds_extract::Recipes::built_in().time,
            )
            .expect("plain"),
        );
        let clients = egress.clients().await.expect("built");
        for client in [&clients.asking, &clients.opening] {
            let (_ahead, calls) = oneshot::channel();
            let sent = CALLS.scope(
                Cell::new(Some(calls)),
                client.get("https://localhost/").send(),
            );
            let refused = sent.await.expect_err("an address of this machine");
            assert!(
                matches!(error::read(&refused), RequestError::Refused(_)),
                "{refused:?}"
            );
        }
    }
}
