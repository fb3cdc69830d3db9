//! The log-in to the page, if tokens are configured.
//!
//! Owns the form, the cookie that a browser keeps instead of the token, and the content security policy of the pages.
//! The form works without a script.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

#[cfg(test)]
use super::answers::ClassicRefusals;
use super::body;
use super::error::Classic;
use super::guard::{Barred, Caller, SESSION_COOKIE, SESSION_SECONDS};
use super::query::Query;
use super::state::Http;

/// Allows the page's own files, and nothing from elsewhere.
pub(super) const PAGE_POLICY: (HeaderName, HeaderValue) = (
    CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
         connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
);
const FORM: &str = include_str!("page/login.html");
/// In the query of an address that the form sent the browser to a second time.
const AGAIN: &str = "again";
const WRONG: &str = "<p class=\"error\" role=\"alert\">This is not a token of this server.<span>Copy the whole secret, without spaces, \
                     and try again; or ask the operator for a new one.</span></p>\n";

/// The fields of the form.
#[cfg(test)]
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct LoginForm {
    /// The secret of a token.
    token: String,
    /// The query of the page to go on to.
    next: Option<String>,
}

/// The form, instead of the page, for a browser without a token. A browser does not send a `SameSite=Strict` cookie
/// when a link of another site leads here: then the form sends the browser to the same place once more, which is a
/// request of our own page.
///
/// A browser keeps a `SameSite=Strict` cookie back when a link of another site leads here: then the form sends it to
/// the same place once more, which is a request of our own page.
pub(super) fn form(request: &Parts) -> Response {
    let query = request.uri.query().unwrap_or_default();
    let is_led = request
        .extensions
        .get()
        .is_some_and(|caller: &Caller| caller.barred == Some(Barred::ForeignPage));
    let is_again = Query::of(&request.uri).get(AGAIN).is_some();
    let again = if is_led && !is_again {
        let joint = if query.is_empty() { "" } else { "&" };
        let address = escaped(&format!("?{query}{joint}{AGAIN}=1"));
        format!("<meta http-equiv=\"refresh\" content=\"0;url={address}\">\n")
    } else {
        String::new()
    };
    written(StatusCode::OK, query, &again, "")
}

fn written(status: StatusCode, next: &str, again: &str, problem: &str) -> Response {
    let text = FORM
        .replace("{next}", &escaped(next))
        .replace("{again}", again)
        .replace("{problem}", problem);
    let head = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        PAGE_POLICY,
    ];
    (status, head, text).into_response()
}

/// Text as the value of an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// To the page, which has the form if it is needed.
#[cfg_attr(test, utoipa::path(get, path = "/ui/login", tag = "operation",
    responses(ClassicRefusals, (status = 303, description = "To `/ui/`"))))]
pub(super) async fn to_form(State(http): State<Http>) -> Response {
    to_page(&http, "", None)
}

/// Logs a browser in: a right token becomes a cookie.
#[cfg_attr(test, utoipa::path(post, path = "/ui/login", tag = "operation",
    request_body(content = LoginForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        ClassicRefusals,
        (status = 303, description = "To the page, with a cookie"),
        (status = 401, description = "The form again", content(
            (String = "text/html"), (super::error::bodies::ClassicError = "application/json"))))))]
pub(super) async fn log_in(
    State(http): State<Http>,
    request: Request<Body>,
) -> Result<Response, Classic> {
    let (request, body) = request.into_parts();
    let body = body::read(&request.headers, body).await?;
    let field = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(&body);
        let value = pairs.find(|(have, _)| have == name);
        value
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let next: String = field("next")
        .chars()
        .filter(|c| c.is_ascii_graphic())
        .collect();
    match http.guard().open_session(field("token").trim()) {
        Some(value) => {
            let cookie = cookie(&http, &request, &value, SESSION_SECONDS)?;
            Ok(to_page(&http, &next, Some(cookie)))
        }
        None if http.guard().wants_tokens() => {
            Ok(written(StatusCode::UNAUTHORIZED, &next, "", WRONG))
        }
        None => Ok(to_page(&http, &next, None)),
    }
}

/// Logs a browser out.
#[cfg_attr(test, utoipa::path(post, path = "/ui/logout", tag = "operation",
    responses(ClassicRefusals, (status = 303, description = "To the form, without the cookie"))))]
pub(super) async fn log_out(State(http): State<Http>, request: Parts) -> Result<Response, Classic> {
    let gone = cookie(&http, &request, "", 0)?;
    Ok(to_page(&http, "", Some(gone)))
}

/// For all paths of this service, out of reach of scripts and of other sites.
fn cookie(http: &Http, request: &Parts, value: &str, seconds: u64) -> Result<String, Classic> {
    let path = match http.base_path() {
        "" => "/",
        path => path,
    };
    let secure = if Caller::of(request)?.https {
        "; Secure"
    } else {
        ""
    };
    Ok(format!(
        "{SESSION_COOKIE}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    ))
}

fn to_page(http: &Http, query: &str, cookie: Option<String>) -> Response {
    let joint = if query.is_empty() { "" } else { "?" };
    let page = format!("{}/ui/{joint}{query}", http.base_path());
    let page = HeaderValue::try_from(page).unwrap_or_else(|_| HeaderValue::from_static("/ui/"));
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, page)]).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(
        cookie
            .and_then(|cookie| HeaderValue::try_from(cookie).ok())
            .map(|cookie| (SET_COOKIE, cookie)),
    );
    response
}
