//! Tags and padding that writers add around the audio, and the effect of a lost, repeated or changed piece.

use kmds_extract::Container;

use super::*;

fn id3v1() -> Vec<u8> {
    [b"TAG".as_slice(), &[b' '; 125]].concat()
}

/// One item and a footer; no header in front.
fn ape_without_header() -> Vec<u8> {
    let item = b"\x05\0\0\0\0\0\0\0Title\0Songs";
    let size = (item.len() as u32 + 32).to_le_bytes();
    [
        &item[..],
        b"APETAGEX\xD0\x07\0\0",
        &size,
        b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ]
    .concat()
}

fn id3v2(body_bytes: usize) -> Vec<u8> {
    let size = [21, 14, 7, 0].map(|shift| (body_bytes >> shift & 0x7F) as u8);
    [b"ID3\x04\0\0".as_slice(), &size, &vec![0; body_bytes]].concat()
}

fn lyrics() -> Vec<u8> {
    b"LYRICSBEGININD0000200AUT00003you000032LYRICS200".to_vec()
}

const KINDS: [(&str, &str, Container); 8] = [
    ("tail.m4a", PROGRESSIVE, Container::Mp4),
    ("tail-fragments.m4a", PLAIN_FRAGMENTS, Container::Mp4),
    (
        "tail.mp3",
        "-c:a libmp3lame -b:a 128k -write_xing 0 -id3v2_version 0",
        Container::Mp3,
    ),
    ("tail.ogg", "-c:a libvorbis", Container::Ogg),
    ("tail.opus", "-c:a libopus", Container::Ogg),
    ("tail.flac", "-c:a flac", Container::Flac),
    ("tail.wav", "-c:a pcm_s16le", Container::Wav),
    ("tail.webm", WEBM, Container::WebM),
];

#[test]
fn tags_behind_a_file_of_any_container_are_no_fault() {
    // Too long to be taken for a little junk.
    let long = [b"\xF0\x2E\0\0\0\0\0\0Comment\0".as_slice(), &[b'x'; 12016]].concat();
    let size = (long.len() as u32 + 32).to_le_bytes();
    let long_ape = [
        &long[..],
        b"APETAGEX\xD0\x07\0\0",
        &size,
        b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ]
    .concat();
    for (name, args, container) in KINDS {
        let Some(bytes) = made(name, args) else {
            return;
        };
        for (what, tag) in [
            ("ID3v1", id3v1()),
            ("APEv2 without header", ape_without_header()),
            ("long APEv2 without header", long_ape.clone()),
            ("APEv2 and ID3v1", [ape_without_header(), id3v1()].concat()),
            ("Lyrics3 and ID3v1", [lyrics(), id3v1()].concat()),
        ] {
            let checked = whole(&[&bytes[..], &tag].concat(), container);
            assert!(checked.is_ok(), "{what} behind {name}: {checked:?}");
            // A tag does not make a cut file whole.
            let cut = whole(&[&bytes[..bytes.len() - 200], &tag].concat(), container);
            assert!(cut.is_err(), "{what} behind a cut {name}: {cut:?}");
        }
    }
}

#[test]
fn tags_in_front_of_flac_and_mp3_may_be_many_and_large() {
    for (name, args, container) in [
        ("front.flac", "-c:a flac", Container::Flac),
        (
            "front.mp3",
            "-c:a libmp3lame -b:a 128k -write_xing 0 -id3v2_version 0",
            Container::Mp3,
        ),
    ] {
        let Some(bytes) = made(name, args) else {
            return;
        };
        for front in [
            id3v2(10),
            id3v2(300_000),
            [id3v2(10), id3v2(300_000), id3v2(0)].concat(),
        ] {
            let checked = whole(&[&front[..], &bytes].concat(), container);
            assert!(
                checked.is_ok(),
                "{} bytes in front of {name}: {checked:?}",
                front.len()
            );
        }
    }
}

#[test]
fn a_webm_that_says_its_size_may_have_zeros_behind_it() {
    let Some(bytes) = made("zeros.webm", WEBM) else {
        return;
    };
    for zeros in [1, 8, 5000, 200_000] {
        whole(&[&bytes[..], &vec![0; zeros]].concat(), Container::WebM).unwrap();
    }
    let cut = [&bytes[..bytes.len() - 3000], &[0; 3000][..]].concat();
    assert!(
        whole(&cut, Container::WebM).is_err(),
        "zeros in place of its end"
    );
}

/// An RF64 file of `size` bytes in `data`.
fn rf64(mark: &[u8; 4], plain: &[u8]) -> Vec<u8> {
    let data = find(plain, b"data");
    let (chunks, audio) = (&plain[12..data], &plain[data + 8..]);
    let riff = (4 + 36 + chunks.len() + 8 + audio.len()) as u64;
    let ds64 = [
        &b"ds64\x1C\0\0\0"[..],
        &riff.to_le_bytes(),
        &(audio.len() as u64).to_le_bytes(),
        &[0; 12],
    ]
    .concat();
    [
        mark,
        &[0xFF; 4][..],
        b"WAVE",
        &ds64,
        chunks,
        b"data\xFF\xFF\xFF\xFF",
        audio,
    ]
    .concat()
}

#[test]
fn wav_comes_in_many_valid_shapes() {
    let Some(plain) = made("shapes.wav", "-c:a pcm_s16le -bitexact") else {
        return;
    };
    let data = find(&plain, b"data");
    let resized = |bytes: Vec<u8>| {
        let size = (bytes.len() as u32 - 8).to_le_bytes();
        [&bytes[..4], &size, &bytes[8..]].concat()
    };
    let list = b"LIST\x04\0\0\0INFO";
    let odd = |pad: &[u8]| {
        let chunk = [&b"note\x03\0\0\0abc"[..], pad].concat();
        resized([&plain[..data], &chunk, &plain[data..]].concat())
    };
    let made_rf64 = made("ffmpeg.wav", "-c:a pcm_s16le -rf64 always").unwrap();
    for (what, bytes) in [
        ("RF64", rf64(b"RF64", &plain)),
        ("BW64", rf64(b"BW64", &plain)),
        ("RF64 of ffmpeg", made_rf64),
        (
            "24 bits, extensible",
            made("wide.wav", "-c:a pcm_s24le -ac 2").unwrap(),
        ),
        ("LIST behind data", resized([&plain[..], list].concat())),
        ("an odd chunk, padded", odd(&[0])),
        ("an odd chunk, not padded", odd(&[])),
        ("padding counted and not written", {
            let odd_data = [&plain[..data + 4], &5_u32.to_le_bytes(), b"abcde"].concat();
            let size = (odd_data.len() as u32 + 1 - 8).to_le_bytes();
            [&odd_data[..4], &size, &odd_data[8..]].concat()
        }),
        ("zeros behind", [&plain[..], &[0; 3000]].concat()),
    ] {
        let checked = check_bytes(&&*bytes, Container::Wav, None);
        assert!(checked.is_ok(), "{what}: {checked:?}");
    }
    for (what, mut bytes) in [("RIFF", plain.clone()), ("RF64", rf64(b"RF64", &plain))] {
        bytes.truncate(bytes.len() - 2);
        assert!(
            check_bytes(&&*bytes, Container::Wav, None).is_err(),
            "{what} without its last sample"
        );
    }
}

#[test]
fn mp4_comes_in_many_valid_shapes() {
    let Some(plain) = made("shapes.m4a", PROGRESSIVE) else {
        return;
    };
    let mdat = find(&plain, b"mdat") - 4;
    let wide = {
        // The padding box that ffmpeg leaves in front has room for a 64-bit size.
        let size = u32::from_be_bytes(plain[mdat..mdat + 4].try_into().unwrap());
        let header = [
            &1_u32.to_be_bytes()[..],
            b"mdat",
            &(u64::from(size) + 8).to_be_bytes(),
        ]
        .concat();
        [&plain[..mdat - 8], &header, &plain[mdat + 8..]].concat()
    };
    for (what, bytes) in [
        (
            "free behind",
            [&plain[..], &mp4_box(b"free", 5000)].concat(),
        ),
        (
            "uuid behind",
            [&plain[..], &mp4_box(b"uuid", 5000)].concat(),
        ),
        ("a 64-bit mdat", wide),
        ("zeros behind", [&plain[..], &[0; 5000]].concat()),
        (
            "zeros behind an index",
            [&made("indexed.m4a", FRAGMENTED).unwrap()[..], &[0; 5000]].concat(),
        ),
        (
            "an open free behind",
            [&plain[..], &[0, 0, 0, 0], b"free", &[1; 100]].concat(),
        ),
    ] {
        let checked = whole(&bytes, Container::Mp4);
        assert!(checked.is_ok(), "{what}: {checked:?}");
    }
}

#[test]
fn zeros_behind_fragments_without_an_index_may_be_a_hole() {
    let Some(bytes) = made("hole.m4a", PLAIN_FRAGMENTS) else {
        return;
    };
    let tops = top_boxes(&bytes);
    let (at, _) = tops.iter().rev().find(|(_, kind)| kind == "moof").unwrap();
    let holed = [&bytes[..*at], &vec![0; bytes.len() - at]].concat();
    assert!(check_bytes(&&*holed, Container::Mp4, None).is_err());
}

/// Deterministic numbers below `below`.
fn places(count: usize, below: usize) -> impl Iterator<Item = usize> {
    (0..count).scan(0x9E37_79B9_7F4A_7C15_u64, move |state, _| {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Some((*state >> 33) as usize % below)
    })
}

#[test]
fn a_flac_with_any_piece_missing_repeated_or_changed_is_broken() {
    for args in [
        "-c:a flac",
        "-c:a flac -ac 2 -frame_size 1152 -ch_mode mid_side",
        "-c:a flac -sample_fmt s32",
    ] {
        let Some(bytes) = made("holes.flac", args) else {
            return;
        };
        whole(&bytes, Container::Flac).unwrap();
        let audio = bytes
            .windows(2)
            .position(|sync| matches!(sync, [0xFF, 0xF8 | 0xF9]))
            .unwrap();
        for (row, place) in places(40, bytes.len() - audio - 20_000).enumerate() {
            let at = audio + place;
            let size = [1, 2, 100, 4096, 20_000][row % 5];
            let zeroed = [&bytes[..at], &vec![0; size], &bytes[at + size..]].concat();
            let lost = [&bytes[..at], &bytes[at + size..]].concat();
            let twice = [&bytes[..at + size], &bytes[at..]].concat();
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (row % 8);
            for (what, broken) in [
                ("a hole", zeroed),
                ("lost", lost),
                ("twice", twice),
                ("flipped", flipped),
            ] {
                if broken != bytes {
                    let checked = check_bytes(&&*broken, Container::Flac, None);
                    assert!(
                        checked.is_err(),
                        "{args}: {size} bytes at {at}: {what}: {checked:?}"
                    );
                }
            }
        }
        // Whole frames: every check sum is right, but the numbers do not go on.
        let starts: Vec<usize> = (audio..bytes.len() - 6)
            .filter(|&at| {
                bytes[at] == 0xFF
                    && bytes[at + 1] & 0xFE == 0xF8
                    && bytes[at + 2..at + 4] == bytes[audio + 2..audio + 4]
            })
            .collect();
        let (one, two) = (starts[3], starts[4]);
        let lost = [&bytes[..one], &bytes[two..]].concat();
        let twice = [&bytes[..two], &bytes[one..]].concat();
        let first_lost = [&bytes[..audio], &bytes[starts[1]..]].concat();
        for broken in [lost, twice, first_lost] {
            let checked = check_bytes(&&*broken, Container::Flac, None);
            assert!(checked.is_err(), "{args}: {checked:?}");
        }
    }
}

/// One way of damaging `bytes` at a place of its audio.
type Damage = (&'static str, fn(&[u8], usize) -> Vec<u8>);

const PIECE: usize = 4096;
const DAMAGES: [Damage; 5] = [
    ("zeros over 4 KiB", |bytes, at| {
        [&bytes[..at], &[0; PIECE], &bytes[at + PIECE..]].concat()
    }),
    ("4 KiB lost", |bytes, at| {
        [&bytes[..at], &bytes[at + PIECE..]].concat()
    }),
    ("4 KiB twice", |bytes, at| {
        [&bytes[..at + PIECE], &bytes[at..]].concat()
    }),
    ("one bit changed", |bytes, at| {
        [&bytes[..at], &[bytes[at] ^ 16], &bytes[at + 1..]].concat()
    }),
    ("cut", |bytes, at| bytes[..at].to_vec()),
];

/// The table of `docs/reliability.md`: `--nocapture` shows how many of 60 damages in the middle of the audio are
/// detected.
#[test]
fn damage_to_ogg_and_flac_is_always_seen_and_a_cut_in_every_container() {
    const PLACES: usize = 60;
    let mut lines = String::new();
    for (name, args, container) in KINDS {
        let Some(bytes) = made(name, args) else {
            return;
        };
        for (what, damage) in DAMAGES {
            // The first and last twentieth are left out: heads and indices have checks of their own.
            let (from, span) = (bytes.len() / 20, bytes.len() * 9 / 10 - PIECE);
            let seen = places(PLACES, span)
                .filter(|place| whole(&damage(&bytes, from + place), container).is_err());
            let seen = seen.count();
            lines += &format!("{name} | {what} | {seen} of {PLACES}\n");
            let always = matches!(container, Container::Ogg | Container::Flac) || what == "cut";
            assert!(
                !always || seen == PLACES,
                "{name}: {what}: {seen} of {PLACES} were seen"
            );
        }
    }
    println!("{lines}");
}
