//! Whether a site throttles a URL: the audio arrives hardly faster than it plays (YouTube field notes, 3.3).
//!
//! Each range is judged once. Pure: the caller measures the time.

use std::time::Duration;

use kmds_extract::Stream;

/// A shorter wait says nothing about speed.
const LEAST_WAIT: Duration = Duration::from_secs(5);
/// A speed below this many times playback is slow.
const PLAYBACK_TIMES: f64 = 2.0;
/// Slow ranges in a row that count as throttling.
const SLOW_RANGES: u32 = 2;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Speed {
    /// Bytes a second at which the stream plays, where it is known.
    playback: Option<f64>,
    waited: Duration,
    bytes: u64,
    slow: u32,
    judged: bool,
}

impl Speed {
    pub(super) fn of(stream: &Stream) -> Self {
        let by_size = stream
            .size_bytes
            .zip(stream.duration)
            .map(|(size, length)| size as f64 / length.as_secs_f64());
        let playback = by_size.or(stream.bitrate_bps.map(|bitrate| f64::from(bitrate) / 8.0));
        let playback = playback.filter(|rate| rate.is_finite() && *rate > 0.0);
        Self {
            playback,
            waited: Duration::ZERO,
            bytes: 0,
            slow: 0,
            judged: false,
        }
    }

    /// `bytes` of the current range arrived after a wait for them. Each range is judged once.
    pub(super) fn arrived(&mut self, bytes: usize, waited: Duration) {
        self.bytes += bytes as u64;
        self.waited += waited;
        if let Some(playback) = self.playback
            && self.waited >= LEAST_WAIT
            && !self.judged
        {
            self.judged = true;
            let fast = self.bytes as f64 >= PLAYBACK_TIMES * playback * self.waited.as_secs_f64();
            self.slow = if fast { 0 } else { self.slow + 1 };
        }
    }

    pub(super) fn range_ended(&mut self) {
        if !self.judged {
            self.slow = 0;
        }
        (self.waited, self.bytes, self.judged) = (Duration::ZERO, 0, false);
    }

    pub(super) const fn is_slow(&self) -> bool {
        self.slow >= SLOW_RANGES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays at 16,000 bytes a second.
    fn speed() -> Speed {
        Speed {
            playback: Some(16_000.0),
            waited: Duration::ZERO,
            bytes: 0,
            slow: 0,
            judged: false,
        }
    }

    /// One range of so many seconds at so many bytes a second.
    fn range(speed: &mut Speed, seconds: u32, rate: usize) {
        for _ in 0..seconds {
            speed.arrived(rate, Duration::from_secs(1));
        }
        speed.range_ended();
    }

    #[test]
    fn two_slow_ranges_in_a_row_are_slow() {
        let mut speed = speed();
        range(&mut speed, 10, 31_000);
        assert!(!speed.is_slow(), "one may be an accident");
        range(&mut speed, 10, 31_000);
        assert!(speed.is_slow());
    }

    #[test]
    fn a_fast_or_short_range_in_between_starts_the_count_anew() {
        for (seconds, rate) in [(10, 33_000), (4, 10_000)] {
            let mut speed = speed();
            range(&mut speed, 10, 20_000);
            range(&mut speed, seconds, rate);
            range(&mut speed, 10, 20_000);
            assert!(!speed.is_slow(), "{seconds} s at {rate}");
        }
    }

    #[test]
    fn without_a_known_playback_rate_nothing_is_slow() {
        let mut speed = Speed {
            playback: None,
            ..speed()
        };
        for _ in 0..5 {
            range(&mut speed, 60, 1);
        }
        assert!(!speed.is_slow());
    }
}
