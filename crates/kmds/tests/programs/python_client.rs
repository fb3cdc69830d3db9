//! The Python client against the service, and against all that its own tests promise.

use crate::harness::Setup;
use crate::{python, root, skipped};
use kmds_lab::{Fault, Lab};

#[tokio::test]
async fn the_python_client_does_what_it_says() {
    let Some(python) = python() else { return skipped("the Python client", "there is no python3") };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Copper Kettles").seconds(30.0).publish();
    let held = lab.bandcamp().track("Held").holds_at(30_000).publish();
    let refused = lab.soundcloud().track("refused").publish();
    lab.inject(Fault::Status(403, None).on_media().of(&refused));
    let cut = lab.youtube().video("Cut").publish();
    let kmds = Setup::of(&lab).start();
    let wanted = kmds.folder.path("wanted");
    std::fs::write(&wanted, song.bytes()).expect("a file");
    let mut tests = tokio::process::Command::new(python);
    tests
        .arg(root().join("clients/python/test_kmds.py"))
        .env("KMDS_URL", &kmds.url)
        .env("KMDS_CACHE", kmds.folder.path("cache"))
        .env("SONG", song.link())
        .env("SONG_BYTES", &wanted)
        .env("HELD", held.link())
        .env("REFUSED", refused.link())
        .env("OTHER", cut.link())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let out = tests.output().await.expect("python");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}");
    assert!(text.contains("OK"), "{text}");
    assert!(kmds.log().contains("status=206 bytes=1 "), "whoever wants the path is not sent the song:\n{}", kmds.log());
}
