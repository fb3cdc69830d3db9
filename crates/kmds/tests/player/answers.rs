//! Right answers, and the words for what cannot be answered.

use kmds_lab::script::{Dialect, PlayerScript};
use serde_json::json;

use crate::harness::Folder;
use crate::{Challenges, recorded, solve_player, solved, write};

#[test]
fn every_dialect_is_answered_as_the_lab_says() {
    let folder = Folder::new();
    let mut challenges = Challenges::made();
    for dialect in Dialect::ALL {
        for seed in [3, 20_474] {
            let player = PlayerScript { dialect, seed };
            let script = write(&folder, "base.js", &player.text());
            let questions = challenges.take(20, 5);
            let answers = solved(&script, &questions);
            assert_eq!(
                answers["signature_timestamp"],
                player.signature_timestamp(),
                "{dialect:?}"
            );
            for question in questions["n"]
                .as_array()
                .expect("n")
                .iter()
                .filter_map(|n| n.as_str())
            {
                assert_eq!(
                    answers["n"][question],
                    player.n(question),
                    "{dialect:?} {seed}: {question}"
                );
            }
            for question in questions["sig"]
                .as_array()
                .expect("sig")
                .iter()
                .filter_map(|sig| sig.as_str())
            {
                assert_eq!(
                    answers["sig"][question],
                    player.sig(question),
                    "{dialect:?} {seed}: {question}"
                );
            }
        }
    }
}

#[test]
fn the_recorded_script_is_answered_as_its_site_would() {
    let Some(text) = recorded() else { return };
    let folder = Folder::new();
    let script = write(&folder, "base.js", &text);
    // Made with yt-dlp's own solver, for the player of July 2026.
    let right = json!({
        "n": {
            "1nB_ZhfkU1lC2AbI_": "Qp8s9IUyja88wFr",
            "WAt5y_RP0MT_9Yf94": "mCij3e-hL3OIyzt",
            "hWrBbCTULoW29ZdQd": "8YBego-Ek3ZqaMA",
        },
        "sig": {
            "XJp9fD_qttT_X0944AaBKC9lu9D2igvca2HBw5oyIf681H_90S8nFCCECzBqfJ51bxiMD5Vt9M36pE3OI-WnOdSZTIlPnqvQpD":
            "vqnPlITZSdOnW-IO3Ep63M9tV5DMixb15JfqBzCECCFn8S09_H186fIyo5wBH2acvgi2D9ul9CKBaA4490X_Tttq_Df9pJX",
        },
        "signature_timestamp": 20472,
    });
    let keys = |of: &str| {
        right[of]
            .as_object()
            .expect("answers")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        solved(&script, &json!({ "n": keys("n"), "sig": keys("sig") })),
        right
    );
}

#[test]
fn a_prepared_script_is_small_and_answers_the_same() {
    let folder = Folder::new();
    let lab = PlayerScript {
        dialect: Dialect::Table,
        seed: 11,
    }
    .text();
    for text in recorded().into_iter().chain([lab]) {
        let whole = write(&folder, "base.js", &text);
        let output = solve_player(&["--prepare"], &whole, "");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.stdout.len() < 64 << 10,
            "{} bytes",
            output.stdout.len()
        );
        let prepared = write(
            &folder,
            "prepared.js",
            &String::from_utf8(output.stdout).expect("UTF-8"),
        );
        let questions = Challenges::made().take(10, 3);
        assert_eq!(solved(&prepared, &questions), solved(&whole, &questions));
    }
}

#[test]
fn a_call_without_a_challenge_learns_the_timestamp() {
    let folder = Folder::new();
    let player = PlayerScript {
        dialect: Dialect::Plain,
        seed: 5,
    };
    let script = write(&folder, "base.js", &player.text());
    for questions in [json!({}), json!({ "n": [], "sig": [] })] {
        let nothing =
            json!({ "n": {}, "sig": {}, "signature_timestamp": player.signature_timestamp() });
        assert_eq!(solved(&script, &questions), nothing);
    }
}

#[test]
fn a_call_that_cannot_be_answered_gets_one_sentence() {
    let folder = Folder::new();
    let script = write(
        &folder,
        "base.js",
        &PlayerScript {
            dialect: Dialect::Plain,
            seed: 5,
        }
        .text(),
    );
    let missing = folder.path("missing.js");
    for (script, input, words) in [
        (&script, "", "standard input"),
        (&script, "[", "standard input"),
        (&script, r#"{"n": "abc"}"#, "standard input"),
        (&script, r#"{"n": [], "sigs": []}"#, "unknown field `sigs`"),
        (&script, r#"{"n": ["a b"]}"#, "is no challenge"),
        (&script, r#"{"sig": [""]}"#, "is no challenge"),
        (&script, r#"{"n": ["\u0000"]}"#, "is no challenge"),
        (&missing, "{}", "missing.js"),
        (&folder.0, "{}", "name a player script"),
    ] {
        let output = solve_player(&[], script, input);
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{input}: {said}");
        assert!(output.stdout.is_empty(), "{input}");
        assert!(
            said.starts_with("kmds: ") && said.contains(words) && said.lines().count() == 1,
            "{input}: {said}"
        );
    }
}

#[test]
fn the_command_is_not_in_the_short_help() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_kmds"))
        .arg("--help")
        .output()
        .expect("kmds starts");
    assert!(!String::from_utf8_lossy(&help.stdout).contains("solve-player"));
    let usage = std::process::Command::new(env!("CARGO_BIN_EXE_kmds"))
        .arg("solve-player")
        .output()
        .expect("kmds starts");
    assert_eq!(usage.status.code(), Some(2));
}
