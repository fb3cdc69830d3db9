//! `kmds search`, and words for `kmds get`.

use kmds_lab::{Lab, Song};

use super::harness::{Setup, read};
use super::{Person, Said};

fn published(lab: &Lab) -> [Song; 3] {
    let videos = ["wanted first", "wanted second"].map(|title| {
        lab.youtube()
            .video(title)
            .artist("Ada")
            .seconds(8.0)
            .publish()
    });
    let track = lab
        .bandcamp()
        .track("wanted-elsewhere")
        .seconds(9.0)
        .publish();
    let [first, second] = videos;
    [first, second, track]
}

fn searches(lab: &Lab) -> usize {
    let is_search = |path: &str| path.contains("/search") || path.contains("/bcsearch");
    lab.requests()
        .iter()
        .filter(|seen| is_search(&seen.path))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_prints_what_the_site_finds_and_leaves_nothing_behind() {
    let lab = Lab::start().await;
    let songs = published(&lab);
    let person = Person::of(&lab);
    let said = person.runs(&["search", "wanted", "first"]).with(0);
    assert!(
        said.out.contains("Ada")
            && said.out.contains("0:08")
            && said.out.contains(&songs[0].link()),
        "{said:?}"
    );
    let asked = [
        "search", "wanted", "--site", "bandcamp", "--limit", "1", "--json",
    ];
    let found = person.runs(&asked).with(0).json();
    assert_eq!(
        (&found["query"], &found["site"]),
        (&"wanted".into(), &"bandcamp".into())
    );
    assert_eq!(
        found["results"].as_array().map(Vec::len),
        Some(1),
        "{found}"
    );
    assert_eq!(found["results"][0]["link"], songs[2].link());
    assert_eq!(
        person.files(".").len(),
        1,
        "only the recipes lie in the home"
    );
    assert_eq!(searches(&lab), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_asked_to_search_and_answers_the_same() {
    let lab = Lab::start().await;
    published(&lab);
    let kmds = Setup::of(&lab).start();
    let asked = ["search", "--json", "wanted"];
    let own = Person::of(&lab).runs(&asked).with(0).json();
    let by_flag = Person::alone().runs(&[&asked[..], &["--server", &kmds.url]].concat());
    assert_eq!(by_flag.with(0).json(), own);
    let by_variable = Person::alone().set("KMDS_SERVER", &kmds.url).runs(&asked);
    assert_eq!(by_variable.with(0).json(), own);
    assert_eq!(searches(&lab), 2, "the server remembers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_finds_nothing_is_exit_code_1_and_a_bad_call_2() {
    let lab = Lab::start().await;
    let person = Person::of(&lab);
    let said = person.runs(&["search", "nothing", "like", "this"]).with(1);
    assert!(said.err.contains("finds nothing"), "{said:?}");
    let long = "x".repeat(201);
    for bad in [
        &["search"][..],
        &["search", "a", "--limit", "26"],
        &["search", "a", "--limit", "0"],
        &["search", "a", "--site", "vimeo"],
        &["search", " "],
        &["search", &long],
        &["search", "a", "--server", "http://127.0.0.1:1"],
    ] {
        assert!(!person.runs(bad).with(2).err.is_empty(), "{bad:?}");
    }
    let off = person.runs(&["search", "a", "--set", "youtube.enabled=false", "--json"]);
    let off = off.with(1).json();
    assert!(off["error"].is_string() && off["kind"].is_string(), "{off}");
    assert_eq!(searches(&lab), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_get_the_first_song_with_a_server_and_without() {
    let lab = Lab::start().await;
    let songs = published(&lab);
    let is_first = |person: &Person, said: Said| {
        let said = said.with(0);
        assert_eq!(
            person.files("music"),
            ["Ada - wanted first.m4a"],
            "{said:?}"
        );
        let file = person.folder.path("music/Ada - wanted first.m4a");
        assert_eq!(read(&file), songs[0].bytes());
    };
    let asked = ["get", "wanted", "first", "-o", "music", "--no-tags"];
    let person = Person::of(&lab);
    is_first(&person, person.runs(&asked));
    let kmds = Setup::of(&lab)
        .set("KMDS_SEARCH__SITE", "youtube_music")
        .start();
    let person = Person::alone().set("KMDS_SERVER", &kmds.url);
    is_first(&person, person.runs(&asked));
    assert_eq!(
        searches(&lab),
        2,
        "one request of each: the server remembers what it found"
    );
    let none = Person::of(&lab).runs(&["get", "nothing", "like", "this", "--quiet"]);
    assert!(!none.with(1).err.is_empty());
}
