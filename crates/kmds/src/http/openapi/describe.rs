//! Makes the description of both faces from the types that answer, for tests.
//!
//! Owns what is said about errors that every route may answer with, and the document's head. Hides the generator.
//! Never describes a route that is not served: a test compares it with the routes.

use std::collections::BTreeMap;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, Object, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder,
    Schema, SecurityRequirement, Type,
};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::super::error::{ClassicError, ClassicFailed, ClassicUnfinished, Problem, facts};
use super::super::{classic, events, ops, play, search, ui, v1};
use kmds_extract::Kind;
use serde_json::Value;

/// What any route of the classic face may answer instead.
pub(in crate::http) struct ClassicRefusals;

/// What any route of the v1 face may answer instead.
pub(in crate::http) struct V1Refusals;

/// What a file of audio may come as.
const AUDIO: [&str; 6] = [
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/webm",
    "audio/flac",
    "audio/wav",
];
/// What only `/play` sends: playlists and archives.
const LISTS: [&str; 2] = ["audio/x-mpegurl", "application/zip"];
const PICTURES: [&str; 5] = [
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/avif",
];

/// How a route that sends a file of audio answers when it does.
pub(in crate::http) struct AudioAnswers;

/// The same, where the answer may be a list of songs.
pub(in crate::http) struct PlayAnswers;

/// How a cover is answered.
pub(in crate::http) struct PictureAnswers;

impl IntoResponses for AudioAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let parts = [&AUDIO[..], &["multipart/byteranges"]].concat();
        BTreeMap::from([
            ("200".to_owned(), bytes("The file", &AUDIO)),
            ("206".to_owned(), bytes("The ranges asked for", &parts)),
            ("304".to_owned(), bytes("As the client has it", &[])),
            ("412".to_owned(), unmet()),
        ])
    }
}

impl IntoResponses for PlayAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = AudioAnswers::responses();
        let whole = bytes(
            "The audio; of several songs a playlist or an archive",
            &[&AUDIO[..], &LISTS].concat(),
        );
        all.insert("200".to_owned(), whole);
        all
    }
}

impl IntoResponses for PictureAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([("200".to_owned(), bytes("The picture", &PICTURES))])
    }
}

/// In the words of whichever face was asked.
fn unmet() -> RefOr<Response> {
    let said = |schema| {
        ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(schema)))
            .build()
    };
    let response = ResponseBuilder::new().description("The file is not as the condition wants it");
    let response = [CLASSIC, V1].iter().fold(response, |response, face| {
        response.content(face.content_type, said(face.schema))
    });
    RefOr::T(response.build())
}

fn bytes(description: &str, content_types: &[&str]) -> RefOr<Response> {
    let response = ResponseBuilder::new().description(description);
    let response = content_types
        .iter()
        .fold(response, |response, content_type| {
            response.content(
                *content_type,
                ContentBuilder::new().schema(None::<RefOr<Schema>>).build(),
            )
        });
    RefOr::T(response.build())
}

impl IntoResponses for ClassicRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        CLASSIC.references()
    }
}

impl IntoResponses for V1Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        V1.references()
    }
}

/// How one face refuses. Every route names the same answers, so the document has them once.
struct Face {
    name: &'static str,
    content_type: &'static str,
    schema: &'static str,
    /// Said where no kind has the status.
    more: &'static [(u16, &'static str)],
}

const CLASSIC: Face = Face {
    name: "Classic",
    content_type: "application/json",
    schema: "ClassicError",
    more: &[],
};
const V1: Face = Face {
    name: "V1",
    content_type: "application/problem+json",
    schema: "Problem",
    more: &[(415, "The body is not JSON")],
};

impl Face {
    /// Each status with the kinds it may mean.
    fn said(&self) -> BTreeMap<u16, String> {
        let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for kind in Kind::ALL {
            by_status
                .entry(facts(kind).0.as_u16())
                .or_default()
                .push(kind.as_str());
        }
        let kinds = by_status
            .into_iter()
            .map(|(status, kinds)| (status, format!("`{}`", kinds.join("`, `"))));
        kinds
            .chain(
                self.more
                    .iter()
                    .map(|&(status, said)| (status, said.to_owned())),
            )
            .collect()
    }

    fn name_of(&self, status: u16) -> String {
        format!("{}{status}", self.name)
    }

    fn references(&self) -> BTreeMap<String, RefOr<Response>> {
        let reference = |status| RefOr::Ref(Ref::from_response_name(self.name_of(status)));
        self.said()
            .into_keys()
            .map(|status| (status.to_string(), reference(status)))
            .collect()
    }

    fn responses(&self) -> impl Iterator<Item = (String, RefOr<Response>)> {
        self.said()
            .into_iter()
            .map(|(status, said)| (self.name_of(status), RefOr::T(self.response(status, &said))))
    }

    fn response(&self, status: u16, said: &str) -> Response {
        let reference: RefOr<Schema> = RefOr::Ref(Ref::from_schema_name(self.schema));
        let content = ContentBuilder::new().schema(Some(reference)).build();
        let mut response = ResponseBuilder::new()
            .description(said)
            .content(self.content_type, content);
        if matches!(status, 418 | 429 | 503) {
            let seconds = HeaderBuilder::new().description(Some("Seconds")).build();
            response = response.header("Retry-After", seconds);
        }
        response.build()
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "KMDS",
        description = "A media downloading service: a link from YouTube, SoundCloud or Bandcamp goes in; metadata comes \
            out at once, the audio as soon as it arrives.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "classic", description = "What existing clients speak: PascalCase JSON"),
        (name = "v1", description = "What new clients should use: snake_case JSON, problem+json errors"),
        (name = "operation", description = "For those who run the service"),
    ),
    paths(
        classic::show_root, classic::fetch_posted, classic::fetch_queried, classic::tunnel, play::play,
        v1::fetch, search::search, v1::list_tracks, v1::show_track, v1::delete_track, v1::retry_track, v1::send_audio, v1::send_cover,
        v1::show_stats, events::follow,
        ops::healthz, ops::readyz, ops::metrics, ops::openapi, ui::to_page, ui::page, ui::page_file,
    ),
    components(schemas(ClassicError, ClassicFailed, ClassicUnfinished, Problem)),
    modifiers(&Shared),
)]
struct Description;

/// What routes share: refusals, and that tokens are needed where the operator configured some.
struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer =
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", bearer);
        components
            .responses
            .extend(CLASSIC.responses().chain(V1.responses()));
        let none = SecurityRequirement::default();
        let token = SecurityRequirement::new("token", Vec::<String>::new());
        document.security = Some(vec![none, token]);
    }
}

/// The document as it stands in its file: a line a path and method, schema and response, so that a change shows.
pub(super) fn document() -> String {
    let document = serde_json::to_value(Description::openapi()).expect("a document of texts");
    laid_out(&document, 3) + "\n"
}

fn laid_out(value: &Value, depth: usize) -> String {
    match value.as_object() {
        Some(object) if depth > 0 => {
            let line = |(key, value)| {
                format!(
                    "{}: {}",
                    Value::from(String::clone(key)),
                    laid_out(value, depth - 1)
                )
            };
            format!(
                "{{\n{}\n}}",
                object.iter().map(line).collect::<Vec<_>>().join(",\n")
            )
        }
        _ => value.to_string(),
    }
}

pub(in crate::http) fn kind_schema() -> Object {
    let words = Kind::ALL.map(Kind::as_str);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
}

/// A job's states.
pub(in crate::http) fn state_schema() -> Object {
    words(&["queued", "downloading", "converting", "ready", "failed"])
}

/// A track's, which may have no job.
pub(in crate::http) fn track_state_schema() -> Object {
    words(&[
        "queued",
        "downloading",
        "converting",
        "ready",
        "failed",
        "evicted",
    ])
}

fn words(words: &[&'static str]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().copied()))
        .build()
}
