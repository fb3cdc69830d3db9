//! The matrix itself: a fault that stays, on pages and on audio.

use super::cell::{Stage, Wanted, injection};
use super::place::{PLACES, Place, SITES};
use super::table::run;
use kmds_lab::{Fault, Injection, mib};

/// Kinds a fault may lead to, and their status on `/fetch` (`docs/api.md`).
pub const KINDS: &[(&str, u16)] = &[
    ("unsupported_link", 400),
    ("not_found", 404),
    ("bot_check", 429),
    ("rate_limited", 429),
    ("origin_refused", 502),
    ("origin_failed", 502),
    ("page_changed", 502),
    ("truncated", 502),
    ("timeout", 504),
];

pub fn status_of(kind: &str) -> u16 {
    KINDS
        .iter()
        .find(|(have, _)| *have == kind)
        .map_or(0, |(_, status)| *status)
}

/// Every name of the lab, with the values that differ in meaning.
const FAULTS: &[&str] = &[
    "slow:100",
    "slow:400000",
    "stall",
    "stall:300",
    "stall:100000",
    "no_answer",
    "reset",
    "short_body",
    "long_body",
    "wrong_length",
    "empty_200",
    "html_instead",
    "wrong_bytes",
    "changed_etag:200000",
    "expired_at:200000",
    "wall_at:200000",
    "status:401",
    "status:403",
    "status:404",
    "status:410",
    "status:416",
    "status:429",
    "status:429,1",
    "status:500",
    "status:503",
    "status:503,1",
    "cut_gzip",
    "gzip_bomb",
    "huge",
    "endless_headers",
    "slow_loris",
    "tls_error",
    "dns_failure",
    "redirect_loop",
    "redirect_to:http://169.254.169.254/meta?token=s3cret",
    "redirect_to:https://169.254.169.254/meta?token=s3cret",
    "redirect_to:https://evil.example/",
    "redirect_to:file:///etc/passwd",
    "changed_page",
    "odd_value",
    "bot_check",
];

#[test]
fn no_fault_of_the_lab_is_left_out() {
    for (name, _) in kmds_lab::fault::NAMES {
        let met = FAULTS
            .iter()
            .any(|fault| fault.split(':').next() == Some(name));
        assert!(met, "{name} is in no row of the matrix");
    }
}

/// Outcome of a fault on every page, and how often the site may be asked.
fn on_pages(place: Place, fault: &str) -> (Wanted, usize) {
    use Place::{Bandcamp, SoundCloudFile as SoundCloud, YouTube};
    let fails = |kinds, most| (Wanted::fails(kinds), most);
    let name = fault.split(':').next().unwrap_or_default();
    match (fault, place) {
        ("slow:400000" | "stall:100000", _) => (Wanted::Ready, 4),
        // In pages, the song's bytes or its URLs would have to change.
        ("changed_etag:200000" | "expired_at:200000" | "wall_at:200000", _) => (Wanted::Ready, 4),
        // What follows a whole message is not read; a field that is not read may hold anything.
        ("long_body" | "odd_value", _) => (Wanted::Ready, 4),
        // The page's head has everything that is read.
        ("wrong_length", Bandcamp) => (Wanted::Ready, 2),
        ("status:401", SoundCloud) => fails("origin_refused", 4),
        ("status:401", _) => fails("origin_refused", 4),
        ("status:403", YouTube) => fails("rate_limited", 6),
        ("status:403", SoundCloud) => fails("origin_refused", 4),
        ("status:403", Bandcamp) => fails("bot_check", 1),
        ("status:404", YouTube | Bandcamp) => fails("not_found", 2),
        ("status:410", Bandcamp) => fails("not_found", 1),
        // The home page itself is gone: no client id to be had.
        ("status:404" | "status:410", SoundCloud) => fails("page_changed", 2),
        ("status:410" | "status:416", YouTube) => fails("page_changed", 4),
        ("status:416", SoundCloud) => fails("origin_failed", 2),
        ("status:416", Bandcamp) => fails("origin_refused", 1),
        ("status:429" | "status:429,1", _) => fails("rate_limited", 6),
        ("status:500" | "status:503" | "status:503,1", _) => fails("origin_failed", 6),
        // The last of each is for the client with a script: the page that names the script.
        ("bot_check", YouTube) => fails("bot_check", 7),
        ("bot_check", _) => fails("bot_check", 6),
        (_, Bandcamp) if name == "redirect_to" => fails("unsupported_link", 1),
        // A call never leads elsewhere: each of the two is asked once more, and not followed.
        (_, YouTube) if name.starts_with("redirect_") => fails("page_changed", 5),
        (_, _) if name == "redirect_to" => fails("origin_failed", 2),
        // Six on the way round, and one for the visitor id.
        (_, _) if name == "redirect_loop" => fails("origin_failed", 7),
        _ => match name {
            "slow" | "stall" | "no_answer" | "slow_loris" => fails("timeout", 4),
            "reset" | "short_body" | "cut_gzip" | "endless_headers" | "tls_error"
            | "dns_failure" => fails("origin_failed", 4),
            _ => fails("page_changed", 5),
        },
    }
}

/// Outcome of a fault on all audio, how often it may be asked for, and how many bytes may be taken at most.
fn on_media(place: Place, fault: &str) -> (Wanted, usize, u64) {
    use Place::{SoundCloudHls as Hls, YouTube};
    let song = mib(2);
    let ready = |most| (Wanted::Ready, most, song);
    let fails = |kinds, most| (Wanted::fails(kinds), most, 3 * song);
    let name = fault.split(':').next().unwrap_or_default();
    match (fault, place) {
        ("slow:400000" | "long_body" | "odd_value", _) => ready(12),
        // Bytes came each time, so each time it goes on.
        ("stall:100000", YouTube) => ready(24),
        ("stall:100000", Place::SoundCloudFile | Place::Bandcamp) => ready(24),
        ("expired_at:200000", _) => ready(24),
        // The old bytes and all of the new ones; what the lab counts as sent may still lie in a socket.
        ("changed_etag:200000", _) => (Wanted::Ready, 24, 2 * song),
        // What is refused by its head is counted as far as it fits into sockets.
        ("huge", _) => (Wanted::fails("origin_failed|truncated"), 8, 8 * song),
        // A playlist that was cut has no end mark.
        ("wrong_length", Hls) => fails("origin_failed|page_changed", 40),
        ("status:429" | "status:429,1" | "bot_check", YouTube) => fails("rate_limited", 24),
        ("status:429" | "status:429,1", _) => fails("rate_limited", 60),
        // Three ranges each of the URL that came with the song, of a fresh one, of one as each other identity, and of
        // another encoding.
        ("status:403" | "wall_at:200000", YouTube) => fails("origin_refused", 15),
        ("status:401", YouTube) => fails("origin_refused", 12),
        ("status:503" | "status:503,1", YouTube) => fails("rate_limited", 4),
        ("status:500", YouTube) => fails("origin_failed", 4),
        ("status:416" | "wrong_length" | "wrong_bytes" | "changed_page", _) => {
            fails("origin_failed|truncated", 40)
        }
        _ => match name {
            "slow" | "stall" | "no_answer" | "slow_loris" => fails("timeout", 12),
            _ => fails("origin_failed", 40),
        },
    }
}

/// YouTube's robot check is an answer of the player; its other pages know only 429.
fn aimed(place: Place, fault: &str) -> Injection {
    let all = injection(fault, Fault::on_pages);
    if fault == "bot_check" && place == Place::YouTube {
        all.at_path("/youtubei/v1/player")
    } else {
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_on_every_page_gets_its_answer_in_time_and_leaves_nothing() {
    let cells = FAULTS.iter().flat_map(|fault| {
        SITES.map(|place| {
            let cell = async move {
                let stage = Stage::set(place).await;
                stage.lab.inject(aimed(place, fault));
                let (wanted, most) = on_pages(place, fault);
                stage.pages(wanted, most).await
            };
            (place, (*fault).to_owned(), cell)
        })
    });
    run(
        "Faults on pages: status and kind of `/fetch` (requests)",
        cells.collect(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_on_all_audio_gets_its_state_and_leaves_nothing_broken() {
    let cells = FAULTS.iter().flat_map(|fault| {
        // Segments carry nothing that ties them to each other: a change between two of them cannot be told.
        let told = move |place: &Place| {
            !(fault.starts_with("changed_etag") && *place == Place::SoundCloudHls)
        };
        PLACES.into_iter().filter(told).map(move |place| {
            let cell = async move {
                let stage = Stage::set(place).await;
                stage.lab.inject(injection(fault, Fault::on_media));
                let (wanted, most, most_bytes) = on_media(place, fault);
                stage.media(wanted, most, most_bytes).await
            };
            (place, (*fault).to_owned(), cell)
        })
    });
    run(
        "Faults on audio: the song's end, its listener (requests)",
        cells.collect(),
    )
    .await;
}
