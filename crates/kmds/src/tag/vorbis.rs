//! Vorbis comments and FLAC's picture block, which Ogg and FLAC share (RFC 7845 §5.2, RFC 9639 §8.6 and §8.8).

use base64::Engine as _;

use super::{Gain, Picture, TagFacts};

/// Appends vendor, number of fields and fields to `block`. `gain` and `picture` are more fields.
pub fn comments(
    block: &mut Vec<u8>,
    vendor: &[u8],
    facts: &TagFacts<'_>,
    gain: Option<(&str, String)>,
    picture: Option<&[u8]>,
) {
    let (number, total) = (
        facts.number.map(|n| n.to_string()),
        facts.total.map(|n| n.to_string()),
    );
    let named = [
        ("TITLE", Some(facts.title)),
        ("ARTIST", facts.artist),
        ("ALBUM", facts.album),
        ("ALBUMARTIST", facts.album_artist),
        ("TRACKNUMBER", number.as_deref()),
        ("TRACKTOTAL", total.as_deref()),
        ("DATE", facts.date),
        ("COMMENT", Some(facts.link)),
    ];
    let fields: Vec<String> = named
        .into_iter()
        .chain(gain.iter().map(|(name, text)| (*name, Some(text.as_str()))))
        .filter_map(|(name, text)| Some(format!("{name}={}", text?)))
        .collect();
    sized_le(block, vendor);
    block.extend_from_slice(&length(fields.len() + usize::from(picture.is_some())).to_le_bytes());
    fields
        .iter()
        .for_each(|field| sized_le(block, field.as_bytes()));
    if let Some(picture) = picture {
        in_base64(block, picture);
    }
}

/// The gain of every codec but Opus.
pub fn replay_gain(facts: &TagFacts<'_>) -> Option<(&'static str, String)> {
    facts.gain.map(|gain| (Gain::NAME, gain.replay_gain()))
}

/// Encoded in place, since it is the largest value.
fn in_base64(block: &mut Vec<u8>, picture: &[u8]) {
    const NAME: &[u8] = b"METADATA_BLOCK_PICTURE=";
    let size = base64::encoded_len(picture.len(), true).unwrap_or(0);
    block.extend_from_slice(&length(NAME.len() + size).to_le_bytes());
    block.extend_from_slice(NAME);
    let from = block.len();
    block.resize(from + size, b'=');
    if let Some(into) = block.get_mut(from..) {
        let _ = base64::engine::general_purpose::STANDARD.encode_slice(picture, into);
    }
}

/// FLAC's picture block; Ogg has it in base 64.
pub fn picture(cover: Picture<'_>) -> Vec<u8> {
    const FRONT_COVER: u32 = 3;
    let mut block = Vec::with_capacity(64 + cover.bytes.len());
    block.extend_from_slice(&FRONT_COVER.to_be_bytes());
    block.extend_from_slice(&length(cover.media_type.len()).to_be_bytes());
    block.extend_from_slice(cover.media_type.as_bytes());
    // No description; a reader finds width, height, depth and colours in the picture.
    block.extend_from_slice(&[0; 20]);
    block.extend_from_slice(&length(cover.bytes.len()).to_be_bytes());
    block.extend_from_slice(cover.bytes);
    block
}

fn sized_le(into: &mut Vec<u8>, field: &[u8]) {
    into.extend_from_slice(&length(field.len()).to_le_bytes());
    into.extend_from_slice(field);
}

/// Covers are bounded, and other texts are short.
fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
