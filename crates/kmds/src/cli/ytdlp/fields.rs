//! Songs, formats and lists in yt-dlp's keys.
//!
//! Owns every key that is printed. A key whose value is not known is null or left out, as yt-dlp does; no value is made
//! up. Pure.

use kmds_extract::Site;
use serde_json::{Map, Value, json};

use super::song::{Format, List, Song};

/// A format, or a song, as it is printed.
pub type Fields = Map<String, Value>;

/// The place of a song in the requested list.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub list: &'a List,
    /// From 1.
    pub index: usize,
    /// From 1, among the selected songs.
    pub autonumber: usize,
    /// Numbers of selected songs, and of songs in the list.
    pub meant: usize,
    pub total: usize,
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// yt-dlp's name for the extractor of a site, and its key.
pub const fn extractor(site: Site) -> (&'static str, &'static str) {
    match site {
        Site::YouTube => ("youtube", "Youtube"),
        Site::SoundCloud => ("soundcloud", "Soundcloud"),
        Site::Bandcamp => ("Bandcamp", "Bandcamp"),
        Site::Other => ("generic", "Generic"),
    }
}

const fn list_extractor(list: &List) -> (&'static str, &'static str) {
    match (list.site, list.is_search) {
        (Site::YouTube, true) => ("youtube:search", "YoutubeSearch"),
        (Site::SoundCloud, true) => ("soundcloud:search", "SoundcloudSearch"),
        (Site::Bandcamp, true) => ("Bandcamp:search", "BandcampSearch"),
        (Site::YouTube, false) => ("youtube:tab", "YoutubeTab"),
        (Site::SoundCloud, false) => ("soundcloud:set", "SoundcloudSet"),
        (Site::Bandcamp, false) => ("Bandcamp:album", "BandcampAlbum"),
        (Site::Other, _) => ("generic", "Generic"),
    }
}

/// One format.
pub fn format(format: &Format, seconds: Option<f64>) -> Fields {
    let (video, resolution) = if format.has_video {
        ("avc1.42001E", Value::Null)
    } else {
        ("none", "audio only".into())
    };
    let (audio_ext, video_ext) = if format.has_video {
        ("none", format.ext)
    } else {
        (format.ext, "none")
    };
    let by_rate = || Some((format.kbps? * seconds? * 125.0) as u64);
    let headers: Map<String, Value> = format
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    let mut fields = object(json!({
        "format_id": format.id, "format": format!("{} - audio only", format.id), "format_note": null,
        "ext": format.ext, "acodec": format.acodec, "vcodec": video, "abr": format.kbps, "tbr": format.kbps, "vbr": 0,
        "filesize": format.size, "filesize_approx": format.approximate_size.or_else(by_rate),
        "url": format.url, "protocol": format.protocol, "audio_ext": audio_ext, "video_ext": video_ext,
        "resolution": resolution, "http_headers": headers,
    }));
    if format.in_chunks {
        // yt-dlp's own size of a range at YouTube.
        fields.insert(
            "downloader_options".to_owned(),
            json!({ "http_chunk_size": 10_485_760 }),
        );
    }
    fields
}

/// A song with all its formats; `chosen` are the fields of the one that was picked.
pub fn song(song: &Song, asked: &str, place: Option<Place<'_>>, chosen: Option<&Fields>) -> Fields {
    let (name, key) = extractor(song.site);
    let mut fields = facts(song);
    let formats: Vec<Value> = song
        .formats
        .iter()
        .map(|one| Value::Object(format(one, song.seconds)))
        .collect();
    let thumbnails: Vec<Value> = song
        .cover_url
        .iter()
        .map(|url| json!({ "url": url, "id": "0" }))
        .collect();
    fields.extend(object(json!({
        "formats": formats, "thumbnail": song.cover_url, "thumbnails": thumbnails, "description": null,
        "duration_string": song.seconds.map(clock), "fulltitle": fields.get("title"), "display_id": song.id,
        "is_live": false, "was_live": false, "live_status": "not_live", "age_limit": 0, "view_count": null,
        "webpage_url": song.link, "original_url": if place.is_some() { &song.link } else { asked },
        "webpage_url_basename": basename(&song.link), "webpage_url_domain": domain(&song.link),
        "extractor": name, "extractor_key": key, "playlist": null, "playlist_index": null,
        "requested_subtitles": null, "_has_drm": null, "epoch": now(), "_type": "video",
    })));
    fields.extend(place.map(within).unwrap_or_default());
    fields.extend(chosen.cloned().unwrap_or_default());
    fields
}

/// The known fields of a song itself.
fn facts(song: &Song) -> Fields {
    let artist = song.artist.as_deref();
    let full = match (song.site, artist) {
        // As yt-dlp writes Bandcamp's titles.
        (Site::Bandcamp, Some(artist)) => format!("{artist} - {}", song.title),
        _ => song.title.clone(),
    };
    let date = song.date.as_ref().map(|date| date.replace('-', ""));
    let is_music = song.site != Site::YouTube || song.album.is_some();
    let mut fields = object(json!({
        "id": song.id, "title": full, "uploader": artist, "channel": artist, "artist": artist, "duration": duration(song),
        "upload_date": date,
    }));
    if is_music {
        let names = |name: Option<&str>| name.map(|name| vec![name.to_owned()]);
        let release_year = date
            .as_ref()
            .and_then(|date| date.get(..4)?.parse::<u32>().ok());
        fields.extend(object(json!({
            "track": song.title, "album": song.album, "album_artist": song.album_artist,
            "track_number": song.number.filter(|_| song.album.is_some()), "artists": names(artist),
            "album_artists": names(song.album_artist.as_deref()), "release_date": date, "release_year": release_year,
        })));
    }
    fields
}

/// YouTube tells whole seconds, and readers of its fields count on that.
fn duration(song: &Song) -> Value {
    match song.seconds {
        Some(seconds) if song.site == Site::YouTube || seconds.fract() == 0.0 => {
            (seconds as u64).into()
        }
        seconds => seconds.into(),
    }
}

fn within(place: Place<'_>) -> Fields {
    let List {
        id,
        title,
        artist,
        link,
        ..
    } = place.list;
    object(json!({
        "playlist_count": place.total, "playlist": title.as_ref().unwrap_or(id), "playlist_id": id, "playlist_title": title,
        "playlist_uploader": artist, "playlist_uploader_id": null, "playlist_channel": artist, "playlist_channel_id": null,
        "playlist_webpage_url": link, "n_entries": place.meant, "playlist_index": place.index,
        "playlist_autonumber": place.autonumber,
    }))
}

/// A song of a list for `--flat-playlist`: its page, to be requested next.
pub fn flat(song: &Song, place: Option<Place<'_>>) -> Fields {
    let (name, key) = extractor(song.site);
    let artist = song.artist.as_deref();
    let thumbnails: Vec<Value> = song
        .cover_url
        .iter()
        .map(|url| json!({ "url": url }))
        .collect();
    let mut fields = object(json!({
        "_type": "url", "ie_key": key, "id": song.id, "url": song.link, "title": song.title, "description": null,
        "duration": duration(song), "channel": artist, "uploader": artist, "thumbnails": thumbnails,
        "thumbnail": song.cover_url, "view_count": null, "live_status": null, "availability": null,
        "webpage_url": song.link, "original_url": song.link, "extractor": name, "extractor_key": key,
    }));
    if song.album.is_some() {
        fields.insert("album".to_owned(), song.album.clone().into());
    }
    fields.extend(place.map(within).unwrap_or_default());
    fields
}

/// A list. `meant` has the places of its entries if only some are selected.
pub fn list(
    list: &List,
    asked: &str,
    entries: Vec<Value>,
    total: usize,
    meant: Option<&[usize]>,
) -> Fields {
    let (name, key) = list_extractor(list);
    let cover = list.cover_url.as_ref();
    let thumbnails: Vec<Value> = cover
        .iter()
        .map(|url| json!({ "url": url, "id": "0" }))
        .collect();
    let mut fields = object(json!({
        "_type": "playlist", "id": list.id, "title": list.title, "description": null, "uploader": list.artist,
        "channel": list.artist, "thumbnails": thumbnails, "playlist_count": total, "entries": entries,
        "webpage_url": list.link, "original_url": asked, "webpage_url_basename": basename(&list.link),
        "webpage_url_domain": domain(&list.link), "extractor": name, "extractor_key": key, "epoch": now(),
    }));
    if let Some(places) = meant {
        fields.insert("requested_entries".to_owned(), json!(places));
    }
    fields
}

/// The version of the program, as yt-dlp prints it at the end of `-J` and `-j`.
pub fn version() -> Value {
    json!({ "version": super::version(), "current_git_head": null, "release_git_head": null, "repository": "kmds" })
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// `1:02:03`, `2:21`; below a minute the seconds alone, as yt-dlp writes it.
pub fn clock(seconds: f64) -> String {
    let whole = seconds as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => seconds.to_string(),
        (0, _) => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn basename(link: &str) -> Option<String> {
    let path = link.split(['?', '#']).next()?.trim_end_matches('/');
    path.rsplit('/').next().map(str::to_owned)
}

fn domain(link: &str) -> Option<String> {
    let url = url::Url::parse(link).ok()?;
    let host = url.host_str()?;
    Some(host.strip_prefix("www.").unwrap_or(host).to_owned())
}
