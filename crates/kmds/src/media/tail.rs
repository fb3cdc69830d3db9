//! Tags at the end of a file of any container.
//!
//! Owns the sizes of ID3v1 (and its `TAG+`), APEv2 with or without a header, Lyrics3, and ID3v2 with a footer, which
//! are read from their ends. It reads no text of a tag. A walk asks only at a place where the audio may end, so that
//! audio is never taken for a tag.

use super::{Broken, Window};

/// Most tags behind one another.
const MAX_TAGS: usize = 8;
const ID3V1_BYTES: u64 = 128;
const ID3V1_PLUS_BYTES: u64 = 227;
const APE_FOOTER_BYTES: u64 = 32;
/// The size in six digits and the mark at the end of a Lyrics3 tag.
const LYRICS_END_BYTES: u64 = 15;
const ID3V2_FOOTER_BYTES: u64 = 10;

/// Whether there are only tags between `at` and the end.
pub(super) fn is_tags(window: &mut Window<'_>, at: u64) -> Result<bool, Broken> {
    Ok(at < window.len() && starts(window)?.contains(&at))
}

/// Where the file ends, and where each of the tags at its end begins, from the last to the first.
pub(super) fn starts(window: &mut Window<'_>) -> Result<Vec<u64>, Broken> {
    let mut starts = vec![window.len()];
    // A window of its own, so that the walk keeps its place.
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
    let footer = last(APE_FOOTER_BYTES)?;
    if footer.starts_with(b"APETAGEX") {
        return Ok(ape_bytes(&footer));
    }
    if let Some(digits) = last(LYRICS_END_BYTES)?.strip_suffix(b"LYRICS200") {
        return Ok(lyrics_bytes(digits));
    }
    if let [b'3', b'D', b'I', _, _, _, s0, s1, s2, s3] = *last(ID3V2_FOOTER_BYTES)? {
        let size = [s0, s1, s2, s3]
            .iter()
            .fold(0, |size, &byte| size << 7 | u64::from(byte & 0x7F));
        return Ok(Some(size + 2 * ID3V2_FOOTER_BYTES));
    }
    Ok(None)
}

/// The size of an APEv2 tag, by its footer; `None` for a header, since the tag follows it.
fn ape_bytes(footer: &[u8]) -> Option<u64> {
    let size = footer.get(12..)?.first_chunk().copied()?;
    let flags = footer.get(23)?;
    // The size counts items and footer, not the header.
    let size = u64::from(u32::from_le_bytes(size));
    let header = if flags & 0x80 == 0 {
        0
    } else {
        APE_FOOTER_BYTES
    };
    (size >= APE_FOOTER_BYTES && flags & 0x20 == 0).then_some(size + header)
}

/// The size of a Lyrics3 tag, by the six digits at its end.
fn lyrics_bytes(digits: &[u8]) -> Option<u64> {
    let size: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(size + LYRICS_END_BYTES)
}
