//! Several songs in one answer, and what plays from a link alone: lists, archives, the cover of an album.

use kmds_lab::{Fault, Lab, Song};
use reqwest::Method;
use serde_json::Value;

use super::harness::{Kmds, Setup, tool};
use super::{ask, header};

fn id_of(song: &Song) -> String {
    song.id().to_owned()
}

#[tokio::test]
async fn several_links_are_one_reply_in_their_order_and_each_failure_names_its_link() {
    let lab = Lab::start().await;
    let single = lab.bandcamp().track("Single").publish();
    let album = lab.bandcamp().album(2).publish();
    let kmds = Kmds::start(&lab);
    let nothing = "https://example.org/nothing";
    let twice = format!("{0} {0}", single.link());
    let ids: Vec<String> = album.songs().iter().chain([&single]).map(id_of).collect();
    let urls = [nothing, &album.link(), &twice, &single.link()];
    let (status, reply) = kmds.v1_fetch(serde_json::json!({ "urls": urls })).await;
    assert_eq!(status, 200, "{reply}");
    let of = |list: &str, key: &str| -> Vec<Value> {
        let list = reply[list].as_array().expect("a list");
        list.iter().map(|one| one[key].clone()).collect()
    };
    assert_eq!(of("tracks", "id"), ids);
    assert_eq!(of("links", "url"), [album.link(), single.link()]);
    assert_eq!(of("links", "track_count"), [2, 1]);
    assert_eq!(reply["links"][0]["collection"]["total"], 2);
    assert!(reply["links"][1]["collection"].is_null());
    assert_eq!(of("failures", "url"), [nothing, &twice]);
    assert_eq!(
        of("failures", "kind"),
        ["unsupported_link", "unsupported_link"]
    );
    let (status, problem) = kmds
        .v1_fetch(serde_json::json!({ "urls": [nothing, nothing] }))
        .await;
    assert_eq!((status, &*problem.problem.kind), (400, "unsupported_link"));
    let (status, _) = kmds.v1_fetch(serde_json::json!({ "url": twice })).await;
    assert_eq!(status, 400, "two links in one text");
    assert_eq!(kmds.fetch(&twice).await.0, 400, "on both faces");
}

#[tokio::test]
async fn an_album_plays_as_a_list_of_streams_and_comes_as_one_archive() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).publish();
    let kmds = Kmds::start(&lab);
    let link: String = url::form_urlencoded::byte_serialize(album.link().as_bytes()).collect();
    let list = kmds.get(&format!("/play?url={link}")).await;
    assert_eq!(header(&list, "content-type"), "audio/x-mpegurl");
    let text = list.text().await.expect("a body");
    let addresses: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(
        text.starts_with("#EXTM3U\n") && addresses.len() == 3,
        "{text}"
    );
    for (address, song) in addresses.iter().zip(album.songs()) {
        assert!(
            address.starts_with(&kmds.url) && address.ends_with("&stream=1"),
            "{address}"
        );
        let played = kmds
            .http
            .get(*address)
            .send()
            .await
            .expect("an answer")
            .bytes()
            .await
            .expect("a body");
        assert_eq!(played, song.bytes());
    }
    let archive = kmds.get(&format!("/play?url={link}&archive=zip")).await;
    assert_eq!(header(&archive, "content-type"), "application/zip");
    let file = kmds.folder.path("album.zip");
    std::fs::write(&file, archive.bytes().await.expect("a body")).expect("written");
    let script = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
        for i in z.infolist(): print(i.filename[:2], i.file_size)";
    let listed = tool("python3", &["-c", script, file.to_str().expect("UTF-8")]);
    let sizes: Vec<String> = album
        .songs()
        .iter()
        .enumerate()
        .map(|(place, song)| format!("{:02} {}", place + 1, song.len()))
        .collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), sizes);
}

#[tokio::test]
async fn a_song_that_never_begins_is_named_in_the_archive() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).publish();
    let lost = &album.songs()[1];
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(lost));
    let kmds = Kmds::start(&lab);
    let link: String = url::form_urlencoded::byte_serialize(album.link().as_bytes()).collect();
    let archive = kmds.get(&format!("/play?url={link}&archive=zip")).await;
    let file = kmds.folder.path("album.zip");
    std::fs::write(&file, archive.bytes().await.expect("a body")).expect("written");
    let script = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
        print(*[n[:2] for n in z.namelist()])\nprint(z.read('MISSING.txt').decode())";
    let told = tool(
        "python3",
        &["-X", "utf8", "-c", script, file.to_str().expect("UTF-8")],
    );
    assert!(
        told.starts_with("01 03 MI\n") && told.contains(lost.title()),
        "{told}"
    );
}

#[tokio::test]
async fn one_song_plays_at_once_and_head_has_its_head() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("packet").seconds(20.0).publish();
    let kmds = Kmds::start(&lab);
    let link: String = url::form_urlencoded::byte_serialize(song.link().as_bytes()).collect();
    let path = format!("/play?url={link}");
    let played = kmds.get(&path).await;
    assert_eq!(
        (played.status().as_u16(), header(&played, "content-type")),
        (200, "audio/mpeg")
    );
    assert_eq!(played.bytes().await.expect("a body"), song.bytes());
    let head = kmds
        .http
        .request(Method::HEAD, kmds.at(&path))
        .send()
        .await
        .expect("an answer");
    assert_eq!(header(&head, "content-length"), song.len().to_string());
    let part = ask(&kmds, &path, &[("range", "bytes=1-3")]).await;
    assert_eq!(part.bytes().await.expect("a body"), song.bytes()[1..4]);
}

#[tokio::test]
async fn the_cover_of_an_album_is_asked_for_once_for_all_its_songs() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).publish();
    let kmds = Setup::of(&lab).start();
    assert_eq!(kmds.fetch(&album.link()).await.0, 200);
    for song in album.songs() {
        let cover = kmds
            .get(&format!("/api/v1/tracks/bandcamp/{}/cover", song.id()))
            .await;
        assert_eq!(
            (cover.status().as_u16(), header(&cover, "content-type")),
            (200, "image/jpeg")
        );
    }
    assert_eq!(lab.count(|seen| seen.kind == kmds_lab::Kind::Cover), 1);
}
