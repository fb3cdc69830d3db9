//! Rewriting leaves every packet as it was.

use std::fs::File;

use super::*;
use crate::media::{check, mp4, webm};

/// MD5 sums of the audio packets as ffmpeg reads them.
fn packets(path: &Path) -> Option<Vec<String>> {
    let sums = run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            text(path),
            "-map",
            "0:a",
            "-c",
            "copy",
            "-f",
            "framemd5",
            "-",
        ],
    )?;
    // Stream, two times, duration, size, sum; what follows is side data, which containers word differently.
    let sum = |line: &str| line.split(',').nth(5).map(|sum| sum.trim().to_owned());
    Some(
        sums.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(sum)
            .collect(),
    )
}

fn probe(path: &Path, entries: &str) -> Option<String> {
    run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-of",
            "csv=p=0",
            "-show_entries",
            entries,
            text(path),
        ],
    )
}

fn decodes_silently(path: &Path) -> Option<String> {
    run(
        "ffmpeg",
        &["-v", "error", "-i", text(path), "-f", "null", "-"],
    )
}

#[test]
fn the_audio_of_a_muxed_file_comes_out_packet_by_packet() {
    let video =
        "-f lavfi -i testsrc=s=160x120:r=25:d=6 -map 1:v -map 0:a -c:v mpeg4 -c:a aac -b:a 96k";
    for more in ["", "-movflags +faststart"] {
        let Some(bytes) = made("muxed.mp4", &format!("{video} {more}")) else {
            return;
        };
        let folder = Folder::new();
        let (muxed, audio) = (folder.write("muxed.mp4", &bytes), folder.at("audio.m4a"));
        let mut output = File::create(&audio).unwrap();
        let checked = mp4::extract_audio(&File::open(&muxed).unwrap(), &mut output).unwrap();
        assert_eq!(
            check(&File::open(&audio).unwrap(), Container::Mp4, Some(LENGTH)).unwrap(),
            checked
        );
        assert_eq!(probe(&audio, "stream=codec_name").unwrap().trim(), "aac");
        let seconds = probe(&audio, "format=duration")
            .unwrap()
            .trim()
            .parse::<f64>()
            .unwrap();
        assert!((seconds - LENGTH.as_secs_f64()).abs() < 0.1, "{seconds}");
        assert!(packets(&audio) == packets(&muxed), "the packets differ");
        decodes_silently(&audio);

        let cut = folder.write("cut.mp4", &bytes[..bytes.len() - 2000]);
        if !more.is_empty() {
            let result = mp4::extract_audio(&File::open(cut).unwrap(), &mut Vec::new());
            assert!(matches!(result, Err(Broken::Cut { .. })), "{result:?}");
        }
    }
}

/// With `more` at the end of the last box of `path`.
fn grown(bytes: &[u8], path: &[&[u8; 4]], more: &[u8]) -> Vec<u8> {
    let (mut bytes, mut end) = (bytes.to_vec(), 0);
    for kind in path {
        let at = bytes
            .windows(4)
            .rposition(|window| window == *kind)
            .unwrap()
            - 4;
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        end = at + size as usize;
        bytes[at..at + 4].copy_from_slice(&(size + more.len() as u32).to_be_bytes());
    }
    bytes.splice(end..end, more.iter().copied());
    bytes
}

#[test]
fn odd_tables_do_not_spoil_the_audio_that_comes_out() {
    let Some(bytes) = made("audio.m4a", PROGRESSIVE) else {
        return;
    };
    let folder = Folder::new();
    let taken = |bytes: &[u8]| {
        let mut audio = Vec::new();
        let input = File::open(folder.write("odd.mp4", bytes)).unwrap();
        mp4::extract_audio(&input, &mut audio).map(|_| audio)
    };
    let stbl = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];
    let mut empty_last_chunk = grown(
        &bytes,
        &[&stbl[..], &[b"stco"]].concat(),
        &40_u32.to_be_bytes(),
    );
    let count = find(&empty_last_chunk, b"stco") + 8;
    let chunks = u32::from_be_bytes(empty_last_chunk[count..count + 4].try_into().unwrap());
    empty_last_chunk[count..count + 4].copy_from_slice(&(chunks + 1).to_be_bytes());
    let another_table = grown(&bytes, &stbl, &mp4_box(b"stts", 8));
    for odd in [empty_last_chunk, another_table] {
        let audio = taken(&odd).unwrap();
        whole(&audio, Container::Mp4).unwrap();
        assert_eq!(
            audio.windows(4).filter(|kind| kind == b"stts").count(),
            1,
            "the table that was read is the only one"
        );
    }
    let huge_header = grown(&bytes, &[b"moov", b"mvhd"], &vec![0; 33 << 20]);
    assert!(
        matches!(taken(&huge_header), Err(Broken::Malformed { .. })),
        "nothing that large is kept"
    );
}

#[test]
fn what_has_no_aac_to_take_out_is_refused() {
    for (name, args) in [
        ("opus.mp4", "-c:a libopus"),
        ("fragments.m4a", PLAIN_FRAGMENTS),
    ] {
        let Some(bytes) = made(name, args) else {
            return;
        };
        let folder = Folder::new();
        let input = File::open(folder.write(name, &bytes)).unwrap();
        assert!(
            mp4::extract_audio(&input, &mut Vec::new()).is_err(),
            "{name}"
        );
    }
}

#[test]
fn durations_are_patched_in_place_and_only_where_there_are_none() {
    let Some(bytes) = made("init.m4a", PLAIN_FRAGMENTS) else {
        return;
    };
    let first = top_boxes(&bytes)
        .into_iter()
        .find(|(_, kind)| kind == "moof")
        .unwrap()
        .0;
    let (init, fragments) = bytes.split_at(first);
    let patched = mp4::patch_durations(init, LENGTH).unwrap();
    assert_eq!(patched.len(), init.len());
    let u32_at = |kind: &[u8; 4], at: usize| {
        let start = find(&patched, kind) + 4 + at;
        u32::from_be_bytes(patched[start..start + 4].try_into().unwrap())
    };
    assert_eq!(u32_at(b"mvhd", 16), 6 * u32_at(b"mvhd", 12));
    assert_eq!(u32_at(b"tkhd", 20), 6 * u32_at(b"mvhd", 12));
    assert_eq!(u32_at(b"mdhd", 16), 6 * 48_000);
    assert_eq!(
        mp4::patch_durations(&patched, LENGTH * 2).unwrap(),
        patched,
        "what is there stays"
    );

    let folder = Folder::new();
    let joined = folder.write("joined.m4a", &[&patched, fragments].concat());
    let plain = folder.write("plain.m4a", &bytes);
    assert!(packets(&joined) == packets(&plain), "the packets differ");
    check(&File::open(&joined).unwrap(), Container::Mp4, Some(LENGTH)).unwrap();
    decodes_silently(&joined);
    assert!(mp4::patch_durations(b"", LENGTH).is_err());
}

#[test]
fn wide_durations_are_patched_in_their_own_timescale() {
    let full = |kind: &[u8; 4], version: u8, fields: &[u8]| {
        let mut full = mp4_box(kind, fields.len() + 4);
        full[8] = version;
        full[12..].copy_from_slice(fields);
        full
    };
    let parent = |kind: &[u8; 4], body: Vec<u8>| {
        let mut parent = mp4_box(kind, body.len());
        parent[8..].copy_from_slice(&body);
        parent
    };
    let mvhd = full(
        b"mvhd",
        1,
        &[&[0; 16][..], &1000_u32.to_be_bytes(), &[0; 8 + 80]].concat(),
    );
    let tkhd = full(b"tkhd", 1, &[0; 16 + 4 + 4 + 8 + 60]);
    let mdhd = full(
        b"mdhd",
        1,
        &[&[0; 16][..], &44_100_u32.to_be_bytes(), &[0; 8 + 4]].concat(),
    );
    let trak = parent(b"trak", [tkhd, parent(b"mdia", mdhd)].concat());
    let mvex = parent(b"mvex", full(b"mehd", 1, &[0; 8]));
    let init = [
        mp4_box(b"ftyp", 16),
        parent(b"moov", [mvhd, trak, mvex].concat()),
    ]
    .concat();
    let patched = mp4::patch_durations(&init, Duration::from_millis(10_500)).unwrap();
    let u64_at = |kind: &[u8; 4], at: usize| {
        let start = find(&patched, kind) + 4 + at;
        u64::from_be_bytes(patched[start..start + 8].try_into().unwrap())
    };
    assert_eq!((u64_at(b"mvhd", 24), u64_at(b"tkhd", 28)), (10_500, 10_500));
    assert_eq!((u64_at(b"mdhd", 24), u64_at(b"mehd", 4)), (463_050, 10_500));
}

fn rewrapped(bytes: &[u8], piece: usize) -> Result<Vec<u8>, Broken> {
    let (mut wrapper, mut ogg) = (webm::OpusToOgg::new(7), Vec::new());
    for piece in bytes.chunks(piece) {
        ogg.extend(wrapper.push(piece)?);
    }
    ogg.extend(wrapper.finish()?);
    Ok(ogg)
}

#[test]
fn opus_moves_from_webm_to_ogg_packet_by_packet() {
    let long = "-c:a libopus -frame_duration 60 -b:a 24k";
    let short = "-c:a libopus -frame_duration 2.5 -application lowdelay";
    for args in [WEBM, LIVE_WEBM, long, short, "-c:a libopus -ac 2 -b:a 256k"] {
        let Some(bytes) = made("opus.webm", args) else {
            return;
        };
        let ogg = rewrapped(&bytes, 4096).unwrap();
        assert!(
            rewrapped(&bytes, 1).unwrap() == ogg,
            "the size of pieces makes no difference"
        );
        let checked = whole(&ogg, Container::Ogg).unwrap();
        assert!(
            checked.duration.unwrap().abs_diff(LENGTH) < Duration::from_millis(30),
            "{args}: {checked:?}"
        );
        let folder = Folder::new();
        let (webm, ogg_path) = (
            folder.write("opus.webm", &bytes),
            folder.write("opus.ogg", &ogg),
        );
        assert!(
            packets(&ogg_path) == packets(&webm),
            "{args}: the packets differ"
        );
        decodes_silently(&ogg_path);
        let seconds = probe(&ogg_path, "format=duration")
            .unwrap()
            .trim()
            .parse::<f64>()
            .unwrap();
        assert!(
            (seconds - LENGTH.as_secs_f64()).abs() < 0.03,
            "{args}: {seconds}"
        );
        let padded = [&bytes[..], &void(100_000)].concat();
        assert!(
            rewrapped(&padded, 10_000).unwrap() == ogg,
            "padding makes no difference"
        );
    }
}

#[test]
fn the_end_is_trimmed_to_the_sample() {
    let Some(bytes) = made("opus.webm", "-c:a libopus -t 3.3") else {
        return;
    };
    let folder = Folder::new();
    let ogg = folder.write("opus.ogg", &rewrapped(&bytes, 4096).unwrap());
    let decoded = |path: &Path| {
        let wav = folder.at("decoded.wav");
        run(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-y",
                "-i",
                text(path),
                "-c:a",
                "pcm_s16le",
                text(&wav),
            ],
        )?;
        Some(fs::read(wav).unwrap())
    };
    let webm = folder.write("opus.webm", &bytes);
    assert!(
        decoded(&ogg) == decoded(&webm),
        "both decode to the same samples"
    );
}

#[test]
fn what_is_no_whole_opus_webm_is_not_rewrapped() {
    let Some(vorbis) = made("vorbis.webm", "-c:a libvorbis") else {
        return;
    };
    assert!(matches!(
        rewrapped(&vorbis, 4096),
        Err(Broken::Malformed { .. })
    ));
    let opus = made("opus.webm", WEBM).unwrap_or_default();
    for cut in [0, 10, 300, opus.len() / 2, opus.len() - 1] {
        assert!(rewrapped(&opus[..cut], 4096).is_err(), "cut to {cut}");
    }
    let huge = [
        &opus[..tracks_at(&opus)],
        &[0xA3, 0x08, 0xFF, 0xFF, 0xFF, 0xFF],
    ]
    .concat();
    let mut wrapper = webm::OpusToOgg::new(1);
    assert!(
        matches!(wrapper.push(&huge), Err(Broken::Malformed { .. })),
        "nothing that large is kept"
    );
}

#[test]
fn audio_of_which_nothing_is_played_is_none() {
    let Some(mut bytes) = made("opus.webm", "-c:a libopus -t 1") else {
        return;
    };
    // More samples to skip at the start than a second has.
    let pre_skip = find(&bytes, b"OpusHead") + 10;
    bytes[pre_skip..pre_skip + 2].copy_from_slice(&u16::MAX.to_le_bytes());
    assert!(matches!(
        rewrapped(&bytes, 4096),
        Err(Broken::Cut {
            what: "no audio follows",
            ..
        })
    ));
}
