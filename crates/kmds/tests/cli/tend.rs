//! `kmds doctor`, `cache`, `completions` and `man`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kmds_lab::Lab;

use super::Person;
use super::harness::Setup;

#[test]
fn doctor_says_what_is_missing_what_that_costs_and_what_installs_it() {
    let person = Person::alone()
        .set("PATH", "/nonexistent")
        .set("KMDS_ENGINES__YTDLP__ENABLED", "true");
    let said = person.runs(&["doctor"]).with(0);
    for wanted in [
        "yt-dlp",
        "pipx install 'yt-dlp",
        "ffmpeg",
        "apt install ffmpeg",
        "Opus only",
    ] {
        assert!(said.out.contains(wanted), "{wanted}: {said:?}");
    }
    let findings = person.runs(&["doctor", "--json"]).with(0).json();
    assert_eq!(
        findings["healthy"], true,
        "what is missing stops nothing: {findings}"
    );
    let of = |about: &str| {
        let all = findings["findings"].as_array().expect("findings");
        all.iter()
            .find(|finding| finding["about"] == about)
            .unwrap_or_else(|| panic!("{about}: {findings}"))
            .clone()
    };
    assert_eq!(
        (
            of("yt-dlp")["verdict"].clone(),
            of("ffmpeg")["verdict"].clone()
        ),
        ("warn".into(), "warn".into())
    );
    assert_eq!(of("drive")["verdict"], "ok");
}

#[test]
fn doctor_tries_the_music_library_and_says_what_to_make() {
    let person = Person::alone().set("KMDS_ENGINES__YTDLP__ENABLED", "false");
    let finding = |dir: &Path, code| {
        let set = format!("library.dir={}", dir.display());
        let findings = person.runs(&["doctor", "--json", "--set", &set]).with(code);
        let findings = findings.json()["findings"].clone();
        let found = findings.as_array().expect("findings").iter();
        let mut found = found.filter(|finding| finding["about"] == "library");
        found.next().expect("a finding").clone()
    };
    let music = person.folder.path("music");
    let missing = finding(&music, 1);
    assert_eq!(missing["verdict"], "fail", "{missing}");
    assert!(!music.exists(), "it is the operator's to make");
    std::fs::create_dir(&music).expect("a folder");
    assert_eq!(finding(&music, 0)["verdict"], "ok");
    assert_eq!(everything_in(&music), Vec::<PathBuf>::new());

    // By its name, and by a link to the drive that both are on.
    let link = person.folder.path("link");
    std::os::unix::fs::symlink(&person.folder.0, &link).expect("a link");
    for inside in [person.folder.path("cache/music"), link.join("cache/music")] {
        let inside = format!("library.dir={}", inside.display());
        let cache = format!("cache.dir={}", person.folder.path("cache").display());
        let said = person.runs(&["config", "check", "--set", &inside, "--set", &cache]);
        let said = said.with(2);
        assert!(said.err.contains("apart from cache.dir"), "{said:?}");
    }
}

/// All files and folders in a folder.
fn everything_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        found.extend(everything_in(&entry.path()));
        found.push(entry.path());
    }
    found.sort();
    found
}

#[test]
fn looking_makes_no_folder_and_no_file_where_nothing_was_kept_yet() {
    let person = Person::alone();
    let before = everything_in(&person.folder.0);
    let said = person.runs(&["doctor"]).with(0);
    assert!(said.out.contains("can be written"), "{said:?}");
    person.runs(&["cache", "ls"]).with(0);
    assert_eq!(everything_in(&person.folder.0), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_beside_a_service_whose_drive_is_away_leaves_its_place_empty() {
    let kmds = Setup::new().start();
    let (cache, state) = (kmds.folder.path("cache"), kmds.folder.path("state"));
    let beside = Person::alone()
        .set("KMDS_CACHE__DIR", &cache.display().to_string())
        .set("KMDS_STATE__DIR", &state.display().to_string());
    beside.runs(&["doctor"]).with(0);
    let away = kmds.folder.path("away");
    std::fs::rename(&cache, &away).expect("renamed");
    let said = beside.runs(&["doctor"]).with(1);
    assert!(said.out.contains("is not there"), "{said:?}");
    beside.runs(&["cache", "ls"]).with(0);
    assert!(!cache.exists(), "{:?}", everything_in(&cache));
    let ready = async || kmds.get("/readyz").await.status().as_u16();
    assert_eq!(ready().await, 503, "the service waits for its drive");
    // Like a mount point: it is there, but not the drive.
    std::fs::create_dir(&cache).expect("a folder");
    beside.runs(&["doctor"]);
    beside.runs(&["cache", "ls"]);
    assert_eq!(everything_in(&cache), Vec::<PathBuf>::new());
    assert_eq!(ready().await, 503, "an empty folder is not its drive");
    std::fs::remove_dir(&cache).expect("empty");
    std::fs::rename(&away, &cache).expect("back again");
    kmds.until("its drive is back", async || ready().await == 200)
        .await;
}

#[test]
fn doctor_fails_where_nothing_can_be_kept_or_a_setting_is_wrong() {
    let person = Person::alone().set("KMDS_CACHE__DIR", "/proc/kmds");
    let said = person.runs(&["doctor"]).with(1);
    assert!(
        said.out.contains("FAIL") && said.out.contains("cache.dir"),
        "{said:?}"
    );
    let said = Person::alone()
        .runs(&["doctor", "--set", "cache.max_bytes=lots"])
        .with(1);
    assert!(said.out.contains("cache.max_bytes"), "{said:?}");
}

#[test]
fn doctor_tells_of_folders_that_cannot_be_used_once_and_blames_nothing_else() {
    let Ok(ytdlp) = std::env::var("KMDS_TEST_YTDLP") else {
        return eprintln!("SKIPPED: KMDS_TEST_YTDLP is not set");
    };
    let person = Person::alone()
        .set("KMDS_CACHE__DIR", "/proc/kmds")
        .set("KMDS_STATE__DIR", "/proc/kmds-state");
    let person = person
        .set("KMDS_ENGINES__YTDLP__ENABLED", "true")
        .set("KMDS_ENGINES__YTDLP__COMMAND", &ytdlp);
    let findings = person.runs(&["doctor", "--json"]).with(1).json();
    let all = findings["findings"].as_array().expect("findings");
    let verdict = |wanted: &str| -> Vec<&str> {
        let with = all.iter().filter(|finding| finding["verdict"] == wanted);
        with.filter_map(|finding| finding["about"].as_str())
            .collect()
    };
    assert_eq!(verdict("fail"), ["folders"], "{findings}");
    assert!(verdict("ok").contains(&"yt-dlp"), "{findings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_nearly_a_setting_is_in_the_log_of_the_service() {
    let person = Person::alone().set("KMDS_CACHE_DIR", "/srv/music");
    for ask in [&["config", "check"][..], &["config", "show"], &["doctor"]] {
        let said = person.runs(ask).with(0);
        assert!(
            format!("{}{}", said.out, said.err).contains("did you mean KMDS_CACHE__DIR?"),
            "{ask:?}: {said:?}"
        );
    }
    let kmds = Setup::new().set("KMDS_CACHE_DIR", "/srv/music").start();
    kmds.until("the log says so", async || {
        kmds.log().contains("KMDS_CACHE_DIR is not a setting")
    })
    .await;
    let second = Person::alone().set(
        "KMDS_STATE__DIR",
        &kmds.folder.path("state").display().to_string(),
    );
    let said = second.runs(&["serve"]).with(2);
    assert!(
        said.err
            .contains("another KMDS works with the state folder"),
        "{said:?}"
    );
}

#[test]
fn settings_and_recipes_are_checked_to_the_last() {
    for (setting, value) in [
        ("egress.forbid", "everything"),
        ("egress.ca_file", "/nonexistent"),
        ("server.names", "*"),
    ] {
        let said = Person::alone()
            .runs(&["config", "check", "--set", &format!("{setting}={value}")])
            .with(2);
        assert!(
            said.err.contains(setting) && said.err.contains(value),
            "{said:?}"
        );
    }
    let person = Person::alone();
    std::fs::write(person.folder.path("mine.toml"), "[time]\nnonsense = 1\n").expect("recipes");
    let said = person.runs(&["recipes", "check", "mine.toml"]).with(0);
    assert!(
        said.out.contains("good") && said.err.contains("time.nonsense"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_reads_one_known_link_of_each_site_only_when_asked() {
    let lab = Lab::start().await;
    lab.youtube().video("Known").id("M4gD1WSo5mA").publish();
    let person = Person::of(&lab);
    person.runs(&["doctor"]).with(0);
    assert!(lab.requests().is_empty(), "no site hears of a check-up");
    let said = person.runs(&["doctor", "--live"]).with(1);
    assert!(said.out.contains("“Known” read in"), "{said:?}");
    let gone = said
        .out
        .lines()
        .find(|line| line.contains("bandcamp"))
        .unwrap_or_default();
    assert!(
        gone.starts_with("FAIL"),
        "the lab has no such song: {said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_tended_by_hand_but_not_behind_a_servers_back() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Kept").seconds(4.0).publish();
    let mut kmds = Setup::of(&lab).start();
    kmds.download(&song.link()).await;
    let own = |name: &str| kmds.folder.path(name).display().to_string();
    let person = Person::alone()
        .set("KMDS_CACHE__DIR", &own("cache"))
        .set("KMDS_STATE__DIR", &own("state"));
    let name = format!("bandcamp-{}", song.id());
    let listed = person.runs(&["cache", "ls"]).with(0);
    assert!(
        listed.out.contains(&name) && listed.out.contains("ready"),
        "beside the server: {listed:?}"
    );
    let busy = person.runs(&["cache", "rm", &name]).with(2);
    assert!(busy.err.contains("stop it first"), "{busy:?}");
    kmds.terminate();
    assert_eq!(
        person.runs(&["cache", "ls", "--json"]).with(0).json()["size_bytes"],
        song.len()
    );
    person.runs(&["cache", "verify"]).with(0);
    let file = kmds
        .folder
        .path(&format!("cache/bandcamp/{}.mp3", song.id()));
    std::fs::write(&file, "another program wrote into it").expect("a file");
    let damaged = person.runs(&["cache", "verify"]).with(1);
    assert!(damaged.out.contains("0 files good, 1 not"), "{damaged:?}");
    assert!(!file.exists(), "what is not as published is not kept");
    person.runs(&["cache", "rm", "bandcamp-1"]).with(1);
    person.runs(&["cache", "rm", "nothing"]).with(2);
    person.runs(&["cache", "prune"]).with(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tagged_copy_is_a_form_of_its_song_and_no_song_of_its_own() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Twice").seconds(4.0).publish();
    let kmds = Setup::of(&lab).start();
    kmds.download(&song.link()).await;
    let copy = kmds
        .get(&format!(
            "/api/v1/tracks/bandcamp/{}/audio?tags=true&wait=60",
            song.id()
        ))
        .await;
    assert_eq!(copy.status(), 200);
    let own = |name: &str| kmds.folder.path(name).display().to_string();
    let person = Person::alone()
        .set("KMDS_CACHE__DIR", &own("cache"))
        .set("KMDS_STATE__DIR", &own("state"));
    let status = person.runs(&["status", "--server", &kmds.url]).with(0);
    assert!(status.out.contains("1 ready"), "{status:?}");
    let top = person.runs(&["top", "--server", &kmds.url]).with(0);
    assert_eq!(top.out.matches("Twice").count(), 1, "{top:?}");
    let listed = person.runs(&["cache", "ls"]).with(0);
    assert!(
        listed.out.contains("original-tagged") && listed.out.contains("1 song in 2 forms"),
        "{listed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_song_leaves_no_file_and_a_lost_catalog_is_rebuilt() {
    let lab = Lab::start().await;
    let songs = [
        lab.bandcamp().track("Gone").seconds(4.0).publish(),
        lab.bandcamp().track("Stays").seconds(4.0).publish(),
    ];
    let mut kmds = Setup::of(&lab).start();
    for song in &songs {
        kmds.download(&song.link()).await;
    }
    kmds.terminate();
    let own = |name: &str| kmds.folder.path(name).display().to_string();
    let person = Person::alone()
        .set("KMDS_CACHE__DIR", &own("cache"))
        .set("KMDS_STATE__DIR", &own("state"));
    person
        .runs(&["cache", "rm", &format!("bandcamp-{}", songs[0].id())])
        .with(0);
    let stays = format!("bandcamp/{}.mp3", songs[1].id());
    assert_eq!(
        kmds.published()
            .into_iter()
            .filter(|path| path.ends_with(".mp3"))
            .collect::<Vec<_>>(),
        [stays]
    );
    assert!(
        person
            .runs(&["cache", "rebuild"])
            .with(0)
            .out
            .contains("1 song found")
    );
    assert!(person.runs(&["cache", "ls"]).with(0).out.contains("Stays"));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_ready_song_removes_its_file() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Deleted").seconds(4.0).publish();
    let kmds = Setup::of(&lab).start();
    kmds.download(&song.link()).await;
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let answer = kmds
        .http
        .delete(kmds.at(&path))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 204);
    assert_eq!(kmds.published(), [""; 0]);
}

#[test]
fn completions_and_the_manual_page_know_every_command() {
    let person = Person::alone();
    for shell in ["bash", "zsh", "fish"] {
        let script = person.runs(&["completions", shell]).with(0);
        assert!(
            script.out.contains("showcase") && script.out.contains("doctor"),
            "{shell}"
        );
    }
    let page = person.runs(&["man"]).with(0);
    assert!(
        page.out.starts_with(".ie") || page.out.contains(".TH"),
        "{}",
        page.out
    );
    for command in ["KMDS GET", "KMDS SERVE", "KMDS CACHE", "KMDS TOP"] {
        assert!(page.out.contains(command), "{command}");
    }
}

#[test]
fn a_command_that_logs_does_not_panic_on_a_terminal() {
    let person = Person::alone();
    let line = format!("{} cache ls", env!("CARGO_BIN_EXE_kmds"));
    let script = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("HOME", &person.folder.0)
        .env("KMDS_CACHE__DIR", person.folder.path("cache"))
        .env("KMDS_STATE__DIR", person.folder.path("state"))
        .stdin(Stdio::null())
        .output();
    match script {
        Ok(said) => {
            let text = String::from_utf8_lossy(&said.stdout);
            assert!(said.status.success() && text.contains("0 songs"), "{text}");
        }
        Err(error) => {
            eprintln!("SKIPPED: script(1) makes a terminal for this test and is not here ({error})")
        }
    }
}

/// A yt-dlp with prepared output: its version, and its first lines. An old one knows no runtimes.
fn made_up(person: &Person, version: &str, says: &str) {
    let old = if says.contains("runtimes") {
        ""
    } else {
        "*--js-runtimes*) echo 'yt-dlp: error: no such option: --js-runtimes' >&2; exit 2;;\n"
    };
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*--version*) echo {version}; exit 0;;\n{old}esac\n\
         echo \"Python 3.12.1 (CPython);{says}\" | tr ';' '\\n' | sed 's/^/[debug] /' >&2\nexit 2\n"
    );
    let tool = person.folder.path("yt-dlp");
    std::fs::write(&tool, script).expect("a tool");
    let executable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(&tool, executable).expect("executable");
}

#[test]
fn doctor_says_what_yt_dlp_has_for_youtube_and_what_to_type_for_what_is_missing() {
    let person = Person::alone()
        .set("KMDS_ENGINES__YTDLP__ENABLED", "true")
        .set("KMDS_ENGINES__YTDLP__COMMAND", "~/yt-dlp")
        .set("KMDS_ENGINES__YTDLP__TIMEOUT", "10 s");
    let solver = "Optional libraries: brotli-1.2.1, yt_dlp_ejs-0.8.0";
    let none = format!("{solver};JS runtimes: none");
    for (version, says, wanted) in [
        (
            "2026.10.26",
            &*format!("{solver};JS runtimes: deno-2.5.6"),
            &[
                "Python 3.12.1",
                "ok    javascript",
                "deno 2.5.6",
                "yt-dlp-ejs 0.8.0",
            ][..],
        ),
        (
            "2026.10.26",
            &none,
            &[
                "warn  javascript",
                "adds nothing for YouTube",
                "install deno 2.3",
                "or node 22",
            ],
        ),
        (
            "2026.10.26",
            &format!("{solver};JS runtimes: node-22.4.0"),
            &["ok    javascript", "node 22.4.0", "yt-dlp-ejs 0.8.0"],
        ),
        (
            "2026.10.26",
            &format!("{solver};JS runtimes: node-20.1.0 (unsupported)"),
            &["node 20.1.0", "is too old", "install deno"],
        ),
        (
            "2026.10.26",
            &format!("{solver};JS runtimes: node-20.1.0 (unsupported), quickjs-ng-0.12.0"),
            &["ok    javascript", "quickjs-ng 0.12.0"],
        ),
        (
            "2026.10.26",
            "JS runtimes: deno-2.5.6",
            &[
                "warn  javascript",
                "cannot import yt-dlp-ejs",
                "yt-dlp[default]",
            ],
        ),
        (
            "2023.03.04",
            "Python version 3.9",
            &[
                "warn  yt-dlp",
                "older than 2026.10.26",
                "warn  javascript",
                "pipx install --force",
            ],
        ),
        (
            "2026.10.25",
            &none,
            &["warn  yt-dlp", "older than 2026.10.26"],
        ),
    ] {
        made_up(&person, version, says);
        let said = person.runs(&["doctor"]).with(0);
        for wanted in wanted {
            assert!(
                said.out.contains(wanted),
                "{version} {says}: {wanted}: {said:?}"
            );
        }
        assert!(
            !person
                .runs(&["doctor", "--set", "youtube.enabled=false"])
                .with(0)
                .out
                .contains("javascript")
        );
    }
    let tool = person.folder.path("yt-dlp");
    std::fs::write(&tool, "#!/bin/sh\nexec sleep 1000\n").expect("a tool");
    let said = person
        .runs(&["doctor", "--set", "engines.ytdlp.timeout=1"])
        .with(0);
    assert!(said.out.contains("did not finish within 1s"), "{said:?}");
}

#[test]
fn doctor_reads_what_the_real_yt_dlp_says_of_itself() {
    let Ok(ytdlp) = std::env::var("KMDS_TEST_YTDLP") else {
        return eprintln!("SKIPPED: KMDS_TEST_YTDLP is not set");
    };
    let path = Path::new(&ytdlp)
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    let person = Person::alone()
        .set("KMDS_ENGINES__YTDLP__ENABLED", "true")
        .set("KMDS_ENGINES__YTDLP__COMMAND", &ytdlp);
    let said = person.set("PATH", &path).runs(&["doctor"]).with(0);
    let line = |about: &str| {
        said.out
            .lines()
            .find(|line| line.contains(about))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(line("  yt-dlp ").contains(" on Python 3."), "{said:?}");
    assert!(
        line("javascript").contains("adds nothing for YouTube")
            || line("javascript").contains("yt-dlp-ejs"),
        "{said:?}"
    );
}
