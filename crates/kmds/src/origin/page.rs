//! One answer read whole: its size is limited before and after decompression.
//!
//! Owns the size limits of a page, gzip, and detecting a cut body.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use kmds_extract::OriginError;

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It was cut, or its content does not match its headers: another try may bring it whole.
    Broken(String),
    TooLarge,
}

impl BodyError {
    pub(super) fn into_origin(self, limit: usize) -> OriginError {
        match self {
            Self::Broken(reason) => OriginError::Failed(reason),
            Self::TooLarge => OriginError::TooLarge(limit),
        }
    }
}

/// A body that is being collected.
pub(super) struct Collector {
    coding: Coding,
    /// Bytes that may still come over the wire.
    wire_left: usize,
    wire_bytes: u64,
}

enum Coding {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl Collector {
    /// `limit` holds for the bytes on the wire and for the decompressed ones alike.
    pub(super) fn new(headers: &HeaderMap, limit: usize) -> Result<Self, BodyError> {
        let announced = headers
            .get(http::header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > limit as u64) {
            return Err(BodyError::TooLarge);
        }
        let bounded = Bounded {
            pieces: Vec::new(),
            left: limit,
            overflowed: false,
        };
        let coding = headers
            .get(http::header::CONTENT_ENCODING)
            .map_or("", |value| value.to_str().unwrap_or("?"));
        let coding = match coding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Coding::Plain(bounded),
            "gzip" | "x-gzip" => Coding::Gzip(Box::new(MultiGzDecoder::new(bounded))),
            other => {
                return Err(BodyError::Broken(format!(
                    "the answer came in the coding `{other}`, which KMDS did not ask for"
                )));
            }
        };
        Ok(Self {
            coding,
            wire_left: limit,
            wire_bytes: 0,
        })
    }

    pub(super) fn add(&mut self, chunk: &Bytes) -> Result<(), BodyError> {
        self.wire_left = self
            .wire_left
            .checked_sub(chunk.len())
            .ok_or(BodyError::TooLarge)?;
        self.wire_bytes += chunk.len() as u64;
        let written = match &mut self.coding {
            Coding::Plain(body) => body.write_all(chunk),
            Coding::Gzip(decoder) => decoder.write_all(chunk),
        };
        written.map_err(|error| self.explain(&error))
    }

    pub(super) const fn wire_bytes(&self) -> u64 {
        self.wire_bytes
    }

    /// The whole body. A gzip stream must have come to its end, its checksum and length included.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, BodyError> {
        let ended = match &mut self.coding {
            // Some servers name a coding for an answer without a body.
            Coding::Gzip(decoder) if self.wire_bytes > 0 => decoder.try_finish(),
            _ => Ok(()),
        };
        ended.map_err(|error| self.explain(&error))?;
        Ok(match self.coding {
            Coding::Plain(mut body) => body.take(),
            Coding::Gzip(mut decoder) => decoder.get_mut().take(),
        })
    }

    fn explain(&self, error: &io::Error) -> BodyError {
        let body = match &self.coding {
            Coding::Plain(body) => body,
            Coding::Gzip(decoder) => decoder.get_ref(),
        };
        if body.overflowed {
            BodyError::TooLarge
        } else {
            BodyError::Broken(format!("the answer is cut or broken: {error}"))
        }
    }
}

/// A piece of a body, below the 128 KiB from which glibc maps a block of its own. Growing one block to the 8 MiB a page
/// may have, and freeing it, would teach glibc to keep up to twice as much for ever (`M_MMAP_THRESHOLD` of mallopt(3)):
/// hostile pages cost 17 MB of resident memory that way.
const PIECE_BYTES: usize = 64 << 10;

/// Takes at most this many bytes, so that a small answer cannot unpack into a large one.
struct Bounded {
    pieces: Vec<Vec<u8>>,
    left: usize,
    overflowed: bool,
}

impl Bounded {
    /// Everything in one block, which is allocated only when it is needed.
    fn take(&mut self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.pieces.iter().map(Vec::len).sum());
        // Each piece is freed as soon as it is copied.
        std::mem::take(&mut self.pieces)
            .into_iter()
            .for_each(|piece| whole.extend_from_slice(&piece));
        whole
    }
}

impl Write for Bounded {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        match self.left.checked_sub(chunk.len()) {
            Some(left) => {
                self.left = left;
                for part in chunk.chunks(PIECE_BYTES) {
                    match self.pieces.last_mut() {
                        Some(last) if last.len() + part.len() <= PIECE_BYTES => {
                            last.extend_from_slice(part)
                        }
                        _ => {
                            let mut piece = Vec::with_capacity(PIECE_BYTES);
                            piece.extend_from_slice(part);
                            self.pieces.push(piece);
                        }
                    }
                }
                Ok(chunk.len())
            }
            None => {
                self.overflowed = true;
                Err(io::Error::other("too large"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const LIMIT: usize = 10_000;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn collect(headers: &[(&'static str, &str)], wire: &[u8]) -> Result<Vec<u8>, BodyError> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    value.parse().expect("header"),
                )
            })
            .collect();
        let mut collector = Collector::new(&headers, LIMIT)?;
        for chunk in wire.chunks(7) {
            collector.add(&Bytes::copy_from_slice(chunk))?;
        }
        collector.finish()
    }

    const GZIP: [(&str, &str); 1] = [("content-encoding", "gzip")];

    #[test]
    fn plain_and_compressed_bodies_come_out_whole() {
        let text = b"a page with words ".repeat(100);
        assert_eq!(collect(&[], &text), Ok(text.clone()));
        assert_eq!(collect(&GZIP, &gzip(&text)), Ok(text.clone()));
        assert_eq!(
            collect(&[("content-encoding", "X-GZIP")], &gzip(&text)),
            Ok(text)
        );
        assert_eq!(
            collect(&GZIP, b""),
            Ok(Vec::new()),
            "a coding without a body"
        );
    }

    #[test]
    fn a_bomb_stops_at_the_limit_before_it_unfolds() {
        let bomb = gzip(&vec![0; 50 << 20]);
        assert!(bomb.len() > LIMIT, "the wire limit alone stops it");
        assert_eq!(collect(&GZIP, &bomb), Err(BodyError::TooLarge));
        let small_bomb = gzip(&vec![0; LIMIT + 1]);
        assert!(small_bomb.len() < 100);
        assert_eq!(collect(&GZIP, &small_bomb), Err(BodyError::TooLarge));
        assert_eq!(
            collect(&GZIP, &gzip(&vec![0; LIMIT])).map(|body| body.len()),
            Ok(LIMIT)
        );
    }

    #[test]
    fn a_long_body_stops_whether_or_not_it_is_announced() {
        assert_eq!(
            collect(&[("content-length", "10001")], b""),
            Err(BodyError::TooLarge)
        );
        assert_eq!(
            collect(&[], &vec![b'x'; LIMIT + 1]),
            Err(BodyError::TooLarge)
        );
        assert!(collect(&[], &vec![b'x'; LIMIT]).is_ok());
    }

    #[test]
    fn a_cut_or_false_gzip_body_is_broken() {
        let whole = gzip(&b"words ".repeat(500));
        for cut in [5, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
            assert!(
                matches!(collect(&GZIP, &whole[..cut]), Err(BodyError::Broken(_))),
                "cut at {cut}"
            );
        }
        let mut wrong = whole.clone();
        let at = wrong.len() - 6;
        wrong[at] ^= 0xff;
        assert!(
            matches!(collect(&GZIP, &wrong), Err(BodyError::Broken(_))),
            "wrong checksum"
        );
        assert!(matches!(
            collect(&GZIP, b"<html>not gzip</html>"),
            Err(BodyError::Broken(_))
        ));
        assert!(matches!(
            collect(&[("content-encoding", "br")], b"x"),
            Err(BodyError::Broken(_))
        ));
    }
}
