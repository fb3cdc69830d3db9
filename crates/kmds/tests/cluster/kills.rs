//! kill -9 of each role, and a partition of each, at random moments while songs are on their way to listeners.
//!
//! After each: what was accepted comes, whole; nothing that is not whole stands under a final name; no song was fetched
//! more often than its holder went away, and once. Every listener heard the whole song, or was cut.
//!
//! `KMDS_KILLS=100 cargo test -p kmds --features cluster --test cluster -- kills:: --nocapture` is the long run;
//! `KMDS_SEED` repeats one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kmds_lab::{Kind, Lab, Song};
use tokio::task::JoinHandle;

use super::harness::{Kmds, PATIENCE, Setup, read};
use super::line::Line;
use super::nats::Nats;
use super::{acquainted, address, door, node};

/// Nodes that fetch; the door comes after them.
const NODES: usize = 3;
const DOOR: usize = NODES;
/// Songs that are under way when it happens.
const SONGS: usize = 3;
/// A song of this length takes about a second and a half at this rate.
const SONG_SECONDS: f64 = 40.0;
const DRIP: u64 = 400_000;
/// What was on its way in sockets when a node was killed is sent again.
const LOST_BYTES: f64 = 65_536.0;
/// Longer than a node may be silent that is there (6 s).
const PARTED: Duration = Duration::from_secs(8);
const PARTED_LONG: Duration = Duration::from_secs(20);

struct Dice(u64);

impl Dice {
    /// By `KMDS_SEED`, else by the clock; the seed is printed.
    fn new() -> Self {
        let told = std::env::var("KMDS_SEED").ok();
        let told = told.and_then(|text| text.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = told.unwrap_or(u64::from(now.expect("a clock").subsec_nanos()) | 1);
        eprintln!("KMDS_SEED={seed}");
        Self(seed)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    fn index(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll(sides as u64)).unwrap_or(0)
    }

    async fn wait(&mut self, most_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.roll(most_ms))).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The node that fetches the first song.
    Downloading,
    /// A node whose client hears the first song through another node.
    Relaying,
    Door,
    Nats,
}

const ROLES: [Role; 4] = [Role::Downloading, Role::Relaying, Role::Door, Role::Nats];

#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill,
    Part(Duration),
}

/// A node, or the door, with its lines to NATS and from the other nodes.
struct Member {
    setup: Setup,
    kmds: Kmds,
    http: Line,
    nats: Line,
}

impl Member {
    async fn start(lab: &Lab, nats: &Nats, number: usize) -> Self {
        let (http, line) = (Line::new().await, Line::new().await);
        line.leads_to(nats.url().trim_start_matches("nats://"));
        let setup = match number {
            DOOR => door(lab, nats),
            number => node(lab, nats, u8::try_from(number).expect("few") + 1),
        };
        let setup = setup
            .set("KMDS_CLUSTER__NATS", &format!("nats://{}", line.near))
            .set("KMDS_CLUSTER__ADDRESS", &format!("http://{}", http.near));
        let kmds = setup.start();
        http.leads_to(kmds.url.trim_start_matches("http://"));
        Self {
            setup,
            kmds,
            http,
            nats: line,
        }
    }

    fn start_again(&mut self) {
        self.kmds = self.setup.start();
        let address = self.kmds.url.trim_start_matches("http://").to_owned();
        self.http.leads_to(&address);
    }

    fn lines(&self) -> [&Line; 2] {
        [&self.http, &self.nats]
    }
}

/// A song that a member answered 200 for, and where its audio is there.
struct Accepted {
    song: Song,
    by: usize,
    tunnel: String,
}

struct World {
    lab: Lab,
    nats: Nats,
    members: Vec<Member>,
    rounds: u32,
}

impl World {
    async fn start() -> Option<Self> {
        let nats = Nats::start()?;
        let lab = Lab::start().await;
        let mut members = Vec::new();
        for number in 0..=NODES {
            members.push(Member::start(&lab, &nats, number).await);
        }
        Some(Self {
            lab,
            nats,
            members,
            rounds: 0,
        })
    }

    async fn acquainted(&self) {
        let all: Vec<&Kmds> = self.members.iter().map(|member| &member.kmds).collect();
        acquainted(&all).await;
    }

    fn publish(&self, place: usize) -> Song {
        let title = format!("round-{}-{place}", self.rounds);
        let song = self.lab.bandcamp().track(&title);
        let song = song.seconds(SONG_SECONDS).publish();
        song.drip_at(DRIP);
        song
    }

    /// `None` where the member does not take it.
    async fn accept(&self, song: &Song, by: usize) -> Option<Accepted> {
        let kmds = &self.members[by].kmds;
        let body = serde_json::json!({ "URL": song.link() }).to_string();
        let request = kmds.http.post(kmds.at("/fetch")).body(body);
        let answer = request.timeout(PATIENCE).send().await.ok()?;
        let is_taken = answer.status() == 200;
        let text = answer.text().await.ok()?;
        let reply: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let tunnel = reply["Songs"][0]["Tunnel_URL"].as_str().map(str::to_owned);
        Some(Accepted {
            song: song.clone(),
            by,
            tunnel: tunnel.filter(|_| is_taken)?,
        })
    }

    /// Hears a song while it arrives; whether it was heard to its end.
    fn hear(&self, accepted: &Accepted) -> JoinHandle<bool> {
        let kmds = &self.members[accepted.by].kmds;
        let asked = kmds
            .http
            .get(kmds.at(&format!("{}&stream=1", accepted.tunnel)));
        let song = accepted.song.clone();
        tokio::spawn(async move {
            let answer = asked.timeout(4 * PATIENCE).send().await;
            let Some(mut answer) = answer.ok().filter(|answer| answer.status() == 200) else {
                return false;
            };
            let mut heard = Vec::new();
            loop {
                match answer.chunk().await {
                    Ok(Some(chunk)) => heard.extend_from_slice(&chunk),
                    Ok(None) => {
                        assert!(heard == song.bytes(), "{song:?}: a clean end that is none");
                        return true;
                    }
                    Err(_) => {
                        assert!(song.bytes().starts_with(&heard), "{song:?}: a wrong byte");
                        return false;
                    }
                }
            }
        })
    }

    /// Each request for the song's audio: from where, which bytes, and how many were sent.
    fn story(&self, song: &Song) -> String {
        let seen = self.lab.requests();
        let media = seen
            .iter()
            .filter(|seen| seen.kind == Kind::Media && seen.song.as_deref() == Some(song.id()));
        let begun = seen.first().map(|first| first.at);
        let lines = media.map(|seen| {
            let at = begun.map(|begun| seen.at - begun);
            format!(
                "{at:?} {} {:?} sent {}\n",
                seen.from, seen.range, seen.sent_bytes
            )
        });
        lines.collect()
    }

    /// Which nodes have asked the site for the song's audio.
    fn fetchers(&self, song: &Song) -> BTreeSet<usize> {
        let seen = self.lab.requests();
        let media = seen
            .iter()
            .filter(|seen| seen.kind == Kind::Media && seen.song.as_deref() == Some(song.id()));
        let from: BTreeSet<_> = media.map(|seen| seen.from).collect();
        let number =
            |number: &usize| from.contains(&address(u8::try_from(*number).unwrap_or(0) + 1));
        (0..NODES).filter(number).collect()
    }

    /// Who has the role for the first song; `None` for NATS.
    fn victim(&self, role: Role, accepted: &[Accepted], dice: &mut Dice) -> Option<usize> {
        let fetchers = self.fetchers(&accepted[0].song);
        let relays = accepted
            .iter()
            .filter(|one| one.song.id() == accepted[0].song.id() && one.by != DOOR)
            .find(|one| !fetchers.contains(&one.by));
        match role {
            Role::Downloading => fetchers.into_iter().next().or(Some(dice.index(NODES))),
            Role::Relaying => relays.map(|one| one.by).or(Some(dice.index(NODES))),
            Role::Door => Some(DOOR),
            Role::Nats => None,
        }
    }

    fn lines_of(&self, victim: Option<usize>) -> Vec<&Line> {
        match victim {
            Some(number) => self.members[number].lines().into(),
            None => self.members.iter().map(|member| &member.nats).collect(),
        }
    }

    /// The blow; what another member accepts meanwhile.
    async fn strike(
        &mut self,
        blow: Blow,
        victim: Option<usize>,
        dice: &mut Dice,
    ) -> Option<Accepted> {
        let late = self.publish(SONGS);
        let by = dice.index(NODES + 1);
        match (blow, victim) {
            (Blow::Kill, Some(number)) => self.members[number].kmds.kill(),
            (Blow::Kill, None) => self.nats.kill(),
            (Blow::Part(_), victim) => {
                self.lines_of(victim)
                    .iter()
                    .for_each(|line| line.goes_silent());
            }
        }
        let begun = Instant::now();
        let accepted = self.accept(&late, by).await;
        match (blow, victim) {
            (Blow::Kill, Some(number)) => {
                dice.wait(1000).await;
                self.members[number].start_again();
            }
            (Blow::Kill, None) => {
                dice.wait(1000).await;
                self.nats.restart();
            }
            (Blow::Part(long), victim) => {
                tokio::time::sleep(long.saturating_sub(begun.elapsed())).await;
                self.lines_of(victim).iter().for_each(|line| line.opens());
            }
        }
        accepted
    }

    async fn round(&mut self, blow: Blow, role: Role, dice: &mut Dice) {
        self.rounds += 1;
        self.acquainted().await;
        let songs: Vec<Song> = (0..SONGS).map(|place| self.publish(place)).collect();
        // The first song is heard at every node, the others at one.
        let mut asked: Vec<(usize, usize)> = (0..=NODES).map(|by| (0, by)).collect();
        asked.extend((1..SONGS).map(|place| (place, dice.index(NODES + 1))));
        let (mut accepted, mut listeners) = (Vec::new(), Vec::new());
        for (place, by) in asked {
            let one = self.accept(&songs[place], by).await.expect("it is taken");
            listeners.push(self.hear(&one));
            accepted.push(one);
        }
        dice.wait(1500).await;
        let victim = self.victim(role, &accepted, dice);
        let begun: Vec<_> = songs.iter().map(|song| self.fetchers(song)).collect();
        let late = self.strike(blow, victim, dice).await;
        let mut whole = 0;
        for listener in listeners {
            whole += u32::from(listener.await.expect("no listener is deceived"));
        }
        let was_late = late.is_some();
        accepted.extend(late);
        for one in &accepted {
            self.comes(one).await;
        }
        let mut times = Vec::new();
        for (song, begun) in songs.iter().zip(&begun) {
            let by: BTreeSet<usize> = accepted
                .iter()
                .filter(|one| one.song.id() == song.id())
                .map(|one| one.by)
                .collect();
            let most = most_fetches(blow, victim, begun, &by);
            let fetched = super::times_fetched(&self.lab, song);
            let lost = LOST_BYTES / song.bytes().len() as f64;
            assert!(
                fetched <= f64::from(most) + lost,
                "{song:?}: {fetched} of {most}\n{}",
                self.story(song)
            );
            times.push(format!("{fetched:.2}/{most}"));
        }
        self.nothing_broken_is_published(&accepted);
        eprintln!(
            "{:>3} {role:?} {blow:?}, member {victim:?}: {whole} of 6 heard whole, times fetched {}, one more {}",
            self.rounds,
            times.join(" "),
            if was_late { "accepted" } else { "refused" },
        );
        self.lab.forget_requests();
    }

    /// Waits for a song at the member that accepted it.
    async fn comes(&self, one: &Accepted) {
        let kmds = &self.members[one.by].kmds;
        let (path, end) = (
            format!("{}&wait=20", one.tunnel),
            Instant::now() + 2 * PATIENCE,
        );
        let mut last = String::new();
        while Instant::now() < end {
            let request = kmds.http.get(kmds.at(&path)).timeout(PATIENCE);
            let Ok(answer) = request.send().await else {
                continue;
            };
            let status = answer.status();
            let Ok(bytes) = answer.bytes().await else {
                continue;
            };
            if status == 200 {
                assert!(bytes == one.song.bytes(), "{:?} is broken", one.song);
                return;
            }
            last = String::from_utf8_lossy(&bytes).into_owned();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!(
            "{:?} is lost at member {}: {last}\n{}",
            one.song,
            one.by,
            kmds.log()
        );
    }

    fn nothing_broken_is_published(&self, accepted: &[Accepted]) {
        for member in &self.members {
            for path in member.kmds.published() {
                let song = accepted.iter().map(|one| &one.song);
                let mut song = song.filter(|song| path.contains(&format!("/{}.", song.id())));
                let Some(song) = song.next().filter(|_| !path.ends_with(".json")) else {
                    continue;
                };
                let file = member.kmds.folder.path("cache").join(&path);
                assert!(read(&file) == song.bytes(), "{path} is broken");
            }
        }
    }
}

/// How often a song may be fetched: once, and once more where its holder goes away. A node that does not reach NATS
/// works alone: each that has the song accepted may fetch it then.
fn most_fetches(
    blow: Blow,
    victim: Option<usize>,
    fetchers: &BTreeSet<usize>,
    accepted: &BTreeSet<usize>,
) -> u32 {
    let is_alone = |number: &usize| accepted.contains(number) || fetchers.contains(number);
    let most = match (blow, victim) {
        (_, None) => (0..NODES).filter(is_alone).count().max(1),
        (Blow::Kill, Some(victim)) => 1 + usize::from(fetchers.contains(&victim)),
        (Blow::Part(_), Some(victim)) => 1 + usize::from(is_alone(&victim)),
    };
    u32::try_from(most).unwrap_or(u32::MAX)
}

fn is_long() -> Option<u32> {
    std::env::var("KMDS_KILLS").ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_broken_when_any_part_of_a_cluster_is_killed() {
    let mut dice = Dice::new();
    let Some(mut world) = World::start().await else {
        return;
    };
    for kill in 0..is_long().unwrap_or(ROLES.len() as u32) {
        let role = ROLES[kill as usize % ROLES.len()];
        world.round(Blow::Kill, role, &mut dice).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_broken_when_any_part_of_a_cluster_is_cut_off() {
    let mut dice = Dice::new();
    let Some(mut world) = World::start().await else {
        return;
    };
    if is_long().is_some() {
        for role in ROLES {
            world.round(Blow::Part(PARTED_LONG), role, &mut dice).await;
        }
    } else {
        let role = ROLES[dice.index(ROLES.len())];
        world.round(Blow::Part(PARTED), role, &mut dice).await;
    }
}
