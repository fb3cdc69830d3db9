//! What an Opus packet says of its own length (RFC 6716 §3.1).

/// Samples at 48 kHz that a packet decodes to; nothing for what is no Opus packet. At most 120 ms.
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let &toc = packet.first()?;
    let frame = match toc >> 3 {
        // SILK: 10, 20, 40, 60 ms.
        config @ 0..=11 => *[480, 960, 1920, 2880].get(usize::from(config & 3))?,
        // Hybrid: 10, 20 ms.
        config @ 12..=15 => *[480, 960].get(usize::from(config & 1))?,
        // CELT: 2.5, 5, 10, 20 ms.
        config => 120 << (config & 3),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3F),
    };
    Some(frame * frames).filter(|samples| (1..=5760).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packets_first_bytes_tell_its_length() {
        // Five bits of configuration, one of channels, two that tell how many frames.
        let table: &[(&[u8], Option<u32>)] = &[
            (&[0b0000_1000], Some(960)),
            (&[0b0101_1001], Some(5760)),
            (&[0b0110_0000], Some(480)),
            (&[0b1000_0000], Some(120)),
            (&[0b1111_1100, 1], Some(960)),
            (&[0b1111_1111, 0x06], Some(5760)),
            (&[0b1111_1111, 0x07], None),
            (&[0b1111_1111, 0x00], None),
            (&[0b1111_1111], None),
            (&[], None),
        ];
        for (packet, samples) in table {
            assert_eq!(packet_samples(packet), *samples, "{packet:?}");
        }
    }
}
