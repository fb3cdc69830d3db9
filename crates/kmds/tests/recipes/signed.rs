//! With `recipes.url` a reload fetches recipes, which are taken only if they are signed, whole, newer and rehearsed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmds_lab::{Fault, Lab, kib, mib};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::harness::{FAST_RECIPES, Folder, Kmds, Setup};
use crate::{doctor, reload, stats, writes};

const FILE: &str = "recipes.example/recipes.toml";
const URL: &str = "https://recipes.example/recipes.toml";

/// A publisher of recipes.
struct Publisher(Ed25519KeyPair);

impl Publisher {
    fn new() -> Self {
        let random = ring::rand::SystemRandom::new();
        let key = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        Self(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
    }

    fn public(&self) -> String {
        STANDARD.encode(self.0.public_key().as_ref())
    }

    fn signature(&self, text: &str) -> Vec<u8> {
        self.0.sign(text.as_bytes()).as_ref().to_vec()
    }

    fn publish(&self, lab: &Lab, text: &str) {
        lab.serve_file(FILE, text.to_owned());
        lab.serve_file(&format!("{FILE}.sig"), self.signature(text));
    }

    fn setup(&self, lab: &Lab) -> Setup {
        Setup::of(lab)
            .set("KMDS_RECIPES__URL", URL)
            .set("KMDS_RECIPES__KEY", &self.public())
    }
}

fn dated(date: &str) -> String {
    format!("date = \"{date}\"\n[time]\nfresh_url = 601.0\n")
}

/// A proxy that is not there.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

async fn date(kmds: &Kmds) -> String {
    stats(kmds).await["date"]
        .as_str()
        .expect("a date")
        .to_owned()
}

#[tokio::test]
async fn signed_recipes_are_taken_by_a_reload_and_are_in_force_after_a_restart_without_network() {
    let (lab, publisher) = (Lab::start().await, Publisher::new());
    publisher.publish(&lab, &dated("2031-01-01"));
    let setup = publisher.setup(&lab);
    let mut kmds = setup.start();
    let built_in = date(&kmds).await;
    assert_eq!(kmds.get("/readyz").await.status(), 200);
    assert!(lab.connections().is_empty(), "no client asked for them yet");
    let (status, reply) = reload(&kmds).await;
    assert_eq!(status, 200, "{reply}");
    let from = format!("{URL}, {}", kmds.folder.path("recipes.toml").display());
    assert_eq!(
        (&reply["taken"], &reply["date"], &reply["from"]),
        (&true.into(), &"2031-01-01".into(), &from.into()),
        "{reply}"
    );
    assert_eq!(reload(&kmds).await.1["taken"], false, "nothing new");

    // The operator's own file lies over them.
    writes(&kmds, &format!("date = \"2030-03-03\"\n{FAST_RECIPES}"));
    assert_eq!(reload(&kmds).await.1["date"], "2030-03-03");
    writes(&kmds, FAST_RECIPES);
    assert_eq!(reload(&kmds).await.1["date"], "2031-01-01");

    assert_eq!(kmds.terminate(), Some(0));
    let offline = setup.set("KMDS_EGRESS__PROXY", &nowhere());
    let kmds = offline.start();
    assert_eq!(date(&kmds).await, "2031-01-01");
    let (status, problem) = reload(&kmds).await;
    assert_eq!(status, 502, "{problem}");
    assert_eq!(problem["kind"], "origin_failed", "{problem}");
    assert_eq!(date(&kmds).await, "2031-01-01", "the copy stays");
    drop(kmds);

    let copy = offline.folder.path("state/recipes.signed");
    let text = std::fs::read_to_string(&copy).expect("the copy");
    std::fs::write(&copy, text.replace("601.0", "602.0")).expect("changed");
    let kmds = offline.start();
    assert_eq!(date(&kmds).await, built_in, "a changed copy is not used");
}

#[tokio::test]
async fn what_is_not_signed_whole_newer_and_usable_is_refused_with_its_sentence() {
    let (lab, publisher, other) = (Lab::start().await, Publisher::new(), Publisher::new());
    let kmds = publisher.setup(&lab).start();
    let before = date(&kmds).await;
    let refused = async |what: &str, status: u16, kind: &str, words: &str| {
        let (got, problem) = reload(&kmds).await;
        assert_eq!(
            (got, problem["kind"].as_str()),
            (status, Some(kind)),
            "{what}: {problem}"
        );
        let sentence = problem["detail"].as_str().expect("a sentence");
        assert!(
            sentence.contains(words) && sentence.contains("recipes.example/recipes.toml"),
            "{what}: {sentence}"
        );
        let said = stats(&kmds).await;
        assert_eq!(said["date"], before, "{what}");
        assert_eq!(said["refused"]["reason"], sentence, "{what}");
        assert!(doctor(&kmds).contains(words), "{what}");
        lab.clear_faults();
    };
    let good = dated("2031-01-01");

    refused("nothing there", 502, "origin_failed", "HTTP 404").await;
    lab.serve_file(FILE, good.clone());
    refused(
        "unsigned",
        502,
        "origin_failed",
        ".sig is not fetched: it answered HTTP 404",
    )
    .await;
    lab.serve_file(&format!("{FILE}.sig"), "no signature");
    refused(
        "no signature",
        403,
        "forbidden",
        "is not an Ed25519 signature",
    )
    .await;
    lab.serve_file(&format!("{FILE}.sig"), other.signature(&good));
    refused(
        "another key",
        403,
        "forbidden",
        "is not what recipes.key has signed",
    )
    .await;
    publisher.publish(&lab, &good);
    lab.serve_file(FILE, good.replace("601", "602"));
    refused(
        "changed",
        403,
        "forbidden",
        "is not what recipes.key has signed",
    )
    .await;
    lab.serve_file(FILE, good[..good.len() / 2].to_owned());
    refused("half of it", 403, "forbidden", "is not whole").await;
    publisher.publish(&lab, &good);
    lab.inject(
        Fault::ShortBody
            .anywhere()
            .at_host("recipes.example")
            .after(1),
    );
    refused("cut", 502, "truncated", "was cut before its end").await;
    lab.inject(
        Fault::RedirectTo(format!("{URL}.new"))
            .anywhere()
            .at_host("recipes.example")
            .after(1),
    );
    refused(
        "redirected",
        403,
        "forbidden",
        "redirects to another address",
    )
    .await;
    publisher.publish(&lab, &(good.clone() + &"#".repeat(300 << 10)));
    refused("oversized", 413, "too_large", "larger than 262144 bytes").await;
    publisher.publish(&lab, &dated("2020-01-01"));
    refused(
        "older",
        403,
        "forbidden",
        "is dated 2020-01-01, but only recipes newer",
    )
    .await;
    publisher.publish(&lab, &dated(&before));
    refused("as old", 403, "forbidden", "only recipes newer").await;
    publisher.publish(&lab, "[time]\nfresh_url = 601.0\n");
    refused("undated", 400, "bad_request", "has no date").await;
    publisher.publish(&lab, "date = \"2031-01-01\"\n[youtube]\nidentities = []\n");
    refused("unusable", 400, "bad_request", "youtube.identities").await;
    assert!(
        lab.connections()
            .iter()
            .all(|seen| seen.host == "recipes.example"),
        "{:?}",
        lab.connections()
    );

    publisher.publish(&lab, &good);
    assert_eq!(reload(&kmds).await.1["taken"], true);
    assert!(stats(&kmds).await["refused"].is_null());
    publisher.publish(&lab, &dated("2030-12-31"));
    assert_eq!(reload(&kmds).await.0, 403, "older than what was taken");
    assert_eq!(date(&kmds).await, "2031-01-01");
}

#[tokio::test]
async fn signed_recipes_that_fail_their_rehearsal_are_neither_in_force_nor_kept() {
    let (lab, publisher) = (Lab::start().await, Publisher::new());
    let canary = lab.youtube().video("Canary").size(mib(1)).publish();
    let kmds = publisher
        .setup(&lab)
        .set("KMDS_RECIPES__CANARY", &canary.link())
        .start();
    let before = date(&kmds).await;
    let bad = dated("2031-01-01") + "[youtube.hosts]\nmedia = [\"cdn.example\"]\n";
    publisher.publish(&lab, &bad);
    let (status, problem) = reload(&kmds).await;
    assert_eq!((status, &problem["kind"]), (502, &"page_changed".into()));
    assert_eq!(date(&kmds).await, before);
    assert!(!kmds.folder.path("state/recipes.signed").exists());
    publisher.publish(&lab, &dated("2031-01-02"));
    assert_eq!(reload(&kmds).await.1["taken"], true);
    assert!(kmds.folder.path("state/recipes.signed").exists());
    assert!(lab.media_bytes_sent(canary.id()) >= kib(64));
}

#[tokio::test]
async fn where_the_network_fails_the_operators_own_file_is_taken_all_the_same() {
    let (lab, publisher) = (Lab::start().await, Publisher::new());
    let kmds = publisher.setup(&lab).start();
    writes(&kmds, &format!("date = \"2031-05-05\"\n{FAST_RECIPES}"));
    let (status, problem) = reload(&kmds).await;
    assert_eq!(status, 502, "{problem}");
    let sentence = problem["detail"].as_str().expect("a sentence");
    assert!(
        sentence.contains("the recipes of 2031-05-05") && sentence.contains("in force now"),
        "{sentence}"
    );
    assert_eq!(date(&kmds).await, "2031-05-05");
}

#[tokio::test]
async fn with_hours_they_are_fetched_unasked_and_the_same_again_is_no_news() {
    let (lab, publisher) = (Lab::start().await, Publisher::new());
    publisher.publish(&lab, &dated("2031-01-01"));
    let setup = publisher.setup(&lab).set("KMDS_RECIPES__HOURS", "6");
    let mut kmds = setup.start();
    kmds.until("they are in force", async || {
        date(&kmds).await == "2031-01-01"
    })
    .await;
    assert_eq!(kmds.terminate(), Some(0));
    lab.forget_requests();
    let kmds = setup.start();
    lab.until(|seen| seen.iter().any(|seen| seen.path == "/recipes.toml"))
        .await;
    kmds.until("the fetch is counted", async || {
        crate::metrics(&kmds)
            .await
            .contains("kmds_recipes_reloads_total{outcome=\"unchanged\"} 1\n")
    })
    .await;
    let log = kmds.whole_log().await;
    assert!(!log.contains("recipes read again"), "no news");
    assert!(stats(&kmds).await["refused"].is_null());
}

/// The block of commands in the documents.
fn documented() -> Vec<String> {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
    let text = std::fs::read_to_string(docs).expect("the documents");
    let section = text.split("### Signed recipes").nth(1).expect("a section");
    let block = section.split("```bash\n").nth(1).expect("commands");
    let block = block.split("```").next().expect("their end");
    block.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_documented_openssl_commands_make_a_key_and_a_signature_that_are_taken() {
    if std::process::Command::new("openssl")
        .arg("version")
        .output()
        .is_err()
    {
        return eprintln!("SKIPPED: openssl is not installed, so its commands were not typed");
    }
    let (lab, folder) = (Lab::start().await, Folder::new());
    std::fs::write(folder.path("recipes.toml"), dated("2031-01-01")).expect("recipes");
    let mut key = None;
    let commands = documented();
    assert!(commands.iter().any(|line| line.contains("-sign")));
    for line in commands {
        let out = std::process::Command::new("sh")
            .args(["-c", &line])
            .current_dir(&folder.0)
            .output()
            .expect("a shell");
        assert!(out.status.success(), "{line}: {out:?}");
        let said = String::from_utf8(out.stdout).expect("text");
        if said.contains("PUBLIC KEY") {
            key = said.lines().nth(1).map(str::to_owned);
        }
    }
    let read = |name: &str| std::fs::read(folder.path(name)).expect("a file");
    for signature in [
        read("recipes.toml.sig"),
        STANDARD.encode(read("recipes.toml.sig")).into_bytes(),
    ] {
        lab.serve_file(FILE, read("recipes.toml"));
        lab.serve_file(&format!("{FILE}.sig"), signature);
        let kmds = Setup::of(&lab)
            .set("KMDS_RECIPES__URL", URL)
            .set("KMDS_RECIPES__KEY", key.as_deref().expect("a printed key"))
            .start();
        let (status, reply) = reload(&kmds).await;
        assert_eq!(
            (status, &reply["date"]),
            (200, &"2031-01-01".into()),
            "{reply}"
        );
    }
}
