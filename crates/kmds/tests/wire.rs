//! For any bytes at the listening socket there is an answer that is HTTP, or a closed connection; never a panic, never
//! silence for ever, and the next client is served.

mod harness;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use harness::Setup;
use kmds_lab::Lab;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A client that has said all it will say gets its end within this: the longest `/fetch` is bounded by its own time.
const SILENCE: Duration = Duration::from_secs(30);

/// A client that may have more to say says after this that it has not: so long handlers may think.
const MORE_WITHIN: Duration = Duration::from_millis(100);

const HEALTHY: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Requests that mean something, to be spoilt.
const REQUESTS: [&str; 12] = [
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: text/html\r\n\r\n",
    "GET /fetch?url=https%3A%2F%2Fyoutu.be%2FM4gD1WSo5mA&accept=m4a,opus&playlist=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "POST /fetch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 39\r\n\r\n{\"URL\": \"https://youtu.be/M4gD1WSo5mA\"}",
    "POST /fetch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n27\r\n{\"URL\": \"https://youtu.be/M4gD1WSo5mA\"}\r\n0\r\n\r\n",
    "POST /api/v1/fetch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 55\r\nExpect: 100-continue\r\n\r\n{\"url\":\"https://a.bandcamp.com/track/b\",\"prefetch\":2   }",
    "GET /tunnel?file=youtube-M4gD1WSo5mA.m4a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nRange: bytes=0-99,200-\r\nIf-Range: \"a\"\r\n\r\n",
    "HEAD /tunnel?file=%22..%2F&stream=1&wait=0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nPrefer: wait=0\r\nIf-None-Match: *\r\n\r\n",
    "GET /api/v1/tracks?state=ready&limit=5&cursor=9&q=%F0%9F%8E%B5 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "DELETE /api/v1/tracks/youtube/M4gD1WSo5mA HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: http://localhost\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: abc\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: close, upgrade, http2-settings\r\n\r\n",
    "GET http://localhost/play?url=https://soundcloud.com/a/b&archive=zip HTTP/1.0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
];

/// What breaks parsers.
const SPOILS: [&[u8]; 20] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"%",
    b"%00",
    b"\xff\xfe",
    b"../",
    b"\"",
    b"{",
    b"HTTP/2.0",
    b"\r\nContent-Length: 18446744073709551616",
    b"\r\nContent-Length: -1",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nRange: bytes=18446744073709551615-,-0,9-1",
    b"\r\nHost: a@b:99999",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

#[derive(Debug, Clone)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, usize),
    Cut(prop::sample::Index, usize),
    /// These bytes once more, so often.
    Repeat(prop::sample::Index, usize, usize),
    End(prop::sample::Index),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Flip(at, byte)),
        (any::<prop::sample::Index>(), 0..SPOILS.len())
            .prop_map(|(at, spoil)| Harm::Insert(at, spoil)),
        (any::<prop::sample::Index>(), 1..20_usize).prop_map(|(at, many)| Harm::Cut(at, many)),
        (any::<prop::sample::Index>(), 1..40_usize, 1..2_000_usize)
            .prop_map(|(at, many, times)| Harm::Repeat(at, many, times)),
        any::<prop::sample::Index>().prop_map(Harm::End),
    ]
}

fn spoilt(request: &str, harms: &[Harm]) -> Vec<u8> {
    let mut bytes = request.as_bytes().to_vec();
    for harm in harms
        .iter()
        .filter(|_| !bytes.is_empty())
        .cloned()
        .collect::<Vec<_>>()
    {
        if bytes.is_empty() {
            break;
        }
        let upto = |at: usize, many: usize| (at + many).min(bytes.len());
        match harm {
            Harm::Flip(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            Harm::Insert(at, spoil) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, SPOILS[spoil].iter().copied());
            }
            Harm::Cut(at, many) => {
                let at = at.index(bytes.len());
                bytes.drain(at..upto(at, many));
            }
            Harm::Repeat(at, many, times) => {
                let at = at.index(bytes.len());
                let again = bytes[at..upto(at, many)].repeat(times);
                bytes.splice(at..at, again);
            }
            Harm::End(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
    bytes
}

/// Bytes on the wire, and where they are cut into packets.
fn arriving() -> impl Strategy<Value = (Bytes, Vec<prop::sample::Index>)> {
    let requests = (
        prop::sample::select(&REQUESTS[..]),
        prop::collection::vec(harm(), 0..6),
    );
    let bytes = prop_oneof![
        9 => requests.prop_map(|(request, harms)| spoilt(request, &harms)),
        1 => prop::collection::vec(any::<u8>(), 0..3_000),
    ];
    (
        bytes.prop_map(Bytes),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    )
}

/// Readable in a report.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Sends everything, cut into packets, and reads to the end.
fn exchange(
    address: &str,
    bytes: &[u8],
    cuts: &[prop::sample::Index],
) -> Result<Vec<u8>, std::io::Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    for pair in places.windows(2) {
        // The service may have had enough in the middle.
        if stream.write_all(&bytes[pair[0]..pair[1]]).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(MORE_WITHIN))?;
    if is_silence(&stream.read_to_end(&mut answer)) {
        // The rest of a request is waited for: no more will come.
        let _ = stream.shutdown(Shutdown::Write);
        stream.set_read_timeout(Some(SILENCE))?;
        let last = stream.read_to_end(&mut answer);
        if is_silence(&last) {
            last?;
        }
    }
    Ok(answer)
}

/// A reset is an end as well.
fn is_silence(read: &std::io::Result<usize>) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    read.as_ref()
        .is_err_and(|error| matches!(error.kind(), WouldBlock | TimedOut))
}

/// Nothing, or a head as RFC 9112 has it, with a status that is not our fault.
fn is_http(answer: &[u8]) -> bool {
    if answer.is_empty() {
        return true;
    }
    let head = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|end| &answer[..end]);
    let Some(Ok(head)) = head.map(std::str::from_utf8) else {
        return false;
    };
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|line| line.get(2..5));
    let status: Option<u16> = status.and_then(|text| text.parse().ok());
    status.is_some_and(|status| (100..600).contains(&status) && status != 500)
        && lines.all(|line| {
            line.contains(':')
                && !line.contains(|letter: char| letter.is_control() && letter != '\t')
        })
}

#[test]
fn any_bytes_get_an_answer_or_an_end_and_the_next_client_is_served() {
    let lab = Lab::begin(None).expect("a lab");
    let kmds = Setup::of(&lab).start();
    let address = kmds.url.trim_start_matches("http://").to_owned();
    let mut runner = TestRunner::new(Config {
        cases: 600,
        failure_persistence: None,
        ..Config::default()
    });
    let done = runner.run(&arriving(), |(bytes, cuts)| {
        let answer = exchange(&address, &bytes.0, &cuts);
        prop_assert!(answer.is_ok(), "silence: {answer:?}");
        let answer = answer.unwrap_or_default();
        prop_assert!(is_http(&answer), "{}", String::from_utf8_lossy(&answer));
        let next = exchange(&address, HEALTHY.as_bytes(), &[]).unwrap_or_default();
        prop_assert!(
            next.starts_with(b"HTTP/1.1 200 "),
            "{}",
            String::from_utf8_lossy(&next)
        );
        Ok(())
    });
    assert!(!kmds.log().contains("panicked"), "{}", kmds.log());
    if let Err(error) = done {
        panic!("{error}");
    }
}
