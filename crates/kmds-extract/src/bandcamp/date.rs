//! Bandcamp's dates as days.
//!
//! Owns reading `07 May 2026 00:00:00 GMT` and turning seconds since 1970 into a day. It reads no clock.

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// A day as `YYYY-MM-DD`, so that later days sort later. `None` for text of any other shape.
pub(super) fn day_of_text(text: &str) -> Option<String> {
    let mut words = text.split_ascii_whitespace();
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let digits = |word: &str, longest: usize| {
        (word.len() <= longest && word.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| word.parse::<u32>().ok())?
    };
    let day = digits(day, 2).filter(|day| (1..=31).contains(day))?;
    let year = digits(year, 4).filter(|year| *year >= 1000)?;
    let month = month.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// The day of a time in seconds since 1970, in UTC; `None` before 1970 and after 9999.
pub(super) fn day_of_unix(seconds: u64) -> Option<String> {
    // Years start in March here, so that a leap day is a year's last; 719,468 days lie between 0000-03-01 and 1970.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year <= 9999).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_days() {
        assert_eq!(
            day_of_text("07 May 2026 00:00:00 GMT").as_deref(),
            Some("2026-05-07")
        );
        assert_eq!(
            day_of_text("31 Dec 1999 23:59:59 GMT").as_deref(),
            Some("1999-12-31")
        );
        for wrong in [
            "",
            "soon",
            "7 Maius 2026",
            "0 May 2026",
            "32 May 2026",
            "07 May 26",
            "07 May",
            "+7 May 2026",
        ] {
            assert_eq!(day_of_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn seconds_become_days() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_577_836_800, "2020-01-01"),
            (1_779_734_141, "2026-05-25"),
            (4_102_444_799, "2099-12-31"),
        ] {
            assert_eq!(day_of_unix(seconds).as_deref(), Some(day));
        }
        assert_eq!(day_of_unix(u64::MAX), None);
    }
}
