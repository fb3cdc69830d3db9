//! The permissions by token, address and scope: the table of SECURITY.md. The guard is tested with each cell.

use super::super::tokens::NewToken;
use super::tests::{config, peer, request};
use super::*;

#[path = "rows.rs"]
mod rows;

use rows::{ALLOWED, BEGINS, CLIENTS, ENDS, PLACES, PROXY, SHOWN};

/// A guard with tokens, and the secrets of those in the columns.
struct Doors {
    open: Guard,
    guarded: Guard,
    secrets: [String; 3],
}

impl Doors {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("kmds-door-table-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let made = [
            ("ear", "listen"),
            ("bot", "listen,fetch"),
            ("ada", "listen,fetch,manage"),
        ];
        let made = made.map(|(name, scopes)| {
            let scopes: Vec<String> = scopes.split(',').map(str::to_owned).collect();
            NewToken::make(name, &scopes).expect("a token")
        });
        let file = folder.join("tokens.toml");
        let text: String = made.iter().map(|made| made.table.as_str()).collect();
        std::fs::write(&file, text).expect("a file");
        let open = ServerConfig {
            allow: vec![ALLOWED.parse().expect("a network")],
            trusted_proxies: vec![PROXY.to_owned()],
            ..config()
        };
        let with = ServerConfig {
            tokens_file: Some(file),
            ..open.clone()
        };
        let doors = Self {
            open: Guard::new(&open, None).expect("valid"),
            guarded: Guard::new(&with, Some(&folder)).expect("valid"),
            secrets: made.map(|made| made.secret),
        };
        std::fs::remove_dir_all(&folder).expect("removed");
        doors
    }

    /// The outcome of a request with this method and address: its status, and whether it may start work.
    fn ask(
        &self,
        (method, route, address): (&str, &str, &str),
        (_, from, said): (&str, &str, Option<&str>),
        client: &[(&'static str, &str)],
        shown: &str,
    ) -> (u16, bool) {
        let guard = if shown == SHOWN[0] {
            &self.open
        } else {
            &self.guarded
        };
        let bearer = |secret: &str| ("authorization", format!("Bearer {secret}"));
        let mut address = address.to_owned();
        let [ear, bot, ada] = &self.secrets;
        let credential = match SHOWN.iter().position(|column| *column == shown) {
            Some(2) => Some(bearer(ear)),
            Some(3) => Some(bearer(bot)),
            Some(4) => Some(bearer(ada)),
            Some(5) => {
                let value = guard.open_session(ada).expect("a session");
                Some(("cookie", format!("{SESSION_COOKIE}={value}")))
            }
            Some(6) => {
                let asks = request(
                    "GET",
                    "/",
                    &[("host", "kmds"), ("authorization", &bearer(bot).1)],
                );
                let caller = guard.admit(&asks, Some("/"), peer("127.0.0.1"), "").verdict;
                let signer = caller.expect("admitted").signer.expect("tokens are set");
                address = signer.sign(&address);
                None
            }
            _ => None,
        };
        let mut headers: Vec<(&'static str, &str)> = vec![("host", "kmds")];
        headers.extend(client);
        headers.extend(said.map(|said| ("x-forwarded-for", said)));
        headers.extend(
            credential
                .as_ref()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let request = request(method, &address, &headers);
        match guard.admit(&request, Some(route), peer(from), "").verdict {
            Ok(caller) => (200, caller.barred.is_none()),
            Err(refusal) => (refusal.status.as_u16(), false),
        }
    }

    /// `reads`, `starts` and `removes`, or the status of a client that may do nothing.
    fn cell(
        &self,
        place: (&str, &str, Option<&str>),
        client: &[(&'static str, &str)],
        shown: &str,
    ) -> String {
        let tunnel = ("GET", "/tunnel", "/tunnel?file=bandcamp-1.mp3");
        let (reads, may_start) = self.ask(tunnel, place, client, shown);
        let (fetches, _) = self.ask(("POST", "/fetch", "/fetch"), place, client, shown);
        let track = "/api/v1/tracks/{site}/{id}";
        let remove = ("DELETE", track, "/api/v1/tracks/bandcamp/1");
        let (removes, _) = self.ask(remove, place, client, shown);
        rows::cell(reads, may_start, fetches == 200, removes == 200)
    }
}

#[test]
fn who_may_do_what_from_where_is_as_the_table_of_security_md_says() {
    let doors = Doors::new();
    let mut table = format!("| from | client | {} |\n|", SHOWN.join(" | "));
    table.push_str(&" --- |".repeat(SHOWN.len() + 2));
    for place in PLACES {
        for (client, sends) in CLIENTS {
            let cells = SHOWN.map(|shown| doors.cell(place, sends, shown));
            table.push_str(&format!(
                "\n| {} | {client} | {} |",
                place.0,
                cells.join(" | ")
            ));
        }
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../SECURITY.md");
    let text = std::fs::read_to_string(file).expect("SECURITY.md");
    let begins = text.find(BEGINS).expect("the table's place") + BEGINS.len();
    let ends = begins + text[begins..].find(ENDS).expect("the table's end");
    if std::env::var_os("KMDS_BLESS").is_some_and(|value| value == "1") {
        let text = format!("{}{table}{}", &text[..begins], &text[ends..]);
        return std::fs::write(file, text).expect("SECURITY.md");
    }
    let told: Vec<&str> = text[begins..ends].lines().collect();
    let made: Vec<&str> = table.lines().collect();
    assert_eq!(told.len(), made.len(), "rows of SECURITY.md");
    let cells =
        |row: &str| -> Vec<String> { row.split('|').map(|cell| cell.trim().to_owned()).collect() };
    for (told, made) in told.iter().zip(&made) {
        let (told, made) = (cells(told), cells(made));
        let row = made.get(1..3).unwrap_or_default().join(", ");
        let columns = [&["", "from", "client"][..], &SHOWN].concat();
        for ((told, made), column) in told.iter().zip(&made).zip(columns) {
            assert_eq!(told, made, "{row}: {column}");
        }
    }
}
