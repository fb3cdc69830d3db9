//! A limit that an address meets in mid-file, and those who hear the song meanwhile.

use kmds_lab::soundcloud::Format;
use kmds_lab::{Fault, Kind, Lab, Song};
use serde_json::json;

use super::drive::on;
use super::nats::Nats;
use super::{acquainted, address, asked_from, door, held_song, node};
use crate::harness::{FAST_RECIPES, Folder, Kmds, PATIENCE, Setup};

/// The songs of these tests stop here until they are released.
pub const HELD_AT: usize = 200_000;

/// A node that asks its site again when no byte comes for a second, and so meets the limit in mid-file.
pub fn hasty_node(lab: &Lab, nats: &Nats) -> Setup {
    node(lab, nats, 1).recipes(FAST_RECIPES)
}

/// A client that hears a song while it arrives.
pub struct Listener {
    answer: reqwest::Response,
    heard: Vec<u8>,
}

impl Listener {
    pub async fn of(node: &Kmds, song: &Song) -> Self {
        Self::taking(node, song, json!({})).await
    }

    /// A client that plays certain formats.
    async fn taking(node: &Kmds, song: &Song, mut ask: serde_json::Value) -> Self {
        ask["URL"] = song.link().into();
        let (status, reply) = node.fetch_with(ask).await;
        assert_eq!(status, 200, "{reply}");
        let answer = node.get(&reply.songs[0].stream()).await;
        assert_eq!(answer.status(), 200);
        Self {
            answer,
            heard: Vec::new(),
        }
    }

    pub async fn hears(&mut self, bytes: usize) {
        while self.heard.len() < bytes {
            let chunk = self.answer.chunk().await.expect("it is not cut");
            self.heard
                .extend_from_slice(&chunk.expect("it is not over"));
        }
    }

    /// What it heard, and whether the answer came to a clean end.
    async fn hear_out(mut self) -> (Vec<u8>, bool) {
        loop {
            match self.answer.chunk().await {
                Ok(Some(chunk)) => self.heard.extend_from_slice(&chunk),
                Ok(None) => return (self.heard, true),
                Err(_) => return (self.heard, false),
            }
        }
    }

    pub async fn hears_all_of(self, song: &Song) {
        let (heard, is_whole) = self.hear_out().await;
        assert!(song.bytes().starts_with(&heard), "a wrong byte");
        assert!(is_whole, "it is cut at {} of {}", heard.len(), song.len());
        assert_eq!(heard.len() as u64, song.len());
    }
}

/// A held song, two nodes, and a listener at the first one that has heard all that is there.
async fn heard_midway(lab: &Lab, nats: &Nats) -> (Song, Kmds, Kmds, Listener) {
    let song = held_song(lab, "midway", HELD_AT as u64);
    let one = hasty_node(lab, nats).start();
    let two = node(lab, nats, 2).start();
    acquainted(&[&one, &two]).await;
    let mut listener = Listener::of(&one, &song).await;
    listener.hears(HELD_AT).await;
    (song, one, two, listener)
}

/// The site limits the first node's address from now on; the future ends when the node has met that.
pub fn meets_a_limit(lab: &Lab, limit: kmds_lab::Injection) -> impl Future<Output = ()> {
    lab.inject(limit.only_from(address(1)));
    lab.until(|seen| {
        seen.iter()
            .any(|seen| seen.fault.is_some() && seen.from == address(1))
    })
}

#[tokio::test]
async fn a_listener_hears_on_by_another_node_when_an_address_is_limited_in_mid_file() {
    for shared in [false, true] {
        let Some(nats) = Nats::start() else { return };
        let (lab, drive) = (Lab::start().await, Folder::new());
        let place = |setup| if shared { on(&drive, setup) } else { setup };
        let song = held_song(&lab, "midway", HELD_AT as u64);
        let one = place(hasty_node(&lab, &nats)).start();
        let two = place(node(&lab, &nats, 2)).start();
        acquainted(&[&one, &two]).await;
        let mut listener = Listener::of(&one, &song).await;
        listener.hears(HELD_AT).await;
        assert!(asked_from(1)(&lab.requests()));
        meets_a_limit(&lab, Fault::Status(429, Some(60)).on_media()).await;
        song.release();
        listener.hears_all_of(&song).await;
        assert!(asked_from(2)(&lab.requests()));
        // On one drive the other node goes on at the byte that is there.
        let again = if shared { 0 } else { HELD_AT as u64 };
        let sent = lab.media_bytes_sent(song.id());
        assert!(sent <= song.len() + again + 100_000, "{sent}");
        assert!(two.download(&song.link()).await == song.bytes());
    }
}

#[tokio::test]
async fn a_listener_waits_for_a_limit_in_mid_file_where_no_other_node_takes_the_song() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = held_song(&lab, "midway", HELD_AT as u64);
    let one = hasty_node(&lab, &nats).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    let mut own = Listener::of(&one, &song).await;
    own.hears(HELD_AT).await;
    let mut by_door = Listener::of(&door, &song).await;
    by_door.hears(HELD_AT).await;
    lab.inject(
        Fault::Status(429, Some(50))
            .on_media()
            .only_from(address(2)),
    );
    meets_a_limit(&lab, Fault::Status(429, Some(2)).on_media().first(1)).await;
    song.release();
    own.hears_all_of(&song).await;
    by_door.hears_all_of(&song).await;
    let sent = lab.media_bytes_sent(song.id());
    assert!(sent <= song.len() + 100_000, "{sent}");
}

#[tokio::test]
async fn listeners_of_relaying_nodes_hear_on_when_the_address_that_fetches_is_limited_in_mid_file()
{
    // Which node a client listens at: the one that fetches, another one that fetches too, the door.
    for (at_one, at_two) in [(true, true), (false, true), (false, false), (true, false)] {
        // The songs of another lab have the same names there.
        let Some(nats) = Nats::start() else { return };
        let lab = Lab::start().await;
        let song = held_song(&lab, "midway", HELD_AT as u64);
        let one = hasty_node(&lab, &nats)
            .set("KMDS_BANDCAMP__MAX_DOWNLOADS", "20")
            .start();
        let two = node(&lab, &nats, 2).start();
        let door = door(&lab, &nats).start();
        acquainted(&[&one, &two, &door]).await;
        let mut listeners = vec![Listener::of(&door, &song).await];
        listeners[0].hears(HELD_AT).await;
        assert!(asked_from(1)(&lab.requests()), "the roomy one is asked");
        if at_one {
            listeners.push(Listener::of(&one, &song).await);
        }
        if at_two {
            listeners.push(Listener::of(&two, &song).await);
        }
        for listener in &mut listeners {
            listener.hears(HELD_AT).await;
        }
        meets_a_limit(&lab, Fault::Status(429, Some(60)).on_media()).await;
        song.release();
        for listener in listeners {
            listener.hears_all_of(&song).await;
        }
        assert!(asked_from(2)(&lab.requests()));
    }
}

#[tokio::test]
async fn a_listener_is_cut_where_no_address_may_go_on_within_a_minute() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let (song, one, _two, listener) = heard_midway(&lab, &nats).await;
    let limit = || Fault::Status(429, Some(70)).on_media();
    lab.inject(limit().only_from(address(2)));
    meets_a_limit(&lab, limit()).await;
    song.release();
    // Before the client of this test itself gives up.
    let heard = tokio::time::timeout(PATIENCE / 2, listener.hear_out()).await;
    let (heard, is_whole) = heard.expect("it waits no minute");
    assert!(!is_whole && song.bytes().starts_with(&heard));
    let track = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let (_, told) = one.body::<serde_json::Value>(&track).await;
    assert_eq!(told["state"], "queued", "the song waits: {told}");
}

#[tokio::test]
async fn a_listener_is_cut_where_the_other_node_gets_other_bytes() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let (song, one, _two, listener) = heard_midway(&lab, &nats).await;
    let before = song.bytes();
    let limit = Fault::Status(429, Some(60)).on_media();
    let meets = meets_a_limit(&lab, limit);
    song.change_bytes();
    meets.await;
    song.release();
    let (heard, is_whole) = listener.hear_out().await;
    assert!(!is_whole, "a clean end of a part");
    assert!(before.starts_with(&heard), "bytes of two files");
    assert!(one.download(&song.link()).await == song.bytes());
}

#[tokio::test]
async fn a_listener_hears_on_where_the_length_of_the_file_is_not_known() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.soundcloud().track("segments").seconds(60.0);
    let song = song
        .formats(&[Format::AacHls])
        .holds_at(HELD_AT as u64)
        .publish();
    let one = hasty_node(&lab, &nats).start();
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    let mut listener = Listener::of(&one, &song).await;
    listener.hears(HELD_AT / 2).await;
    meets_a_limit(&lab, Fault::Status(429, Some(60)).on_media()).await;
    song.release();
    listener.hears_all_of(&song).await;
    assert!(asked_from(2)(&lab.requests()));
}

#[tokio::test]
async fn a_listener_of_a_song_that_is_rewritten_waits_for_the_limit_with_its_node() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.youtube().video("rewr1tten01").seconds(120.0);
    let song = song.opus_only().holds_at(HELD_AT as u64).publish();
    let one = hasty_node(&lab, &nats).start();
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    let accept = json!({ "Accept": ["opus"] });
    let mut listener = Listener::taking(&one, &song, accept).await;
    listener.hears(1).await;
    let limit = Fault::Status(429, Some(1)).on_media().first(1);
    meets_a_limit(&lab, limit).await;
    song.release();
    let (heard, is_whole) = listener.hear_out().await;
    assert!(is_whole, "it is cut at {}", heard.len());
    assert!(lab.count(|seen| seen.kind == Kind::Media && seen.from == address(2)) == 0);
    let (_, reply) = one
        .fetch_with(json!({ "URL": song.link(), "Accept": ["opus"] }))
        .await;
    assert!(one.whole(&reply.songs[0]).await == heard);
}

#[tokio::test]
async fn a_listener_whose_song_waits_hears_on_from_the_file_that_another_node_has_published() {
    let Some(nats) = Nats::start() else { return };
    let (lab, drive) = (Lab::start().await, Folder::new());
    let song = held_song(&lab, "midway", HELD_AT as u64);
    let one = on(&drive, hasty_node(&lab, &nats)).start();
    let two = node(&lab, &nats, 2).start();
    // Of another cluster, so that the first two are not told of what it fetches. The second one does not see the drive.
    let stranger = on(&drive, node(&lab, &nats, 3))
        .set("KMDS_CLUSTER__NAME", "other")
        .start();
    acquainted(&[&one, &two]).await;
    let mut listener = Listener::of(&one, &song).await;
    listener.hears(HELD_AT).await;
    let limit = |seconds, number| {
        let limit = Fault::Status(429, Some(seconds)).on_media();
        limit.only_from(address(number))
    };
    lab.inject(limit(2, 2));
    meets_a_limit(&lab, limit(50, 1)).await;
    song.release();
    assert!(stranger.download(&song.link()).await == song.bytes());
    // The limits go on: no node of its own brings it.
    listener.hears_all_of(&song).await;
    assert!(one.download(&song.link()).await == song.bytes());
}
