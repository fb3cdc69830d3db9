//! New facts about the sites come into force without a restart, and bad ones never do.

#[path = "../harness/mod.rs"]
mod harness;

mod rehearsal;
mod reload;
mod signed;

use harness::{Kmds, PATIENCE};
use serde_json::Value;

/// `POST /api/v1/recipes/reload`: status and body.
pub async fn reload(kmds: &Kmds) -> (u16, Value) {
    let answer = kmds
        .http
        .post(kmds.at("/api/v1/recipes/reload"))
        .timeout(PATIENCE)
        .send()
        .await
        .expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    (status, body)
}

pub fn hang_up(kmds: &Kmds) {
    let pid = i32::try_from(kmds.pid())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("alive");
}

pub fn writes(kmds: &Kmds, recipes: &str) {
    std::fs::write(kmds.folder.path("recipes.toml"), recipes).expect("recipes");
}

/// What `/api/v1/stats` says of the recipes.
pub async fn stats(kmds: &Kmds) -> Value {
    let text = kmds.get("/api/v1/stats").await.text().await;
    let stats: Value = serde_json::from_str(&text.expect("a body")).expect("JSON");
    stats["recipes"].clone()
}

/// What `kmds doctor` says of the recipes beside this service.
pub fn doctor(kmds: &Kmds) -> String {
    let binary = std::env::var_os("KMDS_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_kmds").into());
    let out = std::process::Command::new(binary)
        .arg("doctor")
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| name == "PATH"))
        .env("HOME", &kmds.folder.0)
        .env("KMDS_CACHE__DIR", kmds.folder.path("cache"))
        .env("KMDS_STATE__DIR", kmds.folder.path("state"))
        .env("KMDS_RECIPES__FILE", kmds.folder.path("recipes.toml"))
        .env("KMDS_ENGINES__YTDLP__ENABLED", "false")
        .output()
        .expect("kmds starts");
    let said = String::from_utf8(out.stdout).expect("text");
    let about = said
        .lines()
        .skip_while(|line| !line.contains("  recipes  "))
        .take_while(|line| !line.contains("  clock  "));
    about.collect::<Vec<_>>().join("\n")
}

pub async fn metrics(kmds: &Kmds) -> String {
    kmds.get("/metrics").await.text().await.expect("a body")
}
