//! A setting is used as the operator means it, or refused by its name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::harness::Setup;
use super::{Person, Said};

fn bytes(text: &[u8]) -> OsString {
    OsStr::from_bytes(text).to_owned()
}

fn said_with(person: &Person, arguments: &[&str], name: &OsStr, value: &OsStr) -> Said {
    Said::from(
        person
            .command(arguments)
            .env(name, value)
            .output()
            .expect("kmds starts"),
    )
}

#[test]
fn a_setting_that_is_not_utf8_is_refused_by_its_name_and_never_passed_over() {
    let person = Person::alone();
    let commands = [
        &["config", "check"][..],
        &["serve"],
        &["get", "https://example.org/x"],
        &["cache", "ls"],
    ];
    for (name, value) in [
        ("KMDS_EGRESS__SOURCE_ADDRESS", &b"10.0.0.2\xa0"[..]),
        ("KMDS_EGRESS__PROXY", b"http://127.0.0.1:3128\xa0"),
        ("KMDS_YOUTUBE__EGRESS__FORBID", b"203.0.113.7\xff"),
        ("KMDS_CACHE__DIR", b"/srv/caf\xe9"),
        ("KMDS_SERVER__TOKENS_FILE", b"\xff"),
        ("KMDS_NOT__A_SETTING", b"\xff"),
    ] {
        for command in commands {
            let said = said_with(&person, command, OsStr::new(name), &bytes(value)).with(2);
            assert!(
                said.err.contains(name) && said.err.contains("UTF-8"),
                "{command:?}: {said:?}"
            );
        }
        let said = said_with(&person, &["doctor"], OsStr::new(name), &bytes(value)).with(1);
        assert!(said.out.contains(name), "{said:?}");
    }
    let said = said_with(
        &person,
        &["config", "check"],
        &bytes(b"KMDS_EGRESS__PROX\xd9"),
        OsStr::new("x"),
    )
    .with(2);
    assert!(said.err.contains("KMDS_EGRESS__PROX"), "{said:?}");
    let said = said_with(
        &person,
        &["serve"],
        OsStr::new("KMDS_LOG"),
        &bytes(b"debug\xa0"),
    )
    .with(2);
    assert!(said.err.contains("KMDS_LOG"), "{said:?}");
    let said = said_with(
        &person,
        &["status"],
        OsStr::new("KMDS_TOKEN"),
        &bytes(b"sesame\xa0"),
    )
    .with(2);
    assert!(
        said.err.contains("KMDS_TOKEN") && !said.err.contains("sesame"),
        "{said:?}"
    );
    said_with(
        &person,
        &["config", "check"],
        OsStr::new("KMDS_OF_ANOTHER_PROGRAM"),
        &bytes(b"\xff"),
    )
    .with(0);
}

#[test]
fn a_misspelt_log_level_is_told_and_never_silences_the_log() {
    let person = Person::alone();
    let said = |value: &str| {
        said_with(
            &person,
            &["get", "https://example.org/x"],
            OsStr::new("KMDS_LOG"),
            OsStr::new(value),
        )
    };
    for misspelt in ["dbug", "verbose", "kmds=info,wran", "info,kmds=debg"] {
        let said = said(misspelt).with(2);
        assert!(
            said.err.contains("KMDS_LOG") && said.err.contains("debug"),
            "{misspelt}: {said:?}"
        );
    }
    for good in [
        "",
        "DEBUG",
        " warn ",
        "info,kmds::download=debug",
        "kmds",
        "kmds::store",
        "0",
        "hyper=trace",
    ] {
        said(good).with(1);
    }
}

#[test]
fn a_first_start_complains_of_no_file_that_it_has_just_made() {
    let person = Person::alone();
    let cache = std::path::PathBuf::from(format!("/dev/shm/kmds-cli-{}", std::process::id()));
    let set = format!("cache.dir={}", cache.display());
    let said = said_with(
        &person,
        &["cache", "ls", "--set", &set],
        OsStr::new("KMDS_LOG"),
        OsStr::new("info"),
    );
    if std::fs::remove_dir_all(&cache).is_err() || !person.folder.path("state/cache-drive").exists()
    {
        return eprintln!("SKIPPED: /dev/shm is no drive of its own here");
    }
    assert!(!said.with(0).err.contains("could be read by others"));
}

#[test]
fn a_folder_that_cannot_be_used_is_named_by_its_setting_with_what_would_do() {
    let person = Person::alone();
    let file = person.folder.path("a-file");
    std::fs::write(&file, b"x").expect("a file");
    let set = format!("cache.dir={}", file.display());
    let said = person.runs(&["serve", "--set", &set]).with(2);
    assert!(
        said.err.contains("inside cache.dir")
            && said.err.contains("folders that this user can write"),
        "{said:?}"
    );
    let said = person.runs(&["doctor", "--set", &set]).with(1);
    assert!(
        said.out.contains("inside cache.dir") && !said.out.contains("make /"),
        "{said:?}"
    );
}

#[test]
fn a_settings_file_that_cannot_be_read_is_refused_and_never_passed_over() {
    let person = Person::alone();
    let folder = person.folder.path(".config/kmds");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("kmds.toml");
    let refused = |why: &str| {
        let said = person.runs(&["config", "check"]).with(2);
        assert!(
            said.err.contains("kmds.toml") && said.err.contains(why),
            "{said:?}"
        );
    };
    std::fs::write(&file, b"[egress]\nproxy = \"http://127.0.0.1:3128\xa0\"\n").expect("a file");
    refused("line 2 is not UTF-8");
    std::fs::write(
        &file,
        "\"server.listen\" = \"127.0.0.1:1\"\n[server]\nlisten = \"127.0.0.1:2\"\n",
    )
    .expect("a file");
    refused("`server.listen` is given twice");
    std::fs::write(
        &file,
        "[server]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n",
    )
    .expect("a file");
    refused("duplicate");
    std::fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink("/nonexistent/kmds.toml", &file).expect("a link");
    refused("No such file");
    std::fs::remove_file(&file).expect("removed");
    std::fs::create_dir(&file).expect("a folder of its name");
    refused("directory");
    std::fs::remove_dir(&file).expect("removed");
    std::fs::write(&file, "\u{feff}[server]\nlisten = \"127.0.0.1:1\"\n").expect("a file");
    assert!(
        person
            .runs(&["config", "check"])
            .with(0)
            .out
            .contains("127.0.0.1:1"),
        "a mark of the encoding is none"
    );
    let twice = Person::alone()
        .set("KMDS_SERVER__LISTEN", "127.0.0.1:1")
        .set("KMDS_server__listen", "127.0.0.1:2");
    assert!(
        twice
            .runs(&["config", "check"])
            .with(2)
            .err
            .contains("given twice")
    );
}

/// Every setting that names a file, a folder or a program of this machine.
const PATHS: [&str; 9] = [
    "server.tokens_file",
    "cache.dir",
    "state.dir",
    "egress.ca_file",
    "bandcamp.egress.ca_file",
    "engines.ytdlp.command",
    "engines.ytdlp.cookies_file",
    "recipes.file",
    "ffmpeg.command",
];

#[test]
fn a_tilde_in_a_setting_is_the_home_folder_and_what_only_a_shell_knows_is_refused() {
    let person = Person::alone();
    let home = person.folder.0.display().to_string();
    for key in PATHS.into_iter().chain(["webhook.secret_file"]) {
        let said = person
            .runs(&["config", "show", "--set", &format!("{key}=~/x/y")])
            .with(0);
        assert!(
            said.out.contains(&format!("{key} = {home}/x/y ")),
            "{said:?}"
        );
        for wrong in ["~root/x", "$HOME/x", "${HOME}/x", "/srv/$USER/x"] {
            let said = person
                .runs(&["config", "check", "--set", &format!("{key}={wrong}")])
                .with(2);
            assert!(
                said.err.contains(key) && said.err.contains("write"),
                "{said:?}"
            );
        }
    }
    for wrong in ["~/music", "$HOME/music"] {
        let said = person
            .runs(&[
                "config",
                "check",
                "--set",
                &format!("cache.client_path={wrong}"),
            ])
            .with(2);
        assert!(said.err.contains("cache.client_path"), "{said:?}");
    }
    let said = person
        .runs(&["config", "show", "--set", "cache.dir=music"])
        .with(0);
    assert!(
        said.out.contains(&format!("cache.dir = {home}/music ")),
        "a relative path is shown whole: {said:?}"
    );
}

#[test]
fn a_tilde_that_no_shell_has_read_is_the_home_folder_in_arguments_too() {
    let person = Person::alone();
    std::fs::create_dir(person.folder.path("elsewhere")).expect("a folder");
    std::fs::write(
        person.folder.path("mine.toml"),
        "[server]\nlisten = \"127.0.0.1:7\"\n",
    )
    .expect("a file");
    let runs = |arguments: &[&str]| {
        let mut command = person.command(arguments);
        Said::from(
            command
                .current_dir(person.folder.path("elsewhere"))
                .output()
                .expect("kmds starts"),
        )
    };
    assert!(
        runs(&["config", "show", "--config=~/mine.toml"])
            .with(0)
            .out
            .contains("127.0.0.1:7")
    );
    runs(&["get", "https://example.org/x", "--output=~/got"]).with(1);
    assert!(person.folder.path("got").is_dir());
    runs(&["recipes", "check", "~/recipes.toml"]).with(0);
    assert!(
        runs(&["recipes", "check", "~nobody/recipes.toml"])
            .with(2)
            .err
            .contains("home folder")
    );
    let socket = runs(&["status", "--server", "unix:~/no.sock"]).with(2);
    assert!(socket.err.contains("no server answers"), "{socket:?}");
    assert_eq!(
        person.files("elsewhere"),
        [""; 0],
        "and nothing is called ~"
    );
}

#[test]
fn the_service_keeps_its_songs_at_home_where_a_tilde_says_so() {
    let kmds = Setup::new()
        .set("KMDS_CACHE__DIR", "~/music")
        .set("KMDS_STATE__DIR", "~/state")
        .start();
    assert!(kmds.folder.path("state/kmds.db").exists() && !std::path::Path::new("~").exists());
}

#[test]
fn a_folder_variable_that_is_no_whole_path_is_passed_over_with_a_word() {
    let person = Person::alone()
        .set("KMDS_CACHE__DIR", "")
        .set("XDG_CACHE_HOME", "near");
    let said = person.runs(&["config", "check"]).with(0);
    let home = person.folder.path(".cache/kmds").display().to_string();
    assert!(
        said.out.contains(&home) && said.err.contains("XDG_CACHE_HOME"),
        "{said:?}"
    );
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_told_with_the_right_name() {
    for (name, meant) in [
        ("KMDS_LISTEN", "KMDS_SERVER__LISTEN"),
        ("KMDS_EGRESS_PROXY", "KMDS_EGRESS__PROXY"),
        (
            "KMDS_DIR",
            "KMDS_CACHE__DIR or KMDS_LIBRARY__DIR or KMDS_STATE__DIR",
        ),
        ("KMDS_MAX_BYTE", "KMDS_CACHE__MAX_BYTES"),
    ] {
        let person = Person::alone().set(name, "x");
        for command in [
            &["config", "check"][..],
            &["config", "show"],
            &["cache", "ls"],
            &["get", "https://example.org/x"],
        ] {
            let said = person.runs(command);
            assert!(
                said.err.contains(name) && said.err.contains(&format!("did you mean {meant}?")),
                "{command:?}: {said:?}"
            );
        }
        let said = person.runs(&["doctor"]);
        assert!(said.out.contains(meant), "{said:?}");
    }
    let fine = Person::alone()
        .set("KMDS_TOKEN", "x")
        .set("KMDS_SERVER", "");
    assert_eq!(fine.runs(&["config", "check"]).with(0).err, "");
}

#[test]
fn a_recipes_file_that_cannot_be_used_is_named() {
    let person = Person::alone();
    let file = person.folder.path("mine.toml");
    for text in ["date = [", "date = 5\n"] {
        std::fs::write(&file, text).expect("recipes");
        let said = person.runs(&["recipes", "check", "mine.toml"]).with(2);
        assert!(said.err.contains("mine.toml"), "{text}: {said:?}");
        let set = format!("recipes.file={}", file.display());
        let said = person.runs(&["config", "check", "--set", &set]).with(2);
        assert!(said.err.contains("mine.toml"), "{text}: {said:?}");
    }
}

#[test]
fn a_way_out_of_one_site_that_cannot_be_used_is_named_with_its_site() {
    for (setting, way_out) in [
        ("egress.ca_file=/nonexistent", "use the path of a PEM file"),
        ("egress.proxy=https://127.0.0.1:1", "http://HOST:PORT"),
    ] {
        for site in ["", "youtube.", "soundcloud.", "bandcamp."] {
            let set = format!("{site}{setting}");
            let said = Person::alone()
                .runs(&["config", "check", "--set", &set])
                .with(2);
            let key = set.split('=').next().unwrap_or_default();
            assert!(
                said.err.contains(&format!("kmds: {key} ")) && said.err.contains(way_out),
                "{said:?}"
            );
        }
    }
}

#[test]
fn addresses_that_are_forbidden_but_never_looked_at_are_refused() {
    for key in ["egress.forbid", "youtube.egress.forbid"] {
        let forbid = format!("{key}=203.0.113.7");
        for command in [
            &["config", "check"][..],
            &["serve"],
            &["get", "https://example.org/x"],
        ] {
            let said = Person::alone()
                .runs(&[command, &["--set", &forbid]].concat())
                .with(2);
            assert!(
                said.err.contains(key) && said.err.contains("set egress.check_url too"),
                "{said:?}"
            );
        }
        let said = Person::alone().runs(&["doctor", "--set", &forbid]).with(1);
        assert!(said.out.contains("egress.check_url"), "{said:?}");
        let both = [
            "config",
            "check",
            "--set",
            &forbid,
            "--set",
            "egress.check_url=http://127.0.0.1:1/",
        ];
        Person::alone().runs(&both).with(0);
    }
}

#[test]
fn a_path_in_an_argument_may_be_any_name_but_a_setting_has_to_be_utf8() {
    let person = Person::alone();
    let get = [
        OsStr::new("get"),
        OsStr::new("https://example.org/x"),
        OsStr::new("--json"),
        OsStr::new("-o"),
    ];
    let said = Said::from(
        person
            .command(&[])
            .args(get)
            .arg(bytes(b"caf\xe9"))
            .output()
            .expect("kmds starts"),
    )
    .with(1);
    assert_eq!(said.json()["failed"], 1);
    let said = person
        .command(&["serve", "--cache-dir"])
        .arg(bytes(b"caf\xe9"))
        .output()
        .expect("kmds starts");
    let said = Said::from(said).with(2);
    assert!(
        said.err.contains("--cache-dir") && said.err.contains("UTF-8"),
        "{said:?}"
    );
    let said = person
        .command(&["get"])
        .arg(bytes(b"https://\xff"))
        .output()
        .expect("kmds starts");
    assert!(Said::from(said).with(2).err.contains("UTF-8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn recipes_that_come_after_the_start_are_found_by_a_reload_and_leave_with_their_file() {
    let kmds = Setup::new().set("KMDS_RECIPES__FILE", "").start();
    let file = kmds.folder.path(".config/kmds/recipes.toml");
    let reload = || {
        let pid = rustix::process::Pid::from_raw(i32::try_from(kmds.pid()).expect("a pid"))
            .expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("alive");
    };
    let dated = async || {
        kmds.get("/")
            .await
            .text()
            .await
            .expect("a body")
            .contains("2031-05-06")
    };
    assert!(!dated().await);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(&file, "date = \"2031-05-06\"\n").expect("recipes");
    reload();
    kmds.until("the new file is in force", dated).await;
    kmds.until("the log says from where", async || {
        kmds.log().contains(&file.display().to_string())
    })
    .await;
    std::fs::write(&file, "date = [").expect("recipes");
    reload();
    kmds.until("one that cannot be used is told", async || {
        kmds.log().contains("the recipes stay unchanged")
    })
    .await;
    assert!(dated().await);
    std::fs::remove_file(&file).expect("removed");
    reload();
    kmds.until("the built-in ones are back", async || !dated().await)
        .await;
}
