//! Signatures and other made-up secrets.
//!
//! Owns the hash behind `sig`, `Signature` and `token`. It detects a client's mistakes; it is no cryptography.

/// FNV-1a over 64 bits, then stirred, so that near texts get far numbers.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

/// A signature of `parts`: `length` hexadecimal digits.
pub fn hex(parts: &[&str], length: usize) -> String {
    let joined = parts.join("\n");
    let mut out = String::new();
    let mut round = 0_u32;
    while out.len() < length {
        out.push_str(&format!(
            "{:016x}",
            fingerprint(format!("{round}\n{joined}").as_bytes())
        ));
        round += 1;
    }
    out.truncate(length);
    out
}

/// `length` characters of `alphabet`, the same for the same parts.
pub fn word(parts: &[&str], length: usize, alphabet: &[u8]) -> String {
    let joined = parts.join("\n");
    (0..length)
        .map(|n| {
            let number =
                fingerprint(format!("{n}\n{joined}").as_bytes()) % alphabet.len().max(1) as u64;
            alphabet.get(number as usize).copied().unwrap_or(b'x') as char
        })
        .collect()
}
