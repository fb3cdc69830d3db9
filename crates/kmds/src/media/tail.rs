//! Tags that stand at the end of a file of any container.
//!
//! Owns ID3v1 (and its `TAG+`), APEv2 with or without a header, Lyrics3, and ID3v2 with a footer, read from their ends. Never
//! reads a tag's text. Only a place where the audio may end is asked about, so audio is never taken for a tag.

use super::{Broken, Window};

/// Tags behind one another; more are no tagger's.
const MAX_TAGS: usize = 8;
const ID3V1_BYTES: u64 = 128;
const ID3V1_PLUS_BYTES: u64 = 227;
const APE_FOOTER_BYTES: u64 = 32;
/// The size in six digits and the mark at the end of a Lyrics3 tag.
const LYRICS_END_BYTES: u64 = 15;
const ID3V2_FOOTER_BYTES: u64 = 10;

/// Whether nothing but tags stands between `at` and the end.
pub(super) fn is_tags(window: &mut Window<'_>, at: u64) -> Result<bool, Broken> {
    Ok(at < window.len() && starts(window)?.contains(&at))
}

/// Where the file ends, and where each of the tags at its end begins, from the last to the first.
pub(super) fn starts(window: &mut Window<'_>) -> Result<Vec<u64>, Broken> {
    let mut starts = vec![window.len()];
    // A window of its own: the walk that asks goes on where it is.
    let mut window = window.another();
    while starts.len() <= MAX_TAGS
        && let Some(&end) = starts.last()
        && let Some(bytes) = tag_bytes(&mut window, end)?
        && let Some(start) = end.checked_sub(bytes)
    {
        starts.push(start);
    }
    Ok(starts)
}

/// Bytes of the tag that ends at `end`.
fn tag_bytes(window: &mut Window<'_>, end: u64) -> Result<Option<u64>, Broken> {
    let mut last = |bytes: u64| -> Result<Vec<u8>, Broken> {
        let Some(at) = end.checked_sub(bytes) else {
            return Ok(Vec::new());
        };
        Ok(window
            .peek(at, usize::try_from(bytes).unwrap_or(0))?
            .to_vec())
    };
    if last(ID3V1_BYTES)?.starts_with(b"TAG") {
        return Ok(Some(ID3V1_BYTES));
    }
    if last(ID3V1_PLUS_BYTES)?.starts_with(b"TAG+") {
        return Ok(Some(ID3V1_PLUS_BYTES));
    }
    if let [
        b'A',
        b'P',
        b'E',
        b'T',
        b'A',
        b'G',
        b'E',
        b'X',
        _,
        _,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        flags,
        ..,
    ] = *last(APE_FOOTER_BYTES)?
    {
        // The size counts items and footer, not the header.
        let header = if flags & 0x80 == 0 {
            0
        } else {
            APE_FOOTER_BYTES
        };
        let size = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
        return Ok((size >= APE_FOOTER_BYTES && flags & 0x20 == 0).then_some(size + header));
    }
    if let [
        digits @ ..,
        b'L',
        b'Y',
        b'R',
        b'I',
        b'C',
        b'S',
        b'2',
        b'0',
        b'0',
    ] = &*last(LYRICS_END_BYTES)?
    {
        let size = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<u64>().ok());
        return Ok(size.map(|size| size + LYRICS_END_BYTES));
    }
    if let [b'3', b'D', b'I', _, _, _, s0, s1, s2, s3] = *last(ID3V2_FOOTER_BYTES)? {
        let size = [s0, s1, s2, s3]
            .iter()
            .fold(0, |size, &byte| size << 7 | u64::from(byte & 0x7F));
        return Ok(Some(size + 2 * ID3V2_FOOTER_BYTES));
    }
    Ok(None)
}
