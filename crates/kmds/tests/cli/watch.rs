//! `kmds showcase`, `status` and `top` against a running server.

use kmds_lab::{Fault, Injection, Kind, Lab};

use super::Person;
use super::harness::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn the_showcase_saves_whole_songs_and_tells_what_they_cost() {
    let lab = Lab::start().await;
    let video = lab.youtube().video("Shown").seconds(8.0).publish();
    let album = lab.bandcamp().album(3).publish();
    let kmds = Setup::of(&lab).start();
    let person = Person::alone();
    let links = [video.link(), album.link()];
    let asked = [
        "showcase", "--server", &kmds.url, "-o", "shown", "--json", &links[0], &links[1],
    ];
    let said = person.runs(&asked).with(0).json();
    let shown = said["links"].as_array().expect("links");
    assert_eq!(
        (&shown[0]["songs"], &shown[1]["songs"]),
        (&1.into(), &3.into()),
        "{said}"
    );
    assert!(shown.iter().all(|link| link["checked"] == true), "{said}");
    assert_eq!(shown[0]["bytes"], video.len());
    assert_eq!(person.files("shown").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_showcase_fails_with_the_song_and_keeps_nothing_unasked() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Refused").seconds(4.0).publish();
    lab.inject(Injection::from("status:404".parse::<Fault>().expect("a fault")).kind(Kind::Media));
    let kmds = Setup::of(&lab).start();
    let person = Person::alone();
    let said = person
        .runs(&["showcase", "--server", &kmds.url, &song.link()])
        .with(1);
    assert!(
        said.out.contains("FAILED") && said.err.contains("Refused"),
        "{said:?}"
    );
    assert_eq!(
        person.files(".").len(),
        1,
        "only the recipes lie in the home"
    );
    let without = person
        .runs(&["showcase", "--server", "http://127.0.0.1:1", &song.link()])
        .with(2);
    assert!(without.err.contains("kmds serve"), "{without:?}");
}

#[test]
fn a_server_that_wants_a_token_is_asked_with_the_one_of_kmds_token() {
    let setup = Setup::new();
    std::fs::write(setup.folder.path("tokens"), "open-sesame-please\n").expect("a file");
    let tokens = setup.folder.path("tokens").display().to_string();
    let kmds = setup.set("KMDS_SERVER__TOKENS_FILE", &tokens).start();
    let ask = ["status", "--server", &kmds.url];
    let shut = Person::alone().runs(&ask).with(2);
    assert!(
        shut.err.contains("a token is needed") && shut.err.contains("KMDS_TOKEN"),
        "{shut:?}"
    );
    let wrong = Person::alone()
        .set("KMDS_TOKEN", "open-barley")
        .runs(&ask)
        .with(2);
    assert!(
        wrong.err.contains("not one of this server's") && wrong.err.contains("KMDS_TOKEN"),
        "{wrong:?}"
    );
    Person::alone()
        .set("KMDS_TOKEN", "open-sesame-please")
        .runs(&ask)
        .with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_of_a_second_engine_that_is_not_installed() {
    let kmds = Setup::new()
        .set("KMDS_ENGINES__YTDLP__ENABLED", "true")
        .set("KMDS_ENGINES__YTDLP__COMMAND", "/nonexistent/yt-dlp")
        .start();
    let person = Person::alone();
    let asked = ["status", "--server", &kmds.url];
    let said = person.runs(&asked).with(0);
    assert!(said.out.contains("missing"), "{said:?}");
    let stats = person
        .runs(&[&asked[..], &["--json"]].concat())
        .with(0)
        .json();
    assert_eq!(stats["engines"][0]["ytdlp"], "missing", "{stats}");
}

#[test]
fn a_server_that_speaks_no_https_is_told_so() {
    let kmds = Setup::new().start();
    let https = kmds.url.replace("http://", "https://");
    let said = Person::alone()
        .runs(&["status", "--server", &https])
        .with(2);
    assert!(
        said.err.contains("does not speak HTTPS") && said.err.contains("write http://"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_told_with_what_would_do() {
    let wrong = [
        ("localhost", "has signed it", "SSL_CERT_FILE"),
        ("other.example", "another name", "use that name"),
    ];
    for (name, why, advice) in wrong {
        let (address, pem) = https_server(name).await;
        let mut person = Person::alone();
        if name == "other.example" {
            let file = person.folder.path("ca.pem");
            std::fs::write(&file, pem).expect("a certificate");
            person = person.set("SSL_CERT_FILE", &file.display().to_string());
        }
        let said = person.runs(&["status", "--server", &address]).with(2);
        assert!(
            said.err.contains(&address) && said.err.contains(why) && said.err.contains(advice),
            "{said:?}"
        );
    }
}

/// A server that shakes hands in TLS with a certificate of its own for `name`; its address, and the certificate.
async fn https_server(name: &str) -> (String, String) {
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a socket");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    (format!("https://localhost:{port}"), made.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_top_tell_what_the_server_does() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Counted").seconds(4.0).publish();
    let kmds = Setup::of(&lab).start();
    kmds.download(&song.link()).await;
    let person = Person::alone();
    let status = person.runs(&["status", "--server", &kmds.url]).with(0);
    assert!(
        status.out.contains("1 ready") && status.out.contains("bandcamp"),
        "{status:?}"
    );
    assert_eq!(
        person
            .runs(&["status", "--server", &kmds.url, "--json"])
            .with(0)
            .json()["songs"]["ready"],
        1
    );
    let top = person.runs(&["top", "--server", &kmds.url]).with(0);
    assert!(top.out.contains("Counted"), "{top:?}");
    assert!(
        !top.out.contains('\x1b'),
        "no escape codes where there is no terminal: {top:?}"
    );
}
