//! Standard output and standard error that cannot be written.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use kmds_lab::Lab;

use super::harness::Setup;
use super::{Person, Said};

/// A line for a shell, with this person's settings.
fn shell(person: &Person, line: &str) -> Said {
    let line = format!("{line}\nexit ${{PIPESTATUS[0]}}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &line])
        .env_clear()
        .envs(&person.environment)
        .env("KMDS", env!("CARGO_BIN_EXE_kmds"));
    Said::from(
        bash.current_dir(&person.folder.0)
            .stdin(Stdio::null())
            .output()
            .expect("bash"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_ends_no_command() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(8).publish();
    let person = Person::of(&lab).set("LINK", &album.link());
    shell(&person, "\"$KMDS\" get \"$LINK\" -o m | head -1").with(0);
    assert_eq!(
        person.files("m").len(),
        8,
        "the songs are the work, the lines are not"
    );
    for line in [
        "resolve \"$LINK\" \"$LINK\"",
        "config example",
        "cache ls --json",
        "doctor",
        "man",
        "completions zsh",
    ] {
        let said = shell(&person, &format!("\"$KMDS\" {line} | true")).with(0);
        assert!(!said.err.contains("panicked"), "{line}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_lost_on_a_full_disk_are_exit_code_1_and_no_panic() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Kept").seconds(4.0).publish();
    let kmds = Setup::of(&lab).start();
    let person = Person::of(&lab)
        .set("LINK", &song.link())
        .set("URL", &kmds.url);
    for line in [
        "get \"$LINK\" -o m",
        "get \"$LINK\" -o m --json",
        "get \"$LINK\" -o s --server \"$URL\"",
        "resolve \"$LINK\"",
        "config show",
        "config check",
        "config example",
        "recipes check recipes.toml",
        "cache ls",
        "status --server \"$URL\"",
        "top --server \"$URL\"",
        "doctor",
        "man",
        "completions bash",
    ] {
        let said = shell(&person, &format!("\"$KMDS\" {line} > /dev/full")).with(1);
        assert!(
            said.err.contains("standard output cannot be written")
                && !said.err.contains("panicked"),
            "{said:?}"
        );
        let code = shell(&person, &format!("\"$KMDS\" {line} 2> /dev/full")).code;
        assert_eq!(code, Some(0), "no reader is left to tell: {line}");
    }
    assert_eq!(person.files("m").len(), 1, "the song is there");
    for line in [
        "get nonsense",
        "status --server http://127.0.0.1:1",
        "nonsense",
        "--help",
        "--version",
    ] {
        let code = shell(
            &person,
            &format!("\"$KMDS\" {line} > /dev/full 2> /dev/full"),
        )
        .code;
        assert!(code.is_some_and(|code| code <= 2), "{line}: {code:?}");
    }
}

#[test]
fn the_service_serves_where_its_ready_line_cannot_be_written() {
    let person = Person::alone();
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("a device of every Linux");
    let mut command = person.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut service = command
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .expect("kmds starts");
    let lines = BufReader::new(service.stderr.take().expect("piped"))
        .lines()
        .map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines {
        let serves = line.contains("serving on");
        said.push(line);
        if serves {
            break;
        }
    }
    let pid =
        rustix::process::Pid::from_raw(i32::try_from(service.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    assert_eq!(service.wait().expect("an end").code(), Some(0), "{said:?}");
    assert!(
        said.iter()
            .any(|line| line.contains("standard output cannot be written")),
        "{said:?}"
    );
}
