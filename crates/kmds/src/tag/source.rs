//! Reads a song's link from the comment in a file's tags.
//!
//! Owns where each container keeps a comment. Reads no audio.

use std::fs::File;

use crate::media::mp4::BoxAt;
use crate::media::ogg::Page;
use crate::media::{Window, mp3};

/// Bytes of a comment that are read: a link has 2,048 at most, in UTF-16 twice as many.
const LONGEST_COMMENT: u64 = 8192;
/// Bytes of Vorbis comments that are read; covers are among them.
const LONGEST_COMMENTS: usize = 16 << 20;
/// The head of a tag, and of each frame in it.
const FRAME_HEAD_BYTES: usize = 10;

/// The link to its source that [`copy`](super::copy()) left in a file; `None` for files of others, and for FLAC and
/// WAV. Waits for the drive.
#[must_use]
pub fn source_link(file: &File) -> Option<String> {
    let window = &mut Window::open(file).ok()?;
    match window.peek(0, 8).ok()? {
        [b'I', b'D', b'3', ..] => in_id3(window),
        [_, _, _, _, b'f', b't', b'y', b'p'] => in_mp4(window),
        [b'O', b'g', b'g', b'S', ..] => in_ogg(window),
        _ => None,
    }
}

/// A comment that is a link. Links are ASCII, whose letters are the same bytes in every encoding; other bytes are left
/// out.
fn link(comment: &[u8]) -> Option<String> {
    let letters = comment.iter().filter(|byte| byte.is_ascii_graphic());
    Some(letters.map(|&byte| char::from(byte)).collect::<String>())
        .filter(|link| link.starts_with("https://"))
}

/// The comment of an ID3v2 tag (2.3 and 2.4).
fn in_id3(window: &mut Window<'_>) -> Option<String> {
    let head = window.peek(0, FRAME_HEAD_BYTES).ok()?;
    let [b'I', b'D', b'3', version @ (3 | 4), ..] = *head else {
        return None;
    };
    let end = mp3::after_id3(head)? as u64;
    let mut at = FRAME_HEAD_BYTES as u64;
    while at < end {
        let [name @ .., s0, s1, s2, s3, _, _]: [u8; FRAME_HEAD_BYTES] =
            window.array(at, "inside a tag").ok()?;
        let size = [s0, s1, s2, s3];
        let size = match version {
            4 => size
                .into_iter()
                .fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f)),
            _ => u64::from(u32::from_be_bytes(size)),
        };
        at += FRAME_HEAD_BYTES as u64;
        if &name == b"COMM" {
            let comment = part(window, at, size)?;
            // Behind the encoding and the language.
            if let Some(link) = comment.get(4..).and_then(link) {
                return Some(link);
            }
        }
        at += size;
    }
    None
}

/// At most as many bytes as a link can have; `None` where the file ends before.
fn part<'w>(window: &'w mut Window<'_>, at: u64, size: u64) -> Option<&'w [u8]> {
    let size = usize::try_from(size.min(LONGEST_COMMENT)).ok()?;
    window.peek(at, size).ok().filter(|part| part.len() == size)
}

/// The comment among iTunes' items.
fn in_mp4(window: &mut Window<'_>) -> Option<String> {
    let (mut at, mut end) = (0, window.len());
    // Each with the number of bytes before the boxes, or the text, in it.
    let path = [
        (b"moov", 0),
        (b"udta", 0),
        (b"meta", 4),
        (b"ilst", 0),
        (b"\xa9cmt", 0),
        (b"data", 8),
    ];
    for (kind, skipped) in path {
        let found = first_of(window, at, end, kind)?;
        (at, end) = (found.body + skipped, found.end);
    }
    link(part(window, at, end.checked_sub(at)?)?)
}

/// The first box of a kind between two places.
fn first_of(window: &mut Window<'_>, mut at: u64, end: u64, kind: &[u8; 4]) -> Option<BoxAt> {
    while at < end {
        let here = BoxAt::read(window, at, end).ok()?;
        if here.kind == *kind {
            return Some(here);
        }
        at = here.end;
    }
    None
}

/// The comment among the Vorbis comments of Opus and Vorbis.
fn in_ogg(window: &mut Window<'_>) -> Option<String> {
    let packet = second_packet(window)?;
    let mut rest = packet
        .strip_prefix(b"OpusTags")
        .or_else(|| packet.strip_prefix(b"\x03vorbis"))?;
    let _maker = sized(&mut rest)?;
    let (_count, mut rest) = rest.split_at_checked(4)?;
    while let Some(comment) = sized(&mut rest) {
        let (name, text) = comment.split_at_checked(8).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"comment=") {
            return link(text);
        }
    }
    None
}

fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (size, after) = rest.split_first_chunk()?;
    let (field, after) =
        after.split_at_checked(usize::try_from(u32::from_le_bytes(*size)).ok()?)?;
    *rest = after;
    Some(field)
}

/// Put together from its pages.
fn second_packet(window: &mut Window<'_>) -> Option<Vec<u8>> {
    let (mut at, mut ended, mut packet) = (0, 0, Vec::new());
    while packet.len() < LONGEST_COMMENTS {
        let page = Page::read(window, at).ok()?;
        at += page.size() as u64;
        for (piece, ends) in page.pieces() {
            if ended == 1 {
                packet.extend_from_slice(piece);
            }
            ended += u32::from(ends);
            if ended == 2 {
                return Some(packet);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "https://soundcloud.com/klaus-veen/ordinary-days";

    fn frame(version: u8, name: &[u8], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len()).expect("small");
        let size = if version == 4 {
            (size & 0x3f80) << 1 | size & 0x7f
        } else {
            size
        };
        [name, &size.to_be_bytes(), b"\0\0", body].concat()
    }

    /// A tag with a picture in front, as players and taggers write it.
    fn tag(version: u8, comments: &[&[u8]]) -> Vec<u8> {
        let comments: Vec<u8> = comments
            .iter()
            .flat_map(|body| frame(version, b"COMM", body))
            .collect();
        let frames = [
            frame(version, b"APIC", &[0x55; 300]),
            comments,
            vec![0; 200],
        ]
        .concat();
        let size = u32::try_from(frames.len()).expect("small");
        let size = (size & 0x3f80) << 1 | size & 0x7f;
        let head = [&b"ID3"[..], &[version, 0, 0], &size.to_be_bytes()].concat();
        [head, frames, b"\xff\xfb\x90\x64".repeat(200)].concat()
    }

    fn boxed(kind: &[u8], body: &[u8]) -> Vec<u8> {
        [
            &u32::try_from(8 + body.len()).expect("small").to_be_bytes(),
            kind,
            body,
        ]
        .concat()
    }

    /// Items behind the audio, after a movie header and a picture.
    fn mp4(comment: &[u8]) -> Vec<u8> {
        let item = |name: &[u8], text: &[u8]| {
            boxed(
                name,
                &boxed(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], text].concat()),
            )
        };
        let items = boxed(
            b"ilst",
            &[item(b"covr", &[0x55; 300]), item(b"\xa9cmt", comment)].concat(),
        );
        let meta = boxed(
            b"meta",
            &[&[0; 4][..], &boxed(b"hdlr", &[0; 25]), &items].concat(),
        );
        let moov = boxed(
            b"moov",
            &[boxed(b"mvhd", &[0; 100]), boxed(b"udta", &meta)].concat(),
        );
        // A box of 64 bits.
        let audio = [
            &[0, 0, 0, 1][..],
            b"mdat",
            &24_u64.to_be_bytes(),
            &[0x55; 8],
        ]
        .concat();
        [boxed(b"ftyp", b"M4A \0\0\0\0"), audio, moov].concat()
    }

    /// Two pages for the comments: a picture of 70,000 bytes before the comment.
    fn ogg(head: &[u8], magic: &[u8], comment: &[u8]) -> Vec<u8> {
        let field = |text: &[u8]| {
            [
                &u32::try_from(text.len()).expect("small").to_le_bytes(),
                text,
            ]
            .concat()
        };
        let picture = [&b"METADATA_BLOCK_PICTURE="[..], &[b'A'; 70_000]].concat();
        let fields = [
            field(b"lab"),
            vec![2, 0, 0, 0],
            field(&picture),
            field(comment),
        ]
        .concat();
        let packet = [magic, &fields].concat();
        let page = |segments: &[u8], body: &[u8]| {
            let mut bytes = Vec::new();
            Page {
                flags: 0,
                granule: 0,
                serial: 1,
                sequence: 0,
                segments,
                body,
            }
            .write(&mut bytes);
            bytes
        };
        let (first, second) = packet.split_at(255 * 255);
        let mut table = vec![255; second.len() / 255];
        table.push(u8::try_from(second.len() % 255).expect("below 255"));
        let head = page(&[u8::try_from(head.len()).expect("small")], head);
        [head, page(&[255; 255], first), page(&table, second)].concat()
    }

    fn read(bytes: &[u8], name: &str) -> Option<String> {
        let path = std::env::temp_dir().join(format!("kmds-source-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("a file");
        let link = source_link(&File::open(&path).expect("it opens"));
        std::fs::remove_file(path).expect("removed");
        link
    }

    #[test]
    fn the_link_in_an_mp4_is_read_wherever_it_lies() {
        assert_eq!(
            read(&mp4(LINK.as_bytes()), "whole.m4a").as_deref(),
            Some(LINK)
        );
        assert_eq!(read(&mp4(b"bought in a shop"), "other.m4a"), None);
        let whole = mp4(LINK.as_bytes());
        for cut in 0..whole.len() {
            assert_eq!(
                read(whole.get(..cut).expect("long"), "cut.m4a"),
                None,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn the_link_in_an_ogg_file_is_read_behind_a_cover() {
        for (head, magic) in [
            (&b"OpusHead"[..], &b"OpusTags"[..]),
            (b"\x01vorbis", b"\x03vorbis"),
        ] {
            let named = |name: &str, text: &str| {
                read(
                    &ogg(head, magic, format!("{name}={text}").as_bytes()),
                    "a.ogg",
                )
            };
            assert_eq!(named("comment", LINK).as_deref(), Some(LINK));
            assert_eq!(named("COMMENT", "bought in a shop"), None);
            assert_eq!(named("DESCRIPTION", LINK), None);
            let whole = ogg(head, magic, format!("COMMENT={LINK}").as_bytes());
            assert_eq!(
                read(whole.get(..whole.len() - 1).expect("long"), "cut.ogg"),
                None
            );
        }
    }

    #[test]
    fn the_link_in_an_mp3_is_read_in_every_version_and_encoding() {
        let utf16: Vec<u8> = LINK.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16 = [&b"\x01eng\xff\xfe\0\0\xff\xfe"[..], &utf16].concat();
        let utf8 = [b"\x03eng\0", LINK.as_bytes()].concat();
        for (version, comments, wanted) in [
            (4, &[&utf8[..]][..], Some(LINK)),
            (3, &[&utf8], Some(LINK)),
            (3, &[&utf16], Some(LINK)),
            (4, &[b"\0engiTunNORM\0 00000A", &utf16], Some(LINK)),
            (4, &[b"\0eng\0bought in a shop"], None),
            (4, &[], None),
        ] {
            let link = read(&tag(version, comments), "tagged.mp3");
            assert_eq!(link.as_deref(), wanted, "{version} {comments:?}");
        }
        for cut in [3, 12, 320, 340, 370] {
            assert_eq!(
                read(tag(4, &[&utf8]).get(..cut).expect("long"), "cut.mp3"),
                None,
                "cut at {cut}"
            );
        }
    }
}
