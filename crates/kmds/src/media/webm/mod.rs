//! WebM: EBML elements within elements (RFC 8794, RFC 9559).
//!
//! Owns the walk that shows a file to be whole, and re-wrapping Opus from WebM into Ogg while it arrives. No packet is
//! changed.

mod block;
mod check;
mod ebml;
mod ogg_out;
mod opus;
mod tracks;

pub(super) use check::walk;
pub use ogg_out::OpusToOgg;

/// Whether `head` begins like a WebM file: its EBML header, or a `Void` in front of that.
pub(super) fn begins(head: &[u8]) -> bool {
    const EBML: [u8; 4] = ebml::EBML.to_be_bytes();
    if head.starts_with(&EBML) {
        return true;
    }
    match ebml::Header::parse(head) {
        Ok(Some(void)) if void.id == ebml::VOID => {
            let size = void
                .size
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(usize::MAX);
            let after = head.get(void.bytes.saturating_add(size)..);
            after.map_or(head.len() > EBML.len(), |after| after.starts_with(&EBML))
        }
        _ => false,
    }
}
