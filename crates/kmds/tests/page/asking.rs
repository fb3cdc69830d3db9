//! What a person can type into the box: several links, words; and the ways into the page from elsewhere.

use std::path::PathBuf;

use kmds_lab::{Fault, Lab};
use serde_json::json;

use crate::browser::Browser;
use crate::harness::{Kmds, Setup};
use crate::{ENTER, found, visit};

/// Puts a text with its line breaks on the page as the browser's own paste does.
async fn paste_lines(browser: &Browser, text: &str) {
    let script = format!(
        "const clipboardData = new DataTransfer(); clipboardData.setData('text', {}); \
         document.getElementById('url').dispatchEvent(new ClipboardEvent('paste', {{ clipboardData, bubbles: true, cancelable: true }}))",
        json!(text)
    );
    browser.run(&script).await;
}

/// Types into the box, in place of what is there.
async fn ask_for(browser: &Browser, text: &str) {
    browser
        .run("document.getElementById('url').focus(); document.getElementById('url').select()")
        .await;
    browser.press(text).await;
    browser.press(ENTER).await;
}

/// Writes what is to be seen, where pictures are asked for.
pub async fn pictures(browser: &Browser, name: &str) {
    let Some(folder) = std::env::var_os("KMDS_SCREENSHOTS").map(PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&folder).expect("the folder of KMDS_SCREENSHOTS");
    for (theme, width, height, device) in [
        ("light", 1280, 800, ""),
        ("dark", 1280, 800, ""),
        ("light", 390, 844, "-phone"),
        ("dark", 390, 844, "-phone"),
    ] {
        browser.look(width, height, theme).await;
        browser.until(&format!("innerWidth === {width}")).await;
        let file = format!("{name}{device}-{theme}.png");
        browser.picture(&folder.join(file)).await;
    }
}

pub async fn fits(browser: &Browser) {
    for (theme, width, height) in [
        ("light", 1280, 800),
        ("dark", 390, 844),
        ("light", 360, 740),
    ] {
        browser.look(width, height, theme).await;
        browser.until(&format!("innerWidth === {width}")).await;
        assert!(
            browser
                .holds("document.documentElement.scrollWidth <= innerWidth")
                .await,
            "{width} scrolls sideways"
        );
        assert_eq!(browser.run(crate::FAINT_TEXTS).await, json!([]), "{width}");
    }
}

#[tokio::test]
async fn several_pasted_lines_are_several_links_and_one_that_fails_can_be_retried() {
    let lab = Lab::start().await;
    let one = lab.youtube().video("One").seconds(5.0).publish();
    let two = lab.bandcamp().track("Two").seconds(5.0).publish();
    let three = lab.youtube().video("Three").seconds(5.0).publish();
    let kmds = Kmds::start(&lab);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    let broken = lab.inject(Fault::Status(500, None).on_pages().of(&three));
    let text = format!(
        "Listen to these:\n{}\n{} !\n{}\n{}\n",
        one.link(),
        two.link(),
        one.link(),
        three.link()
    );
    paste_lines(&browser, &text).await;
    browser
        .until("document.querySelectorAll('#found-songs .song[data-state=ready]').length === 2")
        .await;
    let title = browser
        .run("return document.getElementById('found-title').textContent")
        .await;
    assert_eq!(title, json!("3 links"), "each of them once");
    browser
        .until("document.querySelectorAll('#refused .song').length === 1")
        .await;
    let said = browser
        .run("return document.querySelector('#refused .status').textContent")
        .await;
    assert!(
        said.as_str()
            .is_some_and(|said| said.starts_with("Failed · ") && said.ends_with('.')),
        "{said}"
    );
    fits(&browser).await;
    pictures(&browser, "page-links").await;
    drop(broken);
    lab.clear_faults();
    browser.look(1280, 800, "light").await;
    browser.click("#refused button").await;
    browser
        .until("document.querySelectorAll('#found-songs .song[data-state=ready]').length === 3")
        .await;
    assert!(
        browser
            .holds("!document.querySelector('#refused .song')")
            .await
    );

    // The text that a phone shares with a link is still no part of it.
    paste_lines(&browser, &format!("Listen to One\n{} !", one.link())).await;
    browser
        .until("document.getElementById('found-title').textContent === 'Your song'")
        .await;
    browser.until(&found("ready")).await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn words_find_songs_that_one_press_takes_and_another_site_can_be_searched() {
    let lab = Lab::start().await;
    for title in ["Copper Kettles", "Copper Wire", "Copper and Tin"] {
        lab.youtube()
            .video(title)
            .artist("The Proxies")
            .seconds(20.0)
            .publish();
    }
    lab.soundcloud()
        .track("copper-cloud")
        .seconds(20.0)
        .publish();
    let kmds = Kmds::start(&lab);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    ask_for(&browser, "copper").await;
    browser
        .until("document.querySelectorAll('#hits-list .hit').length === 3")
        .await;
    let first = browser
        .run("const [hit] = document.querySelectorAll('#hits-list .hit'); return [hit.querySelector('.title').textContent, hit.querySelector('.by').textContent, hit.querySelector('.time').textContent]")
        .await;
    assert_eq!(first, json!(["Copper Kettles", "The Proxies", "0:20"]));
    browser
        .until("document.querySelector('#hits-list .hit .cover img')?.naturalWidth > 0")
        .await;
    assert!(kmds.published().is_empty(), "a search downloads nothing");
    fits(&browser).await;
    pictures(&browser, "page-search").await;
    browser.look(1280, 800, "light").await;

    browser
        .click("#hits-list .hit:nth-child(2) .actions button")
        .await;
    browser
        .until("document.querySelector('#hits-list .song:nth-child(2)').dataset.state === 'ready'")
        .await;
    browser.click("#hits-list .hit:nth-child(1) .cover").await;
    browser
        .until("document.getElementById('audio').currentTime > 0")
        .await;
    assert!(
        browser
            .holds("document.querySelectorAll('#hits-list .hit').length === 1")
            .await,
        "the third is not taken"
    );
    // On from the first to the second; the third is no song of ours yet.
    browser.click("#next").await;
    browser
        .until("document.getElementById('now-title').textContent === 'Copper Wire' && document.getElementById('next').disabled")
        .await;

    let select = "const list = document.getElementById('hits-site'); list.value = 'soundcloud'; list.dispatchEvent(new Event('change'))";
    browser.run(select).await;
    browser
        .until("document.querySelectorAll('#hits-list .hit').length === 1 && document.getElementById('hits-sum').textContent.includes('SoundCloud')")
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_result_that_cannot_be_had_says_why_and_can_be_retried() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Second Try").seconds(5.0).publish();
    let kmds = Kmds::start(&lab);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    ask_for(&browser, "no such song").await;
    browser
        .until("document.getElementById('hits-sum').textContent.startsWith('Nothing on YouTube.')")
        .await;
    ask_for(&browser, "second try").await;
    browser
        .until("document.querySelectorAll('#hits-list .hit').length === 1")
        .await;
    let broken = lab.inject(Fault::Status(500, None).on_pages().of(&song));
    browser.click("#hits-list .actions button").await;
    browser
        .until("/^Failed · .+[.]$/.test(document.querySelector('#hits-list .status').textContent)")
        .await;
    drop(broken);
    lab.clear_faults();
    browser.click("#hits-list .actions button").await;
    browser
        .until("document.querySelector('#hits-list .song').dataset.state === 'ready'")
        .await;
    browser.close().await;
}

#[tokio::test]
async fn a_site_that_did_not_answer_is_asked_again_by_one_press() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Again").seconds(5.0).publish();
    let kmds = Kmds::start(&lab);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser.paste("https://example.com/song").await;
    browser
        .until("!document.getElementById('error').hidden")
        .await;
    assert!(
        !browser
            .holds("document.querySelector('#error button')")
            .await,
        "what would be in vain is not offered"
    );
    pictures(&browser, "page-wrong").await;
    browser.look(1280, 800, "light").await;
    let silent = lab.inject(Fault::Status(500, None).on_pages());
    browser.run("document.getElementById('url').select()").await;
    browser.paste(&song.link()).await;
    browser
        .until("document.querySelector('#error button')")
        .await;
    drop(silent);
    lab.clear_faults();
    browser.click("#error button").await;
    browser.until(&found("ready")).await;
    assert!(
        browser
            .holds("document.getElementById('error').hidden")
            .await
    );
    browser.close().await;
}

#[tokio::test]
async fn the_page_can_be_installed_and_its_bookmark_brings_the_link_of_another_page() {
    let lab = Lab::start().await;
    let kmds = Setup::of(&lab)
        .set("KMDS_SERVER__BASE_PATH", "/music")
        .start();
    let Some(browser) = visit(&kmds, "/music/ui/").await else {
        return;
    };
    let manifest = browser.devtools("Page.getAppManifest", json!({})).await;
    assert_eq!(manifest["errors"], json!([]), "{manifest}");
    let hindered = browser
        .devtools("Page.getInstallabilityErrors", json!({}))
        .await;
    assert_eq!(hindered["installabilityErrors"], json!([]), "{hindered}");

    let bookmark = browser
        .run("return document.getElementById('bookmarklet').href")
        .await;
    let bookmark = bookmark.as_str().unwrap_or_default().to_owned();
    let code = bookmark
        .strip_prefix("javascript:void open(")
        .and_then(|code| code.strip_suffix(')'))
        .unwrap_or_else(|| panic!("{bookmark}"))
        .replace("%20", " ")
        .replace("%22", "\"");
    browser.click(".handy summary").await;
    browser.click("#bookmarklet").await;
    browser
        .until("document.getElementById('note').textContent.startsWith('Drag it')")
        .await;
    // The page of another site, whose address has characters that have a meaning in one.
    browser.go(&kmds.at("/healthz?v=a&list=b#c")).await;
    browser.run(&format!("location.href = {code}")).await;
    let link = kmds.at("/healthz?v=a&list=b#c");
    browser
        .until(&format!(
            "document.getElementById('url')?.value === {}",
            json!(link)
        ))
        .await;
    assert!(
        browser.holds("document.activeElement.id === 'get'").await,
        "another page starts nothing by itself"
    );
    browser.close().await;
}
