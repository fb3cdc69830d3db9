//! The `Tracks` element: which track is the audio, and what its codec needs to begin.

use kmds_extract::Codec;

use super::ebml::{
    AUDIO, CHANNELS, CODEC_DELAY, CODEC_ID, CODEC_PRIVATE, DEFAULT_DURATION, SAMPLING_FREQUENCY,
    TRACK_ENTRY, TRACK_NUMBER, TRACK_TYPE, children, float, unsigned,
};

#[derive(Debug, Clone, PartialEq)]
pub struct AudioTrack {
    pub number: u64,
    pub codec: Codec,
    pub codec_private: Vec<u8>,
    pub codec_delay_nanos: u64,
    /// Nanoseconds of one frame; 0 is unknown.
    pub frame_nanos: u64,
    pub channels: u8,
    pub sample_rate: u32,
}

/// The audio tracks among the payload of `Tracks`, in their order.
pub fn audio_tracks(tracks: &[u8]) -> impl Iterator<Item = AudioTrack> {
    const TYPE_AUDIO: u64 = 2;
    children(tracks)
        .filter(|(id, _)| *id == TRACK_ENTRY)
        .filter_map(|(_, entry)| {
            let find = |wanted: u32| {
                children(entry)
                    .find(|(id, _)| *id == wanted)
                    .map(|(_, payload)| payload)
            };
            let number = |wanted: u32| find(wanted).map_or(0, unsigned);
            let audio = |wanted: u32| {
                find(AUDIO).and_then(|audio| children(audio).find(|(id, _)| *id == wanted))
            };
            (number(TRACK_TYPE) == TYPE_AUDIO).then(|| AudioTrack {
                number: number(TRACK_NUMBER),
                codec: codec(find(CODEC_ID).unwrap_or_default()),
                codec_private: find(CODEC_PRIVATE).unwrap_or_default().to_vec(),
                codec_delay_nanos: number(CODEC_DELAY),
                frame_nanos: number(DEFAULT_DURATION),
                channels: audio(CHANNELS)
                    .map_or(1, |(_, channels)| unsigned(channels).min(255) as u8),
                sample_rate: audio(SAMPLING_FREQUENCY)
                    .and_then(|(_, rate)| float(rate))
                    .unwrap_or(48_000.0) as u32,
            })
        })
}

fn codec(id: &[u8]) -> Codec {
    let id = id.split(|&byte| byte == 0).next().unwrap_or_default();
    match id {
        b"A_OPUS" | b"A_OPUS/EXPERIMENTAL" => Codec::Opus,
        b"A_VORBIS" => Codec::Vorbis,
        b"A_FLAC" => Codec::Flac,
        b"A_MPEG/L3" => Codec::Mp3,
        id if id.starts_with(b"A_AAC") => Codec::Aac,
        id if id.starts_with(b"A_PCM") => Codec::Pcm,
        _ => Codec::Other,
    }
}
