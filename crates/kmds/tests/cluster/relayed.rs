//! Nodes that have a cache folder each: audio goes from node to node.

use kmds_lab::Lab;
use reqwest::header::{ETAG, IF_NONE_MATCH, IF_RANGE, RANGE};

use super::nats::Nats;
use super::{acquainted, asked_from, door, held_song, node};

#[tokio::test]
async fn a_relayed_song_has_one_etag_on_all_nodes_with_ranges_and_conditions() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = held_song(&lab, "tagged", 200_000);
    let one = node(&lab, &nats, 1).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &door]).await;
    let (_, reply) = door.fetch(&song.link()).await;
    let path = format!("/api/v1/tracks/bandcamp/{}/audio?stream=true", song.id());
    let grown = door.get(&path).await;
    let etag = grown.headers()[ETAG].clone();
    assert_eq!(one.get(&path).await.headers()[ETAG], etag, "while it grows");
    drop(grown);
    song.release();
    assert!(door.whole(&reply.songs[0]).await == song.bytes());
    for node in [&one, &door] {
        let ask = |name, value: &str| node.http.get(node.at(&path)).header(name, value.to_owned());
        let tag = etag.to_str().expect("text");
        let unchanged = ask(IF_NONE_MATCH, tag).send().await.expect("an answer");
        assert_eq!(unchanged.status(), 304);
        let part = ask(RANGE, "bytes=1000-1999")
            .header(IF_RANGE, tag)
            .send()
            .await;
        let part = part.expect("an answer");
        assert_eq!(
            (part.status().as_u16(), &part.headers()[ETAG]),
            (206, &etag)
        );
        assert!(part.bytes().await.expect("bytes") == song.bytes()[1000..2000]);
    }
}

#[tokio::test]
async fn a_listener_of_a_node_hears_on_where_the_node_that_sent_the_song_is_killed() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = held_song(&lab, "heard", 200_000);
    let mut one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    let (status, reply) = one.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    lab.until(asked_from(1)).await;
    let (_, reply) = two.fetch(&song.link()).await;
    let mut grown = two.get(&reply.songs[0].stream()).await;
    let mut heard = Vec::new();
    while heard.len() < 200_000 {
        heard.extend_from_slice(&grown.chunk().await.expect("bytes").expect("bytes"));
    }
    one.kill();
    song.release();
    while let Some(chunk) = grown.chunk().await.expect("it is not cut") {
        heard.extend_from_slice(&chunk);
    }
    assert!(heard == song.bytes());
    let sent = lab.media_bytes_sent(song.id());
    let most = song.bytes().len() as u64 + 100_000;
    assert!(
        sent <= most,
        "the site sent {sent} bytes of {}",
        song.bytes().len()
    );
}
