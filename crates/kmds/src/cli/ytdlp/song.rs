//! What this command knows about a song, from a server or from a site.
//!
//! Owns songs, lists and their formats before they get yt-dlp's spelling. Pure.

use kmds_extract::{Codec, Container, Delivery, Kind, Site, Stream};

/// The content of a link.
#[derive(Debug)]
pub struct Answer {
    /// Set for lists only.
    pub list: Option<List>,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub struct List {
    pub site: Site,
    pub id: String,
    pub link: String,
    pub title: Option<String>,
    pub artist: Option<String>,
    pub cover_url: Option<String>,
    /// A search's result.
    pub is_search: bool,
}

#[derive(Debug)]
pub enum Entry {
    Song(Box<Song>),
    Missing(Trouble),
}

#[derive(Debug, Clone)]
pub struct Song {
    pub site: Site,
    pub id: String,
    pub link: String,
    pub title: String,
    pub artist: Option<String>,
    pub album: Option<String>,
    pub album_artist: Option<String>,
    pub number: Option<u32>,
    pub seconds: Option<f64>,
    /// `YYYY-MM-DD`.
    pub date: Option<String>,
    pub cover_url: Option<String>,
    /// Worst first, as yt-dlp lists them.
    pub formats: Vec<Format>,
}

/// One encoding of a song.
#[derive(Debug, Clone, PartialEq)]
pub struct Format {
    /// As yt-dlp calls it.
    pub id: String,
    pub ext: &'static str,
    pub acodec: &'static str,
    pub has_video: bool,
    pub kbps: Option<f64>,
    pub size: Option<u64>,
    pub approximate_size: Option<u64>,
    pub url: String,
    pub protocol: &'static str,
    pub headers: Vec<(String, String)>,
    /// The site serves only ranges of a limited length.
    pub in_chunks: bool,
}

/// Why a song or a link is not available.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub kind: Kind,
    pub sentence: String,
}

impl Trouble {
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
        }
    }
}

/// The entries of a list in its order: unavailable ones at their places, the songs at the others.
pub fn in_order(songs: Vec<Song>, missing: Vec<(u32, Trouble)>) -> Vec<Entry> {
    let total = songs.len() + missing.len();
    let (mut songs, mut missing) = (songs.into_iter(), missing.into_iter().peekable());
    let mut entries = Vec::with_capacity(total);
    for place in 1..=total {
        let here =
            |gone: &(u32, Trouble)| usize::try_from(gone.0).is_ok_and(|number| number <= place);
        entries.extend(match missing.next_if(here) {
            Some((_, trouble)) => Some(Entry::Missing(trouble)),
            None => match songs.next() {
                Some(song) => Some(Entry::Song(Box::new(song))),
                None => missing.next().map(|(_, trouble)| Entry::Missing(trouble)),
            },
        });
    }
    entries
}

/// A format that a server has in this form, with yt-dlp's name for it.
pub fn usual(site: Site, ext: &'static str) -> Format {
    let (id, acodec, kbps) = match (site, ext) {
        (Site::YouTube, "webm" | "opus") => ("251", "opus", 130.0),
        (Site::YouTube, "m4a") => ("140", "mp4a.40.2", 129.5),
        (Site::SoundCloud, "m4a") => ("hls_aac_160k", "mp4a.40.2", 160.0),
        (Site::SoundCloud, "opus") => ("hls_opus_0_0", "opus", 64.0),
        (Site::SoundCloud, "mp3") => ("http_mp3_1_0", "mp3", 128.0),
        (Site::Bandcamp, "mp3") => ("mp3-128", "mp3", 128.0),
        (_, "webm" | "opus") => (ext, "opus", 128.0),
        (_, "m4a") => (ext, "mp4a.40.2", 128.0),
        (_, "ogg") => (ext, "vorbis", 160.0),
        (_, "flac") => (ext, "flac", 900.0),
        (_, "wav") => (ext, "pcm_s16le", 1411.0),
        _ => (ext, "mp3", 128.0),
    };
    Format {
        id: id.to_owned(),
        ext,
        acodec,
        has_video: false,
        kbps: Some(kbps),
        size: None,
        approximate_size: None,
        url: String::new(),
        protocol: "http",
        headers: Vec::new(),
        in_chunks: false,
    }
}

/// A format as the site serves it. `None` for a stream whose address is not known.
pub fn of_stream(stream: &Stream) -> Option<Format> {
    let (url, protocol) = match &stream.delivery {
        Delivery::File { url } => (url.clone(), "https"),
        Delivery::Hls { url } => (url.clone(), "m3u8_native"),
        Delivery::Asked { .. } => return None,
    };
    let acodec = match stream.codec {
        Codec::Aac => "mp4a.40.2",
        Codec::Mp3 => "mp3",
        Codec::Opus => "opus",
        Codec::Vorbis => "vorbis",
        Codec::Flac => "flac",
        Codec::Pcm => "pcm_s16le",
        Codec::Other => "unknown",
    };
    let ext = match (stream.container, stream.muxed) {
        (Container::Mp4, true) => "mp4",
        _ => stream.format().ext(),
    };
    let headers = stream.headers.iter();
    Some(Format {
        id: id_of(stream),
        ext,
        acodec,
        has_video: stream.muxed,
        kbps: stream.bitrate_bps.map(|bps| f64::from(bps) / 1000.0),
        size: stream.size_bytes,
        approximate_size: stream.approximate_size(),
        url,
        protocol,
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        in_chunks: stream.bounded_ranges,
    })
}

/// `itag 140` is `140`, `aac_160k hls` is `hls_aac_160k`.
fn id_of(stream: &Stream) -> String {
    let words: Vec<&str> = stream.label.split(' ').collect();
    match words.as_slice() {
        ["itag", number, ..] => (*number).to_owned(),
        [preset, "hls"] => format!("hls_{preset}"),
        [preset, "progressive"] => format!("http_{preset}"),
        _ => stream.label.replace(' ', "_"),
    }
}

/// Worst first: by the site's own classes, then the codec, then the bitrate, as yt-dlp sorts sound.
pub fn sort(site: Site, formats: &mut [Format]) {
    let class = |format: &Format| match site {
        Site::YouTube => matches!(format.id.as_str(), "140" | "141" | "251" | "774"),
        Site::SoundCloud => format.acodec.starts_with("mp4a"),
        Site::Bandcamp | Site::Other => false,
    };
    let codec = |format: &Format| match format.acodec {
        "flac" => 6,
        "pcm_s16le" => 5,
        "opus" => 4,
        "vorbis" => 3,
        "mp3" => 1,
        "unknown" => 0,
        _ => 2,
    };
    let hundreds = |format: &Format| (format.kbps.unwrap_or(0.0) * 100.0) as u64;
    formats.sort_by_key(|format| {
        (
            class(format),
            codec(format),
            hundreds(format),
            format.protocol == "https",
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_keeps_its_place() {
        let song = |title: &str| Song {
            site: Site::YouTube,
            id: title.to_owned(),
            link: String::new(),
            title: title.to_owned(),
            artist: None,
            album: None,
            album_artist: None,
            number: None,
            seconds: None,
            date: None,
            cover_url: None,
            formats: Vec::new(),
        };
        let gone = |place| (place, Trouble::new(Kind::Private, "private"));
        let shape = |songs: &[&str], missing: Vec<(u32, Trouble)>| -> String {
            let songs = songs.iter().map(|title| song(title)).collect();
            let entries = in_order(songs, missing);
            entries
                .iter()
                .map(|entry| match entry {
                    Entry::Song(song) => song.title.clone(),
                    Entry::Missing(_) => "-".to_owned(),
                })
                .collect()
        };
        assert_eq!(shape(&["a", "b"], vec![gone(2)]), "a-b");
        assert_eq!(shape(&["a"], vec![gone(1), gone(2)]), "--a");
        assert_eq!(shape(&["a"], vec![gone(9)]), "a-");
        assert_eq!(shape(&[], vec![gone(3)]), "-");
    }

    #[test]
    fn formats_stand_as_yt_dlp_sorts_them() {
        let mut formats = [usual(Site::YouTube, "webm"), usual(Site::YouTube, "m4a")];
        sort(Site::YouTube, &mut formats);
        assert_eq!(formats[1].id, "251");
        let all = ["m4a", "opus", "mp3"].map(|ext| usual(Site::SoundCloud, ext));
        let mut formats = all;
        sort(Site::SoundCloud, &mut formats);
        assert_eq!(formats[2].ext, "m4a", "SoundCloud's better class");
    }
}
