//! `/openapi.json`, held by tools that are not ours against itself and against what the service really answers.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{Kmds, Setup};
use crate::{python, skipped};
use kmds_lab::Lab;

/// A program that `./test` installs beside its python.
fn beside_python(name: &str) -> Option<PathBuf> {
    let found = python()?.parent()?.join(name);
    found.is_file().then_some(found)
}

async fn description(kmds: &Kmds) -> PathBuf {
    let path = kmds.folder.path("openapi.json");
    std::fs::write(
        &path,
        kmds.get("/openapi.json")
            .await
            .bytes()
            .await
            .expect("a body"),
    )
    .expect("a file");
    path
}

#[tokio::test]
async fn a_validator_of_openapi_accepts_the_description() {
    let Some(validator) = beside_python("openapi-spec-validator") else {
        return skipped(
            "validity of /openapi.json",
            "there is no openapi-spec-validator",
        );
    };
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    let out = tokio::process::Command::new(validator)
        .arg(description(&kmds).await)
        .output()
        .await
        .expect("it runs");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "{said}");
}

fn parameters_of(path: &mut serde_json::Value) -> impl Iterator<Item = &mut serde_json::Value> {
    let operations = path
        .as_object_mut()
        .into_iter()
        .flat_map(|operations| operations.values_mut());
    operations
        .filter_map(|operation| operation.get_mut("parameters")?.as_array_mut())
        .flatten()
}

/// Made-up requests, valid and not, for every operation; each answer must be one that is described, and none a 5xx.
#[tokio::test]
async fn no_made_up_request_gets_an_answer_that_is_not_described() {
    let Some(tool) = beside_python("schemathesis") else {
        return skipped("answers against /openapi.json", "there is no schemathesis");
    };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Copper Kettles").publish();
    let kmds = Setup::of(&lab).start();
    kmds.download(&song.link()).await;
    // Requests that find something: the ids and names that there are take the place of made-up ones.
    let text = std::fs::read_to_string(description(&kmds).await).expect("the description");
    let text = text.replace(
        "https://soundcloud.com/klaus-veen/ordinary-days",
        &song.link(),
    );
    let mut described: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let file = format!("bandcamp-{}.mp3", song.id());
    let link = song.link();
    let known = [
        ("site", "bandcamp"),
        ("id", song.id()),
        ("file", &file),
        ("url", &link),
    ];
    for parameter in described["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .flat_map(parameters_of)
    {
        if let Some((_, value)) = known.iter().find(|(name, _)| parameter["name"] == *name) {
            parameter["example"] = (*value).into();
        }
    }
    let document = kmds.folder.path("examples.json");
    std::fs::write(&document, described.to_string()).expect("a file");
    let mut command = tokio::process::Command::new(tool);
    command
        .arg("run")
        .arg(&document)
        .args([
            "--url",
            &kmds.url,
            "--no-color",
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "20",
        ])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance",
        ])
        .args([
            "--checks",
            "response_headers_conformance,response_schema_conformance",
        ])
        // Endless by its nature.
        .args([
            "--exclude-path",
            "/api/v1/events",
            "--request-timeout",
            "20",
            "--seed",
            "1",
        ])
        .current_dir(&kmds.folder.0)
        .env(
            "HYPOTHESIS_STORAGE_DIRECTORY",
            kmds.folder.path("hypothesis"),
        )
        .kill_on_drop(true);
    let out = tokio::time::timeout(Duration::from_secs(180), command.output())
        .await
        .expect("it ends")
        .expect("it runs");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "{said}");
}
