//! `engines.ytdlp.sites = "any"`: other sites through yt-dlp, behind the same guard.

use kmds_lab::Lab;

use super::harness::replies::Refused;
use super::harness::{Kmds, Setup};
use super::tools::{WithYtDlp as _, Wrapper, work_folders};

/// What yt-dlp would print for a page of another site whose audio lies at `url`.
fn answer(url: &str, page: &str) -> String {
    format!(
        r#"{{"id": "clip-7", "title": "From Elsewhere", "uploader": "Somebody", "duration": 12.5, "ext": "mp3", "acodec": "mp3", "format_id": "0", "protocol": "https", "url": "{url}", "extractor_key": "Elsewhere", "webpage_url": "{page}"}}"#
    )
}

fn start(lab: &Lab, wrapper: &Wrapper) -> Kmds {
    Setup::of(lab)
        .ytdlp(&wrapper.command())
        .set("KMDS_ENGINES__YTDLP__SITES", "any")
        .start()
}

#[tokio::test]
async fn another_sites_song_is_fetched_by_our_own_download() {
    // The lab has no other site: a Bandcamp song's CDN stands for one.
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Elsewhere").seconds(12.5).publish();
    let page = reqwest_page(&lab, &song.link()).await;
    let link = "https://media.elsewhere.example/clip/7";
    let wrapper = Wrapper::doing(&format!("cat <<'END'\n{}\nEND", answer(&page, link)));
    let kmds = start(&lab, &wrapper);
    let (status, reply) = kmds.fetch(link).await;
    assert_eq!(status, 200, "{reply}\n{}", kmds.log());
    let entry = &reply.songs[0];
    assert_eq!(entry.metadata.title, "From Elsewhere");
    assert_eq!(entry.metadata.artist.as_deref(), Some("Somebody"));
    assert_eq!(entry.metadata.seconds, Some(12.5));
    let path = &entry.path;
    let id = path
        .strip_prefix("other/")
        .and_then(|path| path.strip_suffix(".mp3"))
        .expect("a file of another site");
    assert!(
        id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{path}"
    );
    assert_eq!(kmds.whole(entry).await, song.bytes());
    assert!(
        wrapper.note("arguments").contains(&format!("--\n{link}\n")),
        "{}",
        wrapper.note("arguments")
    );
    assert_eq!(wrapper.runs().len(), 1);
    assert!(work_folders(&kmds).is_empty());
}

/// The song's media URL, as its page gives it out.
async fn reqwest_page(lab: &Lab, link: &str) -> String {
    let ca = std::fs::read(lab.ca_file()).expect("a CA");
    let client = reqwest::Client::builder()
        .proxy(reqwest::Proxy::all(lab.proxy_url()).expect("a proxy"))
        .tls_certs_only(reqwest::Certificate::from_pem_bundle(&ca).expect("certificates"))
        .build()
        .expect("a client");
    let page = client
        .get(link)
        .send()
        .await
        .expect("a page")
        .text()
        .await
        .expect("text")
        .replace("&quot;", "\"")
        .replace("&amp;", "&");
    let from = page
        .find("https://t4.bcbits.com/stream/")
        .expect("a media URL");
    page[from..].split('"').next().expect("its end").to_owned()
}

#[tokio::test]
async fn what_another_site_yields_must_be_public_too() {
    for url in [
        "https://127.0.0.1/a.mp3",
        "https://10.1.2.3/a.mp3",
        "https://[fd00::1]/a.mp3",
        "https://nas/a.mp3",
        "https://nas.local/a.mp3",
        "https://media.elsewhere.example:8443/a.mp3",
        "http://media.elsewhere.example/a.mp3",
    ] {
        let lab = Lab::start().await;
        let link = "https://media.elsewhere.example/clip/7";
        let wrapper = Wrapper::doing(&format!("cat <<'END'\n{}\nEND", answer(url, link)));
        let kmds = start(&lab, &wrapper);
        let (status, reply) = kmds.fetch(link).await;
        if status == 200 {
            let tunnel = format!("{}&wait=30", reply.songs[0].tunnel);
            let (status, failure) = kmds.body::<Refused>(&tunnel).await;
            assert_eq!(status, 500, "{url}: {failure}");
        }
        assert!(
            lab.connections().is_empty(),
            "{url}: {:?}",
            lab.connections()
        );
        assert!(lab.refused().is_empty(), "{url}: {:?}", lab.refused());
    }
}

#[tokio::test]
async fn without_a_proxy_a_name_that_leads_inside_never_reaches_yt_dlp() {
    let wrapper = Wrapper::doing("exit 1");
    // Names that do not resolve, or resolve to this machine, here.
    let kmds = Setup::new()
        .ytdlp(&wrapper.command())
        .set("KMDS_ENGINES__YTDLP__SITES", "any")
        .start();
    for link in [
        "https://no-such-host.invalid/x",
        "https://ip6-localhost.invalid/x",
    ] {
        let (status, reply) = kmds.fetch(link).await;
        assert_eq!(
            (status, &*reply.kind),
            (400, "unsupported_link"),
            "{link}: {reply}"
        );
    }
    assert!(wrapper.runs().is_empty(), "{}", wrapper.note("arguments"));
}

#[tokio::test]
async fn other_sites_are_refused_unless_switched_on() {
    let wrapper = Wrapper::doing("exit 1");
    let lab = Lab::start().await;
    let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
    let (status, reply) = kmds.fetch("https://media.elsewhere.example/clip/7").await;
    assert_eq!((status, &*reply.kind), (400, "unsupported_link"));
    assert!(wrapper.runs().is_empty());
}
