//! Behind a real nginx, by the example in the docs: base path, forwarded headers, and songs that still arrive.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::harness::replies::Reply;
use crate::harness::{Kmds, Setup};
use crate::{root, skipped, which};
use kmds_lab::{Lab, kib};

pub struct Nginx {
    child: Child,
    pub url: String,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it when it is asked to; a master that is killed leaves one behind.
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Nginx {
    /// By the example, with these changes; `None` without nginx.
    pub fn before(kmds: &Kmds, changes: &[(&str, &str)]) -> Option<Self> {
        let program = which("nginx")?;
        let example = std::fs::read_to_string(root().join("docs/nginx.conf")).expect("the example");
        let changes = [("http://127.0.0.1:60071", kmds.url.as_str())]
            .into_iter()
            .chain(changes.iter().copied());
        let location = changes.fold(example, |text, (from, to)| {
            assert!(text.contains(from), "the example has no {from}");
            text.replace(from, to)
        });
        let free = TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("bound");
        let folder = kmds.folder.path(&format!("nginx-{}", free.port()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let at = folder.display();
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {at}/{name};\n"))
            .collect();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temp}server {{\nlisten {free};\n{location}\n}}\n}}\n"
        );
        std::fs::write(folder.join("nginx.conf"), config).expect("a file");
        let mut command = Command::new(program);
        command
            .arg("-e")
            .arg(folder.join("start.log"))
            .arg("-c")
            .arg(folder.join("nginx.conf"));
        let child = command.stdin(Stdio::null()).spawn().expect("nginx starts");
        Some(Self {
            child,
            url: format!("http://{free}"),
        })
    }
}

#[tokio::test]
async fn the_nginx_example_serves_both_faces_below_its_path() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Held").holds_at(kib(64)).publish();
    let setup = Setup::of(&lab)
        .set("KMDS_SERVER__BASE_PATH", "/kmds")
        .set("KMDS_SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let kmds = setup.start();
    let Some(nginx) = Nginx::before(&kmds, &[]) else {
        return skipped("behind a reverse proxy", "there is no nginx");
    };
    let at = |path: &str| format!("{}/kmds{path}", nginx.url);
    kmds.until("nginx answers", async || {
        kmds.http.get(at("/healthz")).send().await.is_ok()
    })
    .await;
    let request = kmds
        .http
        .post(at("/fetch"))
        .body(serde_json::json!({ "URL": song.link() }).to_string());
    // What a client says about itself must not count: this one would be refused.
    let answer = request
        .header("x-forwarded-for", "8.8.8.8")
        .send()
        .await
        .expect("an answer");
    let (status, reply) = Reply::of(answer).await;
    assert_eq!(status, 200);
    let entry = &reply.songs[0];
    let music = &entry.url;
    assert!(music.starts_with(&at("/tunnel?file=")), "{music}");
    let tunnel = &entry.tunnel;
    assert!(tunnel.starts_with("/kmds/tunnel?file="), "{tunnel}");
    let mut audio = kmds
        .http
        .get(format!("{music}&stream=1"))
        .send()
        .await
        .expect("audio");
    assert_eq!(audio.status(), 200);
    let mut received = audio
        .chunk()
        .await
        .expect("bytes")
        .expect("before the song is whole")
        .to_vec();
    song.release();
    while let Some(chunk) = audio.chunk().await.expect("bytes") {
        received.extend_from_slice(&chunk);
    }
    assert_eq!(received, song.bytes());
    let page = kmds.http.get(at("/ui/")).send().await.expect("the page");
    assert_eq!(page.status(), 200);
    let partial = kmds
        .http
        .get(music)
        .header("range", "bytes=5-9")
        .send()
        .await
        .expect("a range");
    assert_eq!(partial.status(), 206);
    assert_eq!(
        partial.bytes().await.expect("a body"),
        song.bytes().slice(5..10)
    );
}

#[tokio::test]
async fn with_tokens_people_sign_in_at_nginx_and_the_page_works_for_them() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Signed In").publish();
    let setup = Setup::of(&lab)
        .set("KMDS_SERVER__BASE_PATH", "/kmds")
        .set("KMDS_SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let (tokens, users) = (setup.folder.path("tokens"), setup.folder.path("users"));
    std::fs::write(&tokens, "open-sesame-please\n").expect("a file");
    std::fs::write(&users, "ada:{PLAIN}lovelace\n").expect("a file");
    let kmds = setup
        .set("KMDS_SERVER__TOKENS_FILE", &tokens.display().to_string())
        .start();
    let users = format!("auth_basic_user_file {}", users.display());
    let changes = [
        ("#auth_basic \"KMDS\"", "auth_basic \"KMDS\""),
        ("#auth_basic_user_file /etc/nginx/kmds.users", &users),
        (
            "#proxy_set_header Authorization \"Bearer TOKEN\"",
            "proxy_set_header Authorization \"Bearer open-sesame-please\"",
        ),
    ];
    let Some(nginx) = Nginx::before(&kmds, &changes) else {
        return skipped("signing in", "there is no nginx");
    };
    let at = |path: &str| format!("{}/kmds{path}", nginx.url);
    kmds.until("nginx answers", async || {
        kmds.http.get(at("/healthz")).send().await.is_ok()
    })
    .await;
    let stranger = kmds.http.get(at("/ui/")).send().await.expect("an answer");
    assert_eq!(stranger.status(), 401);
    let signed_in =
        |request: reqwest::RequestBuilder| request.basic_auth("ada", Some("lovelace")).send();
    for path in ["/ui/", "/ui/page.js", "/api/v1/stats", "/api/v1/events"] {
        let answer = signed_in(kmds.http.get(at(path))).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
    }
    // As the page asks.
    let body = serde_json::json!({ "url": song.link() }).to_string();
    let asked = kmds
        .http
        .post(at("/api/v1/fetch"))
        .header("content-type", "application/json")
        .body(body);
    let asked = asked
        .header("origin", &nginx.url)
        .header("sec-fetch-site", "same-origin");
    assert_eq!(signed_in(asked).await.expect("an answer").status(), 200);
    let audio = kmds.http.get(at(&format!(
        "/api/v1/tracks/bandcamp/{}/audio?wait=60",
        song.id()
    )));
    assert_eq!(
        signed_in(audio)
            .await
            .expect("audio")
            .bytes()
            .await
            .expect("a body"),
        song.bytes()
    );
}

/// Nginx takes the header `X-Sim-Client` for the client's address.
#[tokio::test]
async fn a_far_client_is_far_whatever_it_writes_into_the_headers_that_nginx_appends_to() {
    let kmds = Setup::new()
        .set("KMDS_SERVER__BASE_PATH", "/kmds")
        .set("KMDS_SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .start();
    let appends = ("$remote_addr", "$proxy_add_x_forwarded_for");
    let location = "location /kmds/ {";
    let simulated = (
        location,
        "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Sim-Client;\nlocation /kmds/ {",
    );
    let Some(nginx) = Nginx::before(&kmds, &[appends, simulated]) else {
        return skipped("a far client behind a reverse proxy", "there is no nginx");
    };
    let at = format!("{}/kmds/api/v1/stats", nginx.url);
    kmds.until("nginx answers", async || {
        kmds.http.get(&at).send().await.is_ok()
    })
    .await;
    let written: [&[u8]; 8] = [
        b"10.0.0.1",
        b"\xff",
        b"caf\xc3\xa9",
        b"",
        b"unknown",
        b"10.0.0.1, 127.0.0.1",
        b"\xff, 127.0.0.1",
        b"127.0.0.1,",
    ];
    for (client, status) in [("8.8.8.8", 403), ("2001:db8::1", 403), ("192.168.1.7", 200)] {
        let asked = || kmds.http.get(&at).header("x-sim-client", client);
        assert_eq!(
            asked().send().await.expect("an answer").status(),
            status,
            "{client}"
        );
        for value in written {
            let value = reqwest::header::HeaderValue::from_bytes(value).expect("a value");
            let told = asked()
                .header("x-forwarded-for", value.clone())
                .header("forwarded", "for=127.0.0.1");
            assert_eq!(
                told.send().await.expect("an answer").status(),
                status,
                "{client} {value:?}"
            );
        }
    }
}
