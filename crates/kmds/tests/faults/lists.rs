//! Lists that take longer than their client waits: the reply has the songs that were read, and the next call continues
//! there.

use super::harness::{FAST_RECIPES, Kmds, Setup};
use kmds_lab::{Fault, Injection, Lab};

/// A page may take longer than the client of a list waits, who waits long enough for the pages that do come.
fn patient() -> String {
    FAST_RECIPES.replace(
        "metadata_request = 2.0",
        "metadata_request = 60.0\nfetch_list = 15.0",
    )
}

fn pages(lab: &Lab) -> usize {
    lab.count(|seen| seen.path.ends_with("/browse"))
}

/// No answer, except to the first pages.
fn silent_after(pages: u32) -> Injection {
    Fault::NoAnswer
        .on_pages()
        .at_path("/youtubei/v1/browse")
        .after(pages)
}

/// A reply's songs, by id, each at its place; and whether there are more.
async fn listed(kmds: &Kmds, link: &str) -> (Vec<String>, bool) {
    let answer = kmds
        .v1_fetch(serde_json::json!({"url": link, "prefetch": "none"}))
        .await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    let tracks = &answer.1.tracks;
    for (place, track) in (1..).zip(tracks) {
        assert_eq!(track.number, Some(place), "{track:?}");
    }
    (
        tracks.iter().map(|track| track.id.clone()).collect(),
        answer.1["truncated"] == true,
    )
}

fn ids(songs: &[kmds_lab::Song]) -> Vec<String> {
    songs.iter().map(|song| song.id().to_owned()).collect()
}

#[tokio::test]
async fn a_list_that_runs_out_of_time_gives_what_was_read_and_the_next_call_goes_on_from_there() {
    let lab = Lab::start().await;
    let list = lab.youtube().playlist(450).seconds(1.0).publish();
    let all = ids(list.songs());
    let kmds = Setup::of(&lab).recipes(&patient()).start();
    lab.inject(silent_after(2));
    assert_eq!(
        listed(&kmds, &list.link()).await,
        (all[..200].to_vec(), true)
    );
    // Still silent: what is known is told again, and only the missing page asked for.
    let before = pages(&lab);
    assert_eq!(
        listed(&kmds, &list.link()).await,
        (all[..200].to_vec(), true)
    );
    assert_eq!(pages(&lab) - before, 1);
    lab.clear_faults();
    let before = pages(&lab);
    assert_eq!(listed(&kmds, &list.link()).await, (all.clone(), false));
    assert_eq!(
        pages(&lab) - before,
        3,
        "the pages that were read are not read again"
    );
    assert_eq!(listed(&kmds, &list.link()).await, (all, false));
    assert_eq!(pages(&lab) - before, 3, "and the whole list is remembered");
}

#[tokio::test]
async fn a_site_that_falls_silent_in_mid_list_costs_no_song_that_is_known() {
    let lab = Lab::start().await;
    let list = lab.youtube().playlist(150).seconds(1.0).publish();
    let kmds = Setup::of(&lab)
        .recipes(&FAST_RECIPES.replace("metadata_request = 2.0", "metadata_request = 4.0"))
        .start();
    lab.inject(silent_after(1));
    assert_eq!(
        listed(&kmds, &list.link()).await,
        (ids(&list.songs()[..100]), true)
    );
}

#[tokio::test]
async fn a_page_that_fails_in_mid_list_costs_no_song_that_is_known_and_is_asked_for_again() {
    let lab = Lab::start().await;
    let kmds = Setup::of(&lab).start();
    for fault in [
        Fault::Status(503, None),
        Fault::Reset,
        Fault::ShortBody,
        Fault::HtmlInstead,
    ] {
        let list = lab
            .youtube()
            .playlist(250)
            .title(&format!("{fault}"))
            .seconds(1.0)
            .publish();
        let all = ids(list.songs());
        lab.inject(
            fault
                .clone()
                .on_pages()
                .at_path("/youtubei/v1/browse")
                .after(1),
        );
        assert_eq!(
            listed(&kmds, &list.link()).await,
            (all[..100].to_vec(), true),
            "{fault}"
        );
        lab.clear_faults();
        let before = pages(&lab);
        assert_eq!(listed(&kmds, &list.link()).await, (all, false), "{fault}");
        assert_eq!(
            pages(&lab) - before,
            2,
            "{fault}: the page that was read is not read again"
        );
    }
    // One without any place for songs is taken for the end; the count of the list tells that it is not.
    let list = lab
        .youtube()
        .playlist(150)
        .title("Changed")
        .seconds(1.0)
        .publish();
    lab.inject(
        Fault::ChangedPage
            .on_pages()
            .at_path("/youtubei/v1/browse")
            .after(1),
    );
    assert_eq!(
        listed(&kmds, &list.link()).await,
        (ids(&list.songs()[..100]), true)
    );
    lab.clear_faults();
    // A refusal is told as before where nothing was read.
    let list = lab
        .youtube()
        .playlist(150)
        .title("Limited")
        .seconds(1.0)
        .publish();
    lab.inject(
        Fault::Status(429, Some(1))
            .on_pages()
            .at_path("/youtubei/v1/browse"),
    );
    let answer = kmds
        .v1_fetch(serde_json::json!({"url": list.link(), "prefetch": "none"}))
        .await;
    assert_eq!(
        (answer.0, &answer.1["kind"]),
        (429, &"rate_limited".into()),
        "{}",
        answer.1
    );
}

#[tokio::test]
async fn a_continuation_that_no_longer_works_starts_the_list_over() {
    let lab = Lab::start().await;
    let list = lab.youtube().playlist(250).seconds(1.0).publish();
    let kmds = Setup::of(&lab).recipes(&patient()).start();
    for dead in [
        Fault::Status(404, None),
        Fault::Status(400, None),
        Fault::ChangedPage,
    ] {
        lab.inject(silent_after(1));
        let list = lab
            .youtube()
            .playlist(250)
            .title(&format!("{dead}"))
            .seconds(1.0)
            .publish();
        assert_eq!(
            listed(&kmds, &list.link()).await,
            (ids(&list.songs()[..100]), true)
        );
        lab.clear_faults();
        // A page that cannot be read is asked for once more.
        let times = if dead == Fault::ChangedPage { 2 } else { 1 };
        lab.inject(dead.on_pages().at_path("/youtubei/v1/browse").first(times));
        assert_eq!(
            listed(&kmds, &list.link()).await,
            (ids(list.songs()), false)
        );
        lab.clear_faults();
    }
    assert_eq!(
        listed(&kmds, &list.link()).await,
        (ids(list.songs()), false)
    );
}

#[tokio::test]
async fn a_set_that_runs_out_of_time_goes_on_with_the_songs_that_were_not_told() {
    let lab = Lab::start().await;
    let set = lab.soundcloud().set(420).full(5).seconds(1.0).publish();
    let all = ids(set.songs());
    let kmds = Setup::of(&lab).recipes(&patient()).start();
    let batches = || lab.count(|seen| seen.path == "/tracks");
    lab.inject(Fault::NoAnswer.on_pages().at_path("/tracks").after(2));
    // Five in full, and two batches of fifty.
    assert_eq!(
        listed(&kmds, &set.link()).await,
        (all[..105].to_vec(), true)
    );
    lab.clear_faults();
    let before = batches();
    assert_eq!(listed(&kmds, &set.link()).await, (all, false));
    assert_eq!(
        batches() - before,
        7,
        "of the songs that are known none is asked for again"
    );
}

#[tokio::test]
async fn a_set_that_does_not_answer_again_is_told_as_far_as_it_is_known() {
    let lab = Lab::start().await;
    let set = lab.soundcloud().set(120).full(5).seconds(1.0).publish();
    let kmds = Setup::of(&lab).recipes(&patient()).start();
    lab.inject(Fault::NoAnswer.on_pages().at_path("/tracks").after(1));
    assert_eq!(listed(&kmds, &set.link()).await.0.len(), 55);
    lab.clear_faults();
    lab.inject(Fault::Status(404, None).on_pages().at_path("/resolve"));
    let known = listed(&kmds, &set.link()).await;
    assert_eq!(
        (known.0.len(), known.1),
        (55, true),
        "what is known is told while the set does not answer"
    );
}
