//! What a release is packed of, and what a container starts: the archives, the packages, the image's root, the files
//! for compose and for continuous integration.
//!
//! No daemon builds images here, and only `./test` lints the workflows: these are the parts that run anywhere.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Folder, tool};
use crate::packaging::{run, said};
use crate::{python, root, skipped, which};

/// This build's binary without its debugging symbols, which would take longer to pack than all else here.
fn stripped(to: &Path) {
    let binary = std::env::var_os("KMDS_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_kmds").into());
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
    let out = run(Command::new("strip").arg("-o").arg(to).arg(&binary));
    if !out.status.success() {
        std::fs::copy(&binary, to).expect("a copy");
    }
}

#[test]
fn a_release_is_archives_and_packages_that_install_and_match_their_sums() {
    if which("dpkg-deb").is_none() {
        return skipped("the files of a release", "there is no dpkg-deb");
    }
    let folder = Folder::new();
    let (binaries, out) = (folder.path("binaries"), folder.path("out"));
    let binary = binaries.join("x86_64-unknown-linux-musl/kmds");
    stripped(&binary);
    // One that does not run on this machine.
    let foreign = binaries.join("arm-unknown-linux-musleabihf/kmds");
    std::fs::create_dir_all(foreign.parent().expect("a folder")).expect("made");
    std::fs::write(&foreign, "for another processor").expect("written");
    let mut pack = Command::new(root().join("packaging/release.sh"));
    pack.env("KMDS_RUNS", &binary)
        .env("KMDS_GZIP", "-1")
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none");
    let packed = run(pack.arg(&binaries).arg(&out));
    assert!(packed.status.success(), "{}", said(&packed));
    let version = env!("CARGO_PKG_VERSION");
    let sums = run(Command::new("sha256sum")
        .args(["--check", "SHA256SUMS"])
        .current_dir(&out));
    assert!(sums.status.success(), "{}", said(&sums));
    let listed = String::from_utf8_lossy(&sums.stdout).into_owned();
    let name = format!("kmds-{version}-x86_64-unknown-linux-musl");
    for file in [
        format!("{name}.tar.gz"),
        format!("kmds-{version}-arm-unknown-linux-musleabihf.tar.gz"),
        format!("kmds_{version}_amd64.deb"),
        format!("kmds_{version}_armhf.deb"),
    ] {
        assert!(listed.contains(&format!("{file}: OK")), "{file}: {listed}");
    }

    let unpacked = run(Command::new("tar")
        .args(["-xzf", &format!("{name}.tar.gz")])
        .current_dir(&out));
    assert!(unpacked.status.success(), "{}", said(&unpacked));
    let inside = |file: &str| out.join(&name).join(file);
    let text = |file: &str| std::fs::read_to_string(inside(file)).expect(file);
    let said = run(Command::new(inside("kmds")).arg("--version"));
    assert!(String::from_utf8_lossy(&said.stdout).contains(version));
    for (file, holds) in [
        ("kmds.1", ".TH"),
        ("completions/kmds.bash", "complete "),
        ("completions/kmds.fish", "complete "),
        ("completions/kmds.zsh", "#compdef kmds"),
        ("kmds.service", "[Service]"),
        ("kmds.socket", "[Socket]"),
        ("kmds.example.toml", "[server]"),
        ("LICENSE-MIT", "MIT"),
        ("LICENSE-APACHE", "Apache"),
        ("README.md", "# KMDS"),
    ] {
        assert!(text(file).contains(holds), "{file}");
    }
    let completes = run(Command::new("bash")
        .arg("-n")
        .arg(inside("completions/kmds.bash")));
    assert!(completes.status.success());

    let armhf = out.join(format!("kmds_{version}_armhf.deb"));
    let field = |name: &str| tool("dpkg-deb", &["--field", &armhf.display().to_string(), name]);
    assert_eq!(field("Architecture").trim(), "armhf");
    assert_eq!(
        field("Depends").trim(),
        "ca-certificates",
        "what names no loader needs no C library"
    );
}

/// The last stage of the Dockerfile: what the default image is.
fn slim() -> String {
    let file = std::fs::read_to_string(root().join("Dockerfile")).expect("the Dockerfile");
    let (_, last) = file.rsplit_once("\nFROM ").expect("a stage");
    last.to_owned()
}

/// The variables that a stage sets.
fn variables(stage: &str) -> BTreeMap<String, String> {
    let (_, rest) = stage.split_once("\nENV ").expect("variables");
    let end = rest.lines().take_while(|line| line.ends_with('\\')).count();
    rest.lines()
        .take(end + 1)
        .filter_map(|line| line.trim_end_matches('\\').trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Puts the libraries of a binary that is not static where it looks for them.
fn copy_libraries(binary: &Path, to: &Path) {
    let out = run(Command::new("ldd").arg(binary));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let libraries = text
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'));
    for library in libraries {
        let place = to.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().expect("a folder")).expect("made");
        std::fs::copy(library, &place).expect(library);
    }
}

#[test]
fn the_images_root_is_all_that_the_service_needs_as_a_user_without_rights() {
    if !rustix::process::geteuid().is_root() || which("chroot").is_none() {
        return skipped("the image's root", "only root may enter another root");
    }
    let folder = Folder::new();
    let (binary, image) = (folder.path("kmds"), folder.path("image"));
    stripped(&binary);
    let made = run(Command::new(root().join("packaging/root.sh"))
        .arg(&binary)
        .arg(&image));
    assert!(made.status.success(), "{}", said(&made));
    copy_libraries(&binary, &image);
    for data in ["var/cache/kmds", "var/lib/kmds"] {
        std::os::unix::fs::chown(image.join(data), Some(65532), Some(65532)).expect("given away");
    }
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command
            .arg("--userspec=65532:65532")
            .arg(&image)
            .args(arguments);
        command.env_clear().envs(variables(&slim()));
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("KMDS_SERVER__LISTEN", "127.0.0.1:0");
        command
    };
    let mut service = inside(&["/kmds", "serve"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("chroot");
    let mut line = String::new();
    let out = service.stdout.take().expect("piped");
    let _ = BufReader::new(out).read_line(&mut line);
    let Some((_, url)) = line.trim().split_once(" ready on ") else {
        let _ = service.kill();
        let out = service.wait_with_output().expect("an end");
        panic!("it did not start: {line}{}", said(&out));
    };
    let status = run(inside(&["/kmds", "status", "--server", url]).stdin(Stdio::null()));
    let _ = service.kill();
    let _ = service.wait();
    assert!(status.status.success(), "{}", said(&status));
    assert!(image.join("var/lib/kmds/kmds.db").is_file());
}

#[test]
fn both_images_have_settings_that_there_are_and_check_themselves() {
    let file = std::fs::read_to_string(root().join("Dockerfile")).expect("the Dockerfile");
    let full = file
        .split("\nFROM ")
        .find(|stage| stage.contains(" AS full\n"))
        .expect("the full image");
    for stage in [full, &slim()] {
        for wanted in [
            "USER 65532:65532",
            "HEALTHCHECK",
            "CMD [\"/kmds\", \"status\"]",
            "COPY --from=root ",
            "VOLUME [\"/var/cache/kmds\", \"/var/lib/kmds\"]",
        ] {
            assert!(stage.contains(wanted), "{wanted}: {stage}");
        }
        let variables = variables(stage);
        assert!(variables.len() >= 4, "{variables:?}");
        for name in variables.keys().filter(|name| name.starts_with("KMDS_")) {
            assert!(is_setting(name), "{name} is no setting");
        }
    }
}

fn is_setting(variable: &str) -> bool {
    let key = variable
        .trim_start_matches("KMDS_")
        .replace("__", ".")
        .to_lowercase();
    kmds::config::SETTINGS
        .iter()
        .any(|setting| setting.key == key)
}

/// Lays one compose file over another as compose does, and fills variables in: enough of it for these files.
const READ_COMPOSE: &str = r#"
import json, re, sys, yaml
def filled(value):
    if isinstance(value, dict): return {key: filled(each) for key, each in value.items()}
    if isinstance(value, list): return [filled(each) for each in value]
    if not isinstance(value, str): return value
    return re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", lambda m: m[3] if m[2] == "-" else "given", value)
def laid(under, over):
    if isinstance(under, dict) and isinstance(over, dict):
        return {**under, **{key: laid(under[key], each) if key in under else each for key, each in over.items()}}
    return over
whole = {}
for name in sys.argv[1:]:
    with open(name) as file: whole = laid(whole, filled(yaml.safe_load(file)))
print(json.dumps(whole))
"#;

fn compose(files: &[&str]) -> Option<serde_json::Value> {
    let mut read = Command::new(python()?);
    read.args(["-c", READ_COMPOSE]).args(files);
    let out = run(read.current_dir(root()));
    if said(&out).contains("No module named 'yaml'") {
        return None;
    }
    assert!(out.status.success(), "{}", said(&out));
    serde_json::from_slice(&out.stdout).ok()
}

#[test]
fn every_way_to_compose_it_is_shut_tight_keeps_its_songs_and_is_found_by_a_bot() {
    for files in [
        &["compose.yaml"][..],
        &["compose.yaml", "compose.full.yaml"],
        &["compose.yaml", "compose.bot.yaml"],
    ] {
        let Some(whole) = compose(files) else {
            return skipped("the compose files", "there is no Python that reads YAML");
        };
        let kmds = &whole["services"]["kmds"];
        assert_eq!(kmds["user"], "65532:65532", "{files:?}");
        assert_eq!(kmds["read_only"], true);
        assert_eq!(kmds["cap_drop"], serde_json::json!(["ALL"]));
        assert_eq!(kmds["ports"][0], "127.0.0.1:60071:60071");
        assert_eq!(
            kmds["healthcheck"]["test"],
            serde_json::json!(["CMD", "/kmds", "status"])
        );
        let stage = kmds["build"]["target"].as_str().expect("a stage");
        let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).expect("it is there");
        assert!(dockerfile.contains(&format!(" AS {stage}\n")), "{stage}");
        let volumes: Vec<&str> = kmds["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(serde_json::Value::as_str)
            .collect();
        assert_eq!(
            volumes,
            ["songs:/var/cache/kmds", "state:/var/lib/kmds"],
            "what the image writes to"
        );
        for volume in ["songs", "state"] {
            assert!(whole["volumes"].get(volume).is_some(), "{volume}");
        }
        let settings = kmds["environment"].as_object();
        for name in settings.into_iter().flatten().map(|(name, _)| name) {
            assert!(is_setting(name), "{name} is no setting");
        }
        if let Some(bot) = whole["services"].get("bot") {
            // A name of one label is admitted without a setting.
            assert_eq!(bot["environment"]["KMDS_SERVER"], "http://kmds:60071");
            let path = kmds["environment"]["KMDS_CACHE__CLIENT_PATH"]
                .as_str()
                .expect("a path");
            assert_eq!(bot["volumes"][0], format!("songs:{path}:ro"));
        }
    }
}

#[test]
fn workflows_are_allowed_nothing_by_default_and_pin_what_they_run() {
    let mut uses = 0;
    for name in ["ci.yml", "release.yml"] {
        let text = std::fs::read_to_string(root().join(".github/workflows").join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains("\npermissions: {}\n"), "{name}");
        assert!(!text.contains("secrets."), "{name}: no password is kept");
        for line in text.lines().filter_map(|line| line.split_once("uses: ")) {
            uses += 1;
            let (action, version) = line.1.split_once('@').unwrap_or((line.1, ""));
            let major = version
                .strip_prefix('v')
                .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            let sha = version.len() == 40;
            assert!(
                action.starts_with("./") || major || sha || version == "release/v1",
                "{name}: {action} is not pinned"
            );
        }
    }
    assert!(uses > 8, "{uses}");
}
