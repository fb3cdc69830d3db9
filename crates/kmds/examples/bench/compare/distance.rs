//! 50 MB where each request waits 40 ms, beside curl that makes the same requests.
//!
//! Owns the clock: from the first request for audio until the file is whole. The service has also published it by then.

use std::path::Path;
use std::time::Instant;

use kmds_lab::{Lab, Site};

use super::fetching::large;
use super::{ROUNDS, curl, media, program, run};
use crate::service::{Folder, Service};
use crate::table::{Goal, Table};

const SIZE_BYTES: u64 = 50_000_000;
const DELAY_MS: u64 = 40;

pub async fn measure(binary: &Path, lab: &Lab, table: &mut Table) {
    if program("curl").is_none() {
        return table.skip("distance", "there is no curl");
    }
    let folder = Folder::new();
    let service = Service::start(binary, lab, &[]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    lab.delay_ms(DELAY_MS);
    let mut asked = 0;
    for round in 0..ROUNDS {
        let song = large(lab, Site::YouTube, &format!("far {round}"), SIZE_BYTES);
        let _ = song.len();
        lab.forget_requests();
        service.whole(&song).await;
        let whole = Instant::now();
        let requests = media(lab, &song);
        asked = requests.len();
        ours.push((whole - requests[0].at).as_secs_f64());
        lab.forget_requests();
        run(&mut curl(lab, &requests, &folder)).await;
        let whole = Instant::now();
        theirs.push((whole - media(lab, &song)[0].at).as_secs_f64());
        song.let_go();
    }
    lab.delay_ms(0);
    table.compare(
        &format!("youtube, 50 MB in {asked} ranges at 40 ms: time"),
        &ours,
        ("curl", &theirs),
        "s",
        Some(Goal::AtMost(1.05)),
    );
}
