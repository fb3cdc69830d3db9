//! The environment of yt-dlp and ffmpeg: a way out under our rules, and nothing of our environment.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kmds_lab::Lab;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::harness::{Folder, Kmds, Setup};
use super::tools::{WithYtDlp as _, Wrapper, has_ffmpeg, python, ytdlp};

const LINK: &str = "https://media.elsewhere.example/clip/7";

/// A yt-dlp that was led to wrong targets: it asks for each target by its way out, and records the answer. A target is
/// `METHOD where`; with `!` before it, it comes without the password.
const ASKS: &str = r#"
import base64, os, socket, sys, urllib.parse
way = urllib.parse.urlsplit(os.environ["https_proxy"])
word = base64.b64encode(f"{way.username}:{way.password}".encode()).decode()
with open(sys.argv[1] + "/answers", "a") as notes:
    for target in open(sys.argv[1] + "/targets").read().splitlines():
        method, where = target.lstrip("!").split(" ", 1)
        head = f"{method} {where} HTTP/1.1\r\nHost: x\r\n"
        if target[0] != "!": head += f"Proxy-Authorization: Basic {word}\r\n"
        with socket.create_connection((way.hostname, way.port)) as s:
            s.sendall((head + "\r\n").encode())
            notes.write(f"{target} -> {s.recv(4096).split(b' ')[1].decode()}\n")
"#;

fn asking(python: &str, targets: &[String]) -> Wrapper {
    let wrapper = Wrapper::doing(&format!("exec '{python}' \"$NOTES/asks.py\" \"$NOTES\""));
    wrapper.leave("asks.py", ASKS);
    wrapper.leave("targets", &targets.join("\n"));
    wrapper
}

fn any_site(lab: &Lab, command: &str) -> Kmds {
    Setup::of(lab)
        .ytdlp(command)
        .set("KMDS_ENGINES__YTDLP__SITES", "any")
        .start()
}

/// Answers every connection, and counts them.
async fn inside() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (port, visits) = (
        listener.local_addr().expect("bound").port(),
        Arc::<AtomicUsize>::default(),
    );
    let counted = Arc::clone(&visits);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ninside")
                .await;
        }
    });
    (port, visits)
}

/// Every way to write an address that is not public, and names that stand for one.
const INSIDE: [&str; 18] = [
    "127.0.0.1",
    "localhost",
    "localhost.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "127.0.0.0x1",
    "017700000001",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "169.254.169.254",
    "192.168.0.1",
    "router",
    "nas.local",
    "metadata.google.internal",
    "0.0.0.0",
];

#[tokio::test]
async fn no_spelling_of_a_private_address_leads_yt_dlp_inside() {
    let Some(python) = python() else { return };
    let (port, visits) = inside().await;
    let lab = Lab::start().await;
    let places = INSIDE
        .iter()
        .flat_map(|host| [port, 443, 80].map(|port| format!("{host}:{port}")));
    let mut targets: Vec<String> = places
        .flat_map(|at| [format!("CONNECT {at}"), format!("GET http://{at}/")])
        .collect();
    targets.extend(
        [
            "GET http://public.example@127.0.0.1/",
            "CONNECT public.example@127.0.0.1:443",
            "GET ftp://127.0.0.1/",
            "GET file://127.0.0.1/etc/passwd",
            "GET /",
            "CONNECT media.elsewhere.example:22",
            "GET http://media.elsewhere.example:8080/",
        ]
        .map(str::to_owned),
    );
    let wrapper = asking(&python, &targets);
    let kmds = any_site(&lab, &wrapper.command());
    let (status, reply) = kmds.fetch(LINK).await;
    assert_eq!((status, &*reply.kind), (400, "unsupported_link"), "{reply}");
    let answers = wrapper.note("answers");
    assert_eq!(answers.lines().count(), targets.len(), "{answers}");
    for line in answers.lines() {
        assert!(
            line.ends_with(" -> 403") || line.ends_with(" -> 400"),
            "{line}"
        );
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0, "{answers}");
    assert!(
        lab.connections().is_empty() && lab.refused().is_empty(),
        "{:?}",
        lab.refused()
    );
}

#[tokio::test]
async fn the_way_out_of_yt_dlp_opens_to_its_own_word_only_and_ends_with_its_run() {
    let Some(python) = python() else { return };
    let lab = Lab::start().await;
    let at = "media.elsewhere.example:443";
    let targets = [
        format!("!CONNECT {at}"),
        format!("CONNECT {at}"),
        "!GET http://media.elsewhere.example/".to_owned(),
    ];
    let wrapper = asking(&python, &targets);
    // Not where other programs of this machine could read it.
    let told = Wrapper::doing(&format!(
        "printf %s \"$https_proxy\" > \"$NOTES/way\"; exec '{}' \"$@\"",
        wrapper.command()
    ));
    let kmds = any_site(&lab, &told.command());
    kmds.fetch(LINK).await;
    let answers = wrapper.note("answers");
    let told_each: Vec<&str> = answers
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(told_each, ["407", "200", "407"], "{answers}");
    assert_eq!(
        lab.connections().len(),
        1,
        "it was let through to the proxy that is set"
    );
    let way = told.note("way");
    let (word, at) = way
        .strip_prefix("http://kmds:")
        .and_then(|rest| rest.split_once('@'))
        .expect("a way out");
    assert!(
        word.len() >= 32 && !told.note("arguments").contains(word),
        "{way}"
    );
    // The reply may be here a moment before the listening socket is closed.
    kmds.until("the way out to end", async || {
        std::net::TcpStream::connect(at).is_err()
    })
    .await;
}

#[tokio::test]
async fn for_a_site_of_ours_yt_dlp_reaches_that_sites_hosts_and_no_other() {
    let Some(python) = python() else { return };
    let lab = Lab::start().await;
    let song = lab.youtube().video("Song").publish();
    lab.inject(
        kmds_lab::Fault::HtmlInstead
            .on_pages()
            .at_path("/youtubei/v1/player"),
    );
    let targets = [
        ("CONNECT www.youtube.com:443", "200"),
        ("CONNECT music.youtube.com:443", "200"),
        ("CONNECT rr1---sn-x.googlevideo.com:443", "200"),
        ("CONNECT RR1---SN-X.GoogleVideo.com:443", "200"),
        ("CONNECT www.youtube.com:80", "403"),
        ("GET http://www.youtube.com/", "403"),
        ("CONNECT media.elsewhere.example:443", "403"),
        ("CONNECT youtube.com.elsewhere.example:443", "403"),
        ("CONNECT evilyoutube.com:443", "403"),
        ("CONNECT api-v2.soundcloud.com:443", "403"),
        ("CONNECT 142.250.74.110:443", "403"),
    ];
    let wrapper = asking(&python, &targets.map(|(target, _)| target.to_owned()));
    let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_ne!(status, 200, "{reply}");
    let wanted: String = targets
        .iter()
        .map(|(target, answer)| format!("{target} -> {answer}\n"))
        .collect();
    assert_eq!(wrapper.note("answers"), wanted);
}

/// Sends each client that asks for a page of another site on to a private address, in the clear.
async fn misleading(lab: &Lab, to: &'static str) -> (String, Arc<parking_lot::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (url, asked) = (
        format!("http://{}", listener.local_addr().expect("bound")),
        Arc::<parking_lot::Mutex<Vec<String>>>::default(),
    );
    let (noted, lab) = (Arc::clone(&asked), lab.proxy_url().replace("http://", ""));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (noted, lab) = (Arc::clone(&noted), lab.clone());
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let size = client.peek(&mut head).await.unwrap_or(0);
                let line = String::from_utf8_lossy(&head[..size])
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                noted.lock().push(line.clone());
                if line.starts_with("GET http://clip.elsewhere.example/") {
                    let _ = client.read(&mut head).await;
                    let answer = format!(
                        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
                    );
                    let _ = client.write_all(answer.as_bytes()).await;
                } else if let Ok(mut onward) = tokio::net::TcpStream::connect(lab).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut onward).await;
                }
            });
        }
    });
    (url, asked)
}

#[tokio::test]
async fn yt_dlp_does_not_follow_a_public_page_into_the_private_network() {
    let Some(ytdlp) = ytdlp() else { return };
    let lab = Lab::start().await;
    for to in [
        "http://169.254.169.254/latest/meta-data/",
        "http://192.168.0.1:8080/admin?reboot=1",
        "http://[::1]/",
    ] {
        let (proxy, asked) = misleading(&lab, to).await;
        // A page over https would do as well; the lab has none of another site.
        let wrapper = Wrapper::doing(&format!(
            "exec '{ytdlp}' -q -J http://clip.elsewhere.example/7"
        ));
        let kmds = Setup::of(&lab)
            .set("KMDS_EGRESS__PROXY", &proxy)
            .ytdlp(&wrapper.command())
            .set("KMDS_ENGINES__YTDLP__SITES", "any")
            .start();
        let (status, reply) = kmds.fetch(LINK).await;
        assert_eq!(
            (status, &*reply.kind),
            (400, "unsupported_link"),
            "{to}: {reply}"
        );
        assert!(
            reply["Reason"]
                .as_str()
                .or(reply["Error"].as_str())
                .is_some(),
            "{reply}"
        );
        let asked = asked.lock().clone();
        assert!(
            !asked.is_empty()
                && asked
                    .iter()
                    .all(|line| line.contains("clip.elsewhere.example")),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn programs_beside_us_get_nothing_of_our_environment() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Song").seconds(5.0).publish();
    let folder = Folder::new();
    let noting = |name: &str, then: &str| {
        let (path, notes) = (folder.path(name), folder.path(&format!("{name}-env")));
        std::fs::write(
            &path,
            format!("#!/bin/sh\nenv >> '{}'\n{then}\n", notes.display()),
        )
        .expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("executable");
        path.display().to_string()
    };
    let kmds = Setup::of(&lab)
        .set("PATH", &std::env::var("PATH").unwrap_or_default())
        .ytdlp(&noting("yt-dlp", "exit 1"))
        .set("KMDS_ENGINES__YTDLP__SITES", "any")
        .set(
            "KMDS_FFMPEG__COMMAND",
            &noting("ffmpeg", "exec ffmpeg \"$@\""),
        )
        .set("CLOUD_SECRET", "hunter2")
        .set("HTTP_PROXY", "http://127.0.0.1:9")
        .set("no_proxy", "*")
        .set("FFREPORT", "file=/dev/null")
        .set("PYTHONPATH", "/nonexistent")
        .start();
    kmds.fetch(LINK).await;
    kmds.download(&song.link()).await;
    let copy = kmds
        .get(&format!(
            "/api/v1/tracks/bandcamp/{}/audio?rendition=flac&wait=60",
            song.id()
        ))
        .await;
    assert_eq!(copy.status(), 200);
    for (name, allowed) in [
        (
            "ffmpeg",
            &[
                "PATH",
                "HOME",
                "TMPDIR",
                "LANG",
                "LD_LIBRARY_PATH",
                "PWD",
                "SHLVL",
                "_",
                "OLDPWD",
            ][..],
        ),
        (
            "yt-dlp",
            &[
                "PATH",
                "HOME",
                "TMPDIR",
                "LANG",
                "PYTHONUTF8",
                "SSL_CERT_FILE",
                "all_proxy",
                "http_proxy",
                "https_proxy",
                "PWD",
                "SHLVL",
                "_",
                "OLDPWD",
            ],
        ),
    ] {
        let env = std::fs::read_to_string(folder.path(&format!("{name}-env"))).expect("it ran");
        for line in env.lines() {
            let given = line.split('=').next().expect("a name");
            assert!(allowed.contains(&given), "{name} is given {line}");
        }
    }
}
