//! Conditional requests (RFC 9110, 13): the order of the conditions, and how validators compare.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};

/// The validators of a file (RFC 9110, 8.8).
#[derive(Debug, Clone, Copy)]
pub(super) struct Validators<'a> {
    /// Strong, with its quotes.
    pub(super) etag: Option<&'a str>,
    /// Only for a finished file: a growing one changes with every byte.
    pub(super) modified: Option<SystemTime>,
}

/// The outcome of the conditions of a `GET` or `HEAD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precondition {
    Met,
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// Evaluates the conditions in the order of RFC 9110, 13.2.2.
pub(super) fn evaluate(headers: &HeaderMap, file: Validators<'_>) -> Precondition {
    let modified = file.modified.map(whole_seconds);
    if headers.contains_key(IF_MATCH) {
        if !lists(headers, &IF_MATCH, |tag| file.etag == Some(tag)) {
            return Precondition::Failed;
        }
    } else if let (Some(limit), Some(modified)) = (date(headers, &IF_UNMODIFIED_SINCE), modified)
        && modified > limit
    {
        return Precondition::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        // Compared weakly: a tag marked weak still names the same content.
        if lists(headers, &IF_NONE_MATCH, |tag| {
            file.etag == Some(tag.strip_prefix("W/").unwrap_or(tag))
        }) {
            return Precondition::NotModified;
        }
    } else if let (Some(limit), Some(modified)) = (date(headers, &IF_MODIFIED_SINCE), modified)
        && modified <= limit
    {
        return Precondition::NotModified;
    }
    Precondition::Met
}

/// Whether `Range` applies: `If-Range` is absent, or names exactly this state of the file.
pub(super) fn if_range_holds(headers: &HeaderMap, file: Validators<'_>) -> bool {
    let Some(value) = headers.get(IF_RANGE) else {
        return true;
    };
    let Ok(value) = value.to_str() else {
        return false;
    };
    let value = value.trim();
    if value.starts_with('"') || value.starts_with("W/") {
        return file.etag == Some(value);
    }
    let Ok(date) = httpdate::parse_http_date(value) else {
        return false;
    };
    file.modified.map(whole_seconds) == Some(date)
}

/// As `Last-Modified` can carry it.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// A condition's date; several dates, or an invalid one, count as missing.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next()?, values.next());
    if second.is_some() {
        return None;
    }
    httpdate::parse_http_date(first.to_str().ok()?.trim()).ok()
}

/// Whether a header of entity tags is `*` or lists one that fits.
fn lists(headers: &HeaderMap, name: &HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .into_iter()
        .any(|value| value.trim() == "*" || tags(value).any(&fits))
}

/// The entity tags of a list, with quotes and mark. A comma may be inside the quotes; the list ends at the first text
/// that is not a tag.
fn tags(mut rest: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let mark = if rest.starts_with("W/") { 2 } else { 0 };
        let opened = rest.get(mark..)?.strip_prefix('"')?;
        let end = mark + opened.find('"')? + 2;
        let (tag, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const ETAG: &str = "\"abc\"";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const EXACT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn file() -> Validators<'static> {
        // A drive stores parts of a second, the header does not.
        Validators {
            etag: Some(ETAG),
            modified: Some(UNIX_EPOCH + Duration::from_millis(784_111_777_900)),
        }
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn each_condition_alone() {
        use Precondition::{Failed, Met, NotModified};
        for (name, value, verdict) in [
            (IF_MATCH, "\"abc\"", Met),
            (IF_MATCH, "*", Met),
            (IF_MATCH, "\"x\", \"abc\"", Met),
            (IF_MATCH, "\"x,\", \"y\"", Failed),
            (IF_MATCH, "W/\"abc\"", Failed),
            (IF_NONE_MATCH, "\"abc\"", NotModified),
            (IF_NONE_MATCH, "W/\"abc\"", NotModified),
            (IF_NONE_MATCH, "\"x\",\"abc\"", NotModified),
            (IF_NONE_MATCH, "*", NotModified),
            (IF_NONE_MATCH, "\"x\"", Met),
            (IF_NONE_MATCH, "abc", Met),
            (IF_MODIFIED_SINCE, BEFORE, Met),
            (IF_MODIFIED_SINCE, EXACT, NotModified),
            (
                IF_MODIFIED_SINCE,
                "Sunday, 06-Nov-94 08:49:37 GMT",
                NotModified,
            ),
            (IF_MODIFIED_SINCE, "Sun Nov  6 08:49:37 1994", NotModified),
            (IF_MODIFIED_SINCE, "yesterday", Met),
            (IF_UNMODIFIED_SINCE, BEFORE, Failed),
            (IF_UNMODIFIED_SINCE, EXACT, Met),
            (IF_UNMODIFIED_SINCE, AFTER, Met),
        ] {
            assert_eq!(
                evaluate(&headers(&[(name.clone(), value)]), file()),
                verdict,
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn tags_beat_dates_and_a_failed_match_beats_all() {
        let both = headers(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)]);
        assert_eq!(evaluate(&both, file()), Precondition::Met);
        let both = headers(&[(IF_MATCH, ETAG), (IF_UNMODIFIED_SINCE, BEFORE)]);
        assert_eq!(evaluate(&both, file()), Precondition::Met);
        let both = headers(&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, ETAG)]);
        assert_eq!(evaluate(&both, file()), Precondition::Failed);
        let both = headers(&[(IF_MATCH, ETAG), (IF_NONE_MATCH, ETAG)]);
        assert_eq!(evaluate(&both, file()), Precondition::NotModified);
    }

    #[test]
    fn a_growing_file_of_unknown_length_has_no_validator_to_fit() {
        let growing = Validators {
            etag: None,
            modified: None,
        };
        assert_eq!(
            evaluate(&headers(&[(IF_MATCH, ETAG)]), growing),
            Precondition::Failed
        );
        assert_eq!(
            evaluate(&headers(&[(IF_MODIFIED_SINCE, AFTER)]), growing),
            Precondition::Met
        );
        assert_eq!(
            evaluate(&headers(&[(IF_UNMODIFIED_SINCE, BEFORE)]), growing),
            Precondition::Met
        );
        assert!(!if_range_holds(&headers(&[(IF_RANGE, ETAG)]), growing));
        assert!(!if_range_holds(&headers(&[(IF_RANGE, EXACT)]), growing));
    }

    #[test]
    fn if_range_takes_the_strong_tag_or_the_exact_date() {
        for (value, counts) in [
            (ETAG, true),
            (EXACT, true),
            ("\"x\"", false),
            ("W/\"abc\"", false),
            (BEFORE, false),
            (AFTER, false),
            ("abc", false),
        ] {
            assert_eq!(
                if_range_holds(&headers(&[(IF_RANGE, value)]), file()),
                counts,
                "{value}"
            );
        }
        assert!(if_range_holds(&HeaderMap::new(), file()));
    }
}
