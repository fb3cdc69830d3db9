//! Who is let in: TLS and credentials of NATS, the secret of the nodes, messages that are repeated.

use futures_util::StreamExt as _;
use kmds_lab::Lab;

use super::credentials::Credentials;
use super::harness::{Folder, Kmds, Setup};
use super::nats::Nats;
use super::{acquainted, door, known_by, node};

fn write(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.path(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

async fn says(node: &Kmds, part: &str) {
    node.until(part, async || node.log().contains(part)).await;
}

#[tokio::test]
async fn nodes_meet_by_tls_and_credentials_and_say_what_is_missing() {
    let (files, credentials) = (Folder::new(), Credentials::new());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let ca = write(&files, "ca.pem", &made.cert.pem());
    let started = Nats::start_with(|folder| {
        let certificate = write(folder, "cert.pem", &made.cert.pem());
        let key = write(folder, "key.pem", &made.signing_key.serialize_pem());
        let tls = format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}\n");
        tls + &credentials.server
    });
    let Some(nats) = started else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("locked").seconds(20.0).publish();
    let url = format!("tls://localhost:{}", nats.port());
    let user = write(&files, "node.creds", &credentials.user);
    let by_tls = |setup: Setup| setup.set("KMDS_CLUSTER__NATS", &url);
    let with_ca = |setup: Setup| by_tls(setup).set("KMDS_CLUSTER__CA_FILE", &ca);
    let whole = |setup: Setup| with_ca(setup).set("KMDS_CLUSTER__CREDENTIALS_FILE", &user);
    let one = whole(node(&lab, &nats, 1)).start();
    let door = whole(door(&lab, &nats)).start();
    acquainted(&[&one, &door]).await;
    assert!(door.download(&song.link()).await == song.bytes());
    let stranger = with_ca(node(&lab, &nats, 2)).start();
    says(&stranger, "cluster.credentials_file").await;
    let unsure = by_tls(node(&lab, &nats, 3)).start();
    says(&unsure, "cluster.ca_file").await;
    assert_eq!(known_by(&door).await, ["node-1"]);
    // A node that is let in by none works alone.
    assert!(stranger.download(&song.link()).await == song.bytes());
}

#[tokio::test]
async fn a_node_with_another_secret_is_passed_by_and_told_which_setting_it_is() {
    let Some(nats) = Nats::start() else { return };
    let (lab, files) = (Lab::start().await, Folder::new());
    let song = lab.bandcamp().track("other").seconds(20.0).publish();
    let with = |setup: Setup, secret: &str| {
        let file = write(&files, secret, secret);
        setup.set("KMDS_CLUSTER__TOKEN_FILE", &file)
    };
    let one = with(node(&lab, &nats, 1), "the-secret-of-all-nodes").start();
    let two = with(node(&lab, &nats, 2), "the-secret-of-another").start();
    for node in [&one, &two] {
        says(node, "it has to be the same on all nodes").await;
        assert!(known_by(node).await.is_empty());
        assert!(node.download(&song.link()).await == song.bytes());
    }
}

#[tokio::test]
async fn a_node_without_the_secret_and_one_with_it_say_what_is_between_them() {
    let Some(nats) = Nats::start() else { return };
    let (lab, files) = (Lab::start().await, Folder::new());
    let token = write(&files, "token", "the-secret-of-all-nodes");
    let with = node(&lab, &nats, 1)
        .set("KMDS_CLUSTER__TOKEN_FILE", &token)
        .start();
    let without = node(&lab, &nats, 2).start();
    says(&with, "a node without the secret").await;
    says(&without, "set cluster.token_file").await;
    assert!(known_by(&with).await.is_empty() && known_by(&without).await.is_empty());
}

#[tokio::test]
async fn a_message_that_is_repeated_changes_nothing() {
    let Some(nats) = Nats::start() else { return };
    let (lab, files) = (Lab::start().await, Folder::new());
    let song = lab.bandcamp().track("kept").seconds(20.0).publish();
    let token = write(&files, "token", "the-secret-of-all-nodes");
    let with = |setup: Setup| setup.set("KMDS_CLUSTER__TOKEN_FILE", &token);
    let one = with(node(&lab, &nats, 1)).start();
    let door = with(door(&lab, &nats)).start();
    acquainted(&[&one, &door]).await;
    let client = async_nats::connect(nats.url()).await.expect("a connection");
    let mut asked = client
        .subscribe("kmds.ask.node-1")
        .await
        .expect("a subscription");
    client.flush().await.expect("subscribed");
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    assert!(one.download(&song.link()).await == song.bytes());
    let removed = door.http.delete(door.at(&path)).send().await;
    assert_eq!(removed.expect("an answer").status(), 204);
    let mut heard = Vec::new();
    while let Ok(Some(message)) =
        tokio::time::timeout(std::time::Duration::from_millis(300), asked.next()).await
    {
        heard.push(message.payload);
    }
    assert!(!heard.is_empty());
    // The song is there again when the removal is repeated.
    assert!(one.download(&song.link()).await == song.bytes());
    for payload in heard {
        let again = client.request("kmds.ask.node-1", payload);
        let answer = tokio::time::timeout(std::time::Duration::from_secs(1), again).await;
        assert!(answer.is_err(), "it is answered: {answer:?}");
    }
    says(&one, "a message that came before is passed by").await;
    assert_eq!(one.get(&path).await.status(), 200);
    assert_eq!(one.published().len(), 2);
}
