//! The parameters of a request: its query, and the preferences in its header.
//!
//! Owns how switches, waits and lists of words are read, equally for both faces. Only v1 refuses an unknown parameter
//! ([`Query::only`]).

use std::time::Duration;

use http::header::HeaderMap;
use http::{HeaderName, HeaderValue};
use kmds_extract::choose::Accept;
use serde_json::Value;

use super::error::Refusal;
use crate::app::Holder;

/// Longest time a client may hold a request for a file (docs/api.md, "GET /tunnel").
const LONGEST_WAIT_SECONDS: u64 = 300;
/// Longest time a client may keep a file without asking again (docs/api.md, "Holds").
const LONGEST_HOLD_SECONDS: u64 = 86_400;
/// The time of a hold that names none.
const HOLD: Duration = Duration::from_secs(600);
/// Longest name of a holder, or of a queue.
const HOLDER_BYTES: usize = 64;

pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The query of a request, decoded. Of repeated parameters the first counts.
#[derive(Debug, Clone)]
pub(super) struct Query<'q> {
    raw: &'q str,
}

impl<'q> Query<'q> {
    pub(super) fn of(uri: &'q http::Uri) -> Self {
        Self {
            raw: uri.query().unwrap_or(""),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.raw.as_bytes())
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.into())
    }

    /// As [`get`](Self::get), with a `+` meaning itself: some clients never encode it.
    pub(super) fn get_with_plus(&self, name: &str) -> Option<String> {
        let escaped = self.raw.replace('+', "%2B");
        Query { raw: &escaped }.get(name)
    }

    /// Refuses parameters that are not among `known`: a misspelt one must not be ignored.
    /// # Errors
    /// The first unknown parameter, by its name.
    pub(super) fn only(self, known: &[&str]) -> Result<Self, Refusal> {
        let mut names = url::form_urlencoded::parse(self.raw.as_bytes()).map(|(name, _)| name);
        match names.find(|name| !name.is_empty() && !known.contains(&&**name)) {
            Some(name) => Err(unknown_parameter(&name, known)),
            None => Ok(self),
        }
    }

    /// The link, from `url=LINK`.
    /// # Errors
    /// A second `url=`: it must not be ignored.
    pub(super) fn link(&self) -> Result<Option<String>, Refusal> {
        let mut links =
            url::form_urlencoded::parse(self.raw.as_bytes()).filter(|(name, _)| name == "url");
        let (first, second) = (links.next(), links.next());
        if second.is_some() {
            return Err(Refusal::bad_request(
                "there are two links in this request; send one url= at a time",
            ));
        }
        Ok(first.map(|(_, link)| link.into()))
    }

    /// The parameter, unless it is missing or empty.
    pub(super) fn filled(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A switch: `1`, `true` or nothing after it is on.
    /// # Errors
    /// A word that is neither on nor off.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Refusal> {
        match self
            .get(name)
            .as_deref()
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("1" | "true" | "yes" | "on" | "") => Ok(true),
            None | Some("0" | "false" | "no" | "off") => Ok(false),
            Some(_) => Err(Refusal::bad_request(format!(
                "{name} is a switch; use {name}=1 or {name}=0"
            ))),
        }
    }

    /// What the client can play, as `accept=m4a,opus`.
    /// # Errors
    /// See [`accept`].
    pub(super) fn accept(&self) -> Result<Option<Accept>, Refusal> {
        self.get("accept")
            .map(|words| accept(words.split(',')))
            .transpose()
    }

    /// How long to wait: `wait=0` to `wait=300`.
    /// # Errors
    /// Anything else.
    fn wait(&self) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.get("wait") else {
            return Ok(None);
        };
        let seconds = digits(&text)
            .filter(|seconds| *seconds <= LONGEST_WAIT_SECONDS)
            .ok_or_else(|| {
                Refusal::bad_request(format!(
                    "wait is in whole seconds; use wait=0 to wait={LONGEST_WAIT_SECONDS}"
                ))
            })?;
        Ok(Some(Duration::from_secs(seconds)))
    }
}

/// The refusal of a parameter; a long name is cut.
pub(super) fn unknown_parameter(name: &str, known: &[&str]) -> Refusal {
    const SHOWN: usize = 40;
    let name: String = name.chars().take(SHOWN).collect();
    let known = if known.is_empty() {
        "this call takes none".to_owned()
    } else {
        format!("use {}", known.join(", "))
    };
    Refusal::bad_request(format!("there is no parameter `{name}` here; {known}"))
}

fn digits(text: &str) -> Option<u64> {
    // `parse` alone would take a sign.
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// What a client can play. Unknown words are skipped: a newer client may name newer formats.
/// # Errors
/// When no known word is left.
pub(super) fn accept<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Accept, Refusal> {
    Accept::read(words).ok_or_else(|| {
        Refusal::bad_request(
            "accept names no format that KMDS can send; use some of m4a, mp3, ogg, opus, webm, or discord",
        )
    })
}

/// What a client can play, from a JSON array of words, or from the word for a list; `None` for any other value.
pub(super) fn accept_list(words: &Value) -> Option<Result<Accept, Refusal>> {
    if let Value::String(word) = words {
        return Accept::list_named(word).map(Ok);
    }
    let words: Vec<&str> = words
        .as_array()?
        .iter()
        .map(Value::as_str)
        .collect::<Option<_>>()?;
    Some(accept(words))
}

/// How long a client holds a request, and by which means it said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wait {
    pub(super) time: Duration,
    from_preference: bool,
}

impl Wait {
    #[cfg(test)]
    pub(super) fn of_seconds(seconds: u64) -> Self {
        Self {
            time: Duration::from_secs(seconds),
            from_preference: false,
        }
    }

    /// `wait=` of the query, else the preference of RFC 7240. A preference is never an error: a time that is too long
    /// is cut.
    /// # Errors
    /// A `wait=` that is no number from 0 to 300.
    pub(super) fn asked(query: &Query<'_>, headers: &HeaderMap) -> Result<Self, Refusal> {
        if let Some(time) = query.wait()? {
            return Ok(Self {
                time,
                from_preference: false,
            });
        }
        let preferred = headers
            .get_all(PREFER)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find_map(preferred_wait);
        Ok(preferred.map_or_else(Self::default, |seconds| Self {
            time: Duration::from_secs(seconds.min(LONGEST_WAIT_SECONDS)),
            from_preference: true,
        }))
    }

    /// Tells a client that its preference was followed.
    pub(super) fn acknowledge(self, headers: &mut HeaderMap) {
        if self.from_preference
            && let Ok(value) = HeaderValue::try_from(format!("wait={}", self.time.as_secs()))
        {
            headers.insert(PREFERENCE_APPLIED, value);
        }
    }
}

/// For how long a client wants a file kept from eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) length: Duration,
    pub(super) holder: Holder,
}

impl Hold {
    /// `hold=SECONDS`, with `holder=NAME` beside it; `None` if no hold is asked for.
    /// # Errors
    /// A time that is no number from 1 to a day, or a name that cannot be kept.
    pub(super) fn asked(query: &Query<'_>) -> Result<Option<Self>, Refusal> {
        let holder = holder(query)?;
        let Some(text) = query.get("hold") else {
            return Ok(None);
        };
        let seconds = digits(&text).filter(|seconds| (1..=LONGEST_HOLD_SECONDS).contains(seconds));
        let seconds = seconds.ok_or_else(|| {
            Refusal::bad_request(format!(
                "hold is in whole seconds; use hold=1 to hold={LONGEST_HOLD_SECONDS}, and ask again before it ends"
            ))
        })?;
        let length = Duration::from_secs(seconds);
        Ok(Some(Self { length, holder }))
    }

    /// The same, where the call itself asks for a hold.
    /// # Errors
    /// As there.
    pub(super) fn or_usual(query: &Query<'_>) -> Result<Self, Refusal> {
        let holder = holder(query)?;
        let usual = Self {
            length: HOLD,
            holder,
        };
        Ok(Self::asked(query)?.unwrap_or(usual))
    }
}

/// The holder: the name of `holder=`. Clients without a name share one hold.
/// # Errors
/// A name that is too long, or not of letters, digits, `.`, `_` and `-`.
pub(super) fn holder(query: &Query<'_>) -> Result<Holder, Refusal> {
    let name = query.get("holder").unwrap_or_default();
    if name.is_empty() || is_plain_name(&name) {
        return Ok(Holder::Client(name));
    }
    Err(Refusal::bad_request(format!(
        "holder is a name of at most {HOLDER_BYTES} letters, digits, dots, dashes and underscores"
    )))
}

/// Whether a text may be a name that a client chose.
pub(super) fn is_plain_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=HOLDER_BYTES).contains(&name.len()) && name.bytes().all(is_plain)
}

fn preferred_wait(header: &str) -> Option<u64> {
    header.split(',').find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| digits(value))?
    })
}

#[cfg(test)]
mod tests {
    use kmds_extract::Format;

    use super::*;

    fn wait(query: &str, prefer: &[&'static str]) -> Result<Wait, Refusal> {
        let mut headers = HeaderMap::new();
        for value in prefer {
            headers.append(PREFER, HeaderValue::from_static(value));
        }
        Wait::asked(&Query { raw: query }, &headers)
    }

    /// Parameters and preferences are accepted within their limits, or refused with a sentence.
    #[test]
    fn fuzz_query() {
        kmds_fuzz::target("query", |input| {
            let text = String::from_utf8_lossy(input);
            let (raw, prefer) = text.split_once('\n').unwrap_or((&text, ""));
            let query = Query { raw };
            let mut headers = HeaderMap::new();
            headers.extend(
                HeaderValue::from_str(prefer)
                    .ok()
                    .map(|value| (PREFER, value)),
            );
            match Wait::asked(&query, &headers) {
                Ok(wait) => assert!(
                    wait.time.as_secs() <= LONGEST_WAIT_SECONDS && wait.time.subsec_nanos() == 0
                ),
                Err(refusal) => assert_eq!(refusal.status.as_u16(), 400),
            }
            let accepted = query
                .accept()
                .map(|accept| accept.is_none_or(|accept| !accept.formats().is_empty()));
            assert!(accepted.unwrap_or(true));
            let _ = (query.switch("stream"), query.filled("state"));
            assert!(raw.contains('+') || query.get("file") == query.get_with_plus("file"));
        });
    }

    #[test]
    fn a_wait_is_a_number_of_seconds_up_to_five_minutes() {
        for (query, seconds) in [
            ("", 0),
            ("wait=0", 0),
            ("wait=7", 7),
            ("wait=300", 300),
            ("a=b&wait=2&wait=x", 2),
        ] {
            assert_eq!(
                wait(query, &[]).expect(query).time.as_secs(),
                seconds,
                "{query}"
            );
        }
        for query in [
            "wait=301",
            "wait=-1",
            "wait=+5",
            "wait=",
            "wait=1.5",
            "wait=abc",
            "wait=99999999999999999999",
        ] {
            assert_eq!(
                wait(query, &[]).expect_err(query).status.as_u16(),
                400,
                "{query}"
            );
        }
    }

    #[test]
    fn a_hold_is_a_number_of_seconds_up_to_a_day_under_a_plain_name() {
        let asked = |raw| Hold::asked(&Query { raw });
        assert_eq!(asked("wait=5"), Ok(None));
        for (raw, seconds, name) in [
            ("hold=1", 1, ""),
            ("hold=86400&holder=bot-1.a_B", 86_400, "bot-1.a_B"),
        ] {
            let hold = asked(raw).expect(raw).expect("asked for");
            assert_eq!(hold.length.as_secs(), seconds);
            assert_eq!(hold.holder, Holder::Client(name.to_owned()));
        }
        let long = format!("holder={}", "x".repeat(65));
        for raw in [
            "hold=0",
            "hold=86401",
            "hold=",
            "hold=-1",
            "holder=a%20b",
            &long,
        ] {
            assert_eq!(asked(raw).expect_err(raw).status.as_u16(), 400, "{raw}");
        }
        let usual = Hold::or_usual(&Query { raw: "" }).expect("valid");
        assert_eq!(usual.length, HOLD);
    }

    #[test]
    fn a_preference_waits_too_is_acknowledged_and_never_an_error() {
        for (header, seconds) in [
            ("wait=10", 10),
            ("respond-async, wait=10", 10),
            ("Wait = \"10\"; x=y", 10),
            ("wait=100000", 300),
            ("wait=soon", 0),
            ("waiting=10", 0),
        ] {
            assert_eq!(
                wait("", &[header]).expect("valid").time.as_secs(),
                seconds,
                "{header}"
            );
        }
        let mut headers = HeaderMap::new();
        wait("", &["return=minimal", "wait=10"])
            .expect("valid")
            .acknowledge(&mut headers);
        assert_eq!(headers[PREFERENCE_APPLIED], "wait=10");
        let mut headers = HeaderMap::new();
        wait("wait=5", &["wait=10"])
            .expect("valid")
            .acknowledge(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_its_name_where_that_is_asked_for() {
        let only = |raw| Query { raw }.only(&["wait", "stream"]).map(|_| ());
        for fine in [
            "",
            "wait=1",
            "stream&wait=x&wait=y",
            "&&wait=1&",
            "w%61it=1",
        ] {
            assert_eq!(only(fine), Ok(()), "{fine}");
        }
        for (raw, named) in [
            ("weit=1", "`weit`"),
            ("wait=1&WAIT=2", "`WAIT`"),
            ("a%1bb", "`a b`"),
            ("=1&x", "`x`"),
        ] {
            let refusal = only(raw).expect_err(raw);
            assert_eq!(refusal.status.as_u16(), 400);
            assert!(
                refusal.failure.sentence.contains(named),
                "{}",
                refusal.failure.sentence
            );
        }
        assert!(
            only(&"x".repeat(5000))
                .expect_err("unknown")
                .failure
                .sentence
                .len()
                < 200
        );
    }

    #[test]
    fn what_a_client_accepts_needs_one_word_we_know() {
        let query = Query {
            raw: "accept=flying,opus,%20M4A",
        };
        assert_eq!(
            query.accept().expect("valid").expect("given").formats(),
            [Format::Opus, Format::M4a]
        );
        assert_eq!(
            Query {
                raw: "accept=flying"
            }
            .accept()
            .expect_err("none left")
            .status
            .as_u16(),
            400
        );
        assert_eq!(
            Query { raw: "accept=" }
                .accept()
                .expect_err("none left")
                .status
                .as_u16(),
            400
        );
        assert_eq!(Query { raw: "" }.accept(), Ok(None));
    }

    #[test]
    fn a_switch_is_on_or_off_or_refused() {
        for (raw, on) in [
            ("s=1", true),
            ("s=true", true),
            ("s", true),
            ("s=0", false),
            ("s=False", false),
            ("", false),
        ] {
            assert_eq!(Query { raw }.switch("s"), Ok(on), "{raw}");
        }
        assert!(Query { raw: "s=perhaps" }.switch("s").is_err());
    }

    #[test]
    fn a_plus_may_be_a_space_or_itself() {
        let query = Query {
            raw: "file=A+B%2BC.m4a",
        };
        assert_eq!(query.get("file").as_deref(), Some("A B+C.m4a"));
        assert_eq!(query.get_with_plus("file").as_deref(), Some("A+B+C.m4a"));
    }
}
