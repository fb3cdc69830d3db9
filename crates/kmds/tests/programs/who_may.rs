//! The permissions by token, address and scope: each cell of the table in SECURITY.md, tested at a running service over
//! real sockets, by clients with addresses of their own, directly and through a real nginx.
//!
//! The addresses need a network of their own: the test runs itself a second time inside one.

use std::process::Command;

use kmds_lab::Lab;
use reqwest::header::{COOKIE, HOST, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder};

use crate::harness::{Kmds, PATIENCE, Setup};
use crate::nginx::Nginx;
use crate::{root, skipped};

#[path = "../../src/http/guard/rows.rs"]
mod rows;

use rows::{ALLOWED, BEGINS, CLIENTS, ENDS, PLACES, PROXY, SHOWN};

const NAME: &str = "who_may::the_table_of_who_may_do_what_holds_over_real_sockets_and_behind_nginx";
/// Set inside the network.
const INSIDE: &str = "KMDS_TEST_INSIDE";
const ENTERED: &str = "the network is there";
/// The secrets of the columns with tokens.
const EAR: &str = "listens-and-nothing-else";
const BOT: &str = "fetches-songs-and-listens";
const ADA: &str = "removes-songs-as-well-as-all";

#[tokio::test]
async fn the_table_of_who_may_do_what_holds_over_real_sockets_and_behind_nginx() {
    if std::env::var_os(INSIDE).is_none() {
        return again_inside();
    }
    let lab = Lab::start().await;
    let open = House::build(&lab, false).await;
    let guarded = House::build(&lab, true).await;
    let text = std::fs::read_to_string(root().join("SECURITY.md")).expect("SECURITY.md");
    let begins = text.find(BEGINS).expect("the table's place") + BEGINS.len();
    let ends = begins + text[begins..].find(ENDS).expect("the table's end");
    let told: Vec<Vec<&str>> = text[begins..ends]
        .lines()
        .skip(2)
        .map(|row| row.split('|').map(str::trim).skip(1).collect())
        .collect();
    let mut asked = 0;
    let mut wrong = Vec::new();
    for place in PLACES {
        for (client, sends) in CLIENTS {
            let row = told
                .iter()
                .find(|row| row[..2] == [place.0, client])
                .unwrap_or_else(|| panic!("no row {}, {client}", place.0));
            for (shown, told) in SHOWN.into_iter().zip(&row[2..]) {
                let house = if shown == SHOWN[0] { &open } else { &guarded };
                for found in house.cells(place, sends, shown).await {
                    asked += 1;
                    if found != *told {
                        wrong.push(format!(
                            "{}, {client}: {shown}: told {told}, found {found}",
                            place.0
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked >= 24 * 7, "{asked} cells");
}

/// Runs this test inside a network whose only interface has all the addresses.
fn again_inside() {
    let addresses = PLACES.map(|(_, from, _)| from).join(" ");
    let enter = format!(
        "ip link set lo up && for a in {addresses}; do ip address add $a/32 dev lo 2>/dev/null; done; \
         ip address show dev lo | grep -q 8.8.8.8 && echo {ENTERED} && exec \"$@\""
    );
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", &enter, "sh"])
        .arg(program);
    let done = command
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, "1")
        .output();
    let Ok(done) = done else {
        return skipped("who may do what over sockets", "there is no unshare");
    };
    let said = String::from_utf8_lossy(&done.stdout);
    if !said.contains(ENTERED) {
        let why = "no network of its own can be made here (root, unshare and ip are needed)";
        return skipped("who may do what over sockets", why);
    }
    let also = String::from_utf8_lossy(&done.stderr);
    eprint!("{also}");
    assert!(done.status.success(), "{said}\n{also}");
    assert!(said.contains("1 passed"), "{said}");
}

/// A running service with two songs, one of which has left the drive, and nginx in front of it.
struct House {
    kmds: Kmds,
    /// By the example in the docs, and one that appends to what the client claims. None without nginx.
    proxies: Vec<Nginx>,
    here: String,
    gone: String,
    /// Their addresses, signed for the token `bot`.
    signed: [String; 2],
    cookie: String,
}

impl House {
    async fn build(lab: &Lab, with_tokens: bool) -> Self {
        let mut setup = Setup::of(lab)
            .set("KMDS_SERVER__BASE_PATH", "/kmds")
            .set("KMDS_SERVER__TRUSTED_PROXIES", PROXY)
            .set("KMDS_SERVER__ALLOW", ALLOWED)
            .set("KMDS_SERVER__RATE_LIMIT", "0");
        if with_tokens {
            let made = [
                ("ear", EAR, "\"listen\""),
                ("bot", BOT, "\"listen\", \"fetch\""),
                ("ada", ADA, "\"listen\", \"fetch\", \"manage\""),
            ];
            let tokens = made.map(|(name, secret, scopes)| {
                format!(
                    "[[token]]\nname = \"{name}\"\nsecret = \"{secret}\"\nscopes = [{scopes}]\n"
                )
            });
            let file = setup.folder.path("tokens.toml");
            std::fs::write(&file, tokens.concat()).expect("a file");
            setup = setup.set("KMDS_SERVER__TOKENS_FILE", &file.display().to_string());
        }
        let kmds = setup.start();
        let bind = "location /kmds/ {";
        let bound = format!("{bind}\n    proxy_bind {PROXY};");
        let appends = (
            "X-Forwarded-For $remote_addr",
            "X-Forwarded-For $proxy_add_x_forwarded_for",
        );
        let proxies = [&[(bind, bound.as_str())][..], &[(bind, &bound), appends]];
        let proxies: Vec<Nginx> = proxies
            .iter()
            .filter_map(|changes| Nginx::before(&kmds, changes))
            .collect();
        if proxies.is_empty() {
            skipped("the rows behind nginx", "there is no nginx");
        }
        for nginx in &proxies {
            kmds.until("nginx answers", async || {
                kmds.http
                    .get(format!("{}/kmds/healthz", nginx.url))
                    .send()
                    .await
                    .is_ok()
            })
            .await;
        }
        let mut house = Self {
            kmds,
            proxies,
            here: String::new(),
            gone: String::new(),
            signed: Default::default(),
            cookie: String::new(),
        };
        let [(here, tunnel, _), (gone, _, audio)] = [
            house.publish(lab, "Here").await,
            house.publish(lab, "Gone").await,
        ];
        house.here = here;
        house.gone = gone;
        house.signed = [tunnel, audio];
        house.lose();
        if with_tokens {
            let form = house.kmds.http.post(house.kmds.at("/kmds/ui/login"));
            let answer = form
                .body(format!("token={ADA}"))
                .send()
                .await
                .expect("an answer");
            let cookie = answer.headers()[SET_COOKIE].to_str().expect("ASCII");
            house.cookie = cookie.split(';').next().expect("a pair").to_owned();
        }
        house
    }

    /// Downloads a song: its id, and the addresses of its file for `/tunnel` and for the v1 API.
    async fn publish(&self, lab: &Lab, name: &str) -> (String, String, String) {
        let song = lab.bandcamp().track(name).seconds(2.0).publish();
        let request = self.kmds.http.post(self.kmds.at("/kmds/api/v1/fetch"));
        let request = request
            .bearer_auth(BOT)
            .header("content-type", "application/json");
        let body = serde_json::json!({ "url": song.link() }).to_string();
        let answer = request.body(body).send().await.expect("an answer");
        let text = answer.text().await.expect("a body");
        let reply: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let links = &reply["tracks"][0]["links"];
        let link = |key: &str| {
            links[key]
                .as_str()
                .unwrap_or_else(|| panic!("{text}"))
                .to_owned()
        };
        self.wait_for(song.id()).await;
        (song.id().to_owned(), link("tunnel"), link("audio"))
    }

    async fn wait_for(&self, id: &str) {
        let path = format!("/kmds/api/v1/tracks/bandcamp/{id}/audio?wait=60");
        let request = self.kmds.http.get(self.kmds.at(&path)).bearer_auth(ADA);
        let answer = request.timeout(PATIENCE).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }

    /// The song that has to be away leaves the drive.
    fn lose(&self) {
        let file = format!("cache/bandcamp/{}.mp3", self.gone);
        std::fs::remove_file(self.kmds.folder.path(&file)).expect("it was there");
    }

    /// What clients of this place may do: one cell, and behind nginx one for each way in which it is set up.
    async fn cells(
        &self,
        (_, from, said): (&str, &str, Option<&str>),
        sends: &[(&str, &str)],
        shown: &str,
    ) -> Vec<String> {
        let ways: Vec<(&str, &str, Option<&str>)> = if from == PROXY {
            // The last address is the client's own; the ones before it are what it claims.
            let said = said.expect("a proxy says something");
            let (claims, own) = said
                .rsplit_once(", ")
                .map_or((None, said), |(claims, own)| (Some(claims), own));
            self.proxies
                .iter()
                .map(|nginx| (nginx.url.as_str(), own, claims))
                .collect()
        } else {
            vec![(&self.kmds.url, from, said)]
        };
        let mut cells = Vec::new();
        for (url, from, claims) in ways {
            cells.push(self.cell(url, from, claims, sends, shown).await);
        }
        cells
    }

    async fn cell(
        &self,
        url: &str,
        from: &str,
        claims: Option<&str>,
        sends: &[(&str, &str)],
        shown: &str,
    ) -> String {
        let client = Client::builder()
            .no_proxy()
            .local_address(from.parse::<std::net::IpAddr>().expect("an address"))
            .build()
            .expect("a client");
        let is_signed = shown == SHOWN[6];
        let ask = async |method: Method, path: &str| -> u16 {
            let request = client
                .request(method, format!("{url}{path}"))
                .header(HOST, "kmds");
            let request = sends.iter().fold(request, |request, (name, value)| {
                request.header(*name, *value)
            });
            let request = match claims {
                Some(claims) => request.header("x-forwarded-for", claims),
                None => request,
            };
            let answer = self.show(request, shown).timeout(PATIENCE).send().await;
            answer.expect("an answer").status().as_u16()
        };
        let [tunnel, audio] = if is_signed {
            self.signed.clone()
        } else {
            let track = format!("/kmds/api/v1/tracks/bandcamp/{}/audio", self.gone);
            [
                format!("/kmds/tunnel?file=bandcamp-{}.mp3", self.here),
                track,
            ]
        };
        let signature = tunnel.split_once("&expires").filter(|_| is_signed);
        let signature = signature.map_or(String::new(), |(_, rest)| format!("?expires{rest}"));
        let reads = ask(Method::GET, &tunnel).await;
        // The service itself has no use for this body, and does not know this song.
        let fetches = ask(Method::POST, &format!("/kmds/fetch{signature}")).await == 400;
        // 403: it is not here, and this client brings nothing. To fetch its link is more than that.
        let starts_this = fetches || ask(Method::GET, &audio).await == 418;
        if starts_this && !fetches {
            self.wait_for(&self.gone).await;
            self.lose();
        }
        let track = format!("/kmds/api/v1/tracks/bandcamp/1{signature}");
        let removes = ask(Method::DELETE, &track).await == 404;
        rows::cell(reads, starts_this, fetches, removes)
    }

    fn show(&self, request: RequestBuilder, shown: &str) -> RequestBuilder {
        match SHOWN.iter().position(|column| *column == shown) {
            Some(2) => request.bearer_auth(EAR),
            Some(3) => request.bearer_auth(BOT),
            Some(4) => request.bearer_auth(ADA),
            Some(5) => request.header(COOKIE, &self.cookie),
            _ => request,
        }
    }
}
