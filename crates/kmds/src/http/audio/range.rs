//! The `Range` header (RFC 9110, 14): its grammar, and which bytes of a file of a given length it selects.
//!
//! Positions may be numbers beyond any integer.

/// No player asks for more ranges than this in one request: the whole file is sent instead.
const MAX_RANGES: usize = 16;

/// One range of the header. Positions beyond any integer are `u64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeSpec {
    /// `FIRST-LAST`, both included, in order.
    Closed(u64, u64),
    /// `FIRST-`
    Open(u64),
    /// `-LENGTH`
    Suffix(u64),
}

/// Bytes of a file: from `first` to `last`, both included and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl ByteRange {
    pub(super) const fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What a set of ranges selects from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// The whole file: the header is ignored.
    Whole,
    /// At least one range, in the order of the header, none overlapping another.
    Ranges(Vec<ByteRange>),
    /// No range has a byte of the file.
    Unsatisfiable,
}

/// Reads a header; `None` when it is malformed, backwards, or of another unit, and so has to be ignored.
pub(super) fn parse(header: &str) -> Option<Vec<RangeSpec>> {
    let (unit, set) = header.trim_matches([' ', '\t']).split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A receiver must accept empty elements of a list (RFC 9110, 5.6.1.2), but not an empty list.
    let specs = set
        .split(',')
        .map(|spec| spec.trim_matches([' ', '\t']))
        .filter(|spec| !spec.is_empty());
    let specs: Vec<RangeSpec> = specs.map(parse_one).collect::<Option<_>>()?;
    (!specs.is_empty()).then_some(specs)
}

fn parse_one(spec: &str) -> Option<RangeSpec> {
    match spec.split_once('-')? {
        ("", length) => Some(RangeSpec::Suffix(position(length)?)),
        (first, "") => Some(RangeSpec::Open(position(first)?)),
        (first, last) => {
            let in_order = in_order(first, last);
            let (first, last) = (position(first)?, position(last)?);
            in_order.then_some(RangeSpec::Closed(first, last))
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

/// What `specs` selects from a file of `length` bytes.
pub(super) fn select(specs: &[RangeSpec], length: u64) -> Selection {
    if specs.len() > MAX_RANGES {
        return Selection::Whole;
    }
    let ranges: Vec<ByteRange> = specs
        .iter()
        .filter_map(|spec| within(*spec, length))
        .collect();
    if ranges.is_empty() {
        return Selection::Unsatisfiable;
    }
    // Overlapping ranges that ask for the same bytes again and again are an attack (RFC 9110, 14.2).
    let total = ranges
        .iter()
        .fold(0u64, |sum, range| sum.saturating_add(range.length()));
    if total > length.saturating_mul(2) {
        return Selection::Whole;
    }
    Selection::Ranges(coalesce(ranges))
}

fn within(spec: RangeSpec, length: u64) -> Option<ByteRange> {
    let end = length.checked_sub(1)?;
    let (first, last) = match spec {
        RangeSpec::Closed(first, last) => (first, last.min(end)),
        RangeSpec::Open(first) => (first, end),
        RangeSpec::Suffix(0) => return None,
        RangeSpec::Suffix(count) => (length.saturating_sub(count), end),
    };
    (first < length).then_some(ByteRange { first, last })
}

/// Joins overlapping ranges; the joint one stands where the first of them stood.
fn coalesce(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut kept: Vec<ByteRange> = Vec::with_capacity(ranges.len());
    for mut range in ranges {
        // A joined range may overlap others that its parts did not: go on until none overlaps.
        let mut place = kept.len();
        while let Some(index) = kept
            .iter()
            .position(|other| other.first <= range.last && range.first <= other.last)
        {
            let other = kept.remove(index);
            range = ByteRange {
                first: range.first.min(other.first),
                last: range.last.max(other.last),
            };
            place = place.min(index);
        }
        kept.insert(place.min(kept.len()), range);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The answer to a header has each requested byte of the file once, and no other byte.
    #[test]
    fn fuzz_range() {
        kmds_fuzz::target("range", |input| {
            let text = String::from_utf8_lossy(input);
            let (length, header) = text.split_once('\n').unwrap_or(("", &text));
            let length: u64 = length.parse().unwrap_or(1000);
            let Some(asked) = parse(header) else { return };
            let Selection::Ranges(ranges) = select(&asked, length) else {
                return;
            };
            assert!((1..=MAX_RANGES).contains(&ranges.len()));
            for (at, range) in ranges.iter().enumerate() {
                assert!(
                    range.first <= range.last && range.last < length,
                    "{range:?} of {length}"
                );
                assert!(
                    ranges[..at]
                        .iter()
                        .all(|other| other.last < range.first || range.last < other.first),
                    "{ranges:?}"
                );
            }
            let wanted: Vec<ByteRange> = asked
                .iter()
                .filter_map(|asked| within(*asked, length))
                .collect();
            let inside = |outer: &ByteRange, inner: &ByteRange| {
                outer.first <= inner.first && inner.last <= outer.last
            };
            assert!(
                wanted
                    .iter()
                    .all(|want| ranges.iter().any(|range| inside(range, want))),
                "{ranges:?}"
            );
            let asked_for = |at: u64| {
                wanted
                    .iter()
                    .any(|want| (want.first..=want.last).contains(&at))
            };
            assert!(
                ranges
                    .iter()
                    .all(|range| asked_for(range.first) && asked_for(range.last)),
                "{ranges:?}"
            );
        });
    }

    fn meaning(header: &str, length: u64) -> Selection {
        parse(header).map_or(Selection::Whole, |asked| select(&asked, length))
    }

    fn parts(ranges: &[(u64, u64)]) -> Selection {
        Selection::Ranges(
            ranges
                .iter()
                .map(|(first, last)| ByteRange {
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
            assert_eq!(meaning(header, 1000), Selection::Unsatisfiable, "{header}");
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
        assert!(matches!(meaning(&many(16), 1000), Selection::Ranges(parts) if parts.len() == 16));
        assert_eq!(meaning(&many(17), 1000), Selection::Whole);
        assert_eq!(meaning("bytes=0-,0-,0-", 1000), Selection::Whole);
        assert_eq!(meaning("bytes=0-,0-", 1000), parts(&[(0, 999)]));
    }

    proptest! {
        #[test]
        fn no_header_panics_and_all_parts_lie_in_the_file(header in "(bytes=)?[-0-9, a]{0,40}", length in 0u64..2000) {
            if let Selection::Ranges(ranges) = meaning(&header, length) {
                prop_assert!(!ranges.is_empty());
                for (index, range) in ranges.iter().enumerate() {
                    prop_assert!(range.first <= range.last && range.last < length);
                    for other in &ranges[index + 1..] {
                        prop_assert!(range.last < other.first || other.last < range.first);
                    }
                }
            }
        }

        #[test]
        fn every_byte_asked_for_is_in_some_part(
            asked in proptest::collection::vec((0u64..1200, 0u64..300), 1..8), length in 1u64..1000,
        ) {
            let specs: Vec<String> = asked.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            if let Selection::Ranges(ranges) = meaning(&format!("bytes={}", specs.join(",")), length) {
                for (first, more) in asked {
                    for byte in [first, first + more].into_iter().filter(|byte| *byte < length) {
                        prop_assert!(ranges.iter().any(|range| (range.first..=range.last).contains(&byte)));
                    }
                }
            }
        }
    }
}
