//! Random ids, secrets and variations of pauses.
//!
//! Owns the generator (the system's, through ring). If the system has none, ids repeat and pauses are equal, which is
//! harmless, since nothing relies on them; a secret is not made.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use ring::rand::{SecureRandom, SystemRandom};

use crate::hex;

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// An id of 16 hexadecimal digits.
#[must_use]
pub fn id() -> String {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    hex::encode(&bytes)
}

/// A number, each equally likely.
#[must_use]
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A new folder for temporary files, which only this user may enter, under a name that no other user can foresee.
/// # Errors
/// The system's temporary folder cannot be written.
pub fn temporary_folder(what: &str) -> std::io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("kmds-{what}-{}", nonce(16)));
    // Fails if another user has made it first.
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

/// `length` characters of `A-Z a-z 0-9 - _`, each equally likely.
#[must_use]
pub fn nonce(length: usize) -> String {
    let mut bytes = vec![0_u8; length];
    fill(&mut bytes);
    bytes
        .iter()
        .filter_map(|byte| URL_SAFE.get(usize::from(byte & 63)))
        .map(|&letter| char::from(letter))
        .collect()
}

/// A password of 32 characters for a connection within this machine.
/// # Errors
/// The system has no random numbers.
pub fn secret() -> Result<String, String> {
    let mut bytes = [0; 24];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the system has no random numbers".to_owned())?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// The pause, a quarter shorter to a quarter longer, so that requests that failed together are not repeated together.
#[must_use]
pub fn varied(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    fill(&mut byte);
    pause.mul_f64(0.75 + f64::from(byte[0]) / 510.0)
}

fn fill(bytes: &mut [u8]) {
    if SystemRandom::new().fill(bytes).is_err() {
        tracing::warn!("the system has no random numbers; request ids repeat");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_has_its_length_and_alphabet_and_does_not_repeat() {
        let one = nonce(16);
        assert_eq!(one.len(), 16);
        assert!(one.bytes().all(|byte| URL_SAFE.contains(&byte)));
        assert_ne!(one, nonce(16));
    }

    #[test]
    fn a_temporary_folder_is_for_this_user_only_and_has_a_new_name_each_time() {
        use std::os::unix::fs::PermissionsExt as _;

        let folders = [0, 1].map(|_| temporary_folder("test").expect("made"));
        assert_ne!(folders[0], folders[1]);
        for folder in folders {
            let about = std::fs::metadata(&folder).expect("there");
            assert_eq!(about.permissions().mode() & 0o777, 0o700);
            std::fs::remove_dir(folder).expect("removed");
        }
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
