//! Under which names, and for which networks, the service answers.

use reqwest::header::HOST;

use crate::harness::{Kmds, PATIENCE, Setup};

async fn asked(kmds: &Kmds, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let request = headers
        .iter()
        .fold(kmds.http.get(kmds.at(path)), |request, (name, value)| {
            request.header(*name, *value)
        });
    let answer = request.timeout(PATIENCE).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a body"))
}

#[tokio::test]
async fn names_that_no_page_can_have_are_served_others_are_told_the_setting_and_health_has_any_name()
 {
    let kmds = Setup::new()
        .set("KMDS_SERVER__NAMES", "music.example.org")
        .start();
    for name in [
        "kmds:60071",
        "nas.local",
        "kmds.internal",
        "nas.home.arpa.",
        "Music.Example.org",
    ] {
        let (status, body) = asked(&kmds, "/api/v1/stats", &[(HOST.as_str(), name)]).await;
        assert_eq!(status, 200, "{name}: {body}");
    }
    for path in ["/api/v1/stats", "/readyz"] {
        let (status, body) = asked(&kmds, path, &[(HOST.as_str(), "evil.example")]).await;
        assert_eq!(status, 403, "{path}");
        assert!(body.contains("server.names"), "{body}");
    }
    let (status, _) = asked(&kmds, "/healthz", &[(HOST.as_str(), "evil.example")]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn an_allowed_network_is_served_and_a_far_client_is_told_both_settings_that_let_it_in() {
    let kmds = Setup::new()
        .set("KMDS_SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .set("KMDS_SERVER__ALLOW", "100.64.0.0/10, 2001:db8::/32")
        .start();
    let from = |client| [("x-forwarded-for", client)];
    for client in ["100.100.1.2", "2001:db8::7", "192.168.1.7"] {
        let (status, body) = asked(&kmds, "/api/v1/stats", &from(client)).await;
        assert_eq!(status, 200, "{client}: {body}");
    }
    for path in ["/", "/api/v1/stats"] {
        let (status, body) = asked(&kmds, path, &from("100.128.0.1")).await;
        assert_eq!(status, 403, "{path}");
        let told = body.contains("server.allow") && body.contains("server.tokens_file");
        assert!(told, "{body}");
    }
}
