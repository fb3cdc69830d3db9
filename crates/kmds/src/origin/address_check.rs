//! The outside address: a page tells it, and KMDS compares it with the networks that the operator forbids.
//!
//! Owns reading the page's answer, and whether its way out is open. It fails closed: no answer, or an answer without an
//! address, closes the way out like a forbidden address. No site is contacted.

use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use url::Url;

use super::resolver::Block;

/// An address is 39 characters at most; some pages tell a country and a provider beside it.
pub(super) const MOST_BYTES: usize = 64 << 10;
/// A closed way out is checked again after this time, or earlier: a route may be back.
const AGAIN: Duration = Duration::from_secs(30);

/// The check of one way out.
pub(super) struct AddressCheck {
    pub(super) url: Url,
    every: Duration,
    /// Set by the first check; every request waits for it.
    pub(super) first: OnceCell<()>,
    /// Why the way out is closed; `None` if the outside address is allowed.
    closed: Mutex<Option<String>>,
}

impl AddressCheck {
    pub(super) fn new(url: Url, every: Duration) -> Self {
        let unknown =
            "the outside address of this service was not checked yet (`egress.check_url`)"
                .to_owned();
        let every = every.max(Duration::from_secs(1));
        Self {
            url,
            every,
            first: OnceCell::new(),
            closed: Mutex::new(Some(unknown)),
        }
    }

    /// Why the way out is closed, by the last check.
    pub(super) fn closed(&self) -> Option<String> {
        self.closed.lock().clone()
    }

    pub(super) fn record(&self, outcome: Result<(), String>) {
        let (before, now) = (self.closed(), outcome.err());
        match &now {
            Some(why) if before.as_ref() != Some(why) => {
                tracing::error!("no site is contacted by this way out: {why}")
            }
            None if before.is_some() && self.first.initialized() => {
                tracing::info!("the way out is open again")
            }
            _ => {}
        }
        *self.closed.lock() = now;
    }

    pub(super) fn pause(&self) -> Duration {
        if self.closed().is_some() {
            self.every.min(AGAIN)
        } else {
            self.every
        }
    }

    /// Scheme and host: the rest of the URL may contain a key.
    pub(super) fn asked(&self) -> String {
        format!(
            "{}://{}",
            self.url.scheme(),
            self.url.host_str().unwrap_or_default()
        )
    }
}

/// Whether the addresses in an answer are all allowed.
/// # Errors
/// A sentence: which is forbidden, or that there is none.
pub(super) fn compare(answer: &str, forbid: &[Block], asked: &str) -> Result<(), String> {
    let seen = addresses(answer);
    if seen.is_empty() {
        return Err(format!(
            "{asked} (`egress.check_url`) did not answer with an address"
        ));
    }
    match seen
        .iter()
        .find(|address| forbid.iter().any(|block| block.contains(**address)))
    {
        Some(address) => Err(format!(
            "it would see this service at {address}, which is forbidden by `egress.forbid`"
        )),
        None => Ok(()),
    }
}

/// The addresses of a text that is nothing else, or of the texts in a JSON document.
fn addresses(answer: &str) -> Vec<IpAddr> {
    let listed = |text: &str| {
        let parts = text
            .split([',', ' ', '\n', '\r', '\t'])
            .filter(|part| !part.is_empty());
        parts
            .map(|part| {
                part.parse()
                    .map(|address: IpAddr| address.to_canonical())
                    .ok()
            })
            .collect::<Option<Vec<_>>>()
    };
    if let Some(plain) = listed(answer) {
        return plain;
    }
    let mut found = Vec::new();
    let mut open: Vec<serde_json::Value> = serde_json::from_str(answer).into_iter().collect();
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::String(text) => found.extend(listed(&text).unwrap_or_default()),
            serde_json::Value::Array(items) => open.extend(items),
            serde_json::Value::Object(fields) => {
                open.extend(fields.into_iter().map(|(_, value)| value))
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_plain_text_and_from_json() {
        let forbid: Vec<Block> = ["198.51.100.0/24", "2001:db8::/32"]
            .iter()
            .map(|block| block.parse().expect("a block"))
            .collect();
        for (answer, good) in [
            ("203.0.113.7\n", true),
            ("198.51.100.9", false),
            (r#"{"ip": "203.0.113.7", "country": "XX"}"#, true),
            (r#"{"ip": "198.51.100.9"}"#, false),
            (r#"{"origin": "203.0.113.7, 198.51.100.9"}"#, false),
            (r#"{"outer": [{"inner": "2001:db8::1"}]}"#, false),
            (r#""203.0.113.7""#, true),
            ("::ffff:198.51.100.9", false),
            ("2001:4860::8888", true),
            ("", false),
            ("{}", false),
            ("[1, 2]", false),
            ("<html>sign in at 203.0.113.7</html>", false),
            ("203.0.113.7 is your address", false),
        ] {
            assert_eq!(
                compare(answer, &forbid, "http://x").is_ok(),
                good,
                "{answer}"
            );
        }
    }

    #[test]
    fn nothing_goes_out_before_the_first_check() {
        let check = AddressCheck::new("http://x/".parse().expect("a URL"), Duration::ZERO);
        assert!(check.closed().is_some());
        check.record(Ok(()));
        assert_eq!(check.closed(), None);
        assert_eq!(
            check.pause(),
            Duration::from_secs(1),
            "never without a pause"
        );
        check.record(Err("no".to_owned()));
        assert_eq!(check.closed().as_deref(), Some("no"));
    }
}
