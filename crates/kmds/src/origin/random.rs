//! Randomness for request ids and for varying pauses. Hides the generator. Never used for secrets that are stored.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `length` characters of `A-Z a-z 0-9 - _`, each equally likely.
pub(super) fn nonce(length: usize) -> String {
    let mut bytes = vec![0_u8; length];
    fill(&mut bytes);
    bytes
        .iter()
        .filter_map(|byte| URL_SAFE.get(usize::from(byte & 63)))
        .map(|&letter| char::from(letter))
        .collect()
}

/// The pause, a quarter shorter to a quarter longer, so that many who failed together do not come back together.
pub(super) fn varied(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    fill(&mut byte);
    pause.mul_f64(0.75 + f64::from(byte[0]) / 510.0)
}

/// Without a system generator the bytes stay as they are: ids repeat and pauses are equal, which nothing relies on.
fn fill(bytes: &mut [u8]) {
    if SystemRandom::new().fill(bytes).is_err() {
        tracing::warn!("the system has no random numbers; request ids repeat");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_has_the_wanted_length_and_alphabet_and_does_not_repeat() {
        let one = nonce(16);
        assert_eq!(one.len(), 16);
        assert!(one.bytes().all(|byte| URL_SAFE.contains(&byte)));
        assert_ne!(one, nonce(16));
    }

    #[test]
    fn a_pause_varies_by_a_quarter_either_way() {
        let second = Duration::from_secs(1);
        for _ in 0..200 {
            let pause = varied(second);
            assert!(
                pause >= second.mul_f64(0.75) && pause <= second.mul_f64(1.2501),
                "{pause:?}"
            );
        }
    }
}
