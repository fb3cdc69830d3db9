use std::collections::BTreeSet;

use serde_json::Value;

use super::super::routes::routes;
use super::{description, document as made};

fn document() -> Value {
    serde_json::from_str(&description("")).expect("JSON")
}

/// The target of a reference, or the value itself.
fn followed<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value["$ref"].as_str() else {
        return value;
    };
    document
        .pointer(reference.trim_start_matches('#'))
        .expect("it leads somewhere")
}

/// The embedded file is what the types of the replies say.
#[test]
fn the_document_is_made_from_the_types_that_answer() {
    let made = made::document();
    if std::env::var_os("KMDS_BLESS").is_some_and(|value| value == "1") {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        return std::fs::write(file, made).expect("docs/openapi.json");
    }
    let kept = description("");
    let differs = kept
        .lines()
        .zip(made.lines())
        .find(|(kept, made)| kept != made);
    assert!(
        made == kept,
        "{differs:?}; KMDS_BLESS=1 cargo test -p kmds openapi writes docs/openapi.json anew"
    );
}

#[test]
fn a_service_below_a_path_says_so() {
    let document: Value = serde_json::from_str(&description("/music")).expect("JSON");
    assert_eq!(
        document["servers"],
        serde_json::json!([{ "url": "/music" }])
    );
    assert_eq!(document["paths"], self::document()["paths"]);
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let described: BTreeSet<(&str, &str)> = paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .expect("methods")
                .keys()
                .map(|method| (method.as_str(), path.as_str()))
        })
        .collect();
    let served: BTreeSet<(&str, &str)> = routes().listed.into_iter().collect();
    assert_eq!(described, served);
}

#[test]
fn it_is_openapi_3_1_and_every_reference_leads_somewhere() {
    let document = document();
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1")
    );
    let text = document.to_string();
    for reference in text
        .split("\"#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[test]
fn what_a_route_says_of_a_status_beats_what_all_say() {
    let document = document();
    for (path, status, schema) in [
        ("/tunnel", "418", "ClassicUnfinished"),
        ("/tunnel", "500", "ClassicFailed"),
        ("/tunnel", "429", "ClassicError"),
        ("/readyz", "503", "ReadyReply"),
    ] {
        let response = followed(
            &document,
            &document["paths"][path]["get"]["responses"][status],
        );
        let reference = &response["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(
            *reference,
            format!("#/components/schemas/{schema}"),
            "{path} {status}"
        );
    }
}

#[test]
fn each_face_is_described_by_shapes_of_its_own() {
    let document = document();
    for (path, wanted) in [("/fetch", "Songs"), ("/api/v1/fetch", "tracks")] {
        let schema = &document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
            ["schema"];
        let schema = followed(&document, schema);
        // The first of several answers.
        let schema = schema["oneOf"].get(0).unwrap_or(schema);
        let properties = &followed(&document, schema)["properties"];
        assert!(properties.get(wanted).is_some(), "{path}: {properties}");
    }
}

#[test]
fn every_route_says_how_it_refuses() {
    let document = document();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let responses = operation["responses"].as_object().expect("responses");
            let wanted = if path.starts_with("/api/v1/") {
                "application/problem+json"
            } else {
                "application/json"
            };
            for status in ["400", "401", "403", "404", "405"] {
                let response = followed(&document, &responses[status]);
                assert!(
                    response["content"].get(wanted).is_some(),
                    "{method} {path} {status}"
                );
            }
        }
    }
}
