//! Promises that hold for any bytes that a site may send as audio.

use std::cell::OnceCell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::*;
use crate::media::{check, check_segment, mp4, sniff, state_length, webm};

thread_local! {
    static SCRATCH: OnceCell<File> = const { OnceCell::new() };
}

/// Lends a file with these bytes; it has no name, and goes with the process.
fn with_file<T>(bytes: &[u8], work: impl FnOnce(&File) -> T) -> T {
    SCRATCH.with(|scratch| {
        let file = scratch.get_or_init(|| {
            let folder = Folder::new();
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(folder.at("scratch"))
                .unwrap()
        });
        file.set_len(0).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        work(file)
    })
}

/// The verdict on these bytes: the same each time, with offsets inside the file, and with a fixed length.
fn walked(bytes: &[u8], container: Container) -> Option<Checked> {
    let _ = (sniff(bytes), check_segment(container, bytes));
    let checked = match check_bytes(&bytes, container, None) {
        Ok(checked) => checked,
        Err(broken) => {
            if let Broken::Cut { at, .. } | Broken::Malformed { at, .. } = broken {
                assert!(at <= bytes.len() as u64, "{broken}");
            }
            return None;
        }
    };
    assert_eq!(
        (checked.container, checked.size_bytes),
        (container, bytes.len() as u64)
    );
    if let Some(duration) = checked.duration {
        let again = check_bytes(&bytes, container, Some(duration)).unwrap();
        assert_eq!(again, checked);
        // A header may claim another length, which then is the one that is told.
        let longer = duration
            .saturating_mul(2)
            .saturating_add(Duration::from_secs(10));
        let other = check_bytes(&bytes, container, Some(longer))
            .map(|other| other.duration != Some(duration));
        assert!(other.unwrap_or(true));
    }
    Some(checked)
}

/// A whole file is not whole without its last byte, unless that is padding.
fn cannot_lose_its_end(bytes: &[u8], container: Container) {
    if let Some((&last, rest)) = bytes.split_last()
        && last != 0
    {
        let cut = check_bytes(&rest, container, None);
        assert!(cut.is_err(), "{cut:?}");
    }
}

/// An MP4 that is whole stays so as HLS pieces that are joined, its audio comes out whole, and its end cannot be lost.
#[test]
fn fuzz_mp4() {
    kmds_fuzz::target("mp4", |bytes| {
        let checked = walked(bytes, Container::Mp4);
        let (last, open) = last_box(bytes);
        if checked.is_some() && !open && !matches!(&last, b"free" | b"skip") {
            cannot_lose_its_end(bytes, Container::Mp4);
        }
        joins(bytes);
        let mut audio = Vec::new();
        if let Ok(taken) = with_file(bytes, |file| mp4::extract_audio(file, &mut audio)) {
            assert_eq!(taken.size_bytes, audio.len() as u64);
            assert!(
                audio.len() <= 2 * bytes.len() + 256,
                "{} of {}",
                audio.len(),
                bytes.len()
            );
            let whole = check_bytes(&&*audio, Container::Mp4, None).unwrap();
            assert_eq!(whole.codec, taken.codec);
        }
    });
}

/// Kind of the last top-level box, and whether it is open: then it runs to the end wherever that is.
fn last_box(bytes: &[u8]) -> ([u8; 4], bool) {
    let (mut at, mut last) = (0_usize, (*b"none", true));
    while let Some(&[s0, s1, s2, s3, k0, k1, k2, k3]) =
        bytes.get(at..).and_then(<[u8]>::first_chunk)
    {
        let wide = || {
            bytes
                .get(at + 8..)
                .and_then(<[u8]>::first_chunk)
                .map_or(0, |size| u64::from_be_bytes(*size))
        };
        let size = match u32::from_be_bytes([s0, s1, s2, s3]) {
            1 => usize::try_from(wide()).unwrap_or(usize::MAX),
            size => size as usize,
        };
        last = ([k0, k1, k2, k3], size == 0);
        if size == 0 {
            break;
        }
        at = at.saturating_add(size);
    }
    last
}

/// The first piece with its durations, and the rest behind it: whole if and only if the file was.
fn joins(bytes: &[u8]) {
    let fragments = bytes
        .windows(4)
        .position(|kind| kind == b"moof")
        .and_then(|at| at.checked_sub(4));
    let (init, rest) = bytes.split_at(fragments.unwrap_or(bytes.len()));
    let Ok(patched) = mp4::patch_durations(init, LENGTH) else {
        return;
    };
    assert_eq!(patched.len(), init.len());
    assert_eq!(
        mp4::patch_durations(&patched, LENGTH * 2).map_err(drop),
        Ok(patched.clone()),
        "what is there stays"
    );
    let joined = [&patched, rest].concat();
    let verdicts = [bytes, &joined].map(|file| check_bytes(&file, Container::Mp4, None).is_ok());
    assert_eq!(
        verdicts[0], verdicts[1],
        "durations do not make a file whole, nor break it"
    );
}

/// Opus out of a WebM is a whole Ogg file, with any split of the WebM into pieces.
#[test]
fn fuzz_webm() {
    kmds_fuzz::target("webm", |bytes| {
        if walked(bytes, Container::WebM).is_some() {
            cannot_lose_its_end(bytes, Container::WebM);
        }
        let at_once = rewrapped(bytes, bytes.len().max(1));
        for piece_bytes in [1, 7, 977] {
            assert_eq!(
                rewrapped(bytes, piece_bytes),
                at_once,
                "in pieces of {piece_bytes}"
            );
        }
        let Some(ogg) = at_once else { return };
        assert!(
            ogg.len() <= 2 * bytes.len() + 4096,
            "{} of {}",
            ogg.len(),
            bytes.len()
        );
        let whole = check_bytes(&&*ogg, Container::Ogg, None).unwrap();
        assert_eq!(whole.codec, kmds_extract::Codec::Opus);
        cannot_lose_its_end(&ogg, Container::Ogg);
    });
}

fn rewrapped(bytes: &[u8], piece_bytes: usize) -> Option<Vec<u8>> {
    let mut wrapper = webm::OpusToOgg::new(1);
    let mut out = Vec::new();
    for piece in bytes.chunks(piece_bytes) {
        out.extend(wrapper.push(piece).ok()?);
    }
    out.extend(wrapper.finish().ok()?);
    Some(out)
}

/// A whole Ogg file cannot lose its end.
#[test]
fn fuzz_ogg() {
    kmds_fuzz::target("ogg", |bytes| {
        // A wrong check sum hides all bytes after it: so all pages get right ones.
        let bytes = &summed(bytes);
        if walked(bytes, Container::Ogg).is_some() {
            cannot_lose_its_end(bytes, Container::Ogg);
        }
    });
}

fn summed(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some(page) = rest
        .strip_prefix(b"OggS\0")
        .and_then(|rest| rest.split_first_chunk::<22>())
    {
        let (
            &[
                flags,
                g0,
                g1,
                g2,
                g3,
                g4,
                g5,
                g6,
                g7,
                s0,
                s1,
                s2,
                s3,
                n0,
                n1,
                n2,
                n3,
                _,
                _,
                _,
                _,
                count,
            ],
            after,
        ) = page;
        let Some((segments, after)) = after.split_at_checked(usize::from(count)) else {
            break;
        };
        let body_bytes = segments.iter().map(|&lacing| usize::from(lacing)).sum();
        let Some((body, after)) = after.split_at_checked(body_bytes) else {
            break;
        };
        let page = crate::media::ogg::Page {
            flags,
            granule: u64::from_le_bytes([g0, g1, g2, g3, g4, g5, g6, g7]),
            serial: u32::from_le_bytes([s0, s1, s2, s3]),
            sequence: u32::from_le_bytes([n0, n1, n2, n3]),
            segments,
            body,
        };
        page.write(&mut out);
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// Frames, tags and junk in any order end in a verdict.
#[test]
fn fuzz_mp3() {
    kmds_fuzz::target("mp3", |bytes| {
        walked(bytes, Container::Mp3);
    });
}

/// A FLAC that is whole stays so when its length is written into it.
#[test]
fn fuzz_flac() {
    kmds_fuzz::target("flac", |bytes| stated(bytes, Container::Flac));
}

/// A WAV that is whole stays so when its sizes are written into it.
#[test]
fn fuzz_wav() {
    kmds_fuzz::target("wav", |bytes| stated(bytes, Container::Wav));
}

fn stated(bytes: &[u8], container: Container) {
    let before = walked(bytes, container);
    with_file(bytes, |file| {
        if state_length(file, container).is_ok() {
            let after = check(file, container, None).map_err(|broken| broken.to_string());
            assert!(before.is_none() || after.is_ok(), "{after:?}");
        }
    });
}
