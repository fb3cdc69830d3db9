//! The routes of both faces: the table of contents of this API.

use axum::Router;
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http::request::Parts;

use super::error::{Face, Refusal};
use super::state::Http;
use super::{classic, login, openapi, ops, play, ui, v1};

/// The router, and a list of its routes: the description of the API and the metrics are held to it.
pub(super) struct Routes {
    pub(super) router: Router<Http>,
    pub(super) listed: Vec<(&'static str, &'static str)>,
}

impl Routes {
    fn add<H, T>(mut self, method: &'static str, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Http>,
        T: 'static,
    {
        let filter = match method {
            "post" => MethodFilter::POST,
            "put" => MethodFilter::PUT,
            "delete" => MethodFilter::DELETE,
            // `HEAD` is included in `GET`.
            _ => MethodFilter::GET.or(MethodFilter::HEAD),
        };
        self.listed.push((method, path));
        self.router = self.router.route(path, on(filter, handler));
        self
    }
}

pub(super) fn routes() -> Routes {
    Routes {
        router: Router::new(),
        listed: Vec::new(),
    }
    .add("get", "/", classic::show_root)
    .add("get", "/fetch", classic::fetch_queried)
    .add("post", "/fetch", classic::fetch_posted)
    .add("get", "/tunnel", classic::tunnel)
    .add("get", "/play", play::play)
    .add("post", "/api/v1/fetch", v1::fetch)
    .add("get", "/api/v1/search", v1::search)
    .add("delete", "/api/v1/collections/{id}", v1::cancel)
    .add("put", "/api/v1/queues/{name}", v1::put_queue)
    .add("get", "/api/v1/queues/{name}", v1::show_queue)
    .add("delete", "/api/v1/queues/{name}", v1::end_queue)
    .add("get", "/api/v1/tracks", v1::list_tracks)
    .add("get", "/api/v1/tracks/{site}/{id}", v1::show_track)
    .add("delete", "/api/v1/tracks/{site}/{id}", v1::delete_track)
    .add("post", "/api/v1/tracks/{site}/{id}/retry", v1::retry_track)
    .add("get", "/api/v1/tracks/{site}/{id}/audio", v1::send_audio)
    .add("get", "/api/v1/tracks/{site}/{id}/cover", v1::send_cover)
    .add("get", "/api/v1/tracks/{site}/{id}/{form}", v1::show_form)
    .add(
        "get",
        "/api/v1/tracks/{site}/{id}/{form}/audio",
        v1::send_form,
    )
    .add(
        "post",
        "/api/v1/tracks/{site}/{id}/{form}/hold",
        v1::hold_form,
    )
    .add(
        "delete",
        "/api/v1/tracks/{site}/{id}/{form}/hold",
        v1::release_form,
    )
    .add(
        "post",
        "/api/v1/tracks/{site}/{id}/{form}/pin",
        v1::pin_form,
    )
    .add(
        "delete",
        "/api/v1/tracks/{site}/{id}/{form}/pin",
        v1::unpin_form,
    )
    .add("post", "/api/v1/library", v1::put_in_library)
    .add("get", "/api/v1/library/{id}", v1::show_library_run)
    .add("get", "/api/v1/events", v1::follow)
    .add("post", "/api/v1/recipes/reload", v1::reload_recipes)
    .add("get", "/api/v1/stats", v1::show_stats)
    .add("get", "/healthz", ops::healthz)
    .add("get", "/readyz", ops::readyz)
    .add("get", "/metrics", ops::metrics)
    .add("get", "/openapi.json", openapi::openapi)
    .add("get", "/ui", ui::to_page)
    .add("get", "/ui/", ui::page)
    // Before the pattern that also matches them.
    .add("get", "/ui/login", login::to_form)
    .add("post", "/ui/login", login::log_in)
    .add("post", "/ui/logout", login::log_out)
    .add("get", "/ui/{file}", ui::page_file)
}

pub(super) fn router(http: Http) -> Router {
    routes()
        .router
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_method)
        .with_state(http)
}

async fn nothing_here(request: Parts) -> Response {
    let sentence = "there is nothing at this path; /openapi.json lists all paths";
    Refusal::not_found(sentence).into_response(Face::of(request.uri.path()))
}

async fn not_this_method(request: Parts) -> Response {
    // The router adds `Allow`.
    Refusal::method_not_allowed(&request.method).into_response(Face::of(request.uri.path()))
}
