//! Pieces as an HLS packager makes them, joined into one file; and files too large to hold.

use std::fs::File;

use super::*;
use crate::media::{check, check_segment, mp4};

/// Runs ffmpeg on the tone with an output pattern in a folder; the files it made, in the order of their names.
fn pieces(args: &str, output: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let folder = Folder::new();
    let tone = format!("sine=440:r=44100:d={}", LENGTH.as_secs());
    let path = folder.at(output);
    let mut all = vec!["-v", "fatal", "-y", "-f", "lavfi", "-i", &tone];
    all.extend(args.split_whitespace());
    all.push(text(&path));
    run("ffmpeg", &all)?;
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files = files
        .map(|path| (name(&path), fs::read(&path).unwrap()))
        .collect::<Vec<_>>();
    files.sort();
    Some(files)
}

#[test]
fn fragmented_pieces_join_into_a_whole_file_with_a_duration() {
    let args = "-c:a aac -f hls -hls_time 1 -hls_playlist_type vod -hls_segment_type fmp4";
    let Some(files) = pieces(args, "song.m3u8") else {
        return;
    };
    let ending = |ending: &str| {
        let files = files.iter().filter(|(name, _)| name.ends_with(ending));
        files.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
    };
    let (init, pieces) = (ending("init.mp4").remove(0), ending(".m4s"));
    assert!(pieces.len() > 4, "{} pieces", pieces.len());
    for piece in [&init].into_iter().chain(&pieces) {
        check_segment(Container::Mp4, piece).unwrap();
        assert!(check_segment(Container::Mp4, &piece[..piece.len() - 1]).is_err());
    }
    let init = mp4::patch_durations(&init, LENGTH).unwrap();
    let joined = [&init[..], &pieces.concat()].concat();
    let checked = whole(&joined, Container::Mp4).unwrap();
    assert!(
        checked.duration.unwrap().abs_diff(LENGTH) < Duration::from_millis(150),
        "{checked:?}"
    );
    let lost = [&init[..], &pieces[..2].concat()].concat();
    assert!(
        matches!(whole(&lost, Container::Mp4), Err(Broken::TooShort { .. })),
        "four pieces are missing"
    );
}

#[test]
fn mp3_pieces_with_headers_of_their_own_join_into_a_whole_file() {
    let args = "-c:a libmp3lame -b:a 128k -f segment -segment_time 1 -segment_format mp3";
    let Some(files) = pieces(args, "piece%03d.mp3") else {
        return;
    };
    for (_, piece) in &files {
        check_segment(Container::Mp3, piece).unwrap();
    }
    let joined = files
        .into_iter()
        .flat_map(|(_, piece)| piece)
        .collect::<Vec<_>>();
    let checked = whole(&joined, Container::Mp3).unwrap();
    assert!(
        checked.duration.unwrap().abs_diff(LENGTH) < Duration::from_millis(400),
        "{checked:?}"
    );
}

#[test]
fn a_file_of_five_gigabytes_is_walked_without_being_held() {
    let Some(bytes) = made("huge.m4a", "-c:a aac -movflags +faststart") else {
        return;
    };
    let folder = Folder::new();
    let mdat = find(&bytes, b"mdat") - 4;
    // A 64-bit `mdat` in place of the small one, its end a hole on disk.
    let size = 5_u64 << 30;
    let huge = [
        &bytes[..mdat],
        &[0, 0, 0, 1],
        b"mdat",
        &size.to_be_bytes(),
        &bytes[mdat + 8..],
    ]
    .concat();
    let path = folder.write("huge.m4a", &huge);
    let file = fs::OpenOptions::new()
        .write(true)
        .read(true)
        .open(&path)
        .unwrap();
    file.set_len(mdat as u64 + size).unwrap();
    assert_eq!(
        check(&file, Container::Mp4, Some(LENGTH))
            .unwrap()
            .size_bytes,
        mdat as u64 + size
    );
    file.set_len(mdat as u64 + size - 1).unwrap();
    assert!(matches!(
        check(&File::open(path).unwrap(), Container::Mp4, None),
        Err(Broken::Cut { .. })
    ));
}
