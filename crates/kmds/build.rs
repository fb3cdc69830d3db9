//! Compresses the files that the service serves out of its own program (`src/http/embedded.rs`): as they are written
//! they would make the program 140 KB larger.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// What is served, and the files that it is put together from, in this order. Of the page's script, the words come
/// first, and the part that starts the rest comes last.
const FILES: [(&str, &[&str]); 4] = [
    ("openapi.json", &["../../docs/openapi.json"]),
    ("page.html", &["src/http/page/page.html"]),
    ("page.css", &["src/http/page/page.css"]),
    (
        "page.js",
        &[
            "src/http/page/script/words.js",
            "src/http/page/script/ask.js",
            "src/http/page/script/song.js",
            "src/http/page/script/found.js",
            "src/http/page/script/hits.js",
            "src/http/page/script/kept.js",
            "src/http/page/script/library.js",
            "src/http/page/script/live.js",
            "src/http/page/script/player.js",
            "src/http/page/script/stats.js",
            "src/http/page/script/page.js",
        ],
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for (name, parts) in FILES {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
        for part in parts {
            println!("cargo::rerun-if-changed={part}");
            let text =
                std::fs::read(Path::new(part)).map_err(|error| format!("{part}: {error}"))?;
            packed.write_all(&text)?;
        }
        std::fs::write(folder.join(name), packed.finish()?)?;
    }
    Ok(())
}
