//! The page at `/ui/`.
//!
//! Owns the answers with the page's files, and the content security policy that allows nothing else in the page. Its
//! script is written in parts, and served as one file.

use axum::extract::Path;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

#[cfg(test)]
use super::answers::ClassicRefusals;
use super::embedded::{PAGE, SCRIPT, STYLE};
use super::error::{Classic, Refusal};
use super::guard::Caller;
use super::login;
use super::state::Http;

/// The place of the log-out button, for a browser that has logged in.
const LOG_OUT_PLACE: &str = "<!-- log out -->";
const LOG_OUT: &str =
    "<form id=\"leave\" action=\"logout\" method=\"post\"><button>Log out</button></form>";
/// Another version may come with the next start.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

const ICON: &str = include_str!("page/icon.svg");
/// The same without round corners, for home screens that cut the shape themselves and read no SVG.
const ICON_PNG: &[u8] = include_bytes!("page/icon.png");
const MANIFEST: &str = include_str!("page/page.webmanifest");

/// To the page.
#[cfg_attr(test, utoipa::path(get, path = "/ui", tag = "operation",
    responses(ClassicRefusals, (status = 308, description = "To `/ui/`"))))]
pub(super) async fn to_page(State(http): State<Http>) -> Response {
    let page = HeaderValue::try_from(format!("{}/ui/", http.base_path()));
    let location = page.unwrap_or_else(|_| HeaderValue::from_static("/ui/"));
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response()
}

/// The page; for a browser that needs a token and has none, the form that takes one.
#[cfg_attr(test, utoipa::path(get, path = "/ui/", tag = "operation",
    responses(ClassicRefusals, (status = 200, description = "The page", content_type = "text/html", body = String))))]
pub(super) async fn page(request: Parts) -> Result<Response, Classic> {
    let caller = Caller::of(&request)?;
    if caller.lacks_token {
        return Ok(login::form(&request));
    }
    let mut page = PAGE.text();
    if caller.has_session {
        page = page.replacen(LOG_OUT_PLACE, LOG_OUT, 1);
    }
    let mut response = file("text/html; charset=utf-8", page);
    let (name, policy) = login::PAGE_POLICY;
    response.headers_mut().insert(name, policy);
    Ok(response)
}

/// A file of the page.
#[cfg_attr(test, utoipa::path(get, path = "/ui/{file}", tag = "operation",
    params(("file" = String, Path, description = "`page.css`, `page.js`, `icon.svg`, `icon.png` or `page.webmanifest`")),
    responses(ClassicRefusals, (status = 200, description = "The file", content(
        (String = "text/css"), (String = "text/javascript"), (String = "image/svg+xml"), (String = "image/png"), (String = "application/manifest+json"),
    )))))]
pub(super) async fn page_file(
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Classic> {
    match name.as_ref().map(|Path(name)| name.as_str()) {
        Ok("page.css") => Ok(file("text/css; charset=utf-8", STYLE.text())),
        Ok("page.js") => Ok(file("text/javascript; charset=utf-8", SCRIPT.text())),
        Ok("icon.svg") => Ok(kept(file("image/svg+xml", ICON))),
        Ok("icon.png") => Ok(kept(file("image/png", ICON_PNG))),
        Ok("page.webmanifest") => Ok(file("application/manifest+json", MANIFEST)),
        _ => Err(Refusal::not_found("the page has no such file; it is at /ui/").into()),
    }
}

fn file<T: IntoResponse>(content_type: &'static str, content: T) -> Response {
    (
        [
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (CACHE_CONTROL, ASK_AGAIN),
        ],
        content,
    )
        .into_response()
}

/// One page requests it three times: as its icon, in its head and for the installed page.
fn kept(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("max-age=86400"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_nothing_the_policy_would_stop() {
        let (page, script) = (PAGE.text(), SCRIPT.text());
        for inline in [
            "<style",
            "style=\"",
            "onclick=",
            "onload=",
            "onsubmit=",
            "javascript:",
            "src=\"http",
        ] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script src=\"page.js\"").count()
        );
        for markup in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!script.contains(markup), "{markup}");
        }
    }

    #[tokio::test]
    async fn every_file_the_page_names_is_served() {
        let page = PAGE.text();
        for name in page
            .split([' ', '>'])
            .filter_map(|part| part.strip_prefix("href=\"").or(part.strip_prefix("src=\"")))
        {
            let name = name.trim_end_matches('"');
            if !name.contains(['/', '#']) {
                let served = page_file(Ok(Path(name.to_owned()))).await;
                assert!(served.is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn every_address_is_relative_so_that_a_base_path_in_front_works() {
        let (page, style) = (PAGE.text(), STYLE.text());
        for (name, text) in [("page", &*page), ("style", &style), ("manifest", MANIFEST)] {
            assert!(!text.contains("://"), "the {name} names another host");
        }
        for start in ["href=\"/", "src=\"/", "action=\"/"] {
            assert!(!page.contains(start), "{start}");
        }
    }

    #[test]
    fn every_element_the_script_looks_for_is_in_the_page_once() {
        let (page, script) = (PAGE.text(), SCRIPT.text());
        let ids: Vec<&str> = script
            .split("$(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(ids.len() > 50, "{}", ids.len());
        for id in ids {
            assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
        }
    }
}
