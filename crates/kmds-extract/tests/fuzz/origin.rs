//! A site that answers with the pages of one text, in order.
//!
//! ```text
//! https://youtu.be/M4gD1WSo5mA          the link
//! ==== 200                              a page: its status and headers, then its body
//! {"responseContext": {…}}
//! ==== 302 location: https://…
//! ==== silent                           no answer at all
//! ```
//! What is asked for after the last page is not there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use kmds_extract::Origin;
use kmds_extract::origin::{OriginError, Page, PageRequest, Remembered, RenewGuard};

const NOW_UNIX: u64 = 1_790_000_000;
const MARK: &str = "==== ";

type Answer = Result<Page, OriginError>;

pub struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<PageRequest>>,
    memory: Mutex<BTreeMap<String, String>>,
    paused: Mutex<Duration>,
}

impl Scripted {
    /// The link of a text, and the site that its pages make.
    pub fn read(text: &str) -> (&str, Self) {
        let (link, pages) = text.split_once('\n').unwrap_or((text, ""));
        // The body of a page ends before the line break in front of the next mark.
        let pages = pages
            .strip_prefix(MARK)
            .map(|pages| pages.split("\n==== "))
            .into_iter()
            .flatten();
        let answers = pages.map(|page| answer(link, page)).collect();
        let site = Self {
            answers: Mutex::new(answers),
            asked: Mutex::default(),
            memory: Mutex::default(),
            paused: Mutex::default(),
        };
        (link, site)
    }

    pub fn asked(&self) -> Vec<PageRequest> {
        self.asked.lock().expect("whole").clone()
    }

    pub fn paused(&self) -> Duration {
        *self.paused.lock().expect("whole")
    }
}

fn answer(link: &str, page: &str) -> Answer {
    let (head, body) = page.split_once('\n').unwrap_or((page, ""));
    let (status, headers) = head.split_once(' ').unwrap_or((head, ""));
    if status == "silent" {
        return Err(OriginError::Timeout);
    }
    let headers = headers.split("; ").filter_map(|header| {
        let (name, value) = header.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    let status = status.parse().unwrap_or(200);
    Ok(Page {
        status,
        final_url: link.to_owned(),
        headers: headers.collect(),
        body: body.as_bytes().to_vec(),
    })
}

impl Origin for Scripted {
    async fn send(&self, request: PageRequest) -> Answer {
        let url = request.url.clone();
        self.asked.lock().expect("whole").push(request);
        let next = self.answers.lock().expect("whole").pop_front();
        let gone = Page {
            status: 404,
            final_url: url,
            headers: Vec::new(),
            body: Vec::new(),
        };
        next.unwrap_or(Ok(gone))
    }

    fn recall(&self, key: &str) -> Option<Remembered> {
        let value = self.memory.lock().expect("whole").get(key).cloned()?;
        Some(Remembered {
            value,
            stored_unix: NOW_UNIX,
        })
    }

    fn remember(&self, key: &str, value: &str) {
        let mut memory = self.memory.lock().expect("whole");
        if value.is_empty() {
            memory.remove(key);
        } else {
            memory.insert(key.to_owned(), value.to_owned());
        }
    }

    async fn renewing(&self, _: &str) -> RenewGuard {
        RenewGuard::holding(())
    }

    fn nonce(&self, length: usize) -> String {
        "n".repeat(length)
    }

    fn now_unix(&self) -> u64 {
        NOW_UNIX
    }

    async fn pause(&self, wait: Duration) {
        *self.paused.lock().expect("whole") += wait;
    }
}
