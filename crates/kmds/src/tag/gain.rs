//! How much louder a player should play a song, so that all songs are equally loud.
//!
//! Owns the two references and the spelling of each: ReplayGain 2 (−18 LUFS), and the one that Opus has in its place
//! (RFC 7845 §5.2.1: −23 LUFS, in 256ths of a decibel). No peak is written: no site tells it, so a player has to guard
//! against clipping.

use kmds_extract::Loudness;

const REPLAY_GAIN_LUFS: f64 = -18.0;
const R128_LUFS: f64 = -23.0;

#[derive(Clone, Copy)]
pub struct Gain(Loudness);

impl Gain {
    pub const NAME: &str = "REPLAYGAIN_TRACK_GAIN";
    /// An Opus file should have no other gain (RFC 7845 §5.2.1).
    pub const OPUS_NAME: &str = "R128_TRACK_GAIN";

    pub const fn of(loudness: Loudness) -> Self {
        Self(loudness)
    }

    /// `-0.50 dB`.
    pub fn replay_gain(self) -> String {
        format!("{:.2} dB", REPLAY_GAIN_LUFS - self.0.lufs())
    }

    /// A whole number of 256ths, which fits 16 bits for every loudness there is.
    pub fn r128(self) -> String {
        format!("{:.0}", (R128_LUFS - self.0.lufs()) * 256.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_brings_a_song_to_the_reference_of_its_tag() {
        for (loudness_db, replay_gain, r128) in [
            // −14 LUFS, as YouTube plays it.
            (0.0, "-4.00 dB", "-2304"),
            (6.88, "-10.88 dB", "-4065"),
            (-13.91, "9.91 dB", "1257"),
            // Each at its own reference.
            (-4.0, "0.00 dB", "-1280"),
            (-9.0, "5.00 dB", "0"),
            (-60.0, "56.00 dB", "13056"),
            (60.0, "-64.00 dB", "-17664"),
        ] {
            let gain = Gain::of(Loudness::of_db(loudness_db).expect("a loudness"));
            assert_eq!(
                (gain.replay_gain().as_str(), gain.r128().as_str()),
                (replay_gain, r128),
                "{loudness_db}"
            );
        }
    }
}
