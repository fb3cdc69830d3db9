//! A door in a network of its own, whose only way to the sites is a cable: the packets that it sends there are counted.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kmds_lab::{Fault, Lab};
use serde_json::{Value, json};

use super::cable::{Cable, everywhere};
use super::harness::Kmds;
use super::nats::Nats;
use super::{acquainted, address, door_of, node, seen_from};

fn port(kmds: &Kmds) -> u16 {
    let port = kmds.url.rsplit(':').next();
    port.and_then(|port| port.parse().ok()).expect("a port")
}

/// Everything that a client can ask a door for, which other nodes then ask a site for.
async fn tour(lab: &Lab, door: &Kmds) {
    let songs = [
        lab.bandcamp().track("one").seconds(20.0).publish(),
        lab.soundcloud().track("two").seconds(20.0).publish(),
        lab.youtube().video("three").seconds(20.0).publish(),
    ];
    for song in &songs {
        let (status, reply) = door.fetch(&song.link()).await;
        assert_eq!(status, 200, "{reply}");
        let grown = door.get(&reply.songs[0].stream()).await;
        assert!(grown.bytes().await.expect("whole") == song.bytes());
        assert!(door.whole(&reply.songs[0]).await == song.bytes());
        let track = format!("/api/v1/tracks/{}/{}", song.site().name(), song.id());
        let cover = door.get(&format!("{track}/cover")).await;
        assert_eq!(cover.status(), 200, "the cover of {song:?}");
        let removed = door.http.delete(door.at(&track)).send().await;
        assert_eq!(removed.expect("an answer").status(), 204);
        let again = door.get(&format!("/play?url={}", song.link())).await;
        assert_eq!(again.status(), 200, "{song:?} played again");
        assert!(again.bytes().await.expect("whole") == song.bytes());
    }
    let lists = [
        lab.youtube().playlist(3).seconds(20.0).publish().link(),
        lab.soundcloud().set(3).seconds(20.0).publish().link(),
        lab.bandcamp().album(3).publish().link(),
    ];
    for list in lists {
        let (status, reply) = door
            .v1_fetch(json!({ "url": list, "prefetch": "all" }))
            .await;
        assert_eq!(status, 200, "{reply}");
        assert_eq!(reply.tracks.len(), 3, "{reply}");
        for track in &reply.tracks {
            let waited = format!("/api/v1/tracks/{}/{}?wait=60", track.site, track.id);
            let (_, told) = door.body::<Value>(&waited).await;
            assert_eq!(told["state"], "ready", "{told}");
        }
    }
    for site in ["youtube", "soundcloud", "bandcamp"] {
        let found = door.get(&format!("/api/v1/search?q=one&site={site}")).await;
        assert_eq!(found.status(), 200, "a search at {site}");
    }
    refused(lab, door).await;
    for path in ["/ui/", "/api/v1/stats", "/metrics", "/readyz", "/healthz"] {
        assert_eq!(door.get(path).await.status(), 200, "{path}");
    }
}

/// Songs that no node gets, and a retry.
async fn refused(lab: &Lab, door: &Kmds) {
    let song = lab.bandcamp().track("refused").seconds(20.0).publish();
    lab.inject(Fault::Status(404, None).on_media().of(&song));
    let (status, reply) = door.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let track = format!("/api/v1/tracks/bandcamp/{}", song.id());
    door.until("the song has failed", async || {
        let (_, told) = door.body::<Value>(&track).await;
        told["state"] == "failed"
    })
    .await;
    lab.clear_faults();
    let retried = door.http.post(door.at(&format!("{track}/retry"))).send();
    assert_eq!(retried.await.expect("an answer").status(), 202);
    lab.inject(Fault::BotCheck.on_pages());
    let gone = lab.youtube().video("gone").seconds(20.0).publish();
    let (status, reply) = door.fetch(&gone.link()).await;
    assert_eq!(reply.kind, "bot_check", "{status} {reply}");
    lab.clear_faults();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_one_packet_of_a_door_goes_to_a_site() {
    let Some(mut nats) = Nats::start() else {
        return;
    };
    let lab = Lab::start().await;
    let cable = Cable::lay_for_packets_to_count(&lab);
    if cable.is_none() {
        eprintln!(
            "!!! the door's packets are not counted: only the lab's log tells that no site has seen its address"
        );
    }
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let setup = match &cable {
        Some(cable) => {
            cable.has("198.51.100.7/24");
            let song = lab.bandcamp().track("names").publish();
            everywhere(cable, &song, false);
            for port in [nats.port(), port(&one), port(&two)] {
                cable.reaches(port);
            }
            door_of(cable.setup(&lab), &nats.url())
        }
        None => super::door(&lab, &nats),
    };
    let door = setup.start();
    acquainted(&[&one, &two, &door]).await;
    tour(&lab, &door).await;
    nats.kill();
    let late = lab.youtube().video("late").seconds(20.0).publish();
    door.until("the door says so", async || {
        let (_, reply) = door.fetch(&late.link()).await;
        reply.kind == "cluster_unavailable"
    })
    .await;
    nats.restart();
    door.until("the door is back", async || {
        door.fetch(&late.link()).await.0 == 200
    })
    .await;
    let nodes: BTreeSet<IpAddr> = [address(1), address(2)].into();
    let seen = seen_from(&lab);
    assert!(seen.is_subset(&nodes), "{seen:?}");
    let Some(cable) = cable else { return };
    assert_eq!(cable.packets_sent(), 0, "{:?}", cable.callers());
    assert!(cable.calls("45.77.1.1:443"), "the cable leads to the sites");
    assert!(cable.packets_sent() > 0, "the counter counts");
}
