//! Admission: requests that are refused before any site is asked, with real sockets and no site at all.

#[path = "../harness/mod.rs"]
mod harness;

mod covers;
mod foreign;
mod login;
mod looks;
mod many;
mod names;
mod texts;
mod tokens;

use std::io::{Read, Write};
use std::net::TcpStream;

use harness::replies::Refusal;
use harness::{Kmds, PATIENCE, Setup};
use serde_json::Value;

/// Sends bytes as they are, and reads one answer: its status and body.
fn raw(kmds: &Kmds, request: &[u8]) -> (u16, String) {
    let address = kmds.url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
        .write_all(request)
        .expect("all is taken, whatever the answer");
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map(|rest| {
                    rest.split("\r\n")
                        .next()
                        .expect("a line")
                        .parse::<usize>()
                        .expect("a number")
                });
            if body.len() >= length.unwrap_or(0) {
                let status = head
                    .split(' ')
                    .nth(1)
                    .expect("a status")
                    .parse()
                    .expect("a number");
                return (status, body.to_owned());
            }
        }
        let read = stream.read(&mut piece).expect("an answer in time");
        assert!(read > 0, "the connection ended after {text:?}");
        answer.extend_from_slice(&piece[..read]);
    }
}

/// A request of `head` lines and a body, to localhost.
fn asking(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

#[tokio::test]
async fn every_refusal_has_its_status_its_kind_and_a_way_out() {
    let kmds = Setup::new().start();
    let big = format!("{{\"URL\": \"{}\"}}", "x".repeat(3_000_000));
    let long = format!("GET /fetch?url={}", "x".repeat(2049));
    let cross = "Origin: http://evil.example\r\n";
    let site = "Sec-Fetch-Site: cross-site\r\n";
    for (request, status, kind) in [
        (asking("GET /nowhere", "", ""), 404, "not_found"),
        (asking("GET /tunnel", "", ""), 400, "bad_request"),
        (asking("GET /tunnel?file=a.m4a", "", ""), 404, "not_found"),
        (
            asking("GET /tunnel?file=../../etc/passwd", "", ""),
            404,
            "not_found",
        ),
        (
            asking("GET /tunnel?file=..%2f..%2fetc%2fpasswd", "", ""),
            404,
            "not_found",
        ),
        (
            asking("GET /tunnel?file=a%00.m4a", "", ""),
            404,
            "not_found",
        ),
        (asking("GET /tunnel?file=%ff%fe", "", ""), 404, "not_found"),
        (
            asking("GET /tunnel?file=a.m4a&wait=301", "", ""),
            400,
            "bad_request",
        ),
        (
            asking("GET /tunnel?file=a.m4a&stream=maybe", "", ""),
            400,
            "bad_request",
        ),
        (
            asking("PUT /tunnel?file=a.m4a", "", ""),
            405,
            "method_not_allowed",
        ),
        (asking("DELETE /fetch", "", ""), 405, "method_not_allowed"),
        (asking("POST /fetch", "", ""), 400, "bad_request"),
        (asking("POST /fetch", "", "{"), 400, "bad_request"),
        (asking("POST /fetch", "", "[]"), 400, "bad_request"),
        (asking("POST /fetch", "", "{}"), 400, "bad_request"),
        (
            asking("POST /fetch", "", "{\"URL\": 1}"),
            400,
            "bad_request",
        ),
        (
            asking("POST /fetch", "", "{\"URL\": \"https://example.org/\"}"),
            400,
            "unsupported_link",
        ),
        (
            asking(
                "POST /fetch",
                "",
                "\"{\\\"URL\\\": \\\"file:///etc/passwd\\\"}\"",
            ),
            400,
            "unsupported_link",
        ),
        (
            asking(
                "POST /fetch",
                "",
                "{\"URL\": \"https://youtu.be/x\", \"Accept\": [\"exe\"]}",
            ),
            400,
            "bad_request",
        ),
        (asking("POST /fetch", "", &big), 413, "too_large"),
        (asking(&long, "", ""), 400, "bad_request"),
        (asking("POST /fetch", cross, "{}"), 403, "forbidden"),
        (asking("POST /fetch", site, "{}"), 403, "forbidden"),
        (asking("GET /fetch?url=x", site, ""), 403, "forbidden"),
        (asking("GET /play?url=x", site, ""), 403, "forbidden"),
        (
            asking("GET /play?url=x&archive=rar", "", ""),
            400,
            "bad_request",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec(),
            403,
            "forbidden",
        ),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400, "bad_request"),
    ] {
        let shown = String::from_utf8_lossy(&request[..request.len().min(120)]).into_owned();
        let (answered, body) = raw(&kmds, &request);
        let reply = Refusal::parse(body.as_bytes());
        assert_eq!(answered, status, "{shown}: {body}");
        assert_eq!(reply["Status"], status, "{shown}");
        assert_eq!(reply.kind, kind, "{shown}");
        assert!(reply.error.len() > 20, "{shown}: {body}");
    }
}

#[tokio::test]
async fn below_api_v1_refusals_are_problems() {
    let kmds = Setup::new().start();
    for (request, status, kind) in [
        (asking("GET /api/v1/nowhere", "", ""), 404, "not_found"),
        (
            asking("GET /api/v1/tracks/youtube/never-asked", "", ""),
            404,
            "not_found",
        ),
        (
            asking("GET /api/v1/tracks/vimeo/1", "", ""),
            404,
            "not_found",
        ),
        (
            asking("GET /api/v1/tracks/youtube/a%2fb", "", ""),
            404,
            "not_found",
        ),
        (
            asking("GET /api/v1/tracks/youtube/%ff", "", ""),
            404,
            "not_found",
        ),
        (
            asking("GET /api/v1/tracks/youtube/x/audio", "", ""),
            404,
            "not_found",
        ),
        (
            asking("GET /api/v1/tracks/youtube/x/cover", "", ""),
            404,
            "not_found",
        ),
        (
            asking("DELETE /api/v1/tracks/youtube/x", "", ""),
            404,
            "not_found",
        ),
        (
            asking("POST /api/v1/tracks/youtube/x/retry", "", ""),
            404,
            "not_found",
        ),
        (
            asking("GET /api/v1/tracks?state=done", "", ""),
            400,
            "bad_request",
        ),
        (
            asking("GET /api/v1/tracks?limit=0", "", ""),
            400,
            "bad_request",
        ),
        (
            asking("GET /api/v1/events?track=x", "", ""),
            400,
            "bad_request",
        ),
        (
            asking("GET /api/v1/fetch", "", ""),
            405,
            "method_not_allowed",
        ),
        (
            asking("POST /api/v1/fetch", "Content-Type: text/xml\r\n", "<a/>"),
            415,
            "bad_request",
        ),
        (asking("POST /api/v1/fetch", "", "{}"), 400, "bad_request"),
        (
            asking("POST /api/v1/fetch", "Origin: null\r\n", "{}"),
            403,
            "forbidden",
        ),
    ] {
        let shown = String::from_utf8_lossy(&request).into_owned();
        let (answered, body) = raw(&kmds, &request);
        let problem: Value =
            serde_json::from_str(&body).unwrap_or_else(|_| panic!("{shown}: {body}"));
        assert_eq!(answered, status, "{shown}: {body}");
        assert_eq!(
            (&problem["status"], &problem["kind"]),
            (&Value::from(status), &Value::from(kind)),
            "{shown}"
        );
        for key in ["type", "title", "detail"] {
            assert!(problem[key].is_string(), "{shown}: {body}");
        }
        assert!(problem["retryable"].is_boolean(), "{shown}: {body}");
    }
    let answer = kmds.get("/api/v1/nowhere").await;
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_method_that_does_nothing_is_told_which_do() {
    let kmds = Setup::new().start();
    for (method, path, allow) in [
        ("PUT", "/tunnel", "GET,HEAD"),
        ("OPTIONS", "/fetch", "GET,HEAD,POST"),
        ("BREW", "/fetch", "GET,HEAD,POST"),
        ("GET", "/api/v1/fetch", "POST"),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = kmds
            .http
            .request(method, kmds.at(path))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], allow, "{path}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_get_an_answer_and_hurt_no_other_client() {
    let kmds = Setup::new().start();
    for (request, status) in [
        (b"\x00\x01\x02\r\n\r\n".to_vec(), 400),
        (
            format!(
                "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "a".repeat(20_000)
            )
            .into_bytes(),
            431,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
                "a".repeat(40_000)
            )
            .into_bytes(),
            431,
        ),
        (
            b"POST /fetch HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n".to_vec(),
            400,
        ),
        (
            b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            404,
        ),
        (
            b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            404,
        ),
        (b"GET /healthz HTTP/1.0\r\n\r\n".to_vec(), 200),
        (
            b"GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec(),
            200,
        ),
    ] {
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        assert_eq!(raw(&kmds, &request).0, status, "{shown}");
    }
    assert_eq!(kmds.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn a_token_opens_everything_and_only_healthz_needs_none() {
    let setup = Setup::new();
    let file = setup.folder.path("tokens");
    std::fs::write(&file, "# the bot\nopen-sesame-please\n").expect("a file");
    let kmds = setup
        .set("KMDS_SERVER__TOKENS_FILE", &file.display().to_string())
        .start();
    for path in [
        "/",
        "/tunnel?file=x",
        "/api/v1/stats",
        "/metrics",
        "/openapi.json",
        "/readyz",
    ] {
        let answer = kmds.get(path).await;
        assert_eq!(answer.status(), 401, "{path}");
        assert!(
            answer.headers()["www-authenticate"]
                .to_str()
                .is_ok_and(|value| value.starts_with("Bearer"))
        );
        let opened = kmds
            .http
            .get(kmds.at(path))
            .bearer_auth("open-sesame-please")
            .send()
            .await
            .expect("an answer");
        assert_ne!(opened.status(), 401, "{path}");
    }
    assert_eq!(kmds.get("/healthz").await.status(), 200);
    let log = kmds.whole_log().await;
    assert!(!log.contains("open-sesame-please"), "no token is logged");
}

#[tokio::test]
async fn the_root_tells_the_bound_port_and_sends_browsers_to_the_page() {
    let kmds = Setup::new().set("KMDS_SERVER__BASE_PATH", "/kmds").start();
    for path in ["/", "/kmds/", "/kmds"] {
        let reply: Value =
            serde_json::from_str(&kmds.get(path).await.text().await.expect("a body"))
                .expect("JSON");
        assert_eq!(reply["Debug"], false);
        assert_eq!(
            kmds.url,
            format!("http://127.0.0.1:{}", reply["WebServer"]["Port"])
        );
        assert_eq!(reply["WebServer"]["Host"], "127.0.0.1");
        assert!(reply["Version"].is_string());
    }
    let browser = kmds
        .http
        .get(kmds.at("/"))
        .header("accept", "text/html,*/*;q=0.8")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (browser.status().as_u16(), &browser.headers()["location"]),
        (303, &"/kmds/ui/".parse().expect("a value"))
    );
    let page = kmds.get("/kmds/ui/").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
}

#[tokio::test]
async fn a_server_without_room_for_any_song_is_alive_but_not_ready() {
    for (setting, wanted) in [
        ("KMDS_CACHE__MIN_FREE_BYTES", "100000 TiB"),
        ("KMDS_CACHE__MAX_BYTES", "0"),
    ] {
        let kmds = Setup::new().set(setting, wanted).start();
        let ready = kmds.get("/readyz").await;
        assert_eq!(ready.status(), 503, "{setting}");
        assert!(ready.headers().contains_key("retry-after"));
        let reply: Value =
            serde_json::from_str(&ready.text().await.expect("a body")).expect("JSON");
        assert!(
            reply["problems"][0]
                .as_str()
                .is_some_and(|why| why.contains("cache.min_free_bytes")),
            "{reply}"
        );
        assert_eq!(kmds.get("/healthz").await.status(), 200);
    }
}

#[tokio::test]
async fn every_answer_carries_an_id_and_the_log_has_it_but_never_the_link() {
    let kmds = Setup::new().start();
    let link = "/fetch?url=https://youtube.com/secret-link";
    let answer = kmds
        .http
        .get(kmds.at(link))
        .header("x-request-id", "story-1")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.headers()["x-request-id"], "story-1");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let odd = kmds
        .http
        .get(kmds.at("/healthz"))
        .header("x-request-id", "a b")
        .send()
        .await
        .expect("an answer");
    assert_eq!(odd.headers()["x-request-id"].len(), 16);
    kmds.until("the line is written", async || {
        kmds.log().contains("story-1")
    })
    .await;
    assert!(!kmds.log().contains("secret-link"), "{}", kmds.log());
}

#[tokio::test]
async fn idle_connections_make_room_for_those_who_ask() {
    let kmds = Setup::new()
        .set("KMDS_SERVER__MAX_CONNECTIONS", "8")
        .start();
    let address = kmds.url.strip_prefix("http://").expect("an address");
    let idle: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(address).expect("a connection"))
        .collect();
    for _ in 0..3 {
        assert_eq!(
            raw(
                &kmds,
                b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            .0,
            200
        );
    }
    drop(idle);
}

#[tokio::test]
async fn a_unix_socket_serves_like_a_port() {
    let setup = Setup::new();
    let path = setup.folder.path("kmds.sock");
    let kmds = setup
        .set("KMDS_SERVER__LISTEN", &format!("unix:{}", path.display()))
        .start();
    assert_eq!(kmds.url, format!("unix:{}", path.display()));
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("a connection");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}
