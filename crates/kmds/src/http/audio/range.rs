//! The `Range` header (RFC 9110, 14).
//!
//! Owns its grammar and what a set of ranges means for a file of a given length. Hides numbers beyond any integer.
//! Never reads a file.

/// More ranges than this in one request are no player's: the whole file is sent instead.
const MAX_RANGES: usize = 16;

/// One range as asked for. Positions beyond any integer are `u64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// `FIRST-LAST`, both included, in order.
    Closed(u64, u64),
    /// `FIRST-`
    Open(u64),
    /// `-LENGTH`
    Suffix(u64),
}

/// Bytes of a file: from `first` to `last`, both included and there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Span {
    pub(super) const fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What a set of ranges means for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The header is not worth following: send the whole file.
    Whole,
    /// At least one, in the order asked for, none overlapping another.
    Parts(Vec<Span>),
    /// Nothing of it is in the file.
    Beyond,
}

/// Reads a header; `None` when it is malformed, backwards, or of another unit, and so has to be ignored.
pub(super) fn parse(header: &str) -> Option<Vec<Asked>> {
    let (unit, set) = header.trim_matches([' ', '\t']).split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // Empty elements of a list are legal to receive (RFC 9110, 5.6.1.2), a list of nothing else is not.
    let specs = set
        .split(',')
        .map(|spec| spec.trim_matches([' ', '\t']))
        .filter(|spec| !spec.is_empty());
    let asked: Vec<Asked> = specs.map(parse_one).collect::<Option<_>>()?;
    (!asked.is_empty()).then_some(asked)
}

fn parse_one(spec: &str) -> Option<Asked> {
    match spec.split_once('-')? {
        ("", length) => Some(Asked::Suffix(position(length)?)),
        (first, "") => Some(Asked::Open(position(first)?)),
        (first, last) => {
            let in_order = in_order(first, last);
            let (first, last) = (position(first)?, position(last)?);
            in_order.then_some(Asked::Closed(first, last))
        }
    }
}

/// A number of any length, cut at the largest integer.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Compares as numbers of any length: two beyond any integer may still be backwards.
fn in_order(first: &str, last: &str) -> bool {
    let (first, last) = (first.trim_start_matches('0'), last.trim_start_matches('0'));
    (first.len(), first) <= (last.len(), last)
}

/// What `asked` means for a file of `length` bytes.
pub(super) fn resolve(asked: &[Asked], length: u64) -> Meaning {
    if asked.len() > MAX_RANGES {
        return Meaning::Whole;
    }
    let spans: Vec<Span> = asked
        .iter()
        .filter_map(|asked| within(*asked, length))
        .collect();
    if spans.is_empty() {
        return Meaning::Beyond;
    }
    // Overlapping ranges that ask for the same bytes again and again are an attack (RFC 9110, 14.2).
    let total = spans
        .iter()
        .fold(0u64, |sum, span| sum.saturating_add(span.length()));
    if total > length.saturating_mul(2) {
        return Meaning::Whole;
    }
    Meaning::Parts(coalesce(spans))
}

fn within(asked: Asked, length: u64) -> Option<Span> {
    let end = length.checked_sub(1)?;
    let (first, last) = match asked {
        Asked::Closed(first, last) => (first, last.min(end)),
        Asked::Open(first) => (first, end),
        Asked::Suffix(0) => return None,
        Asked::Suffix(count) => (length.saturating_sub(count), end),
    };
    (first < length).then_some(Span { first, last })
}

/// Joins overlapping spans; the joint one stands where the first of them stood.
fn coalesce(spans: Vec<Span>) -> Vec<Span> {
    let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
    for mut span in spans {
        // A joint span may reach others that its parts did not: go on until none overlaps.
        let mut place = kept.len();
        while let Some(index) = kept
            .iter()
            .position(|other| other.first <= span.last && span.first <= other.last)
        {
            let other = kept.remove(index);
            span = Span {
                first: span.first.min(other.first),
                last: span.last.max(other.last),
            };
            place = place.min(index);
        }
        kept.insert(place.min(kept.len()), span);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header that is followed names bytes of the file: each of those asked for, none twice, no more than asked for.
    #[test]
    fn fuzz_range() {
        kmds_fuzz::target("range", |input| {
            let text = String::from_utf8_lossy(input);
            let (length, header) = text.split_once('\n').unwrap_or(("", &text));
            let length: u64 = length.parse().unwrap_or(1000);
            let Some(asked) = parse(header) else { return };
            let Meaning::Parts(spans) = resolve(&asked, length) else {
                return;
            };
            assert!((1..=MAX_RANGES).contains(&spans.len()));
            for (at, span) in spans.iter().enumerate() {
                assert!(
                    span.first <= span.last && span.last < length,
                    "{span:?} of {length}"
                );
                assert!(
                    spans[..at]
                        .iter()
                        .all(|other| other.last < span.first || span.last < other.first),
                    "{spans:?}"
                );
            }
            let wanted: Vec<Span> = asked
                .iter()
                .filter_map(|asked| within(*asked, length))
                .collect();
            let inside =
                |outer: &Span, inner: &Span| outer.first <= inner.first && inner.last <= outer.last;
            assert!(
                wanted
                    .iter()
                    .all(|want| spans.iter().any(|span| inside(span, want))),
                "{spans:?}"
            );
            let asked_for = |at: u64| {
                wanted
                    .iter()
                    .any(|want| (want.first..=want.last).contains(&at))
            };
            assert!(
                spans
                    .iter()
                    .all(|span| asked_for(span.first) && asked_for(span.last)),
                "{spans:?}"
            );
        });
    }

    fn meaning(header: &str, length: u64) -> Meaning {
        parse(header).map_or(Meaning::Whole, |asked| resolve(&asked, length))
    }

    fn parts(spans: &[(u64, u64)]) -> Meaning {
        Meaning::Parts(
            spans
                .iter()
                .map(|(first, last)| Span {
                    first: *first,
                    last: *last,
                })
                .collect(),
        )
    }

    #[test]
    fn single_ranges_mean_what_the_standard_says() {
        for (header, wanted) in [
            ("bytes=0-0", parts(&[(0, 0)])),
            ("bytes=0-499", parts(&[(0, 499)])),
            ("bytes=500-999", parts(&[(500, 999)])),
            ("bytes=990-5000", parts(&[(990, 999)])),
            ("bytes=500-", parts(&[(500, 999)])),
            ("bytes=0-", parts(&[(0, 999)])),
            ("bytes=-1", parts(&[(999, 999)])),
            ("bytes=-5000", parts(&[(0, 999)])),
            ("Bytes=0-1", parts(&[(0, 1)])),
            ("bytes= 0-1 ", parts(&[(0, 1)])),
            ("bytes=,0-1,", parts(&[(0, 1)])),
            ("bytes=000-001", parts(&[(0, 1)])),
            ("bytes=1-99999999999999999999999999", parts(&[(1, 999)])),
            ("bytes=-99999999999999999999999999", parts(&[(0, 999)])),
        ] {
            assert_eq!(meaning(header, 1000), wanted, "{header}");
        }
    }

    #[test]
    fn positions_beyond_the_end_or_beyond_any_integer_are_not_satisfiable() {
        for header in [
            "bytes=1000-",
            "bytes=1000-2000",
            "bytes=-0",
            "bytes=18446744073709551615-",
            "bytes=18446744073709551616-",
            "bytes=99999999999999999999999999-",
            "bytes=99999999999999999999999998-99999999999999999999999999",
            "bytes=1000-,2000-3000,-0",
        ] {
            assert_eq!(meaning(header, 1000), Meaning::Beyond, "{header}");
        }
    }

    #[test]
    fn malformed_and_backwards_headers_and_other_units_are_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=5-2",
            "bytes=1-2-3",
            "bytes=0-1,x",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=-1-",
            "items=0-1",
            "bytes=0x1-2",
            "bytes 0-1",
            "bytes=,",
            "bytes=0-1;2-3",
            "bytes=99999999999999999999999999-99999999999999999999999998",
        ] {
            assert_eq!(parse(header), None, "{header}");
        }
    }

    #[test]
    fn several_ranges_keep_their_order_and_overlapping_ones_join() {
        for (header, wanted) in [
            ("bytes=0-9,20-29", parts(&[(0, 9), (20, 29)])),
            ("bytes=500-509, 0-9", parts(&[(500, 509), (0, 9)])),
            ("bytes=0-9,5-19", parts(&[(0, 19)])),
            ("bytes=0-9,30-39,5-34", parts(&[(0, 39)])),
            ("bytes=50-59,0-9,55-69", parts(&[(50, 69), (0, 9)])),
            ("bytes=0-0,-1", parts(&[(0, 0), (999, 999)])),
            ("bytes=0-9,5000-", parts(&[(0, 9)])),
        ] {
            assert_eq!(meaning(header, 1000), wanted, "{header}");
        }
    }

    #[test]
    fn too_many_ranges_or_too_many_bytes_get_the_whole_file() {
        let many = |count: u64| {
            let specs: Vec<String> = (0..count)
                .map(|n| format!("{}-{}", n * 10, n * 10))
                .collect();
            format!("bytes={}", specs.join(","))
        };
        assert!(matches!(meaning(&many(16), 1000), Meaning::Parts(parts) if parts.len() == 16));
        assert_eq!(meaning(&many(17), 1000), Meaning::Whole);
        assert_eq!(meaning("bytes=0-,0-,0-", 1000), Meaning::Whole);
        assert_eq!(meaning("bytes=0-,0-", 1000), parts(&[(0, 999)]));
    }

    proptest! {
        #[test]
        fn no_header_panics_and_all_parts_lie_in_the_file(header in "(bytes=)?[-0-9, a]{0,40}", length in 0u64..2000) {
            if let Meaning::Parts(spans) = meaning(&header, length) {
                prop_assert!(!spans.is_empty());
                for (index, span) in spans.iter().enumerate() {
                    prop_assert!(span.first <= span.last && span.last < length);
                    for other in &spans[index + 1..] {
                        prop_assert!(span.last < other.first || other.last < span.first);
                    }
                }
            }
        }

        #[test]
        fn every_byte_asked_for_is_in_some_part(
            asked in proptest::collection::vec((0u64..1200, 0u64..300), 1..8), length in 1u64..1000,
        ) {
            let specs: Vec<String> = asked.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            if let Meaning::Parts(spans) = meaning(&format!("bytes={}", specs.join(",")), length) {
                for (first, more) in asked {
                    for byte in [first, first + more].into_iter().filter(|byte| *byte < length) {
                        prop_assert!(spans.iter().any(|span| (span.first..=span.last).contains(&byte)));
                    }
                }
            }
        }
    }
}
