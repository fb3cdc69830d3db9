//! Logging in and out, as a person does it.

use std::path::PathBuf;

use kmds_lab::Lab;
use serde_json::json;

use crate::browser::Browser;
use crate::harness::Setup;
use crate::{ENTER, FAINT_TEXTS, found};

const SECRET: &str = "a-secret-of-some-length";
const PAGE_IS_LIVE: &str =
    "document.getElementById('pulse') && !document.getElementById('pulse').hidden";

fn guarded(lab: &Lab) -> Setup {
    let setup = Setup::of(lab).set("KMDS_SERVER__NAMES", "music.example");
    let file = setup.folder.path("tokens.toml");
    let text = format!(
        "[[token]]\nname = \"ada\"\nsecret = \"{SECRET}\"\nscopes = [\"listen\", \"fetch\", \"manage\"]\n"
    );
    std::fs::write(&file, text).expect("a file");
    setup.set("KMDS_SERVER__TOKENS_FILE", &file.display().to_string())
}

async fn enter(browser: &Browser, secret: &str) {
    browser.click("#token").await;
    browser.press(secret).await;
    browser.press(ENTER).await;
}

#[tokio::test]
async fn a_person_logs_in_stays_so_after_a_reload_and_logs_out() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Behind a Door").seconds(20.0).publish();
    let kmds = guarded(&lab).start();
    let Some(browser) = Browser::open().await else {
        return;
    };
    browser.look(1280, 800, "light").await;
    browser.go(&kmds.at("/")).await;
    browser
        .until("document.activeElement?.id === 'token'")
        .await;
    let pictures = std::env::var_os("KMDS_SCREENSHOTS").map(PathBuf::from);
    for wrong in [false, true] {
        if wrong {
            enter(&browser, "not-the-right-secret").await;
            browser
                .until("document.querySelector('[role=alert]')")
                .await;
        }
        for (theme, width, height, name) in [
            ("light", 1280, 800, "light"),
            ("dark", 1280, 800, "dark"),
            ("light", 390, 844, "phone-light"),
            ("dark", 390, 844, "phone-dark"),
        ] {
            browser.look(width, height, theme).await;
            let fits = "document.documentElement.scrollWidth <= innerWidth";
            assert!(browser.holds(fits).await, "{name} scrolls sideways");
            assert_eq!(browser.run(FAINT_TEXTS).await, json!([]), "{name}");
            if let Some(folder) = &pictures {
                std::fs::create_dir_all(folder).expect("the folder of KMDS_SCREENSHOTS");
                let name = format!("login-{}{name}.png", if wrong { "wrong-" } else { "" });
                browser.picture(&folder.join(name)).await;
            }
        }
    }
    browser.errors().await;
    browser.look(1280, 800, "light").await;
    enter(&browser, SECRET).await;
    browser.until(PAGE_IS_LIVE).await;
    assert!(
        browser.holds("document.cookie === ''").await,
        "no script reads it"
    );
    browser.go(&kmds.at("/ui/")).await;
    browser.until(PAGE_IS_LIVE).await;
    browser.paste(&song.link()).await;
    browser.until(&found("ready")).await;
    // Players and downloads send no cookie: what a person copies there is signed.
    browser.click("#found-songs .unfold").await;
    browser
        .until("document.querySelector('#found-songs .form')")
        .await;
    let links = browser
        .run("return [document.querySelector('#found-songs .form').row.link(), document.getElementById('as-library').href]")
        .await;
    for link in links.as_array().expect("links") {
        let link = link.as_str().expect("a link");
        let opened = kmds.http.get(link).send().await.expect("an answer");
        assert_eq!(opened.status(), 200, "{link}");
    }
    browser.click("#found-songs .cover").await;
    browser
        .until("document.getElementById('audio').currentTime > 0")
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.click("#stop").await;
    browser.click("#leave button").await;
    browser.until("document.getElementById('token')").await;
    browser.go(&kmds.at("/ui/")).await;
    browser.until("document.getElementById('token')").await;
    browser.close().await;
}

/// The browser keeps the cookie back when another site's page leads here.
#[tokio::test]
async fn a_link_on_another_site_leads_to_the_page_of_who_is_logged_in() {
    let lab = Lab::start().await;
    let kmds = guarded(&lab).start();
    let Some(browser) = Browser::open().await else {
        return;
    };
    browser.go(&kmds.at("/ui/")).await;
    enter(&browser, SECRET).await;
    browser.until(PAGE_IS_LIVE).await;
    let port = kmds.url.rsplit(':').next().expect("a port");
    // The same service under another name is another site, where this browser is not logged in.
    browser
        .go(&format!("http://music.example:{port}/ui/"))
        .await;
    browser.until("document.getElementById('token')").await;
    let link = kmds.at("/ui/?url=https://youtu.be/M4gD1WSo5mA");
    browser.run(&format!("location.href = '{link}'")).await;
    browser.until(PAGE_IS_LIVE).await;
    let url = "document.getElementById('url').value === 'https://youtu.be/M4gD1WSo5mA'";
    browser.until(url).await;
    browser.close().await;
}
