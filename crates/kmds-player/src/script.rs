//! A player script as the pieces its outermost scope is made of.
//!
//! Owns where a top-level definition begins and ends, which name it defines, and which names it uses; also the function
//! that the site wraps around everything, and the tables of strings that hide words. It runs nothing.

use std::collections::{HashMap, HashSet};

use crate::token::{BrokenScript, Kind, Token, tokens};

mod pieces;
mod spans;

/// A name of the outermost scope: `Ab`, or `g.Ab` for a member of the object that the script hangs its names on.
pub type Key = String;

/// The kind of a piece, which decides how it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Copied as it stands: a function or class with a name.
    Declaration,
    /// An assignment or a call: an expression that may stand alone.
    Expression,
    /// A pattern that takes a value apart, which needs brackets around it.
    Pattern,
    /// Anything else, like a loop: copied as it stands.
    Statement,
}

#[derive(Debug)]
pub struct Piece {
    /// Tokens from, and up to.
    pub from: usize,
    pub to: usize,
    pub form: Form,
    pub defines: Vec<Key>,
    /// It changes the values of these names: a method added to a prototype, a reversed table.
    pub changes: Vec<Key>,
    /// It is a second name for a part of this one: `g.z=Ab.prototype`.
    pub second_name_of: Option<Key>,
    /// Its value is a function: from its parameters on.
    pub function_from: Option<usize>,
}

#[derive(Debug)]
pub struct Script<'a> {
    text: &'a str,
    pub tokens: Vec<Token>,
    pub pieces: Vec<Piece>,
    pub strict: bool,
    /// The wrapper's parameter that holds the script's own object, if there is one.
    pub object: Option<&'a str>,
    /// Every name of the outermost scope, with a value or without.
    declared: HashSet<Key>,
    /// Pieces that make a name what it is, in their order.
    of_key: HashMap<Key, Vec<usize>>,
    /// Tables of strings, by name.
    tables: HashMap<&'a str, Vec<&'a str>>,
}

/// Ten times what today's scripts have.
const MAX_PIECES: usize = 150_000;

impl<'a> Script<'a> {
    /// # Errors
    /// [`BrokenScript`] when the text is no JavaScript as far as brackets and strings tell.
    pub fn read(text: &'a str) -> Result<Self, BrokenScript> {
        let text = text.trim_start_matches('\u{feff}');
        let mut script = Self {
            tokens: tokens(text)?,
            text,
            pieces: Vec::new(),
            strict: false,
            object: None,
            declared: HashSet::new(),
            of_key: HashMap::new(),
            tables: HashMap::new(),
        };
        let spans = script.spans();
        for (from, to) in &spans {
            script.find_tables(*from, *to);
        }
        for (from, to) in spans {
            script.take(from, to);
            if script.pieces.len() > MAX_PIECES || script.declared.len() > MAX_PIECES {
                return Err(BrokenScript(
                    "it has far more statements than a player script",
                ));
            }
        }
        script.own();
        Ok(script)
    }

    pub fn word(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| {
            &self.text[token.start as usize..token.end as usize]
        })
    }

    /// The text of tokens `from` up to `to`.
    pub fn text(&self, from: usize, to: usize) -> &'a str {
        let (Some(first), Some(last)) = (
            self.tokens.get(from),
            to.checked_sub(1).and_then(|last| self.tokens.get(last)),
        ) else {
            return "";
        };
        self.text
            .get(first.start as usize..last.end as usize)
            .unwrap_or_default()
    }

    pub fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// Whether the script has such a name at its top.
    pub fn knows(&self, key: &str) -> bool {
        self.declared.contains(key)
    }

    /// The pieces that make `key` what it is.
    pub fn pieces_of(&self, key: &str) -> &[usize] {
        self.of_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// The text of a string at `at`: written as one, or as a place in a table; and the tokens it takes.
    pub fn string_at(&self, at: usize) -> Option<(&'a str, usize)> {
        if self.kind(at)? == Kind::Text {
            return Some((inside(self.word(at)), 1));
        }
        let table = self.tables.get(self.word(at))?;
        let place: usize = (self.word(at + 1) == "[" && self.word(at + 3) == "]")
            .then(|| self.word(at + 2).parse().ok())??;
        Some((table.get(place)?, 4))
    }

    /// A key at `at`, and the tokens it takes. Not after a dot: that is a property of something else.
    pub fn key_at(&self, at: usize) -> Option<(Key, usize)> {
        if self.kind(at)? != Kind::Name || (at > 0 && matches!(self.word(at - 1), "." | "?.")) {
            return None;
        }
        let name = self.word(at);
        if Some(name) != self.object {
            return Some((name.to_owned(), 1));
        }
        let (member, taken) = self.member_at(at + 1)?;
        Some((format!("{name}.{member}"), 1 + taken))
    }

    /// `.name`, or a string in brackets.
    fn member_at(&self, at: usize) -> Option<(&'a str, usize)> {
        match self.word(at) {
            "." if self.kind(at + 1)? == Kind::Name => Some((self.word(at + 1), 2)),
            "[" => {
                let (text, taken) = self.string_at(at + 1)?;
                (self.word(at + 1 + taken) == "]").then_some((text, taken + 2))
            }
            _ => None,
        }
    }

    /// Every key that the tokens `from` up to `to` use, and that the script has.
    pub fn spoken_of(&self, from: usize, to: usize) -> HashSet<Key> {
        (from..to)
            .filter_map(|at| self.key_at(at))
            .map(|(key, _)| key)
            .filter(|key| self.knows(key))
            .collect()
    }

    /// Where the bracket that opens at `at` closes.
    pub fn closing(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(at) {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return index;
            }
        }
        self.tokens.len()
    }
}

/// A string without its quotes; escapes stay, since the searched words have none.
fn inside(quoted: &str) -> &str {
    quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default()
}
