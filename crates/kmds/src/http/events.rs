//! Server-sent events: what happens to songs, as it happens.
//!
//! Owns the wire form of an event, which a client asked for, and how many streams one may hold. Hides the heartbeat. Never keeps events: a client that
//! does not read finds the oldest the application still has.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use kmds_extract::{Kind, Site, TrackId};
use parking_lot::Mutex;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Http;
use super::error::{Refusal, V1};
use super::guard::Caller;
use super::network::Peer;
#[cfg(test)]
use super::openapi::describe::{V1Refusals, kind_schema, state_schema};
use super::query::Query;
use crate::app::{Event, EventName, Events, State as JobState};

/// The part of all connections that is left beside the event streams of one client: a page for each of a thousand people
/// behind one address is no attack, but streams last, and must not be all there is.
const STREAMS_LEAVE: usize = 4;

/// Proxies cut connections that are silent for longer; clients notice a dead one.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx not to collect the lines.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The data of one event; its name is `track` or `progress`, its id is the event's number.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct EventReply {
    #[cfg_attr(test, schema(value_type = String))]
    site: Site,
    id: String,
    rendition: String,
    #[cfg_attr(test, schema(schema_with = state_schema))]
    state: JobState,
    received_bytes: u64,
    total_bytes: Option<u64>,
    /// Of a failed song.
    #[cfg_attr(test, schema(schema_with = kind_schema, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What happens to songs: `track` on every change of state, `progress` at most four times a second per song.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/events", tag = "v1",
    params(
        ("track" = Option<String>, Query, description = "Only of one song: `SITE-ID`"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Number of the last event seen; those after it come first"),
    ),
    responses(
        V1Refusals,
        (status = 200, description = "Events, without end", content_type = "text/event-stream", body = EventReply))))]
pub(super) async fn follow(State(http): State<Http>, request: Parts) -> Result<Response, V1> {
    let only = Query::of(&request.uri)
        .only(&["track"])?
        .filled("track")
        .map(|text| {
            track(&text).ok_or_else(|| {
                Refusal::bad_request("track names no song; use SITE-ID, like youtube-M4gD1WSo5mA")
            })
        });
    let only = only.transpose()?;
    if request.method == Method::HEAD {
        return Ok([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))].into_response());
    }
    let watching = http.watchers().begin(Caller::of(&request)?.client)?;
    let last = request
        .headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let following = Following {
        events: http.app().events(last),
        only,
        stop: http.stop().clone(),
        _watching: watching,
    };
    let lines = unfold(following, |mut following| async move {
        let line = following.next().await?;
        Some((Ok::<_, Infallible>(line), following))
    });
    // Who looks on sees at once that the line is open.
    let opened = futures_util::stream::iter([Ok(Line::default().comment("events follow"))]);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("still here");
    let mut response = Sse::new(opened.chain(lines))
        .keep_alive(heartbeat)
        .into_response();
    response
        .headers_mut()
        .insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

fn track(text: &str) -> Option<TrackId> {
    let (site, id) = text.split_once('-')?;
    TrackId::new(Site::parse(site)?, id)
}

/// The streams that each client holds: they last as long as it likes, so that their number is bounded.
#[derive(Debug)]
pub(super) struct Watchers {
    most: usize,
    held: Arc<Mutex<Vec<(Peer, usize)>>>,
}

impl Watchers {
    pub(super) fn new(most_connections: usize) -> Self {
        Self {
            most: most_connections - most_connections / STREAMS_LEAVE,
            held: Arc::default(),
        }
    }

    fn begin(&self, client: Peer) -> Result<Watching, Refusal> {
        let mut held = self.held.lock();
        let place = held
            .iter()
            .position(|(peer, _)| *peer == client)
            .unwrap_or(held.len());
        if held
            .get(place)
            .is_some_and(|(_, count)| *count >= self.most)
        {
            let sentence = format!(
                "{client} holds {} event streams; one stream tells of all songs, so close the others",
                self.most
            );
            return Err(Refusal::new(Kind::QueueFull, sentence));
        }
        match held.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => held.push((client, 1)),
        }
        Ok(Watching {
            client,
            held: Arc::clone(&self.held),
        })
    }
}

/// Counts one stream while it lives.
struct Watching {
    client: Peer,
    held: Arc<Mutex<Vec<(Peer, usize)>>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some((_, count)) = held.iter_mut().find(|(peer, _)| *peer == self.client) {
            *count -= 1;
        }
        held.retain(|(_, count)| *count > 0);
    }
}

struct Following {
    events: Events,
    only: Option<TrackId>,
    stop: CancellationToken,
    _watching: Watching,
}

impl Following {
    /// The next event that was asked for; `None` when the service stops.
    async fn next(&mut self) -> Option<Line> {
        loop {
            let event = tokio::select! {
                event = self.events.next() => event?,
                () = self.stop.cancelled() => return None,
            };
            if self.asked_for(&event)
                && let Some(line) = line(&event)
            {
                return Some(line);
            }
        }
    }

    fn asked_for(&self, event: &Event) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only == event.key.track())
    }
}

fn line(event: &Event) -> Option<Line> {
    let name = match event.name {
        EventName::Track => "track",
        EventName::Progress => "progress",
    };
    let reply = EventReply {
        site: event.key.track().site(),
        id: event.key.track().id().to_owned(),
        rendition: event.key.word(),
        state: event.state,
        received_bytes: event.received,
        total_bytes: event.total,
        kind: event.kind,
        reason: event.reason.clone(),
    };
    Line::default()
        .id(event.id.to_string())
        .event(name)
        .json_data(reply)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_named_by_site_and_id() {
        let id = track("youtube--abc_DEF-12").expect("an id may start with a dash");
        assert_eq!((id.site(), id.id()), (Site::YouTube, "-abc_DEF-12"));
        for bad in ["youtube", "vimeo-1", "youtube-", "youtube-a/b", "-a"] {
            assert_eq!(track(bad), None, "{bad}");
        }
    }
}
