use super::*;
use http::{HeaderValue, Request, Version};

pub(super) fn config() -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".to_owned(),
        public_url: Some("https://music.example.org/kmds".to_owned()),
        base_path: String::new(),
        tokens_file: None,
        nodes_token_file: None,
        names: vec!["nas.example".to_owned()],
        allow: vec![
            "100.64.0.0/10".parse().expect("a network"),
            "2001:db8::/32".parse().expect("a network"),
        ],
        trusted_proxies: vec!["10.0.0.2".to_owned()],
        rate_limit: None,
        rate_limit_near: None,
        link_lifetime: std::time::Duration::from_secs(86400),
        max_connections: None,
        own_covers: false,
        stop_within: std::time::Duration::from_secs(1),
    }
}

fn guard() -> Guard {
    Guard::new(&config(), None).expect("valid settings")
}

pub(super) fn request(method: &str, path: &str, headers: &[(&'static str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_str(value).expect("a value"));
    }
    request.body(()).expect("a request").into_parts().0
}

const NEAR: Peer = Peer::Address(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

pub(super) fn peer(text: &str) -> Peer {
    Peer::at(text.parse().expect("an address"))
}

fn admit(guard: &Guard, request: &Parts, peer: Peer, local: &str) -> Result<Caller, Refusal> {
    let route = Some(request.uri.path());
    guard.admit(request, route, peer, local).verdict
}

fn status(guard: &Guard, request: &Parts, peer: Peer) -> u16 {
    admit(guard, request, peer, "127.0.0.1:1")
        .map_or_else(|refusal| refusal.status.as_u16(), |_| 200)
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
        ("nas.example:60071", 200),
        ("NAS.example.", 200),
        ("other.example", 403),
        ("music.example.org", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example:80@127.0.0.1", 403),
        ("nas.lan:port", 403),
        ("[evil.example]", 403),
        ("", 403),
        (":80", 403),
        // Names that no person can register.
        ("kmds:60071", 200),
        ("KMDS", 200),
        ("kmds.", 200),
        ("my_nas", 200),
        ("nas.local", 200),
        ("nas.Local.:80", 200),
        ("kmds.internal", 200),
        ("nas.attic.home.arpa", 200),
        ("nas.lan", 200),
        ("kmds.localhost", 200),
        ("kmds..", 403),
        (".local", 403),
        ("..local", 403),
        ("nas..lan", 403),
        ("home.arpa", 403),
        ("nashome.arpa", 403),
        ("nas.xlan", 403),
        ("lan.example.com", 403),
        ("nas.local.example.com", 403),
        ("nas.home", 403),
        ("machine.tailnet.ts.net", 403),
        ("kmds@evil.example", 403),
        ("kmds/evil.example", 403),
        ("[::ffff:127.0.0.1]", 200),
        ("[::1", 403),
        ("::1", 403),
    ] {
        assert_eq!(
            status(&guard(), &request("GET", "/", &[("host", host)]), NEAR),
            answer,
            "{host}"
        );
    }
}

#[test]
fn a_request_names_exactly_one_host_unless_it_is_of_http_1_0() {
    assert_eq!(status(&guard(), &request("GET", "/", &[]), NEAR), 400);
    assert_eq!(
        status(
            &guard(),
            &request("GET", "/", &[("host", "localhost"), ("host", "localhost")]),
            NEAR
        ),
        400
    );
    let mut old = request("GET", "/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(
        admit(&guard(), &old, NEAR, "127.0.0.1:1")
            .expect("tolerated")
            .authority,
        "127.0.0.1:1"
    );
    let absolute = request("GET", "http://evil.example/", &[("host", "localhost")]);
    assert_eq!(status(&guard(), &absolute, NEAR), 403);
}

#[test]
fn without_tokens_only_near_peers_are_served_and_are_told_why() {
    let ask = request("GET", "/healthz", &[("host", "127.0.0.1")]);
    assert_eq!(status(&guard(), &ask, peer("192.168.7.7")), 200);
    let refusal = admit(&guard(), &ask, peer("8.8.8.8"), "").expect_err("far");
    assert_eq!(refusal.status.as_u16(), 403);
    assert!(
        refusal.failure.sentence.contains("server.tokens_file")
            && refusal.failure.sentence.contains("server.allow"),
        "{}",
        refusal.failure.sentence
    );
    for (from, answer) in [
        ("100.64.0.1", 200),
        ("100.127.255.255", 200),
        ("::ffff:100.64.0.1", 200),
        ("2001:db8::9", 200),
        ("100.128.0.1", 403),
        ("2001:db9::1", 403),
    ] {
        assert_eq!(status(&guard(), &ask, peer(from)), answer, "{from}");
    }
}

#[test]
fn health_is_told_under_any_name_and_everything_else_under_ours() {
    for host in ["evil.example", "kmds@evil.example", "10.0.0.1:port"] {
        let ask = |path| status(&guard(), &request("GET", path, &[("host", host)]), NEAR);
        assert_eq!(ask("/healthz"), 200, "{host}");
        for path in ["/readyz", "/healthz/", "/metrics", "/"] {
            assert_eq!(ask(path), 403, "{host} {path}");
        }
    }
    let far = request("GET", "/healthz", &[("host", "kmds")]);
    assert_eq!(status(&guard(), &far, peer("8.8.8.8")), 403);
}

#[test]
fn with_tokens_everybody_needs_one_except_at_healthz() {
    let file = std::env::temp_dir().join(format!("kmds-guard-tokens-{}", std::process::id()));
    std::fs::write(&file, "open-sesame-please\n").expect("a temporary file");
    let guard = Guard::new(
        &ServerConfig {
            tokens_file: Some(file),
            ..config()
        },
        None,
    )
    .expect("valid");
    let host = ("host", "127.0.0.1");
    for from in [NEAR, peer("8.8.8.8")] {
        assert_eq!(
            status(&guard, &request("GET", "/metrics", &[host]), from),
            401
        );
        assert_eq!(
            status(
                &guard,
                &request(
                    "GET",
                    "/metrics",
                    &[host, ("authorization", "Bearer wrong")]
                ),
                from
            ),
            401
        );
        assert_eq!(
            status(
                &guard,
                &request(
                    "GET",
                    "/",
                    &[host, ("authorization", "Bearer open-sesame-please")]
                ),
                from
            ),
            200
        );
        assert_eq!(
            status(&guard, &request("GET", "/healthz", &[host]), from),
            200
        );
        assert_eq!(
            status(&guard, &request("GET", "/healthz/x", &[host]), from),
            401
        );
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
        (
            vec![("host", "localhost"), ("origin", "http://localhost:80")],
            200,
        ),
    ] {
        for method in ["POST", "DELETE"] {
            assert_eq!(
                status(&guard(), &request(method, "/api/v1/x", &headers), NEAR),
                answer,
                "{headers:?}"
            );
        }
        assert_eq!(
            status(&guard(), &request("GET", "/tunnel", &headers), NEAR),
            200,
            "reads are no writes"
        );
    }
}

#[test]
fn a_foreign_page_starts_nothing_by_whatever_header_it_is_known() {
    let host = ("host", "kmds.lan:60071");
    let guard = Guard::new(
        &ServerConfig {
            names: vec!["kmds.lan".to_owned()],
            ..config()
        },
        None,
    )
    .expect("valid");
    for (headers, foreign) in [
        (vec![], false),
        (
            vec![
                ("sec-fetch-site", "none"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-user", "?1"),
            ],
            false,
        ),
        (
            vec![
                ("sec-fetch-site", "same-origin"),
                (
                    "referer",
                    "http://kmds.lan:60071/ui/?x=http://evil.example/",
                ),
            ],
            false,
        ),
        (vec![("origin", "http://kmds.lan:60071")], false),
        (
            vec![("referer", "https://music.example.org/kmds/ui/")],
            false,
        ),
        (vec![("referer", "about:blank")], false),
        (vec![("sec-fetch-site", "cross-site")], true),
        (vec![("sec-fetch-site", "same-site")], true),
        (
            vec![
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-user", "?1"),
            ],
            true,
        ),
        (
            vec![
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-origin"),
            ],
            true,
        ),
        (vec![("sec-fetch-site", "\u{fc}")], true),
        (vec![("origin", "http://evil.example")], true),
        (vec![("origin", "null")], true),
        (vec![("origin", "http://kmds.lan:8080")], true),
        (
            vec![
                ("sec-fetch-site", "same-origin"),
                ("origin", "http://evil.example"),
            ],
            true,
        ),
        (vec![("referer", "http://evil.example/page")], true),
        (vec![("referer", "http://evil.example")], true),
        (
            vec![("referer", "http://kmds.lan:60071.evil.example/")],
            true,
        ),
        (
            vec![("referer", "http://kmds.lan:60071@evil.example/")],
            true,
        ),
        (
            vec![("referer", "http://evil.example?http://kmds.lan:60071/")],
            true,
        ),
        (vec![("referer", "android-app://com.example/")], true),
        (vec![("referer", "http://\u{fc}/")], true),
    ] {
        let headers: Vec<_> = [host].into_iter().chain(headers).collect();
        let at = |method: &str, route: &str| {
            let request = request(method, "/", &headers);
            let admission = guard.admit(&request, Some(route), NEAR, "");
            admission.verdict.map_err(|refusal| refusal.status.as_u16())
        };
        for (method, route) in [
            ("GET", "/fetch"),
            ("HEAD", "/play"),
            ("GET", "/new"),
            ("POST", "/fetch"),
            ("PUT", "/"),
        ] {
            assert_eq!(
                at(method, route).err(),
                foreign.then_some(403),
                "{method} {route} {headers:?}"
            );
        }
        for route in [
            "/",
            "/ui/",
            "/api/v1/stats",
            "/tunnel",
            "/api/v1/tracks/{site}/{id}/audio",
        ] {
            assert_eq!(
                at("GET", route).expect("read").barred,
                foreign.then_some(Barred::ForeignPage),
                "{route} {headers:?}"
            );
        }
    }
}

#[test]
fn who_comes_through_a_proxy_is_whom_the_proxy_names_or_nobody() {
    let proxy = peer("10.0.0.2");
    let admitted = |lines: &[&[u8]], proxy| {
        let mut request = request("GET", "/", &[("host", "127.0.0.1")]);
        for line in lines {
            request.headers.append(
                FORWARDED_FOR,
                HeaderValue::from_bytes(line).expect("a value"),
            );
        }
        admit(&guard(), &request, proxy, "")
            .map(|caller| caller.client.to_string())
            .map_err(|refusal| refusal.status.as_u16())
    };
    for (lines, client) in [
        (&[][..], Ok("10.0.0.2")),
        (&[b"192.168.1.5".as_slice()], Ok("192.168.1.5")),
        (&[b"garbage, 192.168.1.5"], Ok("192.168.1.5")),
        (&[b"\xff, 192.168.1.5"], Ok("192.168.1.5")),
        (&[b"8.8.8.8", b"192.168.1.5, 10.0.0.2"], Ok("192.168.1.5")),
        (&[b"fe80::1%eth0"], Ok("fe80::1")),
        (&[b"::ffff:192.168.1.5"], Ok("192.168.1.5")),
        (&[b"8.8.8.8"], Err(403)),
        (&[b"10.0.0.1, 8.8.8.8"], Err(403)),
        (&[b"\xff, 8.8.8.8"], Err(403)),
        (&[b"caf\xc3\xa9, 8.8.8.8"], Err(403)),
        (&[b"10.0.0.1", b"\xff, 8.8.8.8"], Err(403)),
        (&[b"192.168.1.5, \xff"], Err(403)),
        (&[b"192.168.1.5", b"\xff"], Err(403)),
        (&[b"192.168.1.5, "], Err(403)),
        (&[b""], Err(403)),
        (&[b"192.168.1.5", b""], Err(403)),
        (&[b"unknown"], Err(403)),
        (&[b"192.168.1.5, _hidden"], Err(403)),
        (&[b"::ffff:8.8.8.8"], Err(403)),
        (&[b"[2001:4860::1]:80"], Err(403)),
        (&[b"127.1"], Err(403)),
    ] {
        assert_eq!(
            admitted(lines, proxy),
            client.map(str::to_owned),
            "{lines:?}"
        );
        // From a peer that is not a proxy it is not read.
        assert_eq!(
            admitted(lines, NEAR).as_deref(),
            Ok("127.0.0.1"),
            "{lines:?}"
        );
    }
    let by_socket = Guard::new(
        &ServerConfig {
            trusted_proxies: vec!["unix".to_owned()],
            ..config()
        },
        None,
    )
    .expect("valid");
    for (line, status_then) in [
        (&b"192.168.1.5"[..], 200),
        (b"8.8.8.8", 403),
        (b"\xff, 8.8.8.8", 403),
        (b"unix:", 403),
    ] {
        let mut told = request("GET", "/", &[("host", "127.0.0.1")]);
        told.headers.append(
            FORWARDED_FOR,
            HeaderValue::from_bytes(line).expect("a value"),
        );
        assert_eq!(
            status(&by_socket, &told, Peer::Local),
            status_then,
            "{line:?}"
        );
        assert_eq!(
            status(&guard(), &told, Peer::Local),
            200,
            "a socket that is no proxy's is this machine"
        );
    }
    for (name, value) in [
        ("forwarded", "for=8.8.8.8"),
        ("x-forwarded-host", "\u{fc}"),
        ("x-forwarded-proto", "\u{fc}"),
    ] {
        let told = request("GET", "/", &[("host", "127.0.0.1"), (name, value)]);
        assert_eq!(status(&guard(), &told, proxy), 403, "{name}");
        assert_eq!(status(&guard(), &told, NEAR), 200, "{name}");
    }
}

#[test]
fn only_a_trusted_proxy_is_believed() {
    let told = [
        ("host", "127.0.0.1"),
        ("x-forwarded-for", "8.8.8.8, 192.168.1.5"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "nas.example"),
    ];
    let caller =
        admit(&guard(), &request("GET", "/", &told), peer("10.0.0.2"), "").expect("trusted");
    assert_eq!(
        (caller.client, caller.https, caller.authority.as_str()),
        (peer("192.168.1.5"), true, "nas.example")
    );
    let caller = admit(&guard(), &request("GET", "/", &told), NEAR, "").expect("near");
    assert_eq!(
        (caller.client, caller.https, caller.authority.as_str()),
        (NEAR, false, "127.0.0.1")
    );
    let far = [("host", "127.0.0.1"), ("x-forwarded-for", "8.8.8.8")];
    assert_eq!(
        status(&guard(), &request("GET", "/", &far), peer("10.0.0.2")),
        403
    );
    let odd = [("host", "127.0.0.1"), ("x-forwarded-for", "unknown")];
    assert_eq!(
        status(&guard(), &request("GET", "/", &odd), peer("10.0.0.2")),
        403
    );
}
