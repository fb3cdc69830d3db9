//! What a client can send instead of a token: a browser's session cookie, and signed addresses.

use kmds_lab::Lab;
use reqwest::Response;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};

use crate::harness::{Kmds, PATIENCE, Setup};
use crate::tokens::{FETCHES, LISTENS, ask, get, hang_up, three, with_tokens};

const FORM: &str = "name=\"token\"";

async fn log_in(kmds: &Kmds, token: &str, headers: &[(&str, &str)]) -> Response {
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("token", token)
        .append_pair("next", "url=a&x=\"")
        .finish();
    let request = kmds.http.post(kmds.at("/ui/login")).body(body);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.timeout(PATIENCE).send().await.expect("an answer")
}

fn header<'r>(answer: &'r Response, name: &str) -> &'r str {
    answer.headers()[name].to_str().expect("ASCII")
}

async fn with_cookie(kmds: &Kmds, path: &str, cookie: &str) -> (u16, String) {
    let request = kmds.http.get(kmds.at(path)).header(COOKIE, cookie);
    let answer = request.timeout(PATIENCE).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a body"))
}

#[tokio::test]
async fn a_browser_logs_in_with_a_token_keeps_a_cookie_and_logs_out() {
    let kmds = with_tokens(Setup::new(), "tokens.toml", &three())
        .set("KMDS_SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .start();
    let form = kmds.get("/ui/?url=%22%3E").await;
    assert_eq!(form.status(), 200);
    assert!(form.headers().contains_key("content-security-policy"));
    let form = form.text().await.expect("a body");
    assert!(
        form.contains(FORM) && form.contains("value=\"url=%22%3E\""),
        "{form}"
    );
    assert_eq!(kmds.get("/ui/page.css").await.status(), 200);
    let root = kmds.http.get(kmds.at("/")).header("accept", "text/html");
    let root = root.send().await.expect("an answer");
    assert_eq!(
        (root.status().as_u16(), header(&root, "location")),
        (303, "/ui/")
    );
    assert_eq!(kmds.get("/").await.status(), 401, "a program");

    let wrong = log_in(&kmds, "no-token-of-this-server", &[]).await;
    assert_eq!(wrong.status(), 401);
    assert!(!wrong.headers().contains_key(SET_COOKIE));
    let text = wrong.text().await.expect("a body");
    assert!(
        text.contains("role=\"alert\"") && text.contains("url=a&amp;x=&quot;"),
        "{text}"
    );
    let foreign = log_in(&kmds, LISTENS, &[("origin", "http://evil.example")]).await;
    assert_eq!(foreign.status(), 403);

    let right = log_in(&kmds, LISTENS, &[("x-forwarded-proto", "https")]).await;
    assert_eq!(right.status(), 303);
    assert!(header(&right, LOCATION.as_str()).starts_with("/ui/?url=a&x="));
    let cookie = header(&right, SET_COOKIE.as_str()).to_owned();
    for part in [
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
        "; Secure",
        "Max-Age=2592000",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(LISTENS), "{cookie}");
    let plain = log_in(&kmds, LISTENS, &[]).await;
    assert!(!header(&plain, SET_COOKIE.as_str()).contains("Secure"));
    let cookie = cookie.split(';').next().expect("a value").to_owned();

    assert_eq!(with_cookie(&kmds, "/api/v1/stats", &cookie).await.0, 200);
    let (_, page) = with_cookie(&kmds, "/ui/", &cookie).await;
    assert!(
        page.contains("action=\"logout\"") && !page.contains(FORM),
        "{page}"
    );
    let (status, page) = get(&kmds, "/ui/", LISTENS).await;
    assert!(
        status == 200 && !page.contains("action=\"logout\""),
        "a proxy's header"
    );
    let (status, _) = with_cookie(&kmds, "/api/v1/search?q=x", &cookie).await;
    assert_eq!(status, 403, "the scopes are those of the token");
    let out = kmds
        .http
        .post(kmds.at("/ui/logout"))
        .header(COOKIE, &cookie);
    let out = out
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .expect("an answer");
    assert_eq!(out.status(), 303);
    assert!(header(&out, SET_COOKIE.as_str()).contains("kmds_session=; Path=/; Max-Age=0"));

    // Another secret of the token ends sessions and addresses of the old one.
    let text = three().replace(LISTENS, "another-secret-of-the-ear");
    std::fs::write(kmds.folder.path("tokens.toml"), text).expect("a file");
    hang_up(&kmds);
    kmds.until("the session ends", async || {
        with_cookie(&kmds, "/api/v1/stats", &cookie).await.0 == 401
    })
    .await;
}

#[tokio::test]
async fn a_write_by_a_session_has_to_name_our_own_page() {
    let kmds = with_tokens(Setup::new(), "tokens.toml", &three()).start();
    let opened = log_in(&kmds, FETCHES, &[]).await;
    let cookie = header(&opened, SET_COOKIE.as_str())
        .split(';')
        .next()
        .expect("a value");
    for (name, value, status) in [
        ("x-none", "", 403),
        ("referer", &*kmds.at("/ui/"), 403),
        ("origin", &*kmds.url, 400),
        ("sec-fetch-site", "same-origin", 400),
        ("sec-fetch-site", "cross-site", 403),
        ("origin", "http://evil.example", 403),
    ] {
        let request = kmds.http.post(kmds.at("/fetch")).header(COOKIE, cookie);
        let answer = request.header(name, value).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn with_tokens_the_addresses_of_songs_open_without_one_until_they_expire() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(0).title("Signed").artist("A Band");
    let album = album.song("One", 4.0).song("Two", 4.0).publish();
    let link: String = url::form_urlencoded::byte_serialize(album.link().as_bytes()).collect();
    let kmds = with_tokens(Setup::of(&lab), "tokens.toml", &three()).start();
    let open = async |address: &str| {
        let address = address.strip_prefix(&kmds.url).unwrap_or(address);
        kmds.get(address).await.status().as_u16()
    };
    let (status, text) = get(&kmds, &format!("/fetch?url={link}"), FETCHES).await;
    assert_eq!(status, 200, "{text}");
    let reply: Value = serde_json::from_str(&text).expect("JSON");
    let song = &reply["Songs"][0];
    for key in ["Music_URL", "Tunnel_URL"] {
        let address = song[key].as_str().expect("an address");
        let name = format!(
            "/tunnel?file=bandcamp-{}.mp3&expires=",
            album.songs()[0].id()
        );
        assert!(address.contains(&name), "{address}");
        assert_eq!(open(&format!("{address}&wait=60")).await, 200, "{address}");
        let head = kmds.http.head(format!(
            "{}{}",
            kmds.url,
            address.strip_prefix(&kmds.url).unwrap_or(address)
        ));
        assert_eq!(head.send().await.expect("an answer").status(), 200);
        let bare = address.split("&expires=").next().expect("a part");
        assert_eq!(open(bare).await, 401, "{bare}");
        let later = address.replace("&expires=1", "&expires=2");
        assert_eq!(open(&later).await, 401, "{later}");
        let other = address.replace(album.songs()[0].id(), album.songs()[1].id());
        assert_eq!(open(&other).await, 401, "{other}");
    }
    let tunnel = song["Tunnel_URL"].as_str().expect("an address").to_owned();
    let put = kmds
        .http
        .delete(kmds.at(&tunnel))
        .send()
        .await
        .expect("an answer");
    assert_eq!(put.status(), 401, "a signature only reads");

    let (status, list) = get(&kmds, &format!("/play?url={link}"), FETCHES).await;
    assert_eq!(status, 200);
    let entries: Vec<&str> = list
        .lines()
        .filter(|line| line.starts_with("http"))
        .collect();
    assert_eq!(entries.len(), 2, "{list}");
    for entry in entries {
        assert_eq!(open(entry).await, 200, "{entry}");
    }
    // What a browser's download and a player open: the list as a playlist, and its archives.
    let fetched = kmds
        .http
        .post(kmds.at("/api/v1/fetch"))
        .bearer_auth(FETCHES);
    let fetched = fetched.header("content-type", "application/json");
    let body = json!({ "url": album.link() }).to_string();
    let reply = fetched.body(body).send().await.expect("an answer");
    let reply: Value = serde_json::from_str(&reply.text().await.expect("a body")).expect("JSON");
    for (key, begins) in [("play", "#EXTM3U"), ("zip", "PK"), ("library_zip", "PK")] {
        let address = reply["links"][key].as_str().expect("an address");
        let answer = kmds.get(address).await;
        assert_eq!(answer.status(), 200, "{address}");
        let bytes = answer.bytes().await.expect("a body");
        assert!(bytes.starts_with(begins.as_bytes()), "{key}");
        assert_eq!(open(&format!("{address}&accept=opus")).await, 401, "{key}");
        let bare = address.split("&expires=").next().expect("a part");
        assert_eq!(open(bare).await, 401, "{bare}");
        if key == "play" {
            let list = String::from_utf8_lossy(&bytes);
            let entries = list.lines().filter(|line| line.starts_with("http"));
            for entry in entries {
                assert_eq!(open(entry).await, 200, "of a signed playlist: {entry}");
            }
        }
    }
    let track = format!("/api/v1/tracks/bandcamp/{}", album.songs()[0].id());
    let (_, text) = get(&kmds, &track, LISTENS).await;
    let links = serde_json::from_str::<Value>(&text).expect("JSON")["links"].take();
    for key in ["audio", "stream", "tunnel"] {
        let address = links[key].as_str().expect("an address");
        assert_eq!(open(address).await, 200, "{key}: {address}");
    }
    let audio = links["audio"].as_str().expect("an address");
    assert_eq!(open(&format!("{audio}&rendition=wav")).await, 401);
    assert_eq!(
        links["track"],
        json!(track),
        "a call of the API wants a token"
    );

    // The song leaves the drive: an address of a token that fetches brings it back, one that listens does not.
    let file = kmds
        .folder
        .path("cache")
        .join(song["Cache_Path"].as_str().expect("a path"));
    std::fs::remove_file(file).expect("it was published");
    assert_eq!(
        open(links["tunnel"].as_str().expect("an address")).await,
        418
    );
    assert_eq!(open(audio).await, 403);
    assert_eq!(open(&format!("{tunnel}&wait=60")).await, 200);

    kmds.until("all of it is logged", async || {
        kmds.log().matches("path=/tunnel").count() > 8
    })
    .await;
    let log = kmds.log();
    assert!(log.contains("token=\"bot\""), "{log}");
    for secret in ["signature", "expires=", FETCHES, LISTENS] {
        assert!(!log.contains(secret), "{secret}");
    }
    let (status, _) = ask(
        &kmds,
        reqwest::Method::GET,
        &tunnel,
        "no-token-of-this-server",
    )
    .await;
    assert_eq!(status, 200, "one way that shows a token is enough");
}

#[tokio::test]
async fn a_signed_address_opens_and_is_refused_when_its_time_is_over() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Signed").seconds(4.0).publish();
    let link: String = url::form_urlencoded::byte_serialize(song.link().as_bytes()).collect();
    let kmds = with_tokens(Setup::of(&lab), "tokens.toml", &three())
        .set("KMDS_SERVER__LINK_LIFETIME", "1 s")
        .start();
    let mut tunnel = String::new();
    kmds.until("a fresh address opens", async || {
        let (status, text) = get(&kmds, &format!("/fetch?url={link}"), FETCHES).await;
        assert_eq!(status, 200, "{text}");
        let reply: Value = serde_json::from_str(&text).expect("JSON");
        tunnel = reply["Songs"][0]["Tunnel_URL"]
            .as_str()
            .expect("an address")
            .to_owned();
        kmds.get(&tunnel).await.status() == 200
    })
    .await;
    kmds.until("it is refused", async || {
        kmds.get(&tunnel).await.status() == 401
    })
    .await;
    // Another time in the address does not help either.
    let later = tunnel.replace("&expires=1", "&expires=2");
    assert_eq!(kmds.get(&later).await.status(), 401);
}
