//! No input panics and no input runs for ever.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::media::{check_segment, mp4, sniff, webm};

const CONTAINERS: [Container; 6] = [
    Container::Mp4,
    Container::Mp3,
    Container::Ogg,
    Container::WebM,
    Container::Flac,
    Container::Wav,
];

/// Small good files to spoil; none when there is no ffmpeg.
static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let table = [
        ("a.m4a", "-c:a aac -b:a 32k -t 1"),
        (
            "b.m4a",
            "-c:a aac -b:a 32k -t 1 -movflags +dash+global_sidx -frag_duration 300000",
        ),
        ("c.webm", "-c:a libopus -b:a 16k -t 1"),
        ("d.webm", "-c:a libopus -b:a 16k -t 1 -live 1"),
        ("e.ogg", "-c:a libopus -b:a 16k -t 1"),
        ("f.mp3", "-c:a libmp3lame -b:a 32k -t 1 -write_id3v1 1"),
        ("g.flac", "-c:a flac -t 0.3"),
        ("h.wav", "-c:a pcm_s16le -t 0.1"),
    ];
    table
        .into_iter()
        .filter_map(|(name, args)| made(name, args))
        .collect()
});

fn everything(bytes: &[u8]) {
    let _ = sniff(bytes);
    for container in CONTAINERS {
        let _ = check_bytes(&bytes, container, Some(LENGTH));
        let _ = check_segment(container, bytes);
    }
    let _ = mp4::patch_durations(bytes, LENGTH);
    let mut wrapper = webm::OpusToOgg::new(1);
    let pushed = bytes
        .chunks(977)
        .try_for_each(|piece| wrapper.push(piece).map(drop));
    if pushed.is_ok() {
        let _ = wrapper.finish();
    }
}

fn extracted(bytes: &[u8]) {
    let folder = Folder::new();
    let input = fs::File::open(folder.write("spoilt.mp4", bytes)).unwrap();
    let mut output = Vec::new();
    let _ = mp4::extract_audio(&input, &mut output);
    assert!(
        output.len() < 3 * bytes.len() + 4096,
        "the output cannot outgrow the input"
    );
}

const MARKS: [&[u8]; 10] = [
    b"",
    b"\0\0\0\x08ftyp",
    b"\0\0\0\0moov",
    b"\x1A\x45\xDF\xA3\x80\x18\x53\x80\x67\xFF",
    b"\x1F\x43\xB6\x75\xFF\xA3",
    b"OggS\0\x02",
    b"ID3\x04\0\0\0\0\0\0",
    b"\xFF\xFB\x90\x64",
    b"fLaC\x80\0\0\x22",
    b"RIFF\0\0\0\0WAVEfmt ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_break_nothing(mark in 0..MARKS.len(), bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        everything(&[MARKS[mark], &bytes].concat());
    }

    #[test]
    fn spoilt_files_break_nothing(
        file in 0_usize..8,
        spoils in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        front in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let Some(mut bytes) = GOOD.get(file).cloned() else { return Ok(()) };
        for (at, byte) in spoils {
            // Most checks read headers.
            let reach = if front { bytes.len().min(1200) } else { bytes.len() };
            let at = at.index(reach);
            bytes[at] = byte;
        }
        everything(&bytes);
        if file < 2 {
            extracted(&bytes);
        }
        bytes.truncate(cut.index(bytes.len()));
        everything(&bytes);
    }
}
