//! The table of itags: YouTube's numbers for streams (field notes, 2.5).
//!
//! Owns which itag is preferred. The codec comes from `mimeType`, not from here.

/// AAC before Opus, the better bitrate first, premium ones leading; order of the field notes.
const PREFERENCE: [u32; 11] = [141, 140, 139, 599, 774, 251, 250, 249, 600, 172, 171];
/// Surround sound, never for stereo listeners.
const MULTI_CHANNEL: [u32; 7] = [256, 258, 325, 327, 328, 338, 380];
/// 360p video with AAC in one MP4: the last choice.
pub(crate) const MUXED: u32 = 18;

/// The rank of an unknown itag.
pub(crate) const UNKNOWN: u16 = 100;

/// Smaller is better; unknown audio comes after all known itags.
pub(crate) fn rank(itag: u32) -> u16 {
    if itag == MUXED {
        return u16::MAX;
    }
    if MULTI_CHANNEL.contains(&itag) {
        return 200;
    }
    PREFERENCE
        .iter()
        .zip(0..)
        .find_map(|(known, rank)| (*known == itag).then_some(rank))
        .unwrap_or(UNKNOWN)
}

pub(crate) fn is_multi_channel(itag: u32, channels: Option<u64>) -> bool {
    MULTI_CHANNEL.contains(&itag) || channels.is_some_and(|channels| channels > 2)
}
