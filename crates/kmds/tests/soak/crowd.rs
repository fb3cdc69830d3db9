//! The crowd: who comes, how often, and what the sites do meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmds_lab::soundcloud::Format;
use kmds_lab::{Fault, Lab, Site, Song};
use parking_lot::Mutex;

use super::acts;
use super::harness::Kmds;
use super::load::{At, Dice, OPUS_ONLY};

const CLIENTS: usize = 12;
/// Songs that are asked for at one time; each is replaced after `SONGS × NEW_SONG`.
const SONGS: usize = 24;
const NEW_SONG: Duration = Duration::from_secs(1);
/// How long a site fails in one way, and then works.
const FAULT: Duration = Duration::from_secs(2);
/// Clients think that long at most between two acts.
const THINK_MS: u64 = 500;
/// How often the caller may look.
const LOOK: Duration = Duration::from_secs(1);

/// The songs and lists that clients can ask for now: they change all the time.
#[derive(Default)]
pub struct World {
    songs: Mutex<Vec<Song>>,
    lists: Mutex<Vec<String>>,
}

impl World {
    pub fn song(&self, dice: &mut Dice) -> Song {
        dice.one_of(&self.songs.lock())
    }

    pub fn list(&self, dice: &mut Dice) -> String {
        dice.one_of(&self.lists.lock())
    }
}

/// How often each act was done, and how often it came to its good end.
#[derive(Default)]
pub struct Done(BTreeMap<&'static str, (u64, u64)>);

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row =
            |(name, (done, well)): (&&str, &(u64, u64))| format!("{name} {done} ({well} well)");
        f.write_str(&self.0.iter().map(row).collect::<Vec<_>>().join(", "))
    }
}

/// Lets the crowd in for `time`; `look` is called each second.
pub async fn run(
    kmds: &Kmds,
    lab: &Lab,
    mut dice: Dice,
    time: Duration,
    look: &mut impl AsyncFnMut(),
) -> Done {
    let world = Arc::new(World::default());
    for number in 0..SONGS {
        renew(lab, &world, number);
    }
    let end = Instant::now() + time;
    let at = At {
        http: kmds.http.clone(),
        url: kmds.url.clone(),
    };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(at.clone(), Arc::clone(&world), dice.child(), end)))
        .collect();
    let (mut number, mut next_song, mut next_fault, mut broken) =
        (SONGS, Instant::now(), Instant::now(), false);
    let mut next_look = Instant::now();
    while Instant::now() < end {
        let now = Instant::now();
        if now >= next_song {
            next_song = now + NEW_SONG;
            renew(lab, &world, number);
            number += 1;
        }
        if now >= next_fault {
            next_fault = now + FAULT;
            broken = !broken;
            lab.clear_faults();
            // The log of the lab is not what is measured.
            lab.forget_requests();
            if broken {
                lab.inject(fault(&mut dice));
            }
        }
        if now >= next_look {
            next_look = now + LOOK;
            look().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    lab.clear_faults();
    let mut done = Done::default();
    for client in clients {
        for (name, (acts, well)) in client.await.expect("no client meets anything it may not").0 {
            let sum = done.0.entry(name).or_default();
            *sum = (sum.0 + acts, sum.1 + well);
        }
    }
    done
}

/// A new song takes the place of the oldest one; now and then a new list.
fn renew(lab: &Lab, world: &World, number: usize) {
    let name = format!("Song {number}");
    let seconds = 20.0 + 10.0 * (number % 5) as f64;
    let song = match number % 6 {
        0 => lab.youtube().video(&name).seconds(seconds).publish(),
        1 => lab
            .soundcloud()
            .track(&name)
            .seconds(seconds)
            .formats(&[Format::AacHls])
            .publish(),
        2 => lab.bandcamp().track(&name).seconds(seconds).publish(),
        3 => lab
            .soundcloud()
            .track(&name)
            .seconds(seconds)
            .formats(&[Format::Mp3Progressive])
            .publish(),
        4 => lab
            .youtube()
            .video(&name)
            .seconds(seconds)
            .aac_only()
            .publish(),
        _ => lab
            .youtube()
            .video(&format!("{OPUS_ONLY} {number}"))
            .seconds(seconds)
            .opus_only()
            .publish(),
    };
    song.drip_at(1_000_000);
    let mut songs = world.songs.lock();
    songs.push(song);
    if songs.len() > SONGS {
        songs.remove(0).let_go();
    }
    if number.is_multiple_of(12) {
        let mut lists = world.lists.lock();
        lists.push(match number % 36 {
            0 => lab.youtube().playlist(0).songs(&songs).publish().link(),
            12 => lab.bandcamp().album(4).publish().link(),
            _ => lab.soundcloud().set(4).publish().link(),
        });
        if lists.len() > 4 {
            lists.remove(0);
        }
    }
}

/// One way of a site to fail. Not those that change a song's bytes: the crowd holds what it hears against the song.
fn fault(dice: &mut Dice) -> kmds_lab::Injection {
    let faults = [
        "slow:100000",
        "stall:300",
        "stall:100000",
        "no_answer",
        "reset",
        "short_body",
        "wrong_length",
        "empty_200",
        "html_instead",
        "expired_at:100000",
        "cut_gzip",
        "gzip_bomb",
        "huge",
        "endless_headers",
        "tls_error",
        "dns_failure",
        "status:403",
        "status:404",
        "status:429,1",
        "status:500",
        "status:503",
        "redirect_loop",
        "redirect_to:https://169.254.169.254/",
        "changed_page",
        "bot_check",
    ];
    let fault: Fault = dice.one_of(&faults).parse().expect("a fault of the lab");
    let fault = if dice.roll(2) == 0 {
        fault.on_pages()
    } else {
        fault.on_media()
    };
    fault
        .of_site(dice.one_of(&[Site::YouTube, Site::SoundCloud, Site::Bandcamp]))
        .first(8)
}

async fn client(at: At, world: Arc<World>, mut dice: Dice, end: Instant) -> Done {
    let mut done = Done::default();
    while Instant::now() < end {
        let (name, well) = acts::one(&at, &world, &mut dice).await;
        let sum = done.0.entry(name).or_default();
        *sum = (sum.0 + 1, sum.1 + u64::from(well));
        tokio::time::sleep(Duration::from_millis(dice.roll(THINK_MS))).await;
    }
    done
}
