//! What pages of other sites can start in a browser, with every kind of request that a page can cause.

use kmds_lab::Lab;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::browser::Browser;
use crate::found;
use crate::harness::{Kmds, Setup};

/// Serves this page to every client; its port.
async fn serve(html: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n{html}", html.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

/// Requests of this path that were refused, and that were not.
fn answered(kmds: &Kmds, path: &str) -> (usize, usize) {
    let log = kmds.log();
    let of_path = log
        .lines()
        .filter(|line| line.contains("answered") && line.contains(&format!("path={path} ")));
    let (refused, served): (Vec<&str>, Vec<&str>) =
        of_path.partition(|line| line.contains("status=403"));
    (refused.len(), served.len())
}

#[tokio::test]
async fn a_page_of_another_site_starts_nothing_and_our_own_page_works() {
    let lab = Lab::start().await;
    let [evil, here] =
        ["Evil", "Here"].map(|title| lab.bandcamp().track(title).seconds(5.0).publish());
    let kmds = Setup::of(&lab)
        .set("KMDS_SERVER__NAMES", "kmds.lan")
        .start();
    let Some(browser) = Browser::open().await else {
        return;
    };
    kmds.download(&here.link()).await;
    lab.forget_requests();
    let port = kmds.url.rsplit(':').next().expect("a port");
    let link: String = url::form_urlencoded::byte_serialize(evil.link().as_bytes()).collect();
    let track = format!("api/v1/tracks/bandcamp/{}", here.id());
    // On a plain-http name the browser sends no `Sec-Fetch-Site`.
    let mut asked = Vec::new();
    for at in [
        format!("http://127.0.0.1:{port}"),
        format!("http://kmds.lan:{port}"),
    ] {
        asked.push(format!(
            "<img src='{at}/fetch?url={link}'><audio autoplay src='{at}/play?url={link}'></audio>\
             <iframe src='{at}/play?url={link}'></iframe><script src='{at}/fetch?url={link}'></script>\
             <img src='{at}/{track}/cover'><img src='{at}/{track}/audio?rendition=flac'>\
             <form target=frame method=post enctype='text/plain' action='{at}/fetch'>\
             <input name='{{\"URL\":\"{}\",\"x\":\"' value='\"}}'></form>\
             <script>fetch('{at}/fetch?url={link}', {{mode: 'no-cors'}})</script>",
            evil.link()
        ));
    }
    let forms = "<iframe name=frame></iframe><script>for (const form of document.forms) form.submit()</script>";
    let page = serve(format!("<!DOCTYPE html>{}{forms}", asked.concat())).await;
    browser.go(&format!("http://evil.example:{page}/")).await;
    kmds.until("all of it was refused", async || {
        let audio = answered(&kmds, &format!("/{track}/audio"));
        answered(&kmds, "/fetch").0 >= 7
            && answered(&kmds, "/play").0 >= 4
            && audio.0 >= 2
            && answered(&kmds, &format!("/{track}/cover")).0 >= 2
    })
    .await;
    let log = kmds.whole_log().await;
    assert_eq!(answered(&kmds, "/play").1, 0, "{log}");
    assert_eq!(answered(&kmds, "/fetch").1, 1, "our own: {log}");
    assert_eq!(lab.requests().len(), 0, "no site was asked");
    // Typed, and by our own page, it is served.
    browser.go(&format!("http://kmds.lan:{port}/ui/")).await;
    browser
        .until("!document.getElementById('pulse').hidden")
        .await;
    browser.paste(&evil.link()).await;
    browser.until(&found("ready")).await;
    browser
        .until("document.querySelector('#found-songs .cover img')?.naturalWidth > 0")
        .await;
    browser
        .go(&format!("http://kmds.lan:{port}/fetch?url={link}"))
        .await;
    assert!(
        browser
            .holds("document.body.innerText.includes('\"Status\":200')")
            .await
    );
    browser.close().await;
}
