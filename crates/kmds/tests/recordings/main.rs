//! Recorded exchanges with the real sites, from a link to a file: what is shown is what was recorded, and the file
//! arrives.
//!
//! What has to be shown is derived from the recorded JSON here, independently of the service and of the lab, so that
//! any folder in the format of the recordings can be judged: `KMDS_RECORDINGS` names it.

#[path = "../harness/mod.rs"]
mod harness;

mod bandcamp;
mod made_up;
mod soundcloud;
mod wanted;
mod youtube;

use std::path::Path;

use harness::{Kmds, Setup};
use kmds_lab::Lab;

use wanted::{Exchange, Wanted, judge};

/// The expected results of the exchanges in the folder.
fn derived(folder: &Path) -> Vec<Wanted> {
    let exchanges = Exchange::read_all(folder);
    [youtube::wanted, soundcloud::wanted, bandcamp::wanted]
        .into_iter()
        .flat_map(|of_site| of_site(&exchanges))
        .collect()
}

/// Serves the folder and asks for every link; the service that answered.
async fn judge_folder(folder: &Path, wanted: &[Wanted]) -> Kmds {
    let lab = Lab::with_recordings(folder).await;
    let kmds = Setup::of(&lab).start();
    let mut wrong = Vec::new();
    for want in wanted {
        wrong.extend(
            judge(&kmds, &lab, want)
                .await
                .into_iter()
                .map(|what| format!("{}: {what}", want.link)),
        );
    }
    assert!(
        wrong.is_empty(),
        "{} of {} links:\n{}",
        wrong.len(),
        wanted.len(),
        wrong.join("\n")
    );
    kmds
}

#[tokio::test]
async fn all_that_was_recorded_is_shown_as_it_is_and_arrives_whole() {
    let Some(folder) = std::env::var_os("KMDS_RECORDINGS").filter(|folder| !folder.is_empty())
    else {
        eprintln!("SKIPPED: KMDS_RECORDINGS names no folder of recorded exchanges");
        return;
    };
    let wanted = derived(Path::new(&folder));
    judge_folder(Path::new(&folder), &wanted).await;
    eprintln!("{} recorded links were judged", wanted.len());
    assert!(
        !wanted.is_empty(),
        "nothing recorded in {}",
        Path::new(&folder).display()
    );
}
