//! SIGHUP and `POST /api/v1/recipes/reload`.

use crate::harness::{FAST_RECIPES, Setup};
use crate::{hang_up, metrics, reload, stats, writes};

fn dated(date: &str) -> String {
    format!("date = \"{date}\"\n{FAST_RECIPES}")
}

#[tokio::test]
async fn a_file_that_comes_after_the_start_is_found_and_leaves_with_a_reload() {
    let kmds = Setup::new().set("KMDS_RECIPES__FILE", "").start();
    let file = kmds.folder.path(".config/kmds/recipes.toml");
    let (_, before) = reload(&kmds).await;
    assert_eq!(
        (&before["taken"], &before["from"]),
        (&false.into(), &"built in".into()),
        "{before}"
    );
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(&file, dated("2031-05-06")).expect("recipes");
    let (status, reply) = reload(&kmds).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(reply["taken"], true, "{reply}");
    assert_eq!(reply["date"], "2031-05-06", "{reply}");
    assert_eq!(reply["from"], file.display().to_string(), "{reply}");
    assert_eq!(reload(&kmds).await.1["taken"], false, "nothing new");
    std::fs::remove_file(&file).expect("removed");
    let (_, reply) = reload(&kmds).await;
    assert_eq!(
        (&reply["taken"], &reply["date"]),
        (&true.into(), &before["date"]),
        "{reply}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_and_everything_says_why_until_a_good_one_comes() {
    let kmds = Setup::new().recipes(&dated("2031-05-06")).start();
    for (bad, word) in [
        ("date = [", "recipes.file"),
        ("[time]\nconnect = \"soon\"\n", "recipes.file"),
        ("[youtube]\nidentities = []\n", "youtube.identities"),
    ] {
        writes(&kmds, bad);
        let (status, problem) = reload(&kmds).await;
        assert_eq!((status, &problem["kind"]), (400, &"bad_request".into()));
        let sentence = problem["detail"].as_str().expect("a sentence");
        assert!(
            sentence.contains(word) && sentence.ends_with("of 2031-05-06 stay in force"),
            "{problem}"
        );
        let refused = stats(&kmds).await;
        assert_eq!(refused["date"], "2031-05-06", "{refused}");
        assert_eq!(refused["refused"]["reason"], sentence, "{refused}");
        let ready = kmds.get("/readyz").await;
        assert_eq!(ready.status(), 200, "the service can do its work");
        assert!(ready.text().await.expect("a body").contains(word));
    }
    std::fs::remove_file(kmds.folder.path("recipes.toml")).expect("removed");
    let (status, problem) = reload(&kmds).await;
    assert_eq!(status, 400, "a file that is named has to be there");
    assert!(problem["detail"].to_string().contains("recipes.toml"));
    let text = metrics(&kmds).await;
    for row in [
        "kmds_recipes{date=\"2031-05-06\"} 0\n",
        "kmds_recipes_reloads_total{outcome=\"bad_request\"} 4\n",
    ] {
        assert!(text.contains(row), "{row}{text}");
    }
    writes(&kmds, &dated("2031-06-01"));
    assert_eq!(reload(&kmds).await.0, 200);
    assert!(stats(&kmds).await["refused"].is_null());
    let ready = kmds.get("/readyz").await.text().await.expect("a body");
    assert!(!ready.contains("recipes"), "{ready}");
    let text = metrics(&kmds).await;
    assert!(
        text.contains("kmds_recipes{date=\"2031-06-01\"} 1\n") && !text.contains("2031-05-06"),
        "{text}"
    );
}

#[tokio::test]
async fn sighup_reloads_as_the_call_does() {
    let kmds = Setup::new().recipes(&dated("2031-05-06")).start();
    writes(&kmds, &dated("2031-06-01"));
    hang_up(&kmds);
    kmds.until("the new file is in force", async || {
        stats(&kmds).await["date"] == "2031-06-01"
    })
    .await;
    writes(&kmds, "date = [");
    hang_up(&kmds);
    kmds.until("the refusal is told", async || {
        !stats(&kmds).await["refused"].is_null()
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_site_cannot_reload_and_a_parameter_is_refused() {
    let kmds = Setup::new().start();
    let ask = kmds
        .http
        .post(kmds.at("/api/v1/recipes/reload"))
        .header("origin", "https://elsewhere.example");
    assert_eq!(ask.send().await.expect("an answer").status(), 403);
    let ask = kmds
        .http
        .post(kmds.at("/api/v1/recipes/reload?file=/etc/x"));
    assert_eq!(ask.send().await.expect("an answer").status(), 400);
    assert_eq!(kmds.get("/api/v1/recipes/reload").await.status(), 405);
}
