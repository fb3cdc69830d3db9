//! Our answers held against yt-dlp's own solver (`yt-dlp-ejs`), run by node.

use std::path::Path;
use std::process::Command;

use kmds_lab::script::{Dialect, PlayerScript};
use serde_json::Value;

use crate::harness::Folder;
use crate::{Challenges, recorded, solved, write};

/// Loads the solver's two files, and answers as `kmds solve-player` does.
const JUDGE: &str = r#"
const fs = require("fs");
const [script, questions, lib, core] = process.argv.slice(2).map(path => fs.readFileSync(path, "utf8"));
const parts = new Function(lib + ";return lib")();
const solve = new Function("meriyah", "astring", core + ";return jsc")(parts.meriyah, parts.astring);
const asked = JSON.parse(questions);
const requests = ["n", "sig"].map(type => ({ type, challenges: asked[type] }));
const told = {};
solve({ type: "player", player: script, requests, output_preprocessed: false }).responses.forEach((response, index) => {
    if (response.type !== "result") throw response.error;
    told[requests[index].type] = response.data;
});
fs.writeFileSync(1, JSON.stringify(told));
"#;

struct Judge {
    folder: Folder,
}

impl Judge {
    fn find() -> Option<Self> {
        let folder = Folder::new();
        std::fs::write(folder.path("judge.js"), JUDGE).expect("the judge");
        if !Command::new("node")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
        {
            eprintln!("SKIPPED: there is no node, so nothing was held against yt-dlp's solver");
            return None;
        }
        let python = std::env::var("KMDS_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        for part in ["lib", "core"] {
            let print = format!("import yt_dlp_ejs.yt.solver as s; print(s.{part}())");
            let source = Command::new(&python)
                .args(["-c", &print])
                .output()
                .ok()
                .filter(|output| output.status.success());
            let Some(source) = source else {
                eprintln!(
                    "SKIPPED: {python} has no yt-dlp-ejs, so nothing was held against yt-dlp's solver"
                );
                return None;
            };
            std::fs::write(folder.path(part), source.stdout).expect("a part of the solver");
        }
        Some(Self { folder })
    }

    fn says(&self, script: &Path, questions: &Value) -> Value {
        let asked = write(&self.folder, "questions.json", &questions.to_string());
        let output = Command::new("node")
            .arg(self.folder.path("judge.js"))
            .args([
                script,
                &asked,
                &self.folder.path("lib"),
                &self.folder.path("core"),
            ])
            .output()
            .expect("node starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("JSON from node")
    }
}

#[test]
fn two_hundred_challenges_are_answered_as_by_yt_dlp() {
    let Some(judge) = Judge::find() else { return };
    let made_up = PlayerScript {
        dialect: Dialect::Table,
        seed: 77,
    }
    .text();
    for text in recorded().into_iter().chain([made_up]) {
        let script = write(&judge.folder, "base.js", &text);
        let mut challenges = Challenges::made();
        let questions = challenges.take(150, 50);
        let (ours, theirs) = (solved(&script, &questions), judge.says(&script, &questions));
        for kind in ["n", "sig"] {
            assert_eq!(ours[kind], theirs[kind], "seed {}", challenges.seed);
            assert!(
                ours[kind]
                    .as_object()
                    .is_some_and(|answers| answers.len() >= 50)
            );
        }
    }
}
