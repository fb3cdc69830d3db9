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
        "showcase",
        "--server",
        &kmds.url,
        "--control",
        &lab.control_url(),
        "-o",
        "shown",
        "--json",
        &links[0],
        &links[1],
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
    assert_eq!(
        shown[1]["requests"]["pages"], 1,
        "an album is one page: {said}"
    );
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
    let nobody = person
        .runs(&["showcase", "--server", "http://127.0.0.1:1", &song.link()])
        .with(2);
    assert!(nobody.err.contains("kmds serve"), "{nobody:?}");
}

#[test]
fn a_server_that_wants_a_token_is_asked_with_the_one_of_kmds_token() {
    let setup = Setup::new();
    std::fs::write(setup.folder.path("tokens"), "open-sesame\n").expect("a file");
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
        .set("KMDS_TOKEN", "open-sesame")
        .runs(&ask)
        .with(0);
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
