//! The records of a ZIP archive that is written while its files arrive (APPNOTE 6.3.10).
//!
//! Owns the bytes around the files: stored, ZIP64, UTF-8 names, sizes after the contents.

/// Sizes follow the contents (bit 3); names are UTF-8 (bit 11).
const FLAGS: u16 = 1 << 3 | 1 << 11;
/// The first version of the format with ZIP64.
const NEEDS_VERSION: u16 = 45;
/// Made on a Unix, so that the permissions below count.
const MADE_BY: u16 = 3 << 8 | NEEDS_VERSION;
/// A plain file that all users may read.
const PERMISSIONS: u32 = 0o100_644 << 16;
/// 1980-01-01, the format's first day: the same songs make the same archive.
const DOS_DATE: u16 = 1 << 5 | 1;
const STORED: u16 = 0;
/// "Look into the ZIP64 field".
const ELSEWHERE: u32 = u32::MAX;
const ZIP64_FIELD: u16 = 1;

/// Writes records, and remembers what the directory at the end needs.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Bytes written so far.
    offset: u64,
    entries: Vec<Entry>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    crc32: u32,
    size: u64,
    offset: u64,
}

struct Open {
    name: String,
    offset: u64,
    crc: flate2::Crc,
    size: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes so far)", self.name, self.size)
    }
}

/// Bytes of a record, little-endian.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }
}

impl Writer {
    /// The head of a file. Names longer than the format's 65,535 bytes do not come from us.
    pub(super) fn begin(&mut self, name: &str) -> Vec<u8> {
        let record = Record::default()
            .u32(0x0403_4b50)
            .u16(NEEDS_VERSION)
            .u16(FLAGS)
            .u16(STORED)
            .u16(0)
            .u16(DOS_DATE)
            .u32(0)
            .u32(ELSEWHERE)
            .u32(ELSEWHERE)
            .u16(short(name.len()))
            .u16(20)
            .text(name)
            // Sizes come later; the field says that they will have eight bytes.
            .u16(ZIP64_FIELD)
            .u16(16)
            .u64(0)
            .u64(0);
        self.open = Some(Open {
            name: name.to_owned(),
            offset: self.offset,
            crc: flate2::Crc::new(),
            size: 0,
        });
        self.written(record)
    }

    /// Counts contents, which go out as they are.
    pub(super) fn contents(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        if let Some(open) = &mut self.open {
            open.crc.update(bytes);
            open.size += bytes.len() as u64;
        }
    }

    /// What follows the contents of a file.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let Some(Open {
            name,
            offset,
            crc,
            size,
        }) = self.open.take()
        else {
            return Vec::new();
        };
        let crc32 = crc.sum();
        self.entries.push(Entry {
            name,
            crc32,
            size,
            offset,
        });
        self.written(
            Record::default()
                .u32(0x0807_4b50)
                .u32(crc32)
                .u64(size)
                .u64(size),
        )
    }

    /// The directory, and the end of the archive.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let start = self.offset;
        let count = self.entries.len() as u64;
        let directory = self.entries.iter().fold(Record::default(), Entry::list);
        let size = directory.0.len() as u64;
        let record = directory
            .u32(0x0606_4b50)
            .u64(44)
            .u16(MADE_BY)
            .u16(NEEDS_VERSION)
            .u32(0)
            .u32(0)
            .u64(count)
            .u64(count)
            .u64(size)
            .u64(start)
            .u32(0x0706_4b50)
            .u32(0)
            .u64(start + size)
            .u32(1)
            .u32(0x0605_4b50)
            .u16(0)
            .u16(0)
            .u16(u16::MAX)
            .u16(u16::MAX)
            .u32(ELSEWHERE)
            .u32(ELSEWHERE)
            .u16(0);
        self.written(record)
    }

    fn written(&mut self, record: Record) -> Vec<u8> {
        self.offset += record.0.len() as u64;
        record.0
    }
}

impl Entry {
    fn list(directory: Record, entry: &Self) -> Record {
        directory
            .u32(0x0201_4b50)
            .u16(MADE_BY)
            .u16(NEEDS_VERSION)
            .u16(FLAGS)
            .u16(STORED)
            .u16(0)
            .u16(DOS_DATE)
            .u32(entry.crc32)
            .u32(ELSEWHERE)
            .u32(ELSEWHERE)
            .u16(short(entry.name.len()))
            .u16(28)
            .u16(0)
            .u16(0)
            .u16(0)
            .u32(PERMISSIONS)
            .u32(ELSEWHERE)
            .text(&entry.name)
            .u16(ZIP64_FIELD)
            .u16(24)
            .u64(entry.size)
            .u64(entry.size)
            .u64(entry.offset)
    }
}

fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::default();
        let mut bytes = Vec::new();
        for (name, contents) in files {
            bytes.extend(writer.begin(name));
            for piece in contents.chunks(1000) {
                writer.contents(piece);
                bytes.extend(piece);
            }
            bytes.extend(writer.end());
        }
        bytes.extend(writer.finish());
        bytes
    }

    /// Runs an independent reader; `None`, with a clear message, if it is not installed.
    fn read_with(command: &str, arguments: &[&str]) -> Option<String> {
        match Command::new(command).args(arguments).output() {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    output.status.success(),
                    "{command}: {text}{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                Some(text)
            }
            Err(error) => {
                eprintln!("SKIPPED: {command} is not installed ({error})");
                None
            }
        }
    }

    #[test]
    fn independent_readers_find_every_file_whole_and_by_its_name() {
        let long = vec![7; 100_000];
        let bytes = archive(&[
            ("01 Für Elise.m4a", &long),
            ("02 夜.mp3", b"abc"),
            ("MISSING.txt", b""),
        ]);
        let path = std::env::temp_dir().join(format!("kmds-zip-{}.zip", std::process::id()));
        std::fs::write(&path, &bytes).expect("a temporary file");
        let path = path.to_str().expect("UTF-8");
        let script = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
            for i in z.infolist(): print(i.filename, i.file_size, i.compress_type)";
        if let Some(listed) = read_with("python3", &["-X", "utf8", "-c", script, path]) {
            assert_eq!(
                listed,
                "01 Für Elise.m4a 100000 0\n02 夜.mp3 3 0\nMISSING.txt 0 0\n"
            );
        }
        read_with("unzip", &["-t", path]);
    }

    #[test]
    fn an_archive_cut_anywhere_is_no_archive() {
        let bytes = archive(&[("a.mp3", b"0123456789")]);
        let end = [0x50, 0x4b, 0x05, 0x06];
        assert_eq!(bytes[bytes.len() - 22..][..4], end);
        assert_eq!(bytes.windows(4).filter(|window| *window == end).count(), 1);
    }
}
