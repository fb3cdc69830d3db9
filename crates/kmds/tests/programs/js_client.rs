//! The JavaScript client against the service, and its samples with the packages that they are made for.
//!
//! `KMDS_TEST_NODE` is the folder of packages that `./test` installs; what needs one is skipped without it, loudly.

use std::path::{Path, PathBuf};

use kmds_lab::{Fault, Lab};
use serde_json::{Value, json};

use crate::channel::Channel;
use crate::harness::{Folder, Setup, tool};
use crate::{root, skipped, which};

/// The oldest version that has all that the client uses.
const NODE_AT_LEAST: (u32, u32) = (20, 3);

pub fn node() -> Result<PathBuf, String> {
    let node = which("node").ok_or("there is no node")?;
    let version = tool(&node.display().to_string(), &["--version"]);
    let mut numbers = version.trim().trim_start_matches('v').split('.');
    let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok());
    if (number(), number()) < (Some(NODE_AT_LEAST.0), Some(NODE_AT_LEAST.1)) {
        return Err(format!("node is {}, too old", version.trim()));
    }
    Ok(node)
}

/// Runs a program of JavaScript; what it printed, or all that it said when it failed.
async fn run(node: &Path, script: &Path, variables: &[(&str, String)]) -> String {
    let out = tokio::process::Command::new(node)
        .arg(script)
        .envs(variables.iter().map(|(name, value)| (*name, value.clone())))
        .kill_on_drop(true)
        .output();
    let out = tokio::time::timeout(crate::harness::PATIENCE * 2, out)
        .await
        .expect("it ends")
        .expect("it runs");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    said
}

#[tokio::test]
async fn the_javascript_client_does_what_it_says() {
    let node = match node() {
        Ok(node) => node,
        Err(why) => return skipped("the JavaScript client", &why),
    };
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Copper Kettles")
        .seconds(30.0)
        .publish();
    let held = lab.bandcamp().track("Held").holds_at(30_000).publish();
    let refused = lab.soundcloud().track("refused").publish();
    lab.inject(Fault::Status(403, None).on_media().of(&refused));
    let other = lab.youtube().video("Cut").publish();
    let kmds = Setup::of(&lab).patient().start();
    let wanted = kmds.folder.path("wanted");
    std::fs::write(&wanted, song.bytes()).expect("a file");
    let variables = [
        ("KMDS_URL", kmds.url.clone()),
        (
            "KMDS_CACHE",
            kmds.folder.path("cache").display().to_string(),
        ),
        ("SONG", song.link()),
        ("SONG_BYTES", wanted.display().to_string()),
        ("HELD", held.link()),
        ("REFUSED", refused.link()),
        ("OTHER", other.link()),
    ];
    let script = root().join("clients/js/kmds.test.mjs");
    run(&node, &script, &variables).await;
}

/// A folder in which samples find the client, as its tarball has it, and the packages that `./test` installed.
struct Bench {
    folder: Folder,
    node: PathBuf,
}

impl Bench {
    fn new() -> Result<Self, String> {
        let node = node()?;
        let folder = Folder::new();
        let modules = folder.path("node_modules");
        std::fs::create_dir(&modules).expect("a folder");
        pack(&folder)?;
        std::fs::rename(folder.path("package"), modules.join("kmds")).expect("the package");
        Ok(Self { folder, node })
    }

    /// With the packages of this name and what they need.
    fn with(self, packages: &[&str]) -> Result<Self, String> {
        let installed = std::env::var_os("KMDS_TEST_NODE")
            .map(|folder| PathBuf::from(folder).join("node_modules"))
            .ok_or("KMDS_TEST_NODE is not set (./test installs the packages)")?;
        if let Some(missing) = packages.iter().find(|name| !installed.join(name).is_dir()) {
            return Err(format!("there is no {missing}"));
        }
        for entry in std::fs::read_dir(&installed)
            .expect("a folder")
            .flatten()
            .filter(|entry| entry.file_name() != "kmds")
        {
            let place = self.folder.path("node_modules").join(entry.file_name());
            std::os::unix::fs::symlink(entry.path(), place).expect("a link");
        }
        Ok(self)
    }

    fn copy(&self, from: &str) -> PathBuf {
        let from = root().join(from);
        let to = self
            .folder
            .path(&from.file_name().expect("a name").to_string_lossy());
        std::fs::copy(from, &to).expect("a copy");
        to
    }
}

/// Builds the client's tarball out of a copy of the tree, and unpacks it as `package`.
fn pack(folder: &Folder) -> Result<Vec<String>, String> {
    let npm = which("npm").ok_or("there is no npm")?;
    let source = folder.path("tree/clients/js");
    std::fs::create_dir_all(&source).expect("a folder");
    std::fs::create_dir_all(folder.path("tree/docs")).expect("a folder");
    for name in [
        "package.json",
        "README.md",
        "kmds.js",
        "kmds.d.ts",
        "types.mjs",
    ] {
        std::fs::copy(root().join("clients/js").join(name), source.join(name)).expect("a copy");
    }
    let description = "docs/openapi.json";
    std::fs::copy(
        root().join(description),
        folder.path("tree").join(description),
    )
    .expect("a copy");
    let out = std::process::Command::new(npm)
        .args(["pack", "--silent", "--offline", "--pack-destination"])
        .arg(&folder.0)
        .current_dir(&source)
        .env("npm_config_cache", folder.path("npm"))
        .env("npm_config_update_notifier", "false")
        .output()
        .expect("npm runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let tarball = folder.path("kmds-0.1.0.tgz").display().to_string();
    let names = tool("tar", &["tzf", &tarball]);
    tool(
        "tar",
        &["xzf", &tarball, "-C", &folder.0.display().to_string()],
    );
    Ok(names.lines().map(str::to_owned).collect())
}

#[test]
fn the_javascript_package_holds_the_client_and_the_types_of_openapi_json() {
    if let Err(why) = node() {
        return skipped("the JavaScript package", &why);
    }
    let folder = Folder::new();
    let mut names = match pack(&folder) {
        Ok(names) => names,
        Err(why) => return skipped("the JavaScript package", &why),
    };
    names.sort();
    assert_eq!(
        names,
        [
            "README.md",
            "api.d.ts",
            "kmds.d.ts",
            "kmds.js",
            "package.json"
        ]
        .map(|name| format!("package/{name}"))
    );
    let types = std::fs::read_to_string(folder.path("package/api.d.ts")).expect("the types");
    let described = std::fs::read_to_string(root().join("docs/openapi.json")).expect("a file");
    let described: Value = serde_json::from_str(&described).expect("JSON");
    for (schema, field) in [
        ("TrackReply", "cache_path"),
        ("FormReply", "path_final"),
        ("EventReply", "received_bytes"),
    ] {
        let body = types
            .split(&format!("export type {schema} = "))
            .nth(1)
            .and_then(|rest| rest.split("\n};").next())
            .unwrap_or_else(|| panic!("no {schema}: {types}"));
        let schema_of = &described["components"]["schemas"][schema];
        let parts = schema_of["allOf"].as_array();
        let own = parts.and_then(|parts| parts.iter().find(|part| part["properties"].is_object()));
        let fields = own.unwrap_or(schema_of)["properties"]
            .as_object()
            .expect("fields");
        assert!(fields.contains_key(field), "{schema} is described");
        for name in fields.keys() {
            assert!(body.contains(&format!("\"{name}\"")), "{schema}.{name}");
        }
    }
}

#[tokio::test]
async fn the_types_of_the_javascript_client_fit_how_it_is_called() {
    let bench = match Bench::new().and_then(|bench| bench.with(&["typescript", "@types/node"])) {
        Ok(bench) => bench,
        Err(why) => return skipped("the types of the JavaScript client", &why),
    };
    let usage = bench.copy("clients/js/usage.ts");
    let config = json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "module": "nodenext", "target": "es2022",
            "lib": ["es2023", "dom", "dom.iterable", "dom.asynciterable"], "types": [], "skipLibCheck": false,
        },
        "files": [usage],
    });
    let project = bench.folder.path("tsconfig.json");
    std::fs::write(&project, config.to_string()).expect("a file");
    std::fs::write(bench.folder.path("package.json"), r#"{"type": "module"}"#).expect("a file");
    let compiler = bench.folder.path("node_modules/typescript/bin/tsc");
    let out = tokio::process::Command::new(&bench.node)
        .arg(compiler)
        .arg("-p")
        .arg(&project)
        .output()
        .await
        .expect("it runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stdout)
    );
}

/// Sizes of the audio packets of a file, by a judge that is not ours.
pub fn packet_sizes(file: &Path) -> Vec<u64> {
    let file = file.display().to_string();
    let text = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            "packet=size",
            "-of",
            "csv=p=0",
            &file,
        ],
    );
    text.lines()
        .filter_map(|line| line.trim_end_matches(',').parse().ok())
        .collect()
}

fn sizes_of(value: &Value) -> Vec<u64> {
    let sizes = value.as_array().expect("sizes");
    sizes.iter().filter_map(Value::as_u64).collect()
}

fn last_line(said: &str) -> Value {
    let line = said.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {said}"))
}

async fn voice_sample(what: &str, by_path: bool) {
    let bench = Bench::new().and_then(|bench| bench.with(&["@discordjs/voice", "discord.js"]));
    let bench = match bench {
        Ok(bench) => bench,
        Err(why) => return skipped(what, &why),
    };
    bench.copy("clients/js/samples/voice.mjs");
    let script = bench.copy("crates/kmds/tests/programs/js/voice_test.mjs");
    let lab = Lab::start().await;
    let channel = Channel::of(&lab);
    let kmds = Setup::of(&lab).set("KMDS_SEARCH__SITE", "bandcamp").start();
    let mut variables = vec![
        ("KMDS_URL", kmds.url.clone()),
        ("TEXTS", channel.texts()),
        ("SONGS", "3".to_owned()),
    ];
    if by_path {
        let cache = kmds.folder.path("cache").display().to_string();
        variables.push(("KMDS_CACHE", cache));
    }
    let heard = last_line(&run(&bench.node, &script, &variables).await);
    let files = channel.files();
    for (sizes, file) in heard["songs"].as_array().expect("songs").iter().zip(files) {
        let wanted = packet_sizes(&kmds.folder.path("cache").join(&file));
        assert!(wanted.len() > 90, "{file}: {}", wanted.len());
        assert_eq!(sizes_of(sizes), wanted, "{file}");
    }
    let told = heard["told"].to_string();
    assert!(
        told.contains("Refused: SoundCloud refused the audio"),
        "{told}"
    );
    assert_eq!(kmds.audio_sent().await > 0, !by_path, "{}", kmds.log());
    let queue = kmds.get("/api/v1/queues/guild-1").await;
    assert_eq!(queue.status(), 200, "the server was told what is next");
}

#[tokio::test]
async fn discordjs_voice_plays_opus_by_path_as_the_site_has_it() {
    voice_sample("the sample for @discordjs/voice, by path", true).await;
}

#[tokio::test]
async fn discordjs_voice_plays_opus_as_it_arrives() {
    voice_sample("the sample for @discordjs/voice, by stream", false).await;
}

/// Sizes of the packets that were played in a mode, and of those of the file.
async fn extractor_sample(what: &str, mode: &str) -> Option<(Vec<u64>, Vec<u64>)> {
    let bench = Bench::new().and_then(|bench| bench.with(&["discord-player", "discord.js"]));
    let bench = match bench {
        Ok(bench) => bench,
        Err(why) => {
            skipped(what, &why);
            return None;
        }
    };
    bench.copy("clients/js/samples/extractor.mjs");
    let script = bench.copy("crates/kmds/tests/programs/js/extractor_test.mjs");
    let lab = Lab::start().await;
    let song = lab.youtube().video("Ordinary Days").seconds(3.0).publish();
    let list = lab.bandcamp().album(2).publish();
    let found = lab.bandcamp().track("Copper Kettles").publish();
    let kmds = Setup::of(&lab).set("KMDS_SEARCH__SITE", "bandcamp").start();
    let variables = [
        ("KMDS_URL", kmds.url.clone()),
        (
            "KMDS_CACHE",
            kmds.folder.path("cache").display().to_string(),
        ),
        ("LINK", song.link()),
        ("LIST", list.link()),
        ("WORDS", "Copper Kettles".to_owned()),
        ("MODE", mode.to_owned()),
    ];
    let heard = last_line(&run(&bench.node, &script, &variables).await);
    assert_eq!(heard["words"], json!([["Copper Kettles", found.link()]]));
    assert_eq!(heard["track"][0], "Ordinary Days");
    assert_eq!(heard["track"][2], "0:03");
    assert_eq!(
        heard["list"][1].as_array().map(Vec::len),
        Some(2),
        "{heard}"
    );
    let file = kmds
        .folder
        .path("cache")
        .join(format!("youtube/{}.opus", song.id()));
    let wanted = packet_sizes(&file);
    assert!(wanted.len() > 140, "{}", wanted.len());
    assert_eq!(kmds.audio_sent().await > 0, mode == "stream");
    let links: Vec<String> = list.songs().iter().map(kmds_lab::Song::link).collect();
    let told = heard["queues"].as_array().expect("queues");
    assert_eq!(told.last(), Some(&json!(links)), "what is next: {heard}");
    // A file that is read by its path is held meanwhile.
    let is_held = heard["holds"][0] == "GET";
    assert_eq!(is_held, mode != "stream", "{heard}");
    Some((sizes_of(&heard["sizes"]), wanted))
}

#[tokio::test]
async fn discord_player_plays_the_opus_of_a_file_and_of_a_stream() {
    for mode in ["file", "stream"] {
        let what = format!("the extractor for discord-player, by {mode}");
        let Some((played, wanted)) = extractor_sample(&what, mode).await else {
            return;
        };
        assert_eq!(played, wanted, "{mode}");
    }
}

#[tokio::test]
async fn discord_player_plays_with_its_filters_too() {
    let what = "the extractor for discord-player, with filters";
    let Some((played, wanted)) = extractor_sample(what, "filters").await else {
        return;
    };
    // Encoded anew: the number is the same, but for what a codec adds at the ends.
    let (played, wanted) = (played.len(), wanted.len());
    assert!(played.abs_diff(wanted) <= 5, "{played} of {wanted}");
}
