//! `GET /api/v1/events`: server-sent events about songs.
//!
//! Owns the wire form of an event, the heartbeat, and the filter by song. The application keeps the last events: a
//! client that reads late, or comes back with `Last-Event-ID`, gets those that are still kept.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use kmds_extract::{Format, Kind, Loudness, Site, TrackId};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::error::{Refusal, V1};
use super::super::event_streams::OpenStream;
use super::super::guard::Caller;
use super::super::query::Query;
#[cfg(test)]
use super::super::schemas::{form_or_none_schema, kind_schema, state_schema};
use super::super::state::Http;
use crate::app::{Event, EventName, Events, State as JobState};

/// Proxies cut connections that are silent for longer; clients notice a dead one.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx not to collect the lines.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The data of one event; its name is `track` or `progress`, its id is the event's number.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct EventReply {
    #[cfg_attr(test, schema(value_type = String))]
    site: Site,
    id: String,
    /// Null for a tagged copy in the format of its original.
    #[cfg_attr(test, schema(schema_with = form_or_none_schema))]
    form: Option<&'static str>,
    rendition: String,
    #[cfg_attr(test, schema(schema_with = state_schema))]
    state: JobState,
    received_bytes: u64,
    total_bytes: Option<u64>,
    /// Decibels above −14 LUFS, where the site tells it, once it is known which encoding arrives.
    #[cfg_attr(test, schema(value_type = Option<f64>))]
    loudness_db: Option<Loudness>,
    /// Set for a failed song.
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
pub(in crate::http) async fn follow(
    State(http): State<Http>,
    request: Parts,
) -> Result<Response, V1> {
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
    let stream = http.event_streams().open(Caller::of(&request)?.client)?;
    let last = request
        .headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let following = Following {
        events: http.app().events(last),
        only,
        stop: http.stop().clone(),
        _stream: stream,
    };
    let lines = unfold(following, |mut following| async move {
        let line = following.next().await?;
        Some((Ok::<_, Infallible>(line), following))
    });
    // The client sees at once that the stream is open.
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

struct Following {
    events: Events,
    only: Option<TrackId>,
    stop: CancellationToken,
    _stream: OpenStream,
}

impl Following {
    /// The next event that the client asked for; `None` when the service stops.
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
        form: event.key.form().map(Format::ext),
        rendition: event.key.word(),
        state: event.state,
        received_bytes: event.received,
        total_bytes: event.total,
        loudness_db: event.loudness_db,
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
