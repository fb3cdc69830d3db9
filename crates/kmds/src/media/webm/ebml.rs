//! EBML: the id and size in front of every element.
//!
//! Owns variable-length numbers and the ids with a name here. Of payloads it reads only numbers.

pub const EBML: u32 = 0x1A45_DFA3;
pub const SEGMENT: u32 = 0x1853_8067;
pub const INFO: u32 = 0x1549_A966;
pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
pub const DURATION: u32 = 0x4489;
pub const TRACKS: u32 = 0x1654_AE6B;
pub const TRACK_ENTRY: u32 = 0xAE;
pub const TRACK_NUMBER: u32 = 0xD7;
pub const TRACK_TYPE: u32 = 0x83;
pub const CODEC_ID: u32 = 0x86;
pub const CODEC_PRIVATE: u32 = 0x63A2;
pub const CODEC_DELAY: u32 = 0x56AA;
pub const DEFAULT_DURATION: u32 = 0x23_E383;
pub const AUDIO: u32 = 0xE1;
pub const CHANNELS: u32 = 0x9F;
pub const SAMPLING_FREQUENCY: u32 = 0xB5;
pub const CLUSTER: u32 = 0x1F43_B675;
pub const TIMESTAMP: u32 = 0xE7;
pub const SIMPLE_BLOCK: u32 = 0xA3;
pub const BLOCK_GROUP: u32 = 0xA0;
pub const BLOCK: u32 = 0xA1;
pub const BLOCK_DURATION: u32 = 0x9B;
pub const DISCARD_PADDING: u32 = 0x75A2;
pub const VOID: u32 = 0xEC;

/// Bytes of the longest header: an id of 4, a size of 8.
pub const MAX_HEADER_BYTES: usize = 12;

/// Not an element at all.
#[derive(Debug, PartialEq, Eq)]
pub struct NotEbml;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub id: u32,
    /// Bytes of payload; nothing when the element does not say (live).
    pub size: Option<u64>,
    /// Bytes of the header itself.
    pub bytes: usize,
}

impl Header {
    /// Reads the header at the start of `from`; nothing when `from` ends too early.
    pub fn parse(from: &[u8]) -> Result<Option<Self>, NotEbml> {
        let Some(&first) = from.first() else {
            return Ok(None);
        };
        let id_bytes = first.leading_zeros() as usize + 1;
        if id_bytes > 4 {
            return Err(NotEbml);
        }
        let Some((id, rest)) = from.split_at_checked(id_bytes) else {
            return Ok(None);
        };
        let id = id.iter().fold(0, |id, &byte| id << 8 | u32::from(byte));
        let Some(&first) = rest.first() else {
            return Ok(None);
        };
        if first == 0 {
            return Err(NotEbml);
        }
        let Some((size, size_bytes)) = vint(rest) else {
            return Ok(None);
        };
        let unknown = size == (1 << (7 * size_bytes)) - 1;
        Ok(Some(Self {
            id,
            size: (!unknown).then_some(size),
            bytes: id_bytes + size_bytes,
        }))
    }
}

/// A number of 1 to 8 bytes whose leading zeros tell its length; also that length.
pub fn vint(from: &[u8]) -> Option<(u64, usize)> {
    let first = *from.first()?;
    let bytes = first.leading_zeros() as usize + 1;
    let mask = 0xFF_u64.checked_shr(bytes as u32).unwrap_or(0);
    let rest = from.get(1..bytes).filter(|_| bytes <= 8)?;
    Some((
        rest.iter().fold(u64::from(first) & mask, |value, &byte| {
            value << 8 | u64::from(byte)
        }),
        bytes,
    ))
}

/// The elements directly inside `payload`, as long as they are whole.
pub fn children(mut payload: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::parse(payload).ok()??;
        let size = usize::try_from(header.size?).ok()?;
        let rest = payload.get(header.bytes..)?;
        let (child, rest) = rest.split_at_checked(size)?;
        payload = rest;
        Some((header.id, child))
    })
}

pub fn unsigned(payload: &[u8]) -> u64 {
    payload
        .iter()
        .take(8)
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

pub fn signed(payload: &[u8]) -> i64 {
    let negative = payload.first().is_some_and(|first| first & 0x80 != 0);
    payload
        .iter()
        .take(8)
        .fold(if negative { -1 } else { 0 }, |value, &byte| {
            value << 8 | i64::from(byte)
        })
}

pub fn float(payload: &[u8]) -> Option<f64> {
    match payload.len() {
        4 => payload
            .try_into()
            .ok()
            .map(|bytes| f64::from(f32::from_be_bytes(bytes))),
        8 => payload.try_into().ok().map(f64::from_be_bytes),
        _ => None,
    }
    .filter(|value| value.is_finite())
}
