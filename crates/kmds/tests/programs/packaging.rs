//! What is installed: the systemd unit, the Debian package, the container's files.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Folder, tool};
use crate::{root, skipped, which};

/// The most that `systemd-analyze security` may find, in tenths; 0 is perfect, 100 an ordinary service.
const EXPOSURE: &str = "20";

pub fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

pub fn said(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

#[test]
fn the_systemd_unit_is_valid_and_shut_tight() {
    if which("systemd-analyze").is_none() {
        return skipped("the systemd unit", "there is no systemd-analyze");
    }
    let folder = Folder::new();
    for unit in ["kmds.service", "kmds.socket"] {
        let text = std::fs::read_to_string(root().join("packaging").join(unit)).expect("the unit");
        std::fs::write(
            folder.path(unit),
            text.replace("/usr/bin/kmds", env!("CARGO_BIN_EXE_kmds")),
        )
        .expect("a copy");
    }
    let unit = folder.path("kmds.service");
    let out = run(Command::new("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .arg(folder.path("kmds.socket")));
    assert!(
        out.status.success() && !said(&out).contains("kmds.so"),
        "{}",
        said(&out)
    );
    let threshold = format!("--threshold={EXPOSURE}");
    let out = run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", &threshold])
        .arg(&unit));
    if said(&out).contains("unrecognized option") {
        return skipped(
            "how tight the systemd unit is",
            "this systemd-analyze is too old",
        );
    }
    assert!(out.status.success(), "{}", said(&out));
}

#[test]
fn the_debian_package_is_installed_works_and_is_removed_without_a_trace() {
    if which("dpkg-deb").is_none() {
        return skipped("the Debian package", "there is no dpkg-deb");
    }
    let folder = Folder::new();
    let mut build = Command::new(root().join("packaging/deb.sh"));
    // Packing a debug build tightly would take longer than everything else here.
    build
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none")
        .arg(env!("CARGO_BIN_EXE_kmds"))
        .arg(&folder.0);
    let out = run(&mut build);
    assert!(out.status.success(), "{}", said(&out));
    let package = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let contents = tool("dpkg-deb", &["--contents", &package]);
    for file in [
        "./usr/bin/kmds",
        "./lib/systemd/system/kmds.service",
        "./etc/kmds/kmds.toml",
    ] {
        assert!(contents.contains(file), "{file}: {contents}");
    }
    assert!(
        contents.lines().all(|line| line.contains("root/root")),
        "{contents}"
    );
    let system = folder.path("system");
    for part in [
        "var/lib/dpkg/info",
        "var/lib/dpkg/updates",
        "var/lib/dpkg/triggers",
    ] {
        std::fs::create_dir_all(system.join(part)).expect("a folder");
    }
    for file in ["status", "available"] {
        std::fs::write(system.join("var/lib/dpkg").join(file), "").expect("a file");
    }
    let dpkg = |arguments: &[&str]| {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", system.display()));
        // A system of its own, with none of the packages ours needs, and no change of root for its scripts.
        dpkg.args([
            "--force-not-root",
            "--force-depends",
            "--force-script-chrootless",
            "--force-bad-path",
        ]);
        run(dpkg.args(arguments))
    };
    let out = dpkg(&["--install", &package]);
    assert!(out.status.success(), "{}", said(&out));
    let installed = system.join("usr/bin/kmds");
    let settings = system.join("etc/kmds/kmds.toml");
    let mut check = Command::new(&installed);
    let out = run(check
        .env("HOME", &folder.0)
        .args(["config", "check", "--config"])
        .arg(&settings));
    assert!(out.status.success(), "{}", said(&out));
    let songs = system.join("var/cache/private/kmds");
    std::fs::create_dir_all(&songs).expect("a folder");
    let out = dpkg(&["--remove", "kmds"]);
    assert!(
        out.status.success() && !installed.exists(),
        "{}",
        said(&out)
    );
    assert!(
        settings.exists() && songs.exists(),
        "settings and songs stay until a purge"
    );
    let out = dpkg(&["--purge", "kmds"]);
    assert!(
        out.status.success() && !settings.exists() && !songs.exists(),
        "{}",
        said(&out)
    );
}

/// No text sends its reader to a page, a host or an account that is not ours.
#[test]
fn what_is_installed_names_no_page_and_no_account_that_is_not_there() {
    let inside = |folder: &str| {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
        let files = entries.flatten().map(|entry| entry.path());
        files.filter(|file| file.is_file()).collect::<Vec<_>>()
    };
    let single = [
        "Cargo.toml",
        "Dockerfile",
        "compose.yaml",
        "compose.full.yaml",
        "compose.bot.yaml",
        "clients/python/pyproject.toml",
        "clients/js/package.json",
    ];
    let files = single.iter().map(|file| root().join(file));
    let files = files
        .chain(inside("packaging"))
        .chain(inside(".github/workflows"));
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file");
        let file = file.display();
        let named: Vec<&str> = text.split("://").skip(1).collect();
        let known = |rest: &&str| {
            [
                "127.0.0.1",
                "kmds:60071",
                "soundcloud.com/",
                "/usr/share/doc/kmds/",
            ]
            .iter()
            .any(|at| rest.starts_with(at))
        };
        assert!(named.iter().all(known), "{file}: {named:?}");
        for key in ["Homepage:", "homepage =", "repository =", "documentation ="] {
            assert!(!text.contains(key), "{file}: {key}");
        }
    }
    let unit = std::fs::read_to_string(root().join("packaging/kmds.service")).expect("the unit");
    assert!(
        unit.contains("KillMode=mixed"),
        "a stop must not end a conversion before the service has parked its song"
    );
}

/// No daemon builds images here, and hadolint is no package of Debian: these are the rules we care for, by hand.
#[test]
fn the_container_runs_as_nobody_on_a_read_only_root() {
    let read = |name: &str| std::fs::read_to_string(Path::new(&root()).join(name)).expect(name);
    let file = read("Dockerfile");
    let last = file.rsplit("\nFROM ").next().unwrap_or_default();
    assert!(last.starts_with("scratch"), "nothing but the binary");
    for wanted in ["--locked", "+crt-static", "--target"] {
        assert!(file.contains(wanted), "{wanted}");
    }
    assert!(!file.contains(":latest"), "images are named by version");
    let compose = read("compose.yaml");
    for wanted in [
        "read_only: true",
        "cap_drop: [ALL]",
        "no-new-privileges:true",
        "127.0.0.1:60071",
    ] {
        assert!(compose.contains(wanted), "{wanted}");
    }
    assert!(read(".dockerignore").lines().any(|line| line == "target"));
}

/// The flags of `.cargo/config.toml` are passed through two build scripts, and a mistyped one is no error.
#[test]
fn the_sqlite_inside_is_the_small_one() {
    let sqlite = rusqlite::Connection::open_in_memory().expect("a database");
    for (left_out, statement) in [
        (
            "older full-text search",
            "CREATE VIRTUAL TABLE b USING fts3(text)",
        ),
        (
            "R-trees",
            "CREATE VIRTUAL TABLE c USING rtree(id, least, most)",
        ),
        ("statistics", "SELECT * FROM dbstat"),
        ("extensions", "SELECT load_extension('x')"),
        ("dates", "SELECT date('now')"),
        ("sounds of words", "SELECT soundex('x')"),
    ] {
        let error = sqlite
            .execute_batch(statement)
            .expect_err(left_out)
            .to_string();
        assert!(error.contains("no such"), "{left_out}: {error}");
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let text =
        std::fs::read_to_string(root().join("packaging/grafana.json")).expect("the dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let table = std::fs::read_to_string(root().join("docs/operation.md")).expect("the docs");
    let panels = dashboard["panels"].as_array().expect("panels");
    let asked: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
        .map(|target| target["expr"].as_str().expect("an expression"))
        .flat_map(|expression| expression.split(|c: char| !(c.is_ascii_lowercase() || c == '_')))
        .filter(|word| word.starts_with("kmds_"))
        .collect();
    assert!(asked.len() >= panels.len());
    for metric in asked {
        assert!(
            table.contains(&format!("`{metric}`")),
            "{metric} is in no row of the table of metrics"
        );
    }
}
