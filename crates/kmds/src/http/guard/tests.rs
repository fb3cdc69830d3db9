use super::*;
use http::{HeaderValue, Request};

fn config() -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".to_owned(),
        public_url: Some("https://music.example.org/kmds".to_owned()),
        base_path: String::new(),
        tokens_file: None,
        names: vec!["nas.lan".to_owned()],
        trusted_proxies: vec!["10.0.0.2".to_owned()],
        max_connections: None,
        stop_within: std::time::Duration::from_secs(1),
    }
}

fn guard() -> Guard {
    Guard::new(&config()).expect("valid settings")
}

fn request(method: &str, path: &str, headers: &[(&'static str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_str(value).expect("a value"));
    }
    request.body(()).expect("a request").into_parts().0
}

const NEAR: Peer = Peer::Address(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

fn peer(text: &str) -> Peer {
    Peer::at(text.parse().expect("an address"))
}

fn status(guard: &Guard, request: &Parts, peer: Peer) -> u16 {
    guard.admit(request, peer, "127.0.0.1:1").map_or_else(|refusal| refusal.status.as_u16(), |_| 200)
}

#[test]
fn a_host_is_an_address_localhost_or_a_configured_name() {
    for (host, answer) in [
        ("127.0.0.1:60071", 200),
        ("192.168.1.2", 200),
        ("[::1]:60071", 200),
        ("[fe80::1]", 200),
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("localhost.", 200),
        ("nas.lan:60071", 200),
        ("music.example.org", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example:80@127.0.0.1", 403),
        ("nas.lan:port", 403),
        ("[evil.example]", 403),
        ("", 403),
        (":80", 403),
    ] {
        assert_eq!(status(&guard(), &request("GET", "/", &[("host", host)]), NEAR), answer, "{host}");
    }
}

#[test]
fn a_request_names_exactly_one_host_unless_it_is_of_http_1_0() {
    assert_eq!(status(&guard(), &request("GET", "/", &[]), NEAR), 400);
    assert_eq!(status(&guard(), &request("GET", "/", &[("host", "localhost"), ("host", "localhost")]), NEAR), 400);
    let mut old = request("GET", "/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(guard().admit(&old, NEAR, "127.0.0.1:1").expect("tolerated").authority, "127.0.0.1:1");
    let absolute = request("GET", "http://evil.example/", &[("host", "localhost")]);
    assert_eq!(status(&guard(), &absolute, NEAR), 403);
}

#[test]
fn without_tokens_only_near_peers_are_served_and_are_told_why() {
    let ask = request("GET", "/healthz", &[("host", "127.0.0.1")]);
    assert_eq!(status(&guard(), &ask, peer("192.168.7.7")), 200);
    let refusal = guard().admit(&ask, peer("8.8.8.8"), "").expect_err("far");
    assert_eq!(refusal.status.as_u16(), 403);
    assert!(refusal.failure.sentence.contains("server.tokens_file"), "{}", refusal.failure.sentence);
}

#[test]
fn with_tokens_everybody_needs_one_except_at_healthz() {
    let file = std::env::temp_dir().join(format!("kmds-guard-tokens-{}", std::process::id()));
    std::fs::write(&file, "sesame\n").expect("a temporary file");
    let guard = Guard::new(&ServerConfig { tokens_file: Some(file), ..config() }).expect("valid");
    let host = ("host", "127.0.0.1");
    for from in [NEAR, peer("8.8.8.8")] {
        assert_eq!(status(&guard, &request("GET", "/", &[host]), from), 401);
        assert_eq!(status(&guard, &request("GET", "/", &[host, ("authorization", "Bearer wrong")]), from), 401);
        assert_eq!(status(&guard, &request("GET", "/", &[host, ("authorization", "Bearer sesame")]), from), 200);
        assert_eq!(status(&guard, &request("GET", "/healthz", &[host]), from), 200);
        assert_eq!(status(&guard, &request("GET", "/healthz/x", &[host]), from), 401);
    }
}

#[test]
fn writes_of_foreign_pages_are_refused() {
    let host = ("host", "127.0.0.1:60071");
    for (headers, answer) in [
        (vec![host], 200),
        (vec![host, ("origin", "http://127.0.0.1:60071")], 200),
        (vec![host, ("origin", "https://music.example.org")], 200),
        (vec![host, ("sec-fetch-site", "same-origin")], 200),
        (vec![host, ("sec-fetch-site", "none")], 200),
        (vec![host, ("origin", "http://127.0.0.1:8080")], 403),
        (vec![host, ("origin", "http://evil.example")], 403),
        (vec![host, ("origin", "null")], 403),
        (vec![host, ("sec-fetch-site", "cross-site")], 403),
        (vec![host, ("sec-fetch-site", "same-site")], 403),
        (vec![("host", "localhost"), ("origin", "http://localhost:80")], 200),
    ] {
        for method in ["POST", "DELETE"] {
            assert_eq!(status(&guard(), &request(method, "/api/v1/x", &headers), NEAR), answer, "{headers:?}");
        }
        assert_eq!(status(&guard(), &request("GET", "/tunnel", &headers), NEAR), 200, "reads are no writes");
    }
}

#[test]
fn a_foreign_page_starts_no_download_but_a_click_may() {
    let host = ("host", "127.0.0.1");
    let foreign = ("sec-fetch-site", "cross-site");
    let mut headers = vec![host, foreign];
    for path in ["/fetch?url=x", "/play?url=x"] {
        assert_eq!(status(&guard(), &request("GET", path, &headers), NEAR), 403);
    }
    headers.extend([("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]);
    assert_eq!(status(&guard(), &request("GET", "/play?url=x", &headers), NEAR), 403, "a script may navigate too");
    headers.push(("sec-fetch-user", "?1"));
    assert_eq!(status(&guard(), &request("GET", "/play?url=x", &headers), NEAR), 200);
    assert_eq!(status(&guard(), &request("POST", "/fetch", &headers), NEAR), 403);
}

#[test]
fn only_a_trusted_proxy_is_believed() {
    let told = [
        ("host", "127.0.0.1"),
        ("x-forwarded-for", "8.8.8.8, 192.168.1.5"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "nas.lan"),
    ];
    let caller = guard().admit(&request("GET", "/", &told), peer("10.0.0.2"), "").expect("trusted");
    assert_eq!((caller.client, caller.https, caller.authority.as_str()), (peer("192.168.1.5"), true, "nas.lan"));
    let caller = guard().admit(&request("GET", "/", &told), NEAR, "").expect("near");
    assert_eq!((caller.client, caller.https, caller.authority.as_str()), (NEAR, false, "127.0.0.1"));
    let far = [("host", "127.0.0.1"), ("x-forwarded-for", "8.8.8.8")];
    assert_eq!(status(&guard(), &request("GET", "/", &far), peer("10.0.0.2")), 403);
    let odd = [("host", "127.0.0.1"), ("x-forwarded-for", "unknown")];
    assert_eq!(status(&guard(), &request("GET", "/", &odd), peer("10.0.0.2")), 403);
}

#[test]
fn a_request_id_is_echoed_when_it_is_sane() {
    for (sent, echoed) in [
        ("abc-1.2_3", true),
        ("job/7:retry=2,eu+west", true),
        (&*"x".repeat(128), true),
        (&*"x".repeat(129), false),
        ("a b", false),
        ("a\" level=error", false),
        ("<b>", false),
        ("", false),
    ] {
        let parts = request("GET", "/", &[("x-request-id", sent)]);
        assert_eq!(request_id(&parts.headers) == sent, echoed, "{sent}");
        assert_eq!(request_id(&HeaderMap::new()).len(), 16);
    }
}
