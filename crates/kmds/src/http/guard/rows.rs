//! The rows and columns of the table "Who may do what" (SECURITY.md). Two tests ask for its cells: one asks the guard
//! itself (`table.rs`), one a running service over real sockets (`tests/programs/who_may.rs`).

/// The address of the client, and what a proxy says about it. [`PROXY`] is a trusted proxy, [`ALLOWED`] is in
/// `server.allow`. Behind a proxy the last address is the proxy's peer; the addresses before it are the client's own
/// claim.
pub(super) const PLACES: [(&str, &str, Option<&str>); 8] = [
    ("loopback", "127.0.0.1", None),
    ("near", "192.168.1.7", None),
    ("allowed network", "100.64.0.9", None),
    ("far", "8.8.8.8", None),
    (
        "far, claims by `X-Forwarded-For` to be near",
        "8.8.8.8",
        Some("192.168.1.7"),
    ),
    ("near, behind nginx", PROXY, Some("192.168.1.7")),
    ("far, behind nginx", PROXY, Some("8.8.8.8")),
    (
        "far, behind nginx, claims to be near",
        PROXY,
        Some("192.168.1.7, 8.8.8.8"),
    ),
];
pub(super) const PROXY: &str = "10.0.0.2";
pub(super) const ALLOWED: &str = "100.64.0.0/10";
/// What a client is, by what it sends.
pub(super) const CLIENTS: [(&str, &[(&str, &str)]); 3] = [
    (
        "our page",
        &[("sec-fetch-site", "same-origin"), ("origin", "http://kmds")],
    ),
    (
        "foreign page",
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://evil.example"),
        ],
    ),
    ("program, bot", &[]),
];
/// The columns: without tokens, and with them the token that a request shows.
pub(super) const SHOWN: [&str; 7] = [
    "no tokens set",
    "no token",
    "`listen`",
    "`listen`, `fetch`",
    "all scopes",
    "logged in (all scopes)",
    "signed address (`listen`, `fetch`)",
];
pub(super) const BEGINS: &str = "<!-- the table of who may do what -->\n";
pub(super) const ENDS: &str = "\n<!-- its end -->";

/// What a client may do, as a cell says it, by the answers it got: the status of reading a song that is here, of
/// bringing back one that is not, of fetching a link and of removing a song; 200 stands for every answer of the service
/// itself.
pub(super) fn cell(reads: u16, starts_this: bool, fetches: bool, removes: bool) -> String {
    let mut may = Vec::new();
    may.extend((reads == 200).then_some("reads"));
    if fetches {
        assert!(starts_this, "who may fetch a link may fetch a song again");
        may.push("starts");
    } else if starts_this {
        may.push("starts this song");
    }
    may.extend(removes.then_some("removes"));
    if may.is_empty() {
        reads.to_string()
    } else {
        may.join(", ")
    }
}
