//! The documents say what the code does: these tests compare every list and table that the code can produce.
//!
//! After a change of settings, `KMDS_BLESS=1 cargo test -p kmds --test docs` writes `kmds.example.toml` and the table
//! of `docs/settings.md` again.

use std::path::{Path, PathBuf};

use kmds::config::{SETTINGS, Setting, example};
use kmds::metrics::{Asked, Cluster, Lane, Metrics, NodeSite, Snapshot};
use kmds_extract::{Kind, Site};

/// The table of `docs/settings.md` is between these texts.
const TABLE_BEGINS: &str = "| setting | kind | default | |\n| --- | --- | --- | --- |\n";
const TABLE_ENDS: &str = "\n\n";
/// How many lines of 120 columns a new reader can read in ten minutes.
const ARCHITECTURE_LINES: usize = 235;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn is_blessed() -> bool {
    std::env::var_os("KMDS_BLESS").is_some_and(|value| value == "1")
}

fn write(path: &str, text: &str) {
    std::fs::write(root().join(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// The documents that people read.
fn documents() -> Vec<PathBuf> {
    let inside = |folder: PathBuf| {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    inside(root())
        .chain(inside(root().join("docs")))
        .filter(|path| path.extension().is_some_and(|ext| ext == "md"))
        .collect()
}

/// The name of a kind of value in the table.
fn kind(setting: &Setting) -> String {
    let shape = format!("{:?}", setting.shape);
    let (name, words) = shape.split_once('(').unwrap_or((&shape, ""));
    match name {
        "Listen" => "address:port".to_owned(),
        "Url" | "PublicUrl" => "URL".to_owned(),
        "Path" | "TheirPath" => "path".to_owned(),
        "BasePath" => "path of a URL".to_owned(),
        "Arguments" => "list".to_owned(),
        "Names" => "list of names".to_owned(),
        "Networks" => "list of networks".to_owned(),
        "Address" => "IP address".to_owned(),
        "Bool" => "true/false".to_owned(),
        "Bytes" => "size".to_owned(),
        "Seconds" => "time".to_owned(),
        "Words" => "list of words".to_owned(),
        "Word" => {
            let words: Vec<String> = words
                .split('"')
                .skip(1)
                .step_by(2)
                .map(|word| format!("`{word}`"))
                .collect();
            format!("word: {}", words.join(", "))
        }
        other => other.to_ascii_lowercase(),
    }
}

fn table() -> String {
    let row = |setting: &Setting| {
        let per_site = if setting.per_site { " ¹" } else { "" };
        let default = if setting.default.is_empty() {
            "none".to_owned()
        } else {
            format!("`{}`", setting.default)
        };
        format!(
            "| `{}`{per_site} | {} | {default} | {} |",
            setting.key,
            kind(setting),
            setting.says
        )
    };
    SETTINGS.iter().map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_table_of_settings_is_the_one_in_the_code() {
    let text = read("docs/settings.md");
    let begins = text.find(TABLE_BEGINS).expect("the table's head") + TABLE_BEGINS.len();
    let ends = begins
        + text[begins..]
            .find(TABLE_ENDS)
            .expect("an empty line behind the table");
    if is_blessed() {
        return write(
            "docs/settings.md",
            &format!("{}{}{}", &text[..begins], table(), &text[ends..]),
        );
    }
    assert_eq!(&text[begins..ends], table(), "KMDS_BLESS=1 writes it anew");
}

#[test]
fn the_example_file_is_what_the_command_prints() {
    if is_blessed() {
        return write("kmds.example.toml", &example());
    }
    assert_eq!(
        read("kmds.example.toml"),
        example(),
        "KMDS_BLESS=1 writes it anew"
    );
}

#[test]
fn every_kind_of_failure_is_explained() {
    let text = read("docs/api.md");
    let missing: Vec<&str> = Kind::ALL
        .iter()
        .map(|kind| kind.as_str())
        .filter(|word| !text.contains(&format!("`{word}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/api.md does not explain {missing:?}"
    );
}

#[test]
fn every_metric_is_in_the_table() {
    let text = read("docs/operation.md");
    let metrics = Metrics::new();
    // A family without a value is not written.
    metrics.job_done(Site::YouTube, None);
    metrics.received(Site::YouTube, 1);
    metrics.answered("/", 200);
    metrics.answered_token("bot", 200);
    metrics.webhook("delivered");
    metrics.recipes_reloaded("taken");
    let now = Snapshot {
        songs: [("ready".to_owned(), 1)].into(),
        lanes: vec![Lane {
            site: Site::YouTube,
            waiting: 1,
            running: 1,
            paused_seconds: 1,
        }],
        native_first: vec![(Site::YouTube, true)],
        open: vec![(Site::YouTube, true)],
        asked: vec![Asked {
            site: Site::YouTube,
            pages: 1,
            media: 1,
            covers: 1,
            retries: 1,
            page_bytes: 1,
        }],
        cluster: Some(Cluster {
            connected: true,
            nodes: 1,
            sites: vec![NodeSite {
                node: "node-1".to_owned(),
                site: "youtube".to_owned(),
                free: 1,
                limited_seconds: 0,
            }],
        }),
        player_script: Some(("c9168c90".to_owned(), true)),
        recipes: Some(("2026-12-01".to_owned(), true)),
        ..Snapshot::default()
    };
    let metrics = metrics.text(&now);
    let types = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let missing: Vec<&str> = types
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !text.contains(&format!("`{name}")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/operation.md does not explain {missing:?}"
    );
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a readable document");
        let folder = document.parent().expect("a folder");
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            assert!(
                folder.join(path).exists(),
                "{}: nothing at {target}",
                document.display()
            );
        }
    }
}

#[test]
fn the_architecture_is_read_in_ten_minutes() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(
        lines <= ARCHITECTURE_LINES,
        "ARCHITECTURE.md has {lines} lines"
    );
}

/// Every source file that may cite a document, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join("crates")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
        {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|ext| ext == "rs")
                && !entry.ends_with("tests/docs.rs")
            {
                let text = std::fs::read_to_string(&entry).expect("a readable source");
                sources.push((entry, text));
            }
        }
    }
    assert!(sources.len() > 100, "the sources were not found");
    sources
}

/// Whether `document` has a heading that contains `words`, code marks aside.
fn has_heading(document: &str, words: &str) -> bool {
    let mut headings = document.lines().filter(|line| line.starts_with('#'));
    headings.any(|line| line.replace('`', "").contains(words))
}

/// A comment cites a document as `docs/api.md, "The door"`.
#[test]
fn every_cited_heading_exists() {
    let mut cited = 0;
    for (source, text) in sources() {
        for (at, _) in text.match_indices(".md, \"") {
            let name_at = text[..at]
                .rfind(|c: char| c.is_whitespace() || c == '(')
                .map_or(0, |at| at + 1);
            let name = format!("{}.md", &text[name_at..at]);
            let words = text[at + 6..].split('"').next().unwrap_or_default();
            let document = read(&name);
            assert!(
                has_heading(&document, words),
                "{}: {name} has no heading {words:?}",
                source.display()
            );
            cited += 1;
        }
        for lost in ["design.md", "(design ", "`api.md`"] {
            assert!(
                !text.contains(lost),
                "{}: cites {lost:?}, which is not in the repository",
                source.display()
            );
        }
    }
    assert!(
        cited > 10,
        "only {cited} citations were found; has their form changed?"
    );
}

/// A comment in a site's folder cites that site's field notes as `(field notes, 2.4 and 4)`.
#[test]
fn every_cited_section_of_the_field_notes_exists() {
    let mut cited = 0;
    for (source, text) in sources() {
        // The folder that the repository lies in may be named after a site too.
        let path = source
            .to_string_lossy()
            .rsplit("crates/")
            .next()
            .unwrap_or_default()
            .to_owned();
        let Some(site) = ["youtube", "soundcloud", "bandcamp"]
            .into_iter()
            .find(|site| path.contains(site))
        else {
            continue;
        };
        let notes = read(&format!("docs/field-notes/{site}.md"));
        for rest in text.split("(field notes, ").skip(1) {
            let list = rest.split(')').next().unwrap_or_default();
            for section in list
                .split([' ', ','])
                .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            {
                let found = ["## ", "### "]
                    .iter()
                    .any(|mark| notes.contains(&format!("\n{mark}{section}.")))
                    || notes.contains(&format!("\n### {section} "));
                assert!(found, "{path}: the field notes have no section {section}");
                cited += 1;
            }
        }
    }
    assert!(
        cited > 20,
        "only {cited} citations were found; has their form changed?"
    );
}

/// Hosts that the texts for users may name: the sites, and pages that a reader or a machine is sent to. Add only a host
/// that answers.
const HOSTS: [&str; 14] = [
    "nats.io",
    "youtube.com",
    "youtu.be",
    "soundcloud.com",
    "bandcamp.com",
    "ytimg.com",
    "sndcdn.com",
    "bcbits.com",
    "api.ipify.org",
    "rustup.rs",
    "semver.org",
    "keepachangelog.com",
    "github.com",
    "w3.org",
];
/// Names that are reserved for examples and for homes (RFC 2606, 6761, 6762, 8375): no person can own one.
const RESERVED: [&str; 8] = [
    "example",
    "test",
    "invalid",
    "localhost",
    "local",
    "lan",
    "internal",
    "home.arpa",
];
/// A band of the recordings, a placeholder, and the band of the lab in a transcript.
const BANDS: [&str; 4] = ["macbenson", "artist", "mac-layer", "www"];
/// Accounts whose actions the workflows use, and whose repositories the texts name.
const ACCOUNTS: [&str; 4] = ["actions", "docker", "pypa", "rust-lang"];

/// All texts outside the code: documents, workflows, packages, scripts, clients.
fn texts() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root()];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let skipped = ["target", "crates", "fuzz", "node_modules", ".git"];
            if path.is_dir() {
                if !skipped.contains(&&*name) && !name.starts_with("target") {
                    folders.push(path);
                }
            } else if let Ok(text) = std::fs::read_to_string(&path)
                && name != "Cargo.lock"
                && !name.starts_with("LICENSE")
            {
                texts.push((path, text));
            }
        }
    }
    assert!(texts.len() > 50, "the texts were not found");
    texts
}

/// Whether a host exists, or can never exist.
fn is_honest(host: &str) -> bool {
    let below = |name: &str| host == name || host.ends_with(&format!(".{name}"));
    let band = host.strip_suffix(".bandcamp.com");
    !host.contains('.')
        || host.parse::<std::net::IpAddr>().is_ok()
        || ["example.com", "example.org", "example.net"]
            .iter()
            .any(|name| below(name))
        || RESERVED.iter().any(|name| below(name))
        || band.map_or_else(
            || HOSTS.iter().any(|name| below(name)),
            |band| BANDS.contains(&band),
        )
}

/// The word that a text begins with, of letters that a host may have.
fn host_at(text: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let word: String = text.chars().take_while(fits).collect();
    word.trim_end_matches(['.', '-']).to_ascii_lowercase()
}

#[test]
fn no_text_names_a_host_an_address_or_an_account_that_does_not_exist() {
    let mut named = 0;
    for (path, text) in texts() {
        let place = path.display();
        for (_, rest) in text
            .match_indices("://")
            .map(|(at, mark)| (at, &text[at + mark.len()..]))
        {
            // A name and a password may stand before it.
            let authority = rest
                .split(['/', ' ', '`', '\'', '"', '\n'])
                .next()
                .unwrap_or_default();
            let host = host_at(authority.rsplit('@').next().unwrap_or_default());
            assert!(is_honest(&host), "{place}: {host}");
            named += 1;
        }
        // `name@host.tld`, which an `action@v1` and a `unit@instance` are not.
        for (at, _) in text.match_indices('@') {
            let before = text[..at].chars().next_back();
            let host = host_at(&text[at + 1..]);
            let ends_in_letters = host
                .rsplit('.')
                .next()
                .is_some_and(|end| end.chars().all(|c| c.is_ascii_alphabetic()));
            if before.is_some_and(|c| c.is_ascii_alphanumeric())
                && host.contains('.')
                && ends_in_letters
            {
                assert!(is_honest(&host), "{place}: an address at {host}");
            }
        }
        for mark in ["github.com/", "ghcr.io/", "docker.io/", "uses: "] {
            for rest in text.split(mark).skip(1) {
                let account: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                    .collect();
                // A variable, or a file of this repository, stands there else.
                assert!(
                    account.is_empty() || ACCOUNTS.contains(&&*account),
                    "{place}: {mark}{account}"
                );
            }
        }
    }
    assert!(named > 80, "only {named} addresses were found");
    for invented in ["kmds.dev", "some-band.bandcamp.com", "registry.kmds.io"] {
        assert!(!is_honest(invented), "{invented}");
    }
}

#[test]
fn each_way_to_install_is_typed_in_five_lines() {
    let text = read("docs/install.md");
    for way in [
        "The binary",
        "Debian, Ubuntu",
        "Compose",
        "Raspberry Pi",
        "NAS",
        "A tailnet",
        "Behind a proxy",
    ] {
        let section = text.split(&format!("\n## {way}\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("docs/install.md: no {way}"));
        let section = section.split("\n## ").next().unwrap_or_default();
        let blocks: Vec<&str> = section.split("```").skip(1).step_by(2).collect();
        assert!(!blocks.is_empty(), "{way}: nothing to type");
        for block in blocks {
            let lines = block.lines().count() - 1;
            assert!(lines <= 5, "{way}: {lines} lines");
        }
    }
}
