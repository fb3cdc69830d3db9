//! A block: one track, one time, one packet or several laced into one (RFC 9559 §10).

use super::ebml::vint;

/// The head of a `SimpleBlock` or `Block`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHead {
    pub track: u64,
    /// Relative to the cluster's time, in its units.
    pub time: i16,
    lacing: u8,
    /// Bytes of the head.
    bytes: usize,
}

impl BlockHead {
    /// Nothing when the block is too short to have a head.
    pub fn parse(block: &[u8]) -> Option<Self> {
        let (track, bytes) = vint(block)?;
        let &[t0, t1, flags] = block.get(bytes..)?.first_chunk()?;
        Some(Self {
            track,
            time: i16::from_be_bytes([t0, t1]),
            lacing: flags >> 1 & 3,
            bytes: bytes + 3,
        })
    }

    /// The packets in `block`, whose head this is; nothing when the laces do not fit.
    pub fn packets<'b>(&self, block: &'b [u8]) -> Option<Vec<&'b [u8]>> {
        let body = block.get(self.bytes..)?;
        if self.lacing == 0 {
            return Some(vec![body]);
        }
        let (&count, body) = body.split_first()?;
        let count = usize::from(count);
        match self.lacing {
            1 => laced(body, |body| xiph_sizes(body, count)),
            2 => {
                let each = body.len() / (count + 1);
                (each * (count + 1) == body.len()).then(|| body.chunks_exact(each.max(1)).collect())
            }
            _ => laced(body, |body| ebml_sizes(body, count)),
        }
    }
}

/// Sizes of all packets but the last, and the bytes behind them.
type Sizes<'b> = Option<(Vec<usize>, &'b [u8])>;

fn laced<'b>(body: &'b [u8], sizes: impl Fn(&'b [u8]) -> Sizes<'b>) -> Option<Vec<&'b [u8]>> {
    let (sizes, mut rest) = sizes(body)?;
    let mut packets = Vec::with_capacity(sizes.len() + 1);
    for size in sizes {
        let (packet, behind) = rest.split_at_checked(size)?;
        packets.push(packet);
        rest = behind;
    }
    packets.push(rest);
    Some(packets)
}

fn xiph_sizes(mut body: &[u8], count: usize) -> Sizes<'_> {
    let mut sizes = Vec::with_capacity(count);
    for _ in 0..count {
        let full = body.iter().take_while(|&&byte| byte == 255).count();
        let last = usize::from(*body.get(full)?);
        sizes.push(full * 255 + last);
        body = body.get(full + 1..)?;
    }
    Some((sizes, body))
}

/// The first size as it is, each further one as its difference from the one before.
fn ebml_sizes(mut body: &[u8], count: usize) -> Sizes<'_> {
    let mut sizes = Vec::<usize>::with_capacity(count);
    for _ in 0..count {
        let (value, bytes) = vint(body)?;
        let value = i64::try_from(value).ok()?;
        let bias = (1_i64 << (7 * bytes - 1)) - 1;
        let size = match sizes.last() {
            None => value,
            Some(&before) => i64::try_from(before).ok()?.checked_add(value - bias)?,
        };
        sizes.push(usize::try_from(size).ok()?);
        body = body.get(bytes..)?;
    }
    Some((sizes, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lacing_is_taken_apart_into_the_same_packets() {
        let packets: [&[u8]; 3] = [&[1; 300], &[2; 299], &[3; 10]];
        let body = packets.concat();
        let laced = |flags: u8, sizes: &[u8]| [&[0x81, 0, 5, flags, 2], sizes, &body].concat();
        let xiph = laced(0b0010, &[255, 45, 255, 44]);
        // 300 as a vint of two bytes, then −1 as one of one byte (63 is zero).
        let ebml = laced(0b0110, &[0x41, 0x2C, 0x80 | 62]);
        for block in [xiph, ebml] {
            let head = BlockHead::parse(&block).unwrap();
            assert_eq!((head.track, head.time), (1, 5));
            assert_eq!(head.packets(&block).unwrap(), packets);
        }
        let fixed = [&[0x81, 0xFF, 0xFF, 0b0100, 1][..], &[7; 8]].concat();
        let head = BlockHead::parse(&fixed).unwrap();
        assert_eq!(head.time, -1);
        assert_eq!(head.packets(&fixed).unwrap(), [[7; 4], [7; 4]]);
    }

    #[test]
    fn laces_that_do_not_fit_are_refused() {
        for block in [
            &[0x81, 0, 0, 0b0010, 1, 200, 1][..],
            &[0x81, 0, 0, 0b0100, 1, 1, 2, 3],
            &[0x81, 0, 0, 0b0110, 9],
        ] {
            assert_eq!(
                BlockHead::parse(block).unwrap().packets(block),
                None,
                "{block:?}"
            );
        }
    }
}
