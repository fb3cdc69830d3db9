//! Named tokens: what each may do, how often, and how logs and metrics name them.

use kmds_lab::Lab;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Kmds, PATIENCE, Setup};

pub const LISTENS: &str = "listens-and-nothing-else";
pub const FETCHES: &str = "fetches-songs-and-listens";
const MANAGES: &str = "removes-songs-and-no-more";

/// A file of three tokens.
pub fn three() -> String {
    [
        ("ear", LISTENS, "\"listen\""),
        ("bot", FETCHES, "\"listen\", \"fetch\""),
        ("broom", MANAGES, "\"manage\""),
    ]
    .map(|(name, secret, scopes)| {
        format!("[[token]]\nname = \"{name}\"\nsecret = \"{secret}\"\nscopes = [{scopes}]\n")
    })
    .concat()
}

/// With this file of tokens.
pub fn with_tokens(setup: Setup, name: &str, text: &str) -> Setup {
    let file = setup.folder.path(name);
    std::fs::write(&file, text).expect("a file");
    setup.set("KMDS_SERVER__TOKENS_FILE", &file.display().to_string())
}

pub async fn ask(kmds: &Kmds, method: Method, path: &str, token: &str) -> (u16, String) {
    let request = kmds.http.request(method, kmds.at(path)).bearer_auth(token);
    let answer = request.timeout(PATIENCE).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.unwrap_or_default())
}

pub async fn get(kmds: &Kmds, path: &str, token: &str) -> (u16, String) {
    ask(kmds, Method::GET, path, token).await
}

pub fn hang_up(kmds: &Kmds) {
    let pid = Pid::from_raw(i32::try_from(kmds.pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::HUP).expect("it runs");
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say_and_a_refusal_names_the_one_that_is_missing() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Scoped").seconds(4.0).publish();
    let link: String = url::form_urlencoded::byte_serialize(song.link().as_bytes()).collect();
    let kmds = with_tokens(Setup::of(&lab), "tokens.toml", &three()).start();
    let track = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let audio = format!("{track}/audio?wait=60");
    let (status, body) = get(&kmds, &format!("/fetch?url={link}"), LISTENS).await;
    assert_eq!(status, 403);
    assert!(body.contains("`ear`") && body.contains("`fetch`"), "{body}");
    let (status, _) = get(&kmds, &format!("/fetch?url={link}"), FETCHES).await;
    assert_eq!(status, 200);
    assert_eq!(get(&kmds, &audio, FETCHES).await.0, 200);
    for (method, path, [ear, bot, broom]) in [
        (Method::GET, audio.as_str(), [200, 200, 403]),
        (Method::GET, track.as_str(), [200, 200, 403]),
        (Method::GET, "/api/v1/stats", [200, 200, 403]),
        (Method::GET, "/metrics", [200, 200, 403]),
        (Method::GET, "/play?url=x", [403, 400, 403]),
        (Method::GET, "/api/v1/search?q=", [403, 400, 403]),
        (Method::POST, "/api/v1/recipes/reload", [403, 403, 200]),
        (Method::DELETE, track.as_str(), [403, 403, 204]),
    ] {
        for (token, status) in [(LISTENS, ear), (FETCHES, bot), (MANAGES, broom)] {
            let (said, body) = ask(&kmds, method.clone(), path, token).await;
            assert_eq!(said, status, "{method} {path} {token}: {body}");
            assert!(status != 403 || body.contains("lacks the scope"), "{body}");
        }
    }
    let unknown = get(&kmds, "/api/v1/stats", "not-one-of-these-tokens").await;
    assert_eq!(unknown.0, 401);
}

#[tokio::test]
async fn a_token_that_only_listens_starts_no_download_on_any_path() {
    let lab = Lab::start().await;
    let [gone, here] =
        ["Gone", "Here"].map(|title| lab.bandcamp().track(title).seconds(4.0).publish());
    let kmds = with_tokens(Setup::of(&lab), "tokens.toml", &three()).start();
    for song in [&gone, &here] {
        let link: String = url::form_urlencoded::byte_serialize(song.link().as_bytes()).collect();
        assert_eq!(
            get(&kmds, &format!("/fetch?url={link}"), FETCHES).await.0,
            200
        );
        let file = format!("/tunnel?file=bandcamp-{}.mp3&wait=60", song.id());
        assert_eq!(get(&kmds, &file, FETCHES).await.0, 200);
    }
    let (gone, here) = (gone.id(), here.id());
    let file = kmds.folder.path(&format!("cache/bandcamp/{gone}.mp3"));
    std::fs::remove_file(file).expect("it was published");
    lab.forget_requests();
    for (path, status) in [
        (format!("/tunnel?file=bandcamp-{here}.mp3"), 200),
        (format!("/tunnel?file=bandcamp-{gone}.mp3"), 418),
        (format!("/tunnel?file=bandcamp-{gone}.mp3&wait=1"), 418),
        (format!("/tunnel?file=bandcamp-{gone}.mp3&stream=1"), 418),
        (format!("/api/v1/tracks/bandcamp/{gone}?wait=1"), 200),
        (format!("/api/v1/tracks/bandcamp/{gone}/audio?wait=1"), 403),
        (
            format!("/api/v1/tracks/bandcamp/{gone}/audio?stream=1"),
            403,
        ),
        (
            format!("/api/v1/tracks/bandcamp/{here}/audio?rendition=wav"),
            403,
        ),
        (
            format!("/api/v1/tracks/bandcamp/{here}/audio?tags=1&wait=1"),
            403,
        ),
        (format!("/api/v1/tracks/bandcamp/{here}/cover"), 403),
    ] {
        let (said, body) = get(&kmds, &path, LISTENS).await;
        assert_eq!(said, status, "{path}: {body}");
        assert!(status != 403 || body.contains("`fetch`"), "{path}: {body}");
    }
    assert_eq!(lab.requests().len(), 0, "no site was asked");
    let again = get(
        &kmds,
        &format!("/tunnel?file=bandcamp-{gone}.mp3&wait=60"),
        FETCHES,
    )
    .await;
    assert_eq!(again.0, 200);
}

#[tokio::test]
async fn a_token_that_the_command_made_opens_and_its_secret_is_not_in_the_file() {
    let kmds = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kmds"));
        let out = command.args(args).output().expect("kmds starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (out.status.code(), text(out.stdout), text(out.stderr))
    };
    let (code, table, said) = kmds(&["token", "new", "ada", "--scopes", "listen"]);
    assert_eq!(code, Some(0), "{said}");
    let secret = said.trim().rsplit(' ').next().expect("a secret");
    assert!(!table.contains(secret), "{table}");
    let kmds_serves = with_tokens(Setup::new(), "tokens.toml", &table).start();
    assert_eq!(get(&kmds_serves, "/api/v1/stats", secret).await.0, 200);
    assert_eq!(get(&kmds_serves, "/fetch?url=x", secret).await.0, 403);
    for bad in [&["a b"][..], &["ada", "--scopes", "everything"]] {
        let (code, table, said) = kmds(&[&["token", "new"], bad].concat());
        assert_eq!((code, table.as_str()), (Some(2), ""), "{said}");
    }
}

#[tokio::test]
async fn names_stand_in_the_log_and_the_metrics_and_secrets_nowhere() {
    let kmds = with_tokens(Setup::new(), "tokens.toml", &three()).start();
    get(&kmds, "/api/v1/stats", LISTENS).await;
    get(&kmds, "/api/v1/stats", MANAGES).await;
    get(&kmds, "/api/v1/stats", "no-token-of-this-server").await;
    let (_, metrics) = get(&kmds, "/metrics", LISTENS).await;
    for sample in [
        "kmds_token_requests_total{token=\"ear\",status=\"200\"} 1",
        "kmds_token_requests_total{token=\"broom\",status=\"403\"} 1",
    ] {
        assert!(metrics.contains(sample), "{metrics}");
    }
    kmds.until("the last is logged", async || {
        kmds.log().contains("path=/metrics")
    })
    .await;
    let log = kmds.log();
    let answered = |token: &str, status: u16| {
        log.lines().any(|line| {
            line.contains(&format!("status={status} "))
                && line.contains(&format!("token=\"{token}\""))
        })
    };
    assert!(answered("ear", 200) && answered("broom", 403), "{log}");
    for secret in [LISTENS, FETCHES, MANAGES, "no-token-of-this-server"] {
        assert!(
            !log.contains(secret) && !metrics.contains(secret),
            "{secret}"
        );
    }
}

#[tokio::test]
async fn a_hangup_reads_the_tokens_again_and_a_bad_file_leaves_the_old_ones() {
    let kmds = with_tokens(Setup::new(), "tokens.toml", &three()).start();
    let file = kmds.folder.path("tokens.toml");
    let new = three().replace(LISTENS, "another-secret-of-the-ear");
    std::fs::write(&file, &new).expect("a file");
    assert_eq!(
        get(&kmds, "/api/v1/stats", LISTENS).await.0,
        200,
        "until told"
    );
    hang_up(&kmds);
    kmds.until("the new secret opens", async || {
        get(&kmds, "/api/v1/stats", "another-secret-of-the-ear")
            .await
            .0
            == 200
    })
    .await;
    assert_eq!(get(&kmds, "/api/v1/stats", LISTENS).await.0, 401);

    std::fs::write(&file, new.replace("another-secret-of-the-ear", "too-short")).expect("a file");
    hang_up(&kmds);
    kmds.until("the log says why", async || {
        kmds.log().contains("the old tokens stay in force")
    })
    .await;
    let log = kmds.log();
    let line = log
        .lines()
        .find(|line| line.contains("old tokens stay in force"));
    let line = line.expect("found before");
    assert!(
        line.contains("`ear`") && line.contains("at least 16"),
        "{line}"
    );
    assert!(!log.contains("too-short"), "{log}");
    let (status, _) = get(&kmds, "/api/v1/stats", "another-secret-of-the-ear").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_limit_is_counted_by_token_else_by_address_and_says_when_to_come_back() {
    let text = three().replace("name = \"ear\"", "name = \"ear\"\nrequests_per_minute = 2");
    let kmds = with_tokens(Setup::new(), "tokens.toml", &text)
        .set("KMDS_SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .set("KMDS_SERVER__RATE_LIMIT", "3")
        .start();
    let asked = async |token: &str, from: &str| {
        let request = kmds.http.get(kmds.at("/api/v1/stats"));
        let request = request.bearer_auth(token).header("x-forwarded-for", from);
        let answer = request.timeout(PATIENCE).send().await.expect("an answer");
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map(|value| value.to_str().expect("ASCII").to_owned())
        };
        let told = ["retry-after", "ratelimit", "ratelimit-policy"].map(header);
        let status = answer.status().as_u16();
        (status, told, answer.text().await.expect("a body"))
    };
    let (near, far, other) = ("192.168.1.7", "8.8.8.8", "8.8.4.4");
    for (left, from) in [(1, near), (0, far)] {
        let (status, [_, state, policy], _) = asked(LISTENS, from).await;
        assert_eq!(status, 200);
        let state = state.expect("a limited answer tells it");
        assert!(
            state.starts_with(&format!("\"minute\";r={left};t=")),
            "{state}"
        );
        assert_eq!(policy.as_deref(), Some("\"minute\";q=2;w=60"));
    }
    let (status, [retry, ..], body) = asked(LISTENS, near).await;
    assert_eq!(status, 429);
    let retry: u64 = retry.expect("Retry-After").parse().expect("seconds");
    assert!((1..=30).contains(&retry), "{retry}");
    let problem: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(problem["kind"], "rate_limited");
    let detail = problem["detail"].as_str().expect("a sentence");
    assert!(
        detail.contains("`ear`") && detail.contains("requests_per_minute"),
        "{detail}"
    );

    // Near, nothing else is limited; far, an address that guesses at tokens is.
    for _ in 0..9 {
        let (status, [_, state, _], _) = asked(FETCHES, near).await;
        assert_eq!((status, state), (200, None));
    }
    for status in [401, 401, 401, 429] {
        let (said, _, body) = asked("a-guess-at-some-token", far).await;
        assert_eq!(said, status);
        assert!(
            status != 429 || body.contains("server.rate_limit"),
            "{body}"
        );
    }
    assert_eq!(asked("a-guess-at-some-token", other).await.0, 401);
    assert_eq!(
        asked(FETCHES, far).await.0,
        200,
        "a token has its own count"
    );
}
