//! Whole files pass, with padding at every allowed place; cut files never pass.

use std::time::Duration;

use kmds_extract::{Codec, Container};

use super::*;
use crate::media::{Sniffed, agree, check_segment};

/// Name, container, codec and bytes of a file.
type Kind = (&'static str, Container, Codec, Vec<u8>);

/// Every kind of file that KMDS gets.
fn every_kind() -> Option<Vec<Kind>> {
    use Codec::{Aac, Flac, Mp3, Opus, Pcm, Vorbis};
    let table = [
        ("progressive.m4a", PROGRESSIVE, Container::Mp4, Aac),
        (
            "faststart.m4a",
            "-c:a aac -movflags +faststart",
            Container::Mp4,
            Aac,
        ),
        ("dash.m4a", FRAGMENTED, Container::Mp4, Aac),
        ("fragments.m4a", PLAIN_FRAGMENTS, Container::Mp4, Aac),
        ("opus.mp4", "-c:a libopus", Container::Mp4, Opus),
        ("mp3.mp4", "-c:a libmp3lame", Container::Mp4, Mp3),
        ("cbr.mp3", "-c:a libmp3lame -b:a 128k", Container::Mp3, Mp3),
        (
            "vbr.mp3",
            "-c:a libmp3lame -q:a 4 -id3v2_version 4 -metadata title=A",
            Container::Mp3,
            Mp3,
        ),
        (
            "bare.mp3",
            "-c:a libmp3lame -b:a 128k -write_xing 0 -id3v2_version 0",
            Container::Mp3,
            Mp3,
        ),
        (
            "tagged.mp3",
            "-c:a libmp3lame -b:a 128k -write_id3v1 1 -metadata title=A",
            Container::Mp3,
            Mp3,
        ),
        (
            "slow.mp3",
            "-c:a libmp3lame -ar 22050 -ac 1 -b:a 32k",
            Container::Mp3,
            Mp3,
        ),
        ("opus.webm", WEBM, Container::WebM, Opus),
        ("live.webm", LIVE_WEBM, Container::WebM, Opus),
        ("vorbis.webm", "-c:a libvorbis", Container::WebM, Vorbis),
        ("opus.ogg", "-c:a libopus", Container::Ogg, Opus),
        ("vorbis.ogg", "-c:a libvorbis", Container::Ogg, Vorbis),
        ("flac.ogg", "-c:a flac", Container::Ogg, Flac),
        ("plain.flac", "-c:a flac", Container::Flac, Flac),
        ("plain.wav", "-c:a pcm_s16le", Container::Wav, Pcm),
    ];
    let made = |(name, args, container, codec)| Some((name, container, codec, made(name, args)?));
    table.into_iter().map(made).collect()
}

#[test]
fn whole_files_pass_with_codec_duration_and_bitrate() {
    for (name, container, codec, bytes) in every_kind().unwrap_or_default() {
        let checked = whole(&bytes, container).unwrap_or_else(|broken| panic!("{name}: {broken}"));
        assert_eq!(
            (checked.container, checked.codec),
            (container, codec),
            "{name}"
        );
        assert_eq!(checked.size_bytes, bytes.len() as u64, "{name}");
        let duration = checked
            .duration
            .unwrap_or_else(|| panic!("{name}: no duration"));
        assert!(
            duration.abs_diff(LENGTH) < Duration::from_millis(150),
            "{name}: {duration:?}"
        );
        let bitrate_bps = bytes.len() as f64 * 8.0 / duration.as_secs_f64();
        assert!(
            checked.bitrate_bps.unwrap().abs_diff(bitrate_bps as u32) < 2,
            "{name}"
        );
    }
}

/// Cut at 60 places. Legal ends, which only an expected duration or size can tell: between MP4 fragments without an
/// index, between elements of a WebM of unknown size, between Ogg pages, between MP3 frames without a frame count.
#[test]
fn a_file_cut_anywhere_is_never_whole() {
    for (name, container, _, bytes) in every_kind().unwrap_or_default() {
        for step in 0..60 {
            let cut = bytes.len() * step / 60 + step % 7 * usize::from(step > 0);
            let cut = &bytes[..cut.min(bytes.len() - 1)];
            let result = check_bytes(&cut, container, None);
            assert!(
                result.is_err(),
                "{name} of {} cut to {}: {result:?}",
                bytes.len(),
                cut.len()
            );
        }
        if !matches!(container, Container::Wav) {
            let result = check_bytes(&&bytes[..bytes.len() - 1], container, None);
            assert!(result.is_err(), "{name} without its last byte: {result:?}");
        }
    }
}

#[test]
fn a_duration_that_differs_too_much_is_told_both_ways() {
    let Some(bytes) = made("cbr.mp3", "-c:a libmp3lame -b:a 128k") else {
        return;
    };
    let bytes = &&*bytes;
    let expect =
        |seconds: u64| check_bytes(bytes, Container::Mp3, Some(Duration::from_secs(seconds)));
    assert!(matches!(expect(20), Err(Broken::TooShort { .. })));
    assert!(matches!(expect(2), Err(Broken::TooLong { .. })));
    assert!(expect(8).is_ok() && expect(5).is_ok());
    assert!(matches!(expect(9), Err(Broken::TooShort { .. })));
}

#[test]
fn two_seconds_are_the_slack_and_a_hundredth_more_of_a_rounded_length() {
    let ms = Duration::from_millis;
    for (have, expected, good) in [
        (600_000 - 1_999, 600_000, true),
        (600_000 - 8_000, 600_000, true),
        (600_000 + 8_000, 600_000, true),
        (600_000 - 8_001, 600_000, false),
        (600_500 - 2_000, 600_500, true),
        (600_500 - 2_001, 600_500, false),
        (600_500 + 2_000, 600_500, true),
        (600_500 + 2_001, 600_500, false),
    ] {
        let found = agree(Some(ms(have)), None, Some(ms(expected)));
        assert_eq!(found.is_ok(), good, "{have} ms of {expected} ms: {found:?}");
    }
}

#[test]
fn the_wrong_thing_is_named() {
    let table: &[(&[u8], Sniffed)] = &[
        (b"<!doctype html><p>no", Sniffed::Html),
        (b"{\"error\":1}", Sniffed::Json),
    ];
    for (bytes, expected) in table {
        for container in [
            Container::Mp4,
            Container::Mp3,
            Container::Ogg,
            Container::WebM,
        ] {
            let result = check_bytes(bytes, container, None);
            assert!(
                matches!(result, Err(Broken::WrongContainer { found }) if found == *expected),
                "{result:?}"
            );
            let result = check_segment(container, bytes);
            assert!(
                matches!(result, Err(Broken::WrongContainer { found }) if found == *expected),
                "{result:?}"
            );
        }
    }
    assert!(matches!(
        check_bytes(&&b""[..], Container::Mp4, None),
        Err(Broken::Empty)
    ));
    assert!(matches!(
        check_segment(Container::Mp3, b""),
        Err(Broken::Empty)
    ));
}

#[test]
fn mp4_padding_may_stand_anywhere() {
    for args in [
        PROGRESSIVE,
        FRAGMENTED,
        PLAIN_FRAGMENTS,
        "-c:a aac -movflags +faststart",
    ] {
        let Some(bytes) = made("padded.m4a", args) else {
            return;
        };
        let tops = top_boxes(&bytes);
        // Absolute chunk offsets break when bytes are put before them; that is the padder's to mend, we do not look.
        for (at, kind) in tops
            .iter()
            .filter(|(_, kind)| kind != "mdat")
            .chain([&(bytes.len(), String::new())])
        {
            for pad in [0, 1, 70_000] {
                let padded = [&bytes[..*at], &mp4_box(b"free", pad), &bytes[*at..]].concat();
                let checked = whole(&padded, Container::Mp4);
                assert!(
                    checked.is_ok(),
                    "{args}: free before {at} {kind}: {checked:?}"
                );
            }
        }
        let cut = [&bytes[..], &mp4_box(b"free", 100)[..50]].concat();
        assert!(matches!(
            whole(&cut, Container::Mp4),
            Err(Broken::Cut { .. })
        ));
        let hole = [&bytes[..], &[0; 5000]].concat();
        // Zeros are no hole only if tables or an index show that all audio is there.
        assert_eq!(
            whole(&hole, Container::Mp4).is_err(),
            args == PLAIN_FRAGMENTS,
            "{args}: zeros at the end"
        );
    }
}

#[test]
fn boxes_of_streaming_files_are_welcome() {
    let Some(bytes) = made("boxes.m4a", PLAIN_FRAGMENTS) else {
        return;
    };
    let tops = top_boxes(&bytes);
    let first = tops.iter().find(|(_, kind)| kind == "moof").unwrap().0;
    let extra = [
        mp4_box(b"styp", 16),
        mp4_box(b"emsg", 40),
        mp4_box(b"prft", 20),
        mp4_box(b"uuid", 16),
    ]
    .concat();
    let more = [
        &bytes[..first],
        &extra,
        &bytes[first..],
        &mp4_box(b"mfra", 8),
    ]
    .concat();
    assert!(whole(&more, Container::Mp4).is_ok());
}

#[test]
fn an_open_mdat_at_the_end_passes_unless_it_is_cut() {
    let Some(mut bytes) = made("open.m4a", "-c:a aac -movflags +faststart") else {
        return;
    };
    let mdat = find(&bytes, b"mdat") - 4;
    bytes[mdat..mdat + 4].fill(0);
    whole(&bytes, Container::Mp4).unwrap();
    bytes.truncate(bytes.len() - 1);
    assert!(matches!(
        whole(&bytes, Container::Mp4),
        Err(Broken::Cut { .. })
    ));
}

#[test]
fn a_fragment_without_its_samples_is_cut_and_an_index_shows_missing_fragments() {
    let Some(bytes) = made("dash.m4a", FRAGMENTED) else {
        return;
    };
    for (at, kind) in top_boxes(&bytes).into_iter().filter(|(at, _)| *at > 0) {
        let result = check_bytes(&&bytes[..at], Container::Mp4, None);
        // The last box, `mfra`, is no loss.
        assert_eq!(
            result.is_ok(),
            kind == "mfra",
            "cut before {kind} at {at}: {result:?}"
        );
    }
}

#[test]
fn webm_padding_may_stand_anywhere() {
    for args in [WEBM, LIVE_WEBM] {
        let Some(bytes) = made("padded.webm", args) else {
            return;
        };
        let first = find(&bytes, &[0x1F, 0x43, 0xB6, 0x75]);
        let tracks = tracks_at(&bytes);
        for at in [0, tracks, first, bytes.len()] {
            for pad in [0, 1, 70_000, 300_000] {
                let padded = [&bytes[..at], &void(pad), &bytes[at..]].concat();
                let checked = whole(&padded, Container::WebM);
                assert!(
                    checked.is_ok(),
                    "{args}: void of {pad} at {at}: {checked:?}"
                );
            }
        }
        let cut = [&bytes[..], &void(100)[..50]].concat();
        assert!(matches!(
            whole(&cut, Container::WebM),
            Err(Broken::Cut { .. })
        ));
        // For a live file it is unknown whether zeros replaced audio.
        let zeros = whole(&[&bytes[..], &[0; 5000]].concat(), Container::WebM);
        assert_eq!(zeros.is_ok(), args == WEBM, "a hole of zeros is no padding");
    }
}

#[test]
fn mp3_tags_and_padding_may_stand_around_the_frames() {
    let Some(bytes) = made("bare.mp3", "-c:a libmp3lame -b:a 128k -id3v2_version 0") else {
        return;
    };
    let big_tag = [b"ID3\x04\0\0\0\x09\0\0".as_slice(), &[0; 9 << 14]].concat();
    let id3v1 = [b"TAG".as_slice(), &[b' '; 125]].concat();
    let ape = [
        b"APETAGEX\xD0\x07\0\0\x40\0\0\0\x01\0\0\0\0\0\0\xA0\0\0\0\0\0\0\0\0".as_slice(),
        &[b'x'; 32],
    ]
    .concat();
    let lyrics = b"LYRICSBEGININD0000200000026LYRICS200".to_vec();
    let zeros = vec![0; 200_000];
    let (none, junk) = (Vec::new(), b"LAME3.100 left this here".to_vec());
    let around: &[(&Vec<u8>, &[&Vec<u8>])] = &[
        (&big_tag, &[]),
        (&none, &[&id3v1]),
        (&none, &[&zeros]),
        (&none, &[&zeros, &id3v1]),
        (&none, &[&id3v1, &zeros]),
        (&none, &[&ape, &id3v1]),
        (&none, &[&lyrics, &id3v1]),
        (&none, &[&big_tag]),
        (&zeros, &[&junk]),
        (&junk, &[&zeros]),
    ];
    for (row, (front, behind)) in around.iter().enumerate() {
        let behind = behind
            .iter()
            .flat_map(|part| part.iter().copied())
            .collect::<Vec<_>>();
        let padded = [&front[..], &bytes, &behind].concat();
        let checked =
            whole(&padded, Container::Mp3).unwrap_or_else(|broken| panic!("row {row}: {broken}"));
        assert!(
            checked.duration.unwrap().abs_diff(LENGTH) < Duration::from_millis(150),
            "row {row}"
        );
    }
    let cut = [&bytes[..bytes.len() - 100], &zeros].concat();
    let expected = Some(LENGTH * 3 / 2);
    assert!(
        check_bytes(&&*cut, Container::Mp3, expected).is_err(),
        "shorter than promised"
    );
}

#[test]
fn an_mp3_with_a_hole_or_with_missing_frames_is_broken() {
    let Some(bytes) = made("holed.mp3", "-c:a libmp3lame -b:a 128k") else {
        return;
    };
    let mut holed = bytes.clone();
    holed[30_000..50_000].fill(0);
    assert!(matches!(
        whole(&holed, Container::Mp3),
        Err(Broken::Malformed { .. })
    ));
    // 128 kbit/s at 48 kHz: every frame has 384 bytes; 20 of them are gone.
    let lost = [&bytes[..20_000], &bytes[20_000 + 20 * 384..]].concat();
    assert!(
        matches!(whole(&lost, Container::Mp3), Err(Broken::Cut { .. })),
        "the Info header counts"
    );
    let tag = [
        &bytes[..20_000 + 200],
        b"some text between",
        &bytes[20_000 + 200..],
    ]
    .concat();
    assert!(
        whole(&tag, Container::Mp3).is_ok(),
        "a few bytes of junk are stepped over"
    );
}

#[test]
fn ogg_slices_joined_are_the_file_and_a_lost_or_swapped_slice_is_seen() {
    let Some(bytes) = made("slices.ogg", "-c:a libopus -b:a 64k -page_duration 200000") else {
        return;
    };
    let slices = bytes.chunks(bytes.len() / 7).collect::<Vec<_>>();
    for slice in &slices {
        check_segment(Container::Ogg, slice).unwrap();
    }
    whole(&slices.concat(), Container::Ogg).unwrap();
    let pages = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, mark)| mark == b"OggS")
        .map(|(at, _)| at)
        .collect::<Vec<_>>();
    let lost = [&bytes[..pages[5]], &bytes[pages[7]..]].concat();
    assert!(
        check_bytes(&&*lost, Container::Ogg, None).is_err(),
        "two pages are gone"
    );
    let mut flipped = bytes.clone();
    flipped[pages[6] + 100] ^= 1;
    assert!(
        matches!(
            whole(&flipped, Container::Ogg),
            Err(Broken::Malformed { .. })
        ),
        "the check sum is looked at"
    );
    let twice = [&bytes[..], &bytes].concat();
    let chained = check_bytes(&&*twice, Container::Ogg, Some(LENGTH * 2)).unwrap();
    assert!(chained.duration.unwrap().abs_diff(LENGTH * 2) < Duration::from_millis(300));
    whole(&[&bytes[..], &[0; 9000]].concat(), Container::Ogg).unwrap();
}

#[test]
fn hls_pieces_are_checked_by_themselves() {
    let Some(bytes) = made("pieces.m4a", PLAIN_FRAGMENTS) else {
        return;
    };
    let tops = top_boxes(&bytes);
    let moofs = tops
        .iter()
        .filter(|(_, kind)| kind == "moof")
        .map(|(at, _)| *at)
        .collect::<Vec<_>>();
    let (init, piece) = (&bytes[..moofs[0]], &bytes[moofs[0]..moofs[1]]);
    check_segment(Container::Mp4, init).unwrap();
    check_segment(Container::Mp4, piece).unwrap();
    check_segment(Container::Mp4, &[&mp4_box(b"styp", 16), piece].concat()).unwrap();
    let (moof, _) = piece.split_at(find(piece, b"mdat") - 4);
    let broken = [
        &piece[..piece.len() - 1],
        &[piece, &[0]].concat(),
        moof,
        &mp4_box(b"styp", 16),
        b"\xFF\xFB\x90\x64",
    ];
    for (row, piece) in broken.into_iter().enumerate() {
        assert!(check_segment(Container::Mp4, piece).is_err(), "row {row}");
    }
    check_segment(Container::Mp3, b"{\x9F\x01 the middle of a frame").unwrap();
}

#[test]
fn a_claimed_or_a_counted_duration_will_do_for_webm() {
    let Some(mut bytes) = made("claims.webm", WEBM) else {
        return;
    };
    let at = find(&bytes, &[0x44, 0x89, 0x88]) + 3;
    bytes[at..at + 8].copy_from_slice(&20_000_f64.to_be_bytes());
    let check = |seconds| {
        check_bytes(
            &&*bytes,
            Container::WebM,
            Some(Duration::from_secs(seconds)),
        )
    };
    assert!(check(6).is_ok() && check(20).is_ok() && check(12).is_err());
}

#[test]
fn a_format_that_is_too_short_is_not_read_out_of_what_follows() {
    let bytes = *b"RIFF\x1a\0\0\0WAVEfmt \x01\0\0\0\x01\0data\x04\0\0\0abcd";
    let told = check_bytes(&&bytes[..], Container::Wav, None);
    assert!(
        matches!(told, Err(Broken::Malformed { at: 20, .. })),
        "{told:?}"
    );
}
