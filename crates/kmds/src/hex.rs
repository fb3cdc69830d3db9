//! Bytes as lower-case hexadecimal digits: digests, signatures, ids.

/// Two digits for each byte.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The bytes of pairs of digits; `None` for anything else.
#[must_use]
pub fn decode(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => u8::try_from((nibble(high)? << 4) | nibble(low)?).ok(),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(encode(&[0, 1, 0x7f, 0xa0, 0xff]), "00017fa0ff");
        assert_eq!(encode(&[]), "");
        assert_eq!(decode("00017fA0ff"), Some(vec![0, 1, 0x7f, 0xa0, 0xff]));
        for bad in ["0", "0g", "+1", "é0", "0 "] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
