//! How loud a song is, as its site measured it.
//!
//! Owns the unit of the value, its limits and its spelling in JSON. An impossible value reads as none, and loses
//! nothing else.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Decibels above YouTube's reference of −14 LUFS; below it if negative. Kept in hundredths, the unit of the site: it
/// writes −2.0200005 for −2.02.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loudness {
    hundredths: i16,
}

impl Loudness {
    /// No song is further away: nothing below −70 LUFS counts as sound (ITU-R BS.1770), and full scale is near 0.
    const FURTHEST_DB: f64 = 60.0;
    const REFERENCE_LUFS: f64 = -14.0;

    /// `None` for a value that is not a possible loudness.
    #[must_use]
    pub fn of_db(db: f64) -> Option<Self> {
        (db.abs() <= Self::FURTHEST_DB).then(|| Self {
            hundredths: (db * 100.0).round() as i16,
        })
    }

    #[must_use]
    pub fn db(self) -> f64 {
        f64::from(self.hundredths) / 100.0
    }

    /// Integrated loudness, in LUFS.
    #[must_use]
    pub fn lufs(self) -> f64 {
        Self::REFERENCE_LUFS + self.db()
    }

    /// For a field that may be missing, or may hold anything.
    /// # Errors
    /// The text is no JSON.
    pub fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Self>, D::Error> {
        Ok(Value::deserialize(from)?.as_f64().and_then(Self::of_db))
    }
}

impl Serialize for Loudness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.db())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Song {
        #[serde(default, deserialize_with = "Loudness::read")]
        loudness_db: Option<Loudness>,
    }

    #[test]
    fn a_figure_is_kept_to_the_hundredth_and_nonsense_is_none() {
        for (text, db) in [
            ("-2.0200005", Some(-2.02)),
            ("6.88", Some(6.88)),
            ("-60", Some(-60.0)),
            ("0", Some(0.0)),
            ("1e300", None),
            ("-61", None),
            ("\"-3.5\"", None),
            ("\"NaN\"", None),
            ("null", None),
            ("[1]", None),
            ("{\"a\": 1}", None),
            ("true", None),
        ] {
            let song: Song =
                serde_json::from_str(&format!("{{\"loudness_db\": {text}}}")).expect("a song");
            assert_eq!(song.loudness_db.map(Loudness::db), db, "{text}");
            let kept = serde_json::to_string(&song).expect("JSON");
            assert_eq!(serde_json::from_str::<Song>(&kept).expect("a song"), song);
        }
        let song: Song = serde_json::from_str("{}").expect("a song");
        assert_eq!(song.loudness_db, None);
        assert_eq!(Loudness::of_db(f64::NAN), None);
    }

    #[test]
    fn a_song_at_the_reference_has_minus_14_lufs() {
        let lufs = |db| Loudness::of_db(db).map(Loudness::lufs);
        assert_eq!(lufs(0.0), Some(-14.0));
        assert_eq!(lufs(-3.5), Some(-17.5));
    }
}
