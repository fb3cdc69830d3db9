//! Extended M3U: the playable songs of a list, for players.

use super::super::links::Addresses;
use crate::app::{Fetched, Song};
use crate::text::printable;

/// The playable songs of a list, each as a streaming address.
pub(super) fn write(fetched: &Fetched, addresses: &Addresses) -> String {
    let mut text = String::from("#EXTM3U\n");
    if let Some(title) = fetched.list.as_ref().and_then(|list| list.title.as_deref()) {
        text.push_str(&format!("#PLAYLIST:{}\n", printable(title)));
    }
    for song in fetched.songs.iter() {
        // -1 means "unknown" to players.
        let seconds = song.track.duration.map_or(-1, |time| {
            i64::try_from(time.as_secs_f64().round() as u64).unwrap_or(-1)
        });
        let address = addresses.tunnel_url(&song.canonical_name);
        text.push_str(&format!(
            "#EXTINF:{seconds},{}\n{address}&stream=1\n",
            entry_title(song)
        ));
    }
    text
}

/// `Artist - Title`, or the title alone if it names the artist already.
fn entry_title(song: &Song) -> String {
    let (title, artist) = (
        printable(&song.track.title),
        printable(song.track.artist.as_deref().unwrap_or("")),
    );
    let named = artist.is_empty() || title.to_lowercase().contains(&artist.to_lowercase());
    if named {
        title.into_owned()
    } else {
        format!("{artist} - {title}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any title becomes one line of printable characters.
    #[test]
    fn fuzz_m3u() {
        kmds_fuzz::target("m3u", |input| {
            let title = String::from_utf8_lossy(input);
            let line = printable(&title);
            assert!(
                !line.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')),
                "{line:?}"
            );
            assert!(line.len() <= title.len());
            assert_eq!(printable(&line), line);
        });
    }

    #[test]
    fn a_title_never_becomes_a_line() {
        assert_eq!(printable("a\r\n#EXTINF:1,b\u{0}c"), "a #EXTINF:1,b c");
        assert_eq!(
            printable("a\u{2028}b\u{2029}c\u{85}d"),
            "a b c d",
            "Unicode's own line ends"
        );
    }
}
