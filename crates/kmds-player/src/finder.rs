//! Finds where a script transforms `n` and `s`, by the shape of the code.
//!
//! Owns the shapes of those places. A word may stand in a table of strings. It does not decide whether a place is
//! right: trying it does.

use std::collections::HashMap;

use crate::script::{Key, Piece, Script};
use crate::token::Kind;

/// One way to reach a transformation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A function of a URL, the name of a parameter and an enciphered signature, which gives the URL as an object with
    /// `get` and `set`. One of the object's other methods transforms its `n`.
    Door(Key),
    /// An expression before and after the text to transform.
    Call(String, String),
}

#[derive(Debug, Default)]
pub struct Ways {
    pub n: Vec<Way>,
    pub sig: Vec<Way>,
}

/// More places of one shape than this are not tried.
const MAX_WAYS: usize = 8;
/// Every answer of the site's player has this parameter, and the function that asks for it is the door.
const DOOR_PARAMETER: (&str, &str) = ("alr", "yes");

impl Way {
    /// The names that it is made of.
    pub fn keys(&self, script: &Script) -> Vec<Key> {
        match self {
            Self::Door(key) => vec![key.clone()],
            Self::Call(before, _) => {
                let name = before
                    .split(['(', '['])
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                if script.knows(&name) {
                    vec![name]
                } else {
                    Vec::new()
                }
            }
        }
    }
}

/// The places to try, the likeliest first.
pub fn ways(script: &Script) -> Ways {
    let mut doors: Vec<(usize, usize, Key)> = script
        .pieces
        .iter()
        .filter_map(|piece| door(script, piece))
        .collect();
    // A door is short; code that calls it may contain the same words.
    doors.sort_by_key(|(score, length, _)| (std::cmp::Reverse(*score), *length));
    let doors: Vec<Way> = doors
        .into_iter()
        .take(MAX_WAYS)
        .map(|(_, _, key)| Way::Door(key))
        .collect();
    let sig = doors.iter().cloned().chain(ciphers(script)).collect();
    let n = doors.into_iter().chain(boxed(script)).collect();
    Ways { n, sig }
}

/// How much a piece looks like the door, its length, and its name.
fn door(script: &Script, piece: &Piece) -> Option<(usize, usize, Key)> {
    piece.function_from?;
    let key = piece.defines.first()?.clone();
    let (mut asks, mut decodes, mut encodes) = (false, false, false);
    for at in piece.from..piece.to {
        match script.word(at) {
            "decodeURIComponent" => decodes = true,
            "encodeURIComponent" => encodes = true,
            _ => asks |= is_asking(script, at),
        }
    }
    let score = 2 * usize::from(asks) + usize::from(decodes && encodes);
    (score > 0).then(|| (score, piece.to - piece.from, key))
}

/// `("alr","yes")`, in any spelling of its words.
fn is_asking(script: &Script, at: usize) -> bool {
    if script.word(at) != "(" {
        return false;
    }
    let Some((first, taken)) = script.string_at(at + 1) else {
        return false;
    };
    let after = at + 1 + taken;
    first == DOOR_PARAMETER.0
        && script.word(after) == ","
        && script
            .string_at(after + 1)
            .is_some_and(|(second, _)| second == DOOR_PARAMETER.1)
}

/// `name(1,decodeURIComponent(x))`: the function that deciphers, called.
fn ciphers(script: &Script) -> Vec<Way> {
    let mut found = Vec::new();
    for at in 0..script.tokens.len() {
        if script.word(at) != "decodeURIComponent"
            || script.word(at + 1) != "("
            || found.len() >= MAX_WAYS
        {
            continue;
        }
        if let Some(way) = call_around(script, at).filter(|way| !found.contains(way)) {
            found.push(way);
        }
    }
    found
}

fn call_around(script: &Script, at: usize) -> Option<Way> {
    let is_plain = |at: usize| {
        matches!(script.kind(at), Some(Kind::Number | Kind::Text))
            || matches!(script.word(at), "," | "-")
    };
    let mut open = at.checked_sub(1)?;
    while is_plain(open) {
        open = open.checked_sub(1)?;
    }
    if script.word(open) != "(" {
        return None;
    }
    let name = (open.checked_sub(3)?..open).find_map(|from| {
        script
            .key_at(from)
            .filter(|(key, taken)| from + taken == open && script.knows(key))
            .map(|(key, _)| key)
    })?;
    let mut end = script.closing(at + 1) + 1;
    let rest = end;
    while is_plain(end) {
        end += 1;
    }
    (script.word(end) == ")").then(|| {
        Way::Call(
            format!("{name}({}", script.text(open + 1, at)),
            format!("{})", script.text(rest, end)),
        )
    })
}

/// `name=[other]`, called as `name[0](x)`: how the site keeps the function for `n`.
fn boxed(script: &Script) -> Vec<Way> {
    let is_boxed = |piece: &&Piece| {
        let key = piece.defines.first()?;
        let end = piece.to.checked_sub(1)?;
        let one = script.list(
            (piece.from..end).find(|at| script.word(*at) == "[")? + 1,
            end,
        );
        let [(from, to)] = one.as_slice() else {
            return None;
        };
        let (_, taken) = script.key_at(*from)?;
        (script.word(end) == "]" && from + taken == *to && script.word(from - 2) == "=")
            .then(|| key.clone())
    };
    let boxed: Vec<Key> = script
        .pieces
        .iter()
        .filter_map(|piece| is_boxed(&piece))
        .collect();
    let mut called = Vec::new();
    for at in 0..script.tokens.len() {
        let Some((key, taken)) = script.key_at(at) else {
            continue;
        };
        let call =
            (0..4).all(|index| script.word(at + taken + index) == ["[", "0", "]", "("][index]);
        if call && boxed.contains(&key) && !called.contains(&key) && called.len() < MAX_WAYS {
            called.push(key);
        }
    }
    called
        .into_iter()
        .map(|key| Way::Call(format!("{key}[0]("), ")".to_owned()))
        .collect()
}

/// The number in requests for the site's answers, if the script names it.
pub fn signature_timestamp(script: &Script) -> Option<u32> {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for at in 0..script.tokens.len() {
        let (name, taken) = match script.kind(at) {
            Some(Kind::Name) if script.word(at + 1) != "[" => (script.word(at), 1),
            _ => script.string_at(at).unwrap_or_default(),
        };
        if !matches!(name, "signatureTimestamp" | "sts") {
            continue;
        }
        let bracket = usize::from(script.word(at + taken) == "]");
        let sign = at + taken + bracket;
        if matches!(script.word(sign), ":" | "=") {
            let value = script
                .string_at(sign + 1)
                .map_or_else(|| script.word(sign + 1), |(text, _)| text);
            let number = if value.len() == 5 {
                value.parse().ok()
            } else {
                None
            };
            number
                .into_iter()
                .for_each(|number| *counts.entry(number).or_default() += 1);
        }
    }
    counts
        .into_iter()
        .max_by_key(|(number, count)| (*count, *number))
        .map(|(number, _)| number)
}
