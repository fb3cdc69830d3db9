//! What an answer must look like.
//!
//! Owns every check of a script's answer. A wrong `n` makes a download slow and a wrong signature makes it fail, and
//! the site names neither as the cause. So an answer that can be seen to be wrong is a failure. It runs no script.

use crate::engine::Fault;

/// Shortest and longest of either side; the site's are 15 to 17 of `n`, about 100 of a signature.
const N_LENGTHS: std::ops::RangeInclusive<usize> = 5..=64;
const MAX_QUESTION: usize = 1_024;

/// Why an answer is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    Fault(Fault),
    /// The problem with the answer.
    Answer(&'static str),
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Whether a text may be a question: the characters that the site uses.
pub fn is_question(text: &str) -> bool {
    let known =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=' | b'.' | b'%');
    (1..=MAX_QUESTION).contains(&text.len()) && text.bytes().all(known)
}

/// Checks the `answer` of a script to the `n` `question`.
pub fn n(question: &str, answer: &str) -> Result<(), Wrong> {
    let is_own = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let wrong = if answer == question {
        "equals its question"
    } else if answer.is_empty() {
        "is empty"
    } else if !answer.bytes().all(is_own) {
        "has odd characters"
    } else if !N_LENGTHS.contains(&answer.len()) {
        "has an odd length"
    } else if answer.contains(question) {
        // The function catches its own errors, and then returns a mark and the question.
        "holds its question: the script noticed that it runs somewhere else"
    } else if question.contains(answer) {
        "is a piece of its question"
    } else {
        return Ok(());
    };
    Err(Wrong::Answer(wrong))
}

/// Different characters, as many as a signature has: their new places tell the permutation.
pub fn marks(length: usize) -> String {
    (0..length)
        .filter_map(|index| char::from_u32(0x4e00 + u32::try_from(index).ok()?))
        .collect()
}

/// The permutation in `answer`, the script's answer to [`marks`]: for each place the place it came from.
pub fn permutation(length: usize, answer: &str) -> Result<Vec<usize>, Wrong> {
    let place = |mark: char| {
        (mark as usize)
            .checked_sub(0x4e00)
            .filter(|place| *place < length)
    };
    let places: Option<Vec<usize>> = answer.chars().map(place).collect();
    let places = places.ok_or(Wrong::Answer("is not a permutation of its question"))?;
    let mut seen = vec![false; length];
    for place in &places {
        if std::mem::replace(&mut seen[*place], true) {
            return Err(Wrong::Answer("is not a permutation of its question"));
        }
    }
    // It cuts a few characters off, never most of them.
    if places.len() * 2 < length || places.is_empty() {
        return Err(Wrong::Answer("is much shorter than its question"));
    }
    if places
        .iter()
        .enumerate()
        .all(|(index, place)| index == *place)
    {
        return Err(Wrong::Answer("equals its question, or its beginning"));
    }
    Ok(places)
}

/// `question` with its characters in the places of `permutation`.
pub fn permuted(question: &str, permutation: &[usize]) -> String {
    let bytes = question.as_bytes();
    permutation
        .iter()
        .filter_map(|place| bytes.get(*place))
        .map(|byte| char::from(*byte))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_cannot_be_right_is_a_failure() {
        assert_eq!(n("1nB_ZhfkU1lC2AbI_", "Qp8s9IUyja88wFr"), Ok(()));
        for (answer, wrong) in [
            ("1nB_ZhfkU1lC2AbI_", "equals its question"),
            ("", "is empty"),
            ("Qp8s9IUyja88wF/", "has odd characters"),
            ("Qp8s 9IUyja88wF", "has odd characters"),
            ("Qp8s", "has an odd length"),
            ("nB_ZhfkU1lC2AbI", "is a piece of its question"),
            (
                "OLWg-_w8_1nB_ZhfkU1lC2AbI_",
                "holds its question: the script noticed that it runs somewhere else",
            ),
        ] {
            assert_eq!(
                n("1nB_ZhfkU1lC2AbI_", answer),
                Err(Wrong::Answer(wrong)),
                "{answer}"
            );
        }
    }

    #[test]
    fn a_signature_is_a_permutation_with_cuts() {
        let told = |places: &[usize]| {
            let marks: Vec<char> = marks(6).chars().collect();
            permutation(
                6,
                &places.iter().map(|place| marks[*place]).collect::<String>(),
            )
        };
        assert_eq!(told(&[5, 4, 3, 1]), Ok(vec![5, 4, 3, 1]));
        assert_eq!(permuted("abcdef", &[5, 4, 3, 1]), "fedb");
        for places in [&[][..], &[5, 4], &[5, 5, 3, 1], &[0, 1, 2, 3]] {
            assert!(told(places).is_err(), "{places:?}");
        }
        assert!(permutation(6, "fedb").is_err());
    }
}
