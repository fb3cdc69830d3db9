//! One song is one row, with all its forms; and the way of songs into the music library.

use kmds_lab::Lab;
use serde_json::json;

use crate::asking::{fits, pictures};
use crate::browser::Browser;
use crate::harness::Setup;
use crate::{found, patient, visit};

/// A form of the first song of the cache, by its place.
fn form(place: usize) -> String {
    format!("#kept-songs .form:nth-child({place})")
}

/// What the clipboard has, pasted into the search field.
async fn clipboard(browser: &Browser) -> String {
    browser
        .run("const q = document.getElementById('q'); q.value = ''; q.focus()")
        .await;
    let key = json!({ "type": "keyDown", "key": "v", "code": "KeyV", "modifiers": 2, "commands": ["paste"] });
    browser.devtools("Input.dispatchKeyEvent", key).await;
    browser.until("document.getElementById('q').value").await;
    let text = browser.run("const q = document.getElementById('q'); const text = q.value; q.value = ''; return text").await;
    text.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn one_song_is_one_row_with_all_its_forms() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Copper Kettles")
        .artist("The Proxies")
        .seconds(20.0)
        .publish();
    let other = lab.bandcamp().track("Tin Cups").seconds(5.0).publish();
    let kmds = patient(&lab).start();
    kmds.download(&other.link()).await;
    kmds.download(&song.link()).await;
    let track = format!("/api/v1/tracks/youtube/{}", song.id());
    for form in ["/opus?wait=60", "/m4a/audio?tags=true&wait=60"] {
        assert_eq!(
            kmds.get(&format!("{track}{form}")).await.status(),
            200,
            "{form}"
        );
    }
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser
        .until("document.getElementById('kept-sum').textContent === '2 songs'")
        .await;
    let row = "[...document.querySelectorAll('#kept-songs > .song')].find((item) => item.textContent.includes('Copper Kettles'))";
    browser
        .until(&format!(
            "{row}.querySelector('.status').textContent.endsWith('· 3\\u00a0forms')"
        ))
        .await;
    browser
        .run(&format!(
            "document.getElementById('kept-songs').prepend({row})"
        ))
        .await;
    browser.click("#kept-songs .song:first-child .unfold").await;
    browser
        .until("document.querySelectorAll('#kept-songs .form[data-state=ready]').length === 3")
        .await;
    let told = browser
        .run("return [...document.querySelectorAll('#kept-songs .form')].map((form) => [form.querySelector('.what').textContent, form.querySelector('code').textContent])")
        .await;
    let file = |rest: &str| format!("youtube/{}.{rest}", song.id());
    assert_eq!(
        told,
        json!([
            ["M4A as the site has it", file("m4a")],
            ["OPUS as the site has it", file("opus")],
            ["M4A with tags", file("m4a-tagged.r.m4a")],
        ])
    );
    fits(&browser).await;
    pictures(&browser, "page-forms").await;
    browser.look(1280, 800, "light").await;

    browser.click(&format!("{} > .icon", form(2))).await;
    browser
        .until("document.getElementById('audio').currentTime > 0.1 && document.getElementById('audio').src.includes('/opus/audio')")
        .await;
    assert!(
        browser
            .holds(&format!("{row}.classList.contains('current')"))
            .await,
        "the row of the song plays"
    );
    browser
        .click(&format!("{} .actions button:last-child", form(2)))
        .await;
    browser
        .until("document.getElementById('note').textContent === 'The link is copied.'")
        .await;
    let link = clipboard(&browser).await;
    assert_eq!(link, kmds.at(&format!("{track}/opus/audio")));
    assert_eq!(
        kmds.http
            .get(&link)
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
    browser
        .click(&format!("{} .actions button:first-child", form(3)))
        .await;
    browser
        .until("document.getElementById('note').textContent === 'The path is copied.'")
        .await;
    assert_eq!(clipboard(&browser).await, file("m4a-tagged.r.m4a"));

    // A form that a program asks for meanwhile comes into the open row.
    let asked = kmds.get(&format!("{track}/mp3?wait=60")).await;
    assert_eq!(asked.status(), 200);
    browser
        .until("document.querySelectorAll('#kept-songs .form').length === 4 && document.querySelectorAll('#kept-songs > .song').length === 2")
        .await;
    browser.click("#kept-songs .song:first-child .unfold").await;
    browser
        .until("!document.querySelector('#kept-songs .form')")
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn one_press_puts_a_list_or_a_song_into_the_music_library() {
    let lab = Lab::start().await;
    let album = lab
        .bandcamp()
        .album(0)
        .title("Coming of Port")
        .artist("Mac Layer")
        .song("Hello, Checksum", 4.0)
        .song("Divide by One", 4.0)
        .publish();
    let setup = Setup::of(&lab);
    let music = setup.folder.path("music");
    std::fs::create_dir(&music).expect("a folder");
    let kmds = setup
        .set("KMDS_LIBRARY__DIR", &music.display().to_string())
        .start();
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser.paste(&album.link()).await;
    browser.until(&found("ready")).await;
    browser.click("#into-library").await;
    browser
        .until("document.getElementById('note').textContent === '2 songs are in the library: Mac Layer/Coming of Port.'")
        .await;
    assert!(
        music
            .join("Mac Layer/Coming of Port/01 Hello, Checksum.mp3")
            .is_file()
    );
    fits(&browser).await;
    pictures(&browser, "page-library").await;
    browser.look(1280, 800, "light").await;
    browser
        .click("#found-songs .song:first-child button.into")
        .await;
    browser
        .until("document.getElementById('note').textContent.startsWith('“Hello, Checksum” is in the library')")
        .await;

    std::fs::rename(&music, music.with_extension("away")).expect("renamed");
    browser.click("#into-library").await;
    browser
        .until("document.getElementById('error').textContent.includes('library.dir is not there; mount its drive')")
        .await;
    browser.close().await;

    let kmds = Setup::of(&lab).start();
    let Some(browser) = visit(&kmds, "/ui/").await else {
        return;
    };
    browser.paste(&album.link()).await;
    browser.until(&found("ready")).await;
    assert!(
        !browser
            .holds("document.getElementById('into-library').checkVisibility()")
            .await,
        "where there is none, it is not offered"
    );
    browser.close().await;
}
