//! The arrows of ARCHITECTURE.md hold: each module names only those it may.

use std::collections::BTreeMap;
use std::path::Path;

/// Small tools that every module may name; they name only each other.
const GROUND: [&str; 3] = ["clock", "hex", "random"];

/// Who may name whom. A module that is missing here fails the test: decide where it stands.
const MAY_NAME: [(&str, &[&str]); 15] = [
    ("cli", &["app", "config", "http", "log", "media", "player"]),
    ("webhook", &["app", "config", "origin"]),
    ("http", &["app", "config", "metrics"]),
    (
        "app",
        &[
            "config", "convert", "download", "engine", "media", "metrics", "origin", "store", "tag",
        ],
    ),
    ("engine", &["config", "origin"]),
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

/// Every `crate::name` of a source text, comments left out.
fn named(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .collect::<Vec<_>>()
        .join("\n");
    code.match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .map(|(at, mark)| {
            code[at + mark.len()..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
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

/// The parts of a mangled name: `4kmds8download` is `kmds`, `download`; `youtube5parse` is `youtube`, `parse`.
fn unmangled(name: &str) -> Vec<String> {
    let (mut parts, mut rest) = (Vec::new(), name);
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (length, behind) = rest.split_at(digits);
        let until_digit = behind
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(behind.len());
        let length = length.parse().unwrap_or(until_digit).min(behind.len());
        parts.push(behind[..length].to_owned());
        rest = &behind[length..];
    }
    parts
}

/// A name that matches nothing costs memory at rest, and no build says so.
#[test]
fn every_name_in_the_linker_script_is_one_of_a_crate_or_a_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file");
    let (script, lock) = (
        read("seldom.ld"),
        read("../../Cargo.lock").replace('-', "_"),
    );
    let is_crate = |name: &str| {
        lock.lines()
            .any(|line| line.starts_with("name = ") && line.contains(name))
    };
    let is_module = |crate_folder: &str, path: &[String]| {
        let at = root
            .join("..")
            .join(crate_folder)
            .join("src")
            .join(path.join("/"));
        at.is_dir() || at.with_extension("rs").is_file()
    };
    let mut names = 0;
    let mut wrong = Vec::new();
    for glob in script.split(['(', ')', ' ', '\n']) {
        let name = match glob
            .strip_prefix(".text.*")
            .and_then(|name| name.strip_suffix('*'))
        {
            Some(symbol) => symbol.trim_end_matches("[0-9]"),
            None => match glob.trim_start_matches("*lib").split_once('*') {
                Some((library, _)) if glob.ends_with(':') || glob.contains("*.rlib:*") => {
                    library.trim_end_matches(".a:").trim_end_matches('-')
                }
                _ => continue,
            },
        };
        names += 1;
        let parts = unmangled(name.split("..").next().unwrap_or_default());
        let known = match parts.split_first() {
            Some((first, path)) if first == "kmds" => is_module("kmds", path),
            Some((first, _)) if is_module("kmds-extract", std::slice::from_ref(first)) => {
                is_module("kmds-extract", &parts)
            }
            // `core` is of no crate that Cargo knows. Inside another's crate nothing is looked at.
            Some((first, _)) => first == "core" || is_crate(first),
            None => false,
        };
        if !known {
            wrong.push(glob);
        }
    }
    assert!(names > 30, "the names are found: {names}");
    assert!(
        wrong.is_empty(),
        "seldom.ld names what is not there: {wrong:?}"
    );
}
