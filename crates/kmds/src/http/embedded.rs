//! Files that are part of the program: the page, and the description of the API.
//!
//! Owns how they are stored: `build.rs` compresses them. Each request unpacks the file that it asks for, in less than a
//! millisecond, so that none of them stays in memory.

use std::io::Read as _;

use flate2::read::DeflateDecoder;

/// A compressed text.
pub(super) struct Embedded(&'static [u8]);

macro_rules! embedded {
    ($name:literal) => {
        Embedded(include_bytes!(concat!(env!("OUT_DIR"), "/", $name)))
    };
}

pub(super) const OPENAPI: Embedded = embedded!("openapi.json");
pub(super) const PAGE: Embedded = embedded!("page.html");
pub(super) const STYLE: Embedded = embedded!("page.css");
pub(super) const SCRIPT: Embedded = embedded!("page.js");

impl Embedded {
    /// The text as it is in the source.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(8 * self.0.len());
        // It cannot fail: the build compressed this text itself.
        let _ = DeflateDecoder::new(self.0).read_to_string(&mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_comes_back_as_it_is_in_the_source() {
        let parts = concat!(
            include_str!("page/script/stats.js"),
            include_str!("page/script/page.js")
        );
        assert!(SCRIPT.text().ends_with(parts));
        assert!(
            SCRIPT
                .text()
                .starts_with(include_str!("page/script/words.js"))
        );
        for (file, source) in [
            (OPENAPI, include_str!("../../../../docs/openapi.json")),
            (PAGE, include_str!("page/page.html")),
            (STYLE, include_str!("page/page.css")),
        ] {
            assert_eq!(file.text(), source);
            assert!(file.0.len() < source.len() / 2, "it is compressed");
        }
    }
}
