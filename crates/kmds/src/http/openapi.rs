//! The description of both faces, `/openapi.json`.
//!
//! Owns what is said about errors that every route may answer with, and the document's head. Hides the generator.
//! Never describes a route that is not served: a test compares it with the routes.

use std::collections::BTreeMap;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, RefOr, Response, ResponseBuilder, Schema, SecurityRequirement, ServerBuilder,
};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::error::{ClassicError, ClassicFailed, ClassicUnfinished, Problem, facts};
use super::{classic, events, ops, play, ui, v1};
use kmds_extract::Kind;

/// What any route of the classic face may answer instead.
pub(super) struct ClassicRefusals;

/// What any route of the v1 face may answer instead.
pub(super) struct V1Refusals;

/// What a file of audio may come as.
const AUDIO: [&str; 6] = ["audio/mp4", "audio/mpeg", "audio/ogg", "audio/webm", "audio/flac", "audio/wav"];
/// What only `/play` sends: playlists and archives.
const LISTS: [&str; 2] = ["audio/x-mpegurl", "application/zip"];
const PICTURES: [&str; 6] =
    ["image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "application/octet-stream"];

/// How a route that sends a file of audio answers when it does.
pub(super) struct AudioAnswers;

/// The same, where the answer may be a list of songs.
pub(super) struct PlayAnswers;

/// How a cover is answered.
pub(super) struct PictureAnswers;

impl IntoResponses for AudioAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let parts = [&AUDIO[..], &["multipart/byteranges"]].concat();
        BTreeMap::from([
            ("200".to_owned(), bytes("The file", &AUDIO)),
            ("206".to_owned(), bytes("The ranges asked for", &parts)),
            ("304".to_owned(), bytes("As the client has it", &[])),
            ("412".to_owned(), bytes("Not as the client has it", &[])),
        ])
    }
}

impl IntoResponses for PlayAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = AudioAnswers::responses();
        let whole = bytes("The audio; of several songs a playlist or an archive", &[&AUDIO[..], &LISTS].concat());
        all.insert("200".to_owned(), whole);
        all
    }
}

impl IntoResponses for PictureAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([("200".to_owned(), bytes("The picture", &PICTURES))])
    }
}

fn bytes(description: &str, content_types: &[&str]) -> RefOr<Response> {
    let response = ResponseBuilder::new().description(description);
    let response = content_types.iter().fold(response, |response, content_type| {
        response.content(*content_type, ContentBuilder::new().schema(None::<RefOr<Schema>>).build())
    });
    RefOr::T(response.build())
}

impl IntoResponses for ClassicRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals("application/json", "ClassicError")
    }
}

impl IntoResponses for V1Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = refusals("application/problem+json", "Problem");
        all.insert("415".to_owned(), refusal("The body is not JSON", "application/problem+json", "Problem", false));
        all
    }
}

/// One response per status that kinds have, naming them.
fn refusals(content_type: &str, schema: &str) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for kind in Kind::ALL {
        by_status.entry(facts(kind).0.as_u16()).or_default().push(kind.as_str());
    }
    let described = by_status.into_iter().map(|(status, kinds)| {
        let kinds = kinds.join("`, `");
        let retry = matches!(status, 418 | 429 | 503);
        (status.to_string(), refusal(&format!("`{kinds}`"), content_type, schema, retry))
    });
    described.collect()
}

fn refusal(description: &str, content_type: &str, schema: &str, retry_after: bool) -> RefOr<Response> {
    let reference: RefOr<Schema> = RefOr::Ref(utoipa::openapi::Ref::from_schema_name(schema));
    let content = ContentBuilder::new().schema(Some(reference)).build();
    let mut response = ResponseBuilder::new().description(description).content(content_type, content);
    if retry_after {
        let seconds = HeaderBuilder::new().description(Some("Seconds")).build();
        response = response.header("Retry-After", seconds);
    }
    RefOr::T(response.build())
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
        v1::fetch, v1::list_tracks, v1::show_track, v1::delete_track, v1::retry_track, v1::send_audio, v1::send_cover,
        v1::show_stats, events::follow,
        ops::healthz, ops::readyz, ops::metrics, ops::openapi, ui::to_page, ui::page, ui::page_file,
    ),
    components(schemas(ClassicError, ClassicFailed, ClassicUnfinished, Problem)),
    modifiers(&Tokens),
)]
struct Description;

/// Tokens are needed where the operator configured some.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("token", bearer);
        let none = SecurityRequirement::default();
        let token = SecurityRequirement::new("token", Vec::<String>::new());
        document.security = Some(vec![none, token]);
    }
}

/// The document, for a service below `base_path`.
pub(super) fn description(base_path: &str) -> String {
    let mut document = Description::openapi();
    if !base_path.is_empty() {
        document.servers = Some(vec![ServerBuilder::new().url(base_path).build()]);
    }
    // A document of texts: serializing it cannot fail.
    document.to_json().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn document() -> serde_json::Value {
        serde_json::from_str(&description("")).expect("JSON")
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let described: BTreeSet<(&str, &str)> = paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().expect("methods").keys().map(|method| (method.as_str(), path.as_str()))
            })
            .collect();
        let served: BTreeSet<(&str, &str)> = super::super::routes().listed.into_iter().collect();
        assert_eq!(described, served);
    }

    #[test]
    fn it_is_openapi_3_1_and_every_reference_leads_somewhere() {
        let document = document();
        assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
        let text = document.to_string();
        for reference in text.split("\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn what_a_route_says_of_a_status_beats_what_all_say() {
        let document = document();
        for (path, status, schema) in [
            ("/tunnel", "418", "ClassicUnfinished"),
            ("/tunnel", "500", "ClassicFailed"),
            ("/tunnel", "429", "ClassicError"),
            ("/readyz", "503", "ReadyReply"),
        ] {
            let response = &document["paths"][path]["get"]["responses"][status];
            let reference = &response["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(*reference, format!("#/components/schemas/{schema}"), "{path} {status}");
        }
    }

    #[test]
    fn each_face_is_described_by_shapes_of_its_own() {
        let document = document();
        for (path, wanted) in [("/fetch", "Songs"), ("/api/v1/fetch", "tracks")] {
            let schema = &document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"];
            let reference = schema["$ref"].as_str().expect("a reference").trim_start_matches('#');
            let properties = &document.pointer(reference).expect("a schema")["properties"];
            assert!(properties.get(wanted).is_some(), "{path}: {properties}");
        }
    }

    #[test]
    fn every_route_says_how_it_refuses() {
        let document = document();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("methods") {
                let responses = operation["responses"].as_object().expect("responses");
                let wanted = if path.starts_with("/api/v1/") { "application/problem+json" } else { "application/json" };
                for status in ["400", "401", "403", "404", "405"] {
                    assert!(responses[status]["content"].get(wanted).is_some(), "{method} {path} {status}");
                }
            }
        }
    }
}
