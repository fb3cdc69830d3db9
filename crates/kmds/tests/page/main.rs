//! The page at `/ui/`, in a real browser, with the real service and the lab behind it.
//!
//! With `KMDS_SCREENSHOTS=FOLDER` the pictures of `docs/` are written there.

#[path = "../harness/mod.rs"]
mod harness;

mod another_site;
mod asking;
mod browser;
mod forms;
mod login;

use std::path::PathBuf;

use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, kib};
use serde_json::json;

use self::browser::Browser;
use self::harness::{FAST_RECIPES, Kmds, Setup};

const ENTER: &str = "\u{E007}";
const TAB: &str = "\u{E004}";
/// A title that would change the page if it were read as markup.
const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\"> & <b>bold</b>";

/// A service that waits for a site whose bytes are held back, instead of giving it up.
fn patient(lab: &Lab) -> Setup {
    Setup::of(lab).recipes(&FAST_RECIPES.replace("audio_stall = 1.0", "audio_stall = 60.0"))
}

/// The page, loaded and live; `None` without a browser.
async fn visit(kmds: &Kmds, path: &str) -> Option<Browser> {
    let browser = Browser::open().await?;
    browser.look(1280, 800, "light").await;
    browser.go(&kmds.at(path)).await;
    browser.until("!document.getElementById('pulse').hidden && document.getElementById('kept-looking').hidden").await;
    Some(browser)
}

fn found(state: &str) -> String {
    format!("document.querySelector('#found-songs .song[data-state={state}]')")
}

#[tokio::test]
async fn a_pasted_link_shows_its_song_with_cover_and_follows_it_until_it_is_ready() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Copper Kettles")
        .artist("The Proxies")
        .seconds(20.0)
        .publish();
    song.hold_at(kib(64));
    let kmds = patient(&lab).start();
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser.paste(&song.link()).await;
    browser.until(&found("downloading")).await;
    let title = browser
        .run("return document.querySelector('#found-songs .title').textContent")
        .await;
    assert_eq!(title, json!("Copper Kettles"));
    browser
        .until("document.querySelector('#found-songs .cover img')?.naturalWidth > 0")
        .await;
    browser.until("/^\\d+ %|^Downloading/.test(document.querySelector('#found-songs .status').textContent)").await;
    song.release();
    browser.until(&found("ready")).await;
    browser
        .until("document.getElementById('note').textContent === 'Copper Kettles is ready.'")
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_song_plays_while_it_downloads() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Half Here").seconds(60.0).publish();
    song.hold_at(kib(320));
    let kmds = patient(&lab).start();
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser.paste(&song.link()).await;
    browser.until(&found("downloading")).await;
    browser.click("#found-songs .cover").await;
    browser
        .until("document.getElementById('audio').currentTime > 0.2")
        .await;
    assert!(
        browser.holds(&found("downloading")).await,
        "the rest is still held back by the site"
    );
    song.release();
    browser.until(&found("ready")).await;
    browser
        .run("document.getElementById('audio').currentTime = 50")
        .await;
    browser
        .until("document.getElementById('audio').currentTime > 50.1")
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

/// The length of a joined file is not known before its end: the browser may neither wait for it nor look for it.
#[tokio::test]
async fn an_audio_element_plays_a_song_of_unknown_length_while_it_downloads() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("half-here")
        .formats(&[Format::AacHls])
        .seconds(60.0)
        .publish();
    song.hold_at(kib(500));
    let kmds = patient(&lab).start();
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    // A browser plays only for a person who has touched the page.
    browser.press("x").await;
    let script = format!(
        "window.heard = new Audio('/play?url={}'); heard.muted = true; heard.play()",
        song.link()
    );
    browser.run(&script).await;
    browser.until("window.heard.currentTime > 0.2").await;
    assert!(
        lab.media_bytes_sent(song.id()) < song.len(),
        "the rest is still held back by the site"
    );
    song.release();
    browser.run("window.heard.playbackRate = 16").await;
    browser
        .until("window.heard.ended && Math.abs(window.heard.currentTime - 60) < 1")
        .await;
    browser.close().await;
}

#[tokio::test]
async fn texts_of_sites_never_become_markup() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video(HOSTILE)
        .artist("<script>document.title='owned'</script>")
        .seconds(5.0)
        .publish();
    let kmds = Kmds::start(&lab);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser.paste(&song.link()).await;
    browser.until(&found("ready")).await;
    browser.click("#found-songs .cover").await;
    browser
        .until("!document.getElementById('player').hidden")
        .await;
    let title = browser
        .run("return document.querySelector('#found-songs .title').textContent")
        .await;
    assert_eq!(title, json!(HOSTILE));
    let foreign = "document.querySelector('main b b, main [onerror], aside [onerror], main script, .title b')";
    assert!(!browser.holds(foreign).await);
    assert_eq!(browser.run("return document.title").await, json!("KMDS"));
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn everything_can_be_done_with_the_keyboard_alone() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Keys Only").seconds(20.0).publish();
    let kmds = Kmds::start(&lab);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser.press(&song.link()).await;
    browser.press(ENTER).await;
    browser.until(&found("ready")).await;
    tab_to(&browser, "Play Keys Only").await;
    assert!(
        browser
            .holds("getComputedStyle(document.activeElement).outlineStyle !== 'none'")
            .await,
        "focus is seen"
    );
    browser.press(ENTER).await;
    browser
        .until("document.getElementById('audio').currentTime > 0")
        .await;
    tab_to(&browser, "Remove Keys Only").await;
    browser.press(ENTER).await;
    browser.until("!document.querySelector('.song:not(.ghost)') && document.getElementById('player').hidden").await;
    assert!(
        browser
            .holds("document.activeElement !== document.body")
            .await,
        "focus is not lost with the row"
    );
    kmds.until("its file is gone", async || kmds.published().is_empty())
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

/// Moves focus on until it is on what a screen reader calls `name`.
async fn tab_to(browser: &Browser, name: &str) {
    for _ in 0..40 {
        if browser
            .run("return document.activeElement.getAttribute('aria-label')")
            .await
            == json!(name)
        {
            return;
        }
        browser.press(TAB).await;
    }
    panic!("no {name} within 40 steps");
}

#[tokio::test]
async fn a_failure_is_a_sentence_with_the_next_step_and_can_be_tried_again() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Second Chance").seconds(5.0).publish();
    let kmds = Kmds::start(&lab);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser.paste("https://example.com/song").await;
    browser
        .until("!document.getElementById('error').hidden")
        .await;
    let said = browser
        .run("return document.getElementById('error').textContent")
        .await;
    let said = said.as_str().unwrap_or_default();
    assert_eq!(
        said.matches("paste").count(),
        1,
        "the next step is told once: {said}"
    );
    let refused = browser.errors().await;
    assert!(
        refused.iter().all(|line| line.contains("api/v1/fetch")),
        "{refused:?}"
    );

    let silent = lab.inject(kmds_lab::Fault::Status(500, None).on_pages());
    browser
        .run("document.getElementById('url').focus(); document.getElementById('url').select()")
        .await;
    browser.paste(&song.link()).await;
    browser
        .until("document.getElementById('error').textContent.includes('try again')")
        .await;
    let said = browser
        .run("return document.getElementById('error').textContent")
        .await;
    let said = said.as_str().unwrap_or_default().to_lowercase();
    assert_eq!(
        said.matches("try again").count(),
        1,
        "the next step is told once: {said}"
    );
    lab.clear_faults();
    drop(silent);
    browser.errors().await;

    let broken = lab.inject(kmds_lab::Fault::Status(404, None).on_media().of(&song));
    browser
        .run("document.getElementById('url').focus(); document.getElementById('url').select()")
        .await;
    browser.paste(&song.link()).await;
    browser.until(&found("failed")).await;
    assert!(
        browser
            .holds("document.getElementById('error').hidden")
            .await,
        "the old complaint is gone"
    );
    lab.clear_faults();
    drop(broken);
    browser
        .click("#found-songs .actions button:first-child")
        .await;
    browser.until(&found("ready")).await;
    browser.close().await;
}

#[tokio::test]
async fn the_list_has_its_place_before_it_arrives_and_an_empty_one_no_search() {
    let kmds = Kmds::start(&Lab::start().await);
    let Some(browser) = Browser::open().await else {
        return;
    };
    // The answer waits in the browser until it is told to go on.
    browser
        .devtools(
            "Fetch.enable",
            json!({ "patterns": [{ "urlPattern": "*/api/v1/tracks*" }] }),
        )
        .await;
    browser.go(&kmds.at("/ui/")).await;
    browser
        .until("!document.getElementById('pulse').hidden")
        .await;
    assert!(
        browser
            .holds("document.querySelector('#kept-title').checkVisibility()")
            .await
    );
    assert!(
        browser
            .holds("document.querySelector('#kept-looking .ghost').checkVisibility()")
            .await
    );
    browser.devtools("Fetch.disable", json!({})).await;
    browser
        .until("document.getElementById('kept-sum').textContent.startsWith('Nothing yet.')")
        .await;
    assert!(
        !browser
            .holds("document.querySelector('#kept-looking, #search').checkVisibility()")
            .await
    );
    assert!(
        !browser
            .holds("document.getElementById('search').checkVisibility()")
            .await
    );
    kmds.until("the icon is asked for", async || {
        kmds.log().contains("/ui/icon.svg")
    })
    .await;
    let log = kmds.whole_log().await;
    assert_eq!(log.matches("/ui/icon.svg").count(), 1, "{log}");
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_tagged_copy_is_no_second_row() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Once").seconds(4.0).publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    let copy = kmds
        .get(&format!(
            "/api/v1/tracks/bandcamp/{}/audio?tags=true&wait=60",
            song.id()
        ))
        .await;
    assert_eq!(copy.status(), 200);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser
        .until("document.getElementById('kept-sum').textContent === '1 song'")
        .await;
    browser
        .until("document.getElementById('counts').textContent === '1 ready'")
        .await;
    browser.close().await;
}

#[tokio::test]
async fn what_is_in_the_cache_can_be_searched() {
    let lab = Lab::start().await;
    let album = lab
        .bandcamp()
        .album(0)
        .title("Coming of Port")
        .artist("Mac Layer");
    let album = album
        .song("Hello, Checksum", 4.0)
        .song("Divide by One", 4.0)
        .publish();
    let kmds = Kmds::start(&lab);
    let (status, _) = kmds.fetch(&album.link()).await;
    assert_eq!(status, 200);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser
        .until("document.querySelectorAll('#kept-songs .song').length === 2")
        .await;
    browser.run("document.getElementById('q').focus()").await;
    browser.press("checksum").await;
    browser
        .until("document.querySelectorAll('#kept-songs .song').length === 1")
        .await;
    browser
        .until("document.getElementById('kept-sum').textContent === '1 song found'")
        .await;
    browser.press("xyz").await;
    browser
        .until("document.getElementById('kept-sum').textContent.startsWith('No song is like that')")
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_queue_that_a_bot_plays_from_is_a_row_of_the_page() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).seconds(2.0).publish();
    let links: Vec<String> = album.songs().iter().map(kmds_lab::Song::link).collect();
    let kmds = Setup::of(&lab).start();
    let body = json!({"songs": links, "ahead": 2}).to_string();
    let asking = kmds.http.put(kmds.at("/api/v1/queues/guild-1")).body(body);
    let asking = asking.header("content-type", "application/json");
    assert_eq!(asking.send().await.expect("an answer").status(), 200);
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    let cells = "[...document.querySelectorAll('#play-queues tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent).join())";
    browser
        .until(&format!("{cells}.join() === 'guild-1,0 of 3,2 of 2'"))
        .await;
    let ended = kmds.http.delete(kmds.at("/api/v1/queues/guild-1")).send();
    assert_eq!(ended.await.expect("an answer").status(), 204);
    browser
        .until("document.getElementById('play-queues').hidden")
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn without_script_the_form_still_plays_a_song() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("No Script").seconds(5.0).publish();
    let kmds = Kmds::start(&lab);
    let Some(browser) = Browser::open().await else {
        return;
    };
    browser
        .devtools(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": true }),
        )
        .await;
    browser.go(&kmds.at("/ui/")).await;
    browser.click("#url").await;
    browser.press(&song.link()).await;
    browser.click("#get").await;
    kmds.until("the song is fetched", async || {
        kmds.published().iter().any(|path| path.contains(song.id()))
    })
    .await;
    browser.close().await;
}

#[tokio::test]
async fn the_page_works_below_a_base_path_and_waits_for_a_click_on_shared_links() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Shared").seconds(5.0).publish();
    let kmds = Setup::of(&lab)
        .set("KMDS_SERVER__BASE_PATH", "/music")
        .start();
    let link =
        percent_encoding::utf8_percent_encode(&song.link(), percent_encoding::NON_ALPHANUMERIC)
            .to_string();
    let Some(browser) = visit(&kmds, &format!("/music/ui/?url={link}")).await else {
        return;
    };
    assert!(browser.holds("document.activeElement.id === 'get'").await);
    assert_eq!(
        lab.requests().len(),
        0,
        "a link that another page may have written starts nothing by itself"
    );
    browser.press(ENTER).await;
    browser.until(&found("ready")).await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

/// Texts of the page whose contrast to what is behind them is below 4.5 (WCAG 2.2, 1.4.3), disabled ones aside.
const FAINT_TEXTS: &str = r"
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
const light = (rgb) => { const [r, g, b] = rgb.map((part) => (part /= 255) <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
const behind = (node) => { for (; node; node = node.parentElement) { const color = rgba(getComputedStyle(node).backgroundColor); if (color[3] > 250) return color; } return [255, 255, 255]; };
const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest(':disabled, script, noscript, option, .unseen')) continue;
  const [a, b] = [light(rgba(getComputedStyle(node).color).slice(0, 3)), light(behind(node).slice(0, 3))].sort((x, y) => y - x);
  if ((a + .05) / (b + .05) < 4.5) faint.push(`${((a + .05) / (b + .05)).toFixed(2)}: ${walker.currentNode.data.trim()}`);
}
return faint;
";

#[tokio::test]
async fn it_is_readable_and_fits_in_both_themes_on_desktop_and_phone() {
    let lab = Lab::start().await;
    let names = [
        "Hello, Checksum",
        "Home with IPv6",
        "Bedsheets and Buffers",
        "Divide by One",
        "Nagle, Slowly",
    ];
    let album = lab
        .bandcamp()
        .album(0)
        .title("Coming of Port")
        .artist("Mac Layer");
    let album = names
        .into_iter()
        .zip([64.9, 99.9, 71.2, 58.4, 83.0])
        .fold(album, |album, (name, seconds)| album.song(name, seconds));
    let album = album.publish();
    let kmds = patient(&lab).start();
    let done = lab
        .youtube()
        .video("Copper Kettles")
        .artist("The Proxies")
        .seconds(187.3)
        .publish();
    kmds.download(&done.link()).await;
    for (place, song) in album.songs().iter().enumerate().skip(1) {
        song.hold_at(kib(100 * place as u64));
    }
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser.paste(&album.link()).await;
    browser.until(&found("ready")).await;
    browser
        .until("document.querySelectorAll('#found-songs .song[data-state=downloading] progress[value]').length >= 2")
        .await;
    browser
        .click("#found-songs .song:nth-child(2) .cover")
        .await;
    browser
        .until("document.getElementById('audio').currentTime > 1")
        .await;
    let pictures = std::env::var_os("KMDS_SCREENSHOTS").map(PathBuf::from);
    for (theme, width, height, name) in [
        ("light", 1280, 800, "page-light"),
        ("dark", 1280, 800, "page-dark"),
        ("light", 390, 844, "page-phone-light"),
        ("dark", 390, 844, "page-phone-dark"),
        ("light", 360, 740, "page-small-light"),
    ] {
        browser.look(width, height, theme).await;
        browser.until(&format!("innerWidth === {width}")).await;
        assert!(
            browser
                .holds("document.documentElement.scrollWidth <= innerWidth")
                .await,
            "{name} scrolls sideways"
        );
        assert_eq!(browser.run(FAINT_TEXTS).await, json!([]), "{name}");
        if let Some(folder) = &pictures {
            std::fs::create_dir_all(folder).expect("the folder of KMDS_SCREENSHOTS");
            browser.picture(&folder.join(format!("{name}.png"))).await;
        }
    }
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}
