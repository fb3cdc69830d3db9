//! Which songs of a list a call selects: `--playlist-items 1:3,7,-2::2`, `--playlist-start`, `--playlist-end`.
//!
//! Owns its grammar: places from 1, from the end with a minus, ranges with a step. Pure.

/// One part between commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    One(i64),
    Range {
        first: Option<i64>,
        last: Option<i64>,
        step: i64,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Items {
    /// Empty: all.
    parts: Vec<Part>,
    pub start: Option<usize>,
    pub end: Option<usize>,
    pub reverse: bool,
}

impl Items {
    pub fn read(text: &str) -> Result<Self, String> {
        let parts: Result<Vec<Part>, ()> = text.split(',').map(|part| read(part.trim())).collect();
        let wrong = |()| {
            format!("invalid playlist items \"{text}\"; write places and ranges, like 1:3,7,-2::2")
        };
        Ok(Self {
            parts: parts.map_err(wrong)?,
            ..Self::default()
        })
    }

    /// The selected places of a list of `total` songs, from 1, each once, in the requested order.
    pub fn of(&self, total: usize) -> Vec<usize> {
        let mut places: Vec<usize> = Vec::new();
        let mut add = |place: i64| {
            let place = usize::try_from(place).unwrap_or(0);
            if (1..=total).contains(&place) && !places.contains(&place) {
                places.push(place);
            }
        };
        let length = i64::try_from(total).unwrap_or(i64::MAX);
        let from_end = |place: i64| if place < 0 { length + place + 1 } else { place };
        if self.parts.is_empty() {
            places =
                (self.start.unwrap_or(1).max(1)..=self.end.unwrap_or(total).min(total)).collect();
        } else {
            for part in &self.parts {
                match *part {
                    Part::One(place) => add(from_end(place)),
                    Part::Range { first, last, step } => {
                        let ends = if step > 0 { (1, length) } else { (length, 1) };
                        let first = from_end(first.unwrap_or(ends.0));
                        let last = from_end(last.unwrap_or(ends.1));
                        // A range outside of the list selects nothing.
                        let (low, high) = (first.min(last).max(1), first.max(last).min(length));
                        let mut place = if step > 0 { first } else { high.min(first) };
                        if step > 0 && place < low {
                            place += (low - place).div_euclid(step).saturating_mul(step);
                        }
                        while (step > 0 && place <= last.min(length))
                            || (step < 0 && place >= last.max(1))
                        {
                            add(place);
                            place += step;
                        }
                    }
                }
            }
        }
        if self.reverse {
            places.reverse();
        }
        places
    }
}

fn read(part: &str) -> Result<Part, ()> {
    let number = |text: &str| match text {
        "" => Ok(None),
        "inf" | "infinite" => Ok(None),
        digits => digits
            .parse::<i32>()
            .map(|number| Some(i64::from(number)))
            .map_err(drop),
    };
    let pieces: Vec<&str> = part.split(':').collect();
    match pieces.as_slice() {
        // The older way to write a range.
        [one] if one.get(1..).is_some_and(|rest| rest.contains('-')) => {
            let at = one.get(1..).and_then(|rest| rest.find('-')).ok_or(())? + 1;
            let (first, last) = (one.get(..at).ok_or(())?, one.get(at + 1..).ok_or(())?);
            Ok(Part::Range {
                first: number(first)?,
                last: number(last)?,
                step: 1,
            })
        }
        [one] => Ok(Part::One(number(one)?.ok_or(())?)),
        [first, last] => Ok(Part::Range {
            first: number(first)?,
            last: number(last)?,
            step: 1,
        }),
        [first, last, step] => {
            let step = number(step)?.unwrap_or(1);
            if step == 0 {
                return Err(());
            }
            Ok(Part::Range {
                first: number(first)?,
                last: number(last)?,
                step,
            })
        }
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_ranges_and_steps_are_counted_as_yt_dlp_does() {
        for (text, total, places) in [
            ("1", 5, vec![1]),
            ("1:3", 5, vec![1, 2, 3]),
            ("2-4,1", 5, vec![2, 3, 4, 1]),
            ("-1", 5, vec![5]),
            ("-2:", 5, vec![4, 5]),
            ("::2", 5, vec![1, 3, 5]),
            ("::-1", 3, vec![3, 2, 1]),
            ("4:", 3, vec![]),
            ("1:1000", 2, vec![1, 2]),
            ("1:2147483647:2147483647", 2, vec![1]),
            (":2147483647,3", 3, vec![1, 2, 3]),
            ("0", 3, vec![]),
            ("3,3,9", 3, vec![3]),
        ] {
            assert_eq!(Items::read(text).expect(text).of(total), places, "{text}");
        }
        for bad in ["", "a", "1:2:0", "1:2:3:4", "1,,2", "99999999999999"] {
            assert!(Items::read(bad).is_err(), "{bad}");
        }
        let window = Items {
            start: Some(2),
            end: Some(3),
            reverse: true,
            ..Items::default()
        };
        assert_eq!(window.of(5), [3, 2]);
        assert_eq!(Items::default().of(3), [1, 2, 3]);
    }
}
