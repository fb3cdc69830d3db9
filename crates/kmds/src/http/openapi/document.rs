//! Makes the description of both faces from the types of the replies. Only in tests: one compares it with the served
//! file, another with the routes.

use serde_json::Value;
use utoipa::openapi::SecurityRequirement;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::super::answers::{CLASSIC, V1};
use super::super::error::bodies::{ClassicError, ClassicFailed, ClassicUnfinished, Problem};
use super::super::{classic, login, ops, play, ui, v1};

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
        v1::fetch::fetch, v1::collections::cancel, v1::queues::put_queue, v1::queues::show_queue, v1::queues::end_queue, v1::search::search, v1::tracks::list_tracks, v1::tracks::show_track, v1::tracks::delete_track,
        v1::tracks::retry_track, v1::forms::show_form, v1::forms::send_form, v1::forms::hold_form, v1::forms::release_form,
        v1::forms::pin_form, v1::forms::unpin_form, v1::audio::send_audio, v1::cover::send_cover, v1::stats::show_stats, v1::recipes::reload_recipes,
        v1::events::follow, v1::library::put_in_library, v1::library::show_library_run,
        ops::healthz, ops::readyz, ops::metrics, super::openapi, ui::to_page, ui::page, ui::page_file,
        login::to_form, login::log_in, login::log_out,
    ),
    components(schemas(ClassicError, ClassicFailed, ClassicUnfinished, Problem)),
    modifiers(&Shared),
)]
struct Description;

/// What all routes share: refusals, and the token that is needed if the operator configured one.
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

/// The document as in its file: one line for each path and method, schema and response, so that a diff shows changes.
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
