//! A drive that can be made to fail, or to be slow: the service runs with a library preloaded that changes how chosen
//! calls on chosen files end (`shim.c`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::harness::{Folder, Setup};

/// A drive that can be made to fail.
pub struct Drive {
    pub folder: Folder,
    library: &'static Path,
}

impl Drive {
    /// `None`, with a message, if there is no C compiler.
    pub fn make() -> Option<Self> {
        let library = library();
        if library.is_none() {
            eprintln!("SKIPPED: no C compiler; failing drives are not tried");
        }
        Some(Self {
            folder: Folder::new(),
            library: library?,
        })
    }

    fn rules(&self) -> PathBuf {
        self.folder.path("rules")
    }

    /// From now on. A rule: `CALL FROM PART`, see `shim.c`.
    pub fn fails(&self, rules: &str) {
        let new = self.folder.path("rules-new");
        std::fs::write(&new, format!("{rules}\n")).expect("written");
        std::fs::rename(new, self.rules()).expect("in force");
    }

    pub fn is_well(&self) {
        std::fs::remove_file(self.rules()).expect("no rule is left");
    }

    pub fn under(&self, setup: Setup) -> Setup {
        let set = |path: &Path| path.display().to_string();
        setup
            .set("LD_PRELOAD", &set(self.library))
            .set("KMDS_TEST_SICK", &set(&self.rules()))
    }
}

/// Compiled once a process.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("sick-drive-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sick_drive/shim.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&path)
            .arg(source)
            .arg("-ldl");
        let made = compiler.output().ok()?;
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        Some(path)
    };
    LIBRARY.get_or_init(make).as_deref()
}
