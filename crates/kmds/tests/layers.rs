//! The arrows of ARCHITECTURE.md hold: each module names only the modules that it may.

use std::collections::BTreeMap;
use std::path::Path;

/// Small tools that every module may name; they name only each other.
const GROUND: [&str; 4] = ["clock", "hex", "random", "single_flight"];

/// Which module may name which. A module that is missing here fails the test: decide its place.
const MAY_NAME: [(&str, &[&str]); 18] = [
    (
        "cli",
        &[
            "app", "config", "http", "log", "media", "player", "recipes", "tag",
        ],
    ),
    ("webhook", &["app", "config", "origin"]),
    ("http", &["app", "config", "metrics"]),
    (
        "app",
        &[
            "cluster", "config", "convert", "engine", "jobs", "metrics", "origin", "recipes",
            "store",
        ],
    ),
    (
        "jobs",
        &[
            "cluster", "config", "convert", "download", "engine", "media", "metrics", "origin",
            "store", "tag",
        ],
    ),
    ("cluster", &["config"]),
    ("engine", &["config", "origin"]),
    ("recipes", &["config", "download", "origin"]),
    ("download", &["media", "origin"]),
    ("convert", &["config", "media"]),
    ("origin", &["player"]),
    ("store", &[]),
    ("media", &[]),
    ("tag", &["media"]),
    ("config", &[]),
    ("metrics", &[]),
    ("log", &[]),
    ("player", &[]),
];

/// They wire the others together.
const WIRING: [&str; 3] = ["lib", "main", "systemd"];

/// The walls inside a folder: its modules from the top floor to the ground. Each names only modules of floors below it,
/// so that no two import each other. `mod.rs` itself may name all.
const FLOORS: [(&str, &[&[&str]]); 10] = [
    (
        "app",
        &[
            &["everywhere", "parts"],
            &[
                "accept",
                "cancel",
                "holds",
                "maintenance",
                "music_folder",
                "neighbours",
                "queues",
                "readiness",
                "reload",
                "remove",
                "renditions",
                "serve",
                "songs",
                "sources",
                "stats",
            ],
            &["resolve", "search"],
            &["answers", "folders", "long_lists"],
            &["contents"],
            &["api", "target", "told", "packed", "windows"],
        ],
    ),
    (
        "jobs",
        &[
            &["worker"],
            &["elsewhere"],
            &["arrival", "run"],
            &["offers", "renditions"],
            &["attempts", "rewrite"],
            &["demand", "fill"],
            &["table"],
            &["job"],
            &["requesters"],
            &[
                "names",
                "formats",
                "limits",
                "events",
                "queue",
                "held_streams",
                "covers",
            ],
            &["lane"],
        ],
    ),
    (
        "cluster",
        &[
            &["membership"],
            &["look"],
            &["nats"],
            &["claims", "messages"],
            &["reports"],
            &["peers", "presence", "relay", "songs"],
            &["nodes", "questions", "refusals", "seal"],
        ],
    ),
    (
        "download",
        &[
            &["hls", "ranged"],
            &["retry"],
            &["error", "kept", "range_size", "speed"],
        ],
    ),
    ("engine", &[&["native", "ytdlp"], &["backoff", "breaker"]]),
    (
        "engine/ytdlp",
        &[
            &["browser", "worth"],
            &["about"],
            &["arguments", "failure", "process", "read"],
            &["error"],
        ],
    ),
    (
        "http",
        &[
            &["server"],
            &["connections", "routes"],
            &["middleware", "listener", "openapi"],
            &["classic", "play", "v1", "ops", "ui"],
            &["login"],
            &["access_log", "audio", "reply", "request_id"],
            &["fields", "links"],
            &["state", "query", "prefetch"],
            &["body", "event_streams", "guard"],
            &["access", "rates", "signatures"],
            &[
                "crowd",
                "embedded",
                "error",
                "network",
                "sendfile",
                "tokens",
                "write_timeout",
            ],
        ],
    ),
    (
        "origin",
        &[
            &["file", "pages", "media"],
            &["retry"],
            &["client"],
            &["relay"],
            &["egress"],
            &["address_check", "preconnect", "proxy"],
            &["error"],
            &[
                "counters", "memory", "pace", "page", "recipes", "request", "resolver", "roots",
                "url",
            ],
        ],
    ),
    (
        "store",
        &[
            &["compare"],
            &[
                "drive",
                "holds",
                "music_folder",
                "queues",
                "shared_drive",
                "songs",
                "tidy",
            ],
            &["start"],
            &["publish", "recover"],
            &["lease", "published"],
            &["evict"],
            &["needed", "sidecar"],
            &["reader", "shared"],
            &["claims", "recent"],
            &["catalog", "hash", "partial"],
            &["error", "layout"],
            &["cache_folder"],
            &["mount"],
            &["busy", "key", "spot"],
        ],
    ),
    (
        "store/catalog",
        &[
            &[
                "accept", "fetches", "handle", "holds", "list", "open", "queues", "sums",
            ],
            &["ready", "search"],
            &["names", "rows", "schema", "tracks"],
            &["statement"],
        ],
    ),
];

/// What the modules of a folder may name of the folder's own `mod.rs`, which names them: the type whose methods they
/// hold. Shared types have a file of their own.
const OF_THE_FACE: [(&str, &[&str]); 5] = [
    ("download", &[]),
    ("engine", &[]),
    ("engine/ytdlp", &["YtDlp"]),
    ("http", &[]),
    ("origin", &[]),
];

/// A source text without comments and tests.
fn code_of(text: &str) -> String {
    let mut lines = Vec::new();
    let mut source = text.lines();
    while let Some(line) = source.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            match source.next() {
                // An import or a module that only tests have.
                Some(item) if item.trim_end().ends_with(';') => continue,
                Some(item) if item.trim_start().starts_with("use ") => {
                    source.by_ref().find(|line| line.trim_end().ends_with(';'));
                    continue;
                }
                // The tests stand at the end.
                Some(item) if item.starts_with("mod ") => break,
                _ => continue,
            }
        }
        lines.push(line.split("//").next().unwrap_or_default());
    }
    lines.join("\n")
}

/// The names that follow a path's `::`: one, or those at the first level of a group.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let fits = |c: &char| c.is_alphanumeric() || *c == '_';
        text.trim_start().chars().take_while(fits).collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                found.push(name(&group[start..at]));
                start = at + 1;
            }
            '}' => {
                found.push(name(&group[start..at]));
                break;
            }
            _ => {}
        }
    }
    found
}

/// The modules of `folder` that a file of it names: by `crate::folder::`, and by `super::` from `depth` folders below.
fn named_inside(folder: &str, depth: usize, text: &str) -> Vec<String> {
    let code = code_of(text);
    let up = "super::".repeat(depth);
    [up, format!("crate::{folder}::")]
        .iter()
        .flat_map(|path| {
            code.match_indices(path.as_str())
                .filter(|(at, _)| {
                    let before = &code[..*at];
                    !before.ends_with("super::")
                        && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                        && !code[at + path.len()..].starts_with("super::")
                })
                .flat_map(|(at, path)| first_names(&code[at + path.len()..]))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn inside_a_folder_each_module_names_only_those_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (folder, floors) in FLOORS {
        let floor_of = |module: &str| floors.iter().position(|floor| floor.contains(&module));
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        for file in &files {
            let inside = file.strip_prefix(root.join(folder)).expect("below it");
            let parts: Vec<&str> = inside.iter().filter_map(|part| part.to_str()).collect();
            let module = parts[0].trim_end_matches(".rs");
            let text = std::fs::read_to_string(file).expect("a source file");
            let only_in_tests = |module: &str| {
                let face = std::fs::read_to_string(root.join(folder).join("mod.rs"));
                face.expect("mod.rs")
                    .contains(&format!("#[cfg(test)]\nmod {module};"))
            };
            if module == "mod" || only_in_tests(module) || parts.last() == Some(&"tests.rs") {
                continue;
            }
            let Some(floor) = floor_of(module) else {
                wrong.push(format!("{folder}::{module} is on no floor of the table"));
                continue;
            };
            let depth = parts.len() - usize::from(parts.last() == Some(&"mod.rs"));
            for name in named_inside(folder, depth, &text) {
                if name != module && floor_of(&name).is_some_and(|other| other <= floor) {
                    wrong.push(format!("{folder}/{} names {name}", inside.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_module_names_nothing_of_the_folder_that_names_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (folder, may_name) in OF_THE_FACE {
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        for file in &files {
            let inside = file.strip_prefix(root.join(folder)).expect("below it");
            if inside == Path::new("mod.rs") || inside.ends_with("tests.rs") {
                continue;
            }
            let parts = inside.components().count();
            let depth = parts - usize::from(inside.ends_with("mod.rs"));
            let text = std::fs::read_to_string(file).expect("a source file");
            for name in named_inside(folder, depth, &text) {
                let path = root.join(folder).join(&name);
                let is_module = path.is_dir() || path.with_extension("rs").is_file();
                if !name.is_empty() && !is_module && !may_name.contains(&name.as_str()) {
                    wrong.push(format!("{folder}/{} names {name}", inside.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every `crate::name` of a source text, and every name of `crate::{a, b}`, comments and tests left out.
fn named(text: &str) -> Vec<String> {
    let code = code_of(text);
    code.match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .flat_map(|(at, mark)| first_names(&code[at + mark.len()..]))
        .collect()
}

#[test]
fn a_group_of_imports_names_each_of_its_modules() {
    let text = "use crate::{\n    clock,\n    media::{self, Sniffed},\n    store as kept,\n};\n\
                use crate::origin::{Client, url};\n// crate::http\nlet at = crate::clock::now();\n\
                #[cfg(test)]\nmod tests {\n    use crate::{app, cli};\n}\n";
    assert_eq!(
        named(text),
        ["clock", "media", "store", "", "origin", "clock"]
    );
    let inside = "use super::{Kept, retry::Tries};\nuse crate::download::{\n    error::Remedy,\n    speed,\n};\n";
    assert_eq!(
        named_inside("download", 1, inside),
        ["Kept", "retry", "error", "speed", ""]
    );
}

fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_module_names_only_those_it_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed: BTreeMap<&str, &[&str]> = MAY_NAME.into_iter().collect();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&root).expect("below the source folder");
        let first = inside
            .iter()
            .next()
            .and_then(|part| part.to_str())
            .unwrap_or_default();
        let module = first.trim_end_matches(".rs");
        if WIRING.contains(&module) {
            continue;
        }
        let may = GROUND.contains(&module).then_some(&[] as &[&str]);
        let Some(may) = may.or_else(|| allowed.get(module).copied()) else {
            wrong.push(format!("{module} is in no row of the table"));
            continue;
        };
        let text = std::fs::read_to_string(file).expect("a source file");
        for name in named(&text) {
            let is_module = allowed.contains_key(name.as_str()) && name != module;
            if is_module && !may.contains(&name.as_str()) {
                wrong.push(format!("{} names {name}", inside.display()));
            }
        }
    }
    assert!(files.len() > 40, "the sources were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_site_knowledge_does_no_io_and_the_lab_knows_no_service() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crates folder");
    let read = |path: &str| std::fs::read_to_string(crates.join(path)).expect("a manifest");
    let extract = read("kmds-extract/Cargo.toml");
    let needs = extract
        .split("[dev-dependencies]")
        .next()
        .unwrap_or_default();
    for forbidden in ["tokio", "reqwest", "hyper", "rusqlite"] {
        assert!(
            !needs.contains(forbidden),
            "kmds-extract must not depend on {forbidden}"
        );
    }
    assert!(
        !read("kmds-lab/Cargo.toml").contains("kmds-extract")
            && !read("kmds-lab/Cargo.toml").contains("path =")
    );
    let mut files = Vec::new();
    sources(&crates.join("kmds-extract/src"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for forbidden in [
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "SystemTime::now",
            "Instant::now",
        ] {
            assert!(
                !text.contains(forbidden),
                "{} uses {forbidden}",
                file.display()
            );
        }
    }
}
