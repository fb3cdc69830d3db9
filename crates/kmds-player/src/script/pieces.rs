//! What each statement of the outermost scope defines or changes.

use std::collections::HashMap;

use super::{Form, Key, Piece, Script, inside};
use crate::token::Kind;

/// A statement that reverses a table is short; a longer one has another purpose.
const LONGEST_EFFECT_TOKENS: usize = 600;
/// Fewer strings are no table.
const SMALLEST_TABLE: usize = 4;

impl<'a> Script<'a> {
    /// `name="a{b{c".split("{")` and `name=["a","b",…]`.
    pub(super) fn find_tables(&mut self, from: usize, to: usize) {
        let mut depth = 0_usize;
        for at in from..to {
            match self.kind(at) {
                Some(Kind::Open) => depth += 1,
                Some(Kind::Close) => depth = depth.saturating_sub(1),
                Some(Kind::Name) if depth == 0 && self.word(at + 1) == "=" => {
                    let table = self
                        .split_table(at + 2)
                        .or_else(|| self.listed_table(at + 2));
                    if let Some(table) = table.filter(|table| table.len() >= SMALLEST_TABLE) {
                        self.tables.insert(self.word(at), table);
                    }
                }
                _ => {}
            }
        }
    }

    fn split_table(&self, at: usize) -> Option<Vec<&'a str>> {
        let is_text = |at| self.kind(at) == Some(Kind::Text);
        let called = match (self.word(at + 1), self.word(at + 2)) {
            (".", "split") => at + 3,
            ("[", name) if is_text(at + 2) && inside(name) == "split" => at + 4,
            _ => return None,
        };
        let separator = inside(self.word(called + 1));
        (is_text(at) && is_text(called + 1) && !separator.is_empty())
            .then(|| inside(self.word(at)).split(separator).collect())
    }

    fn listed_table(&self, at: usize) -> Option<Vec<&'a str>> {
        if self.word(at) != "[" {
            return None;
        }
        let entries = self.list(at + 1, self.closing(at));
        let text = |(from, to): (usize, usize)| {
            (to == from + 1 && self.kind(from) == Some(Kind::Text)).then(|| inside(self.word(from)))
        };
        entries.into_iter().map(text).collect()
    }

    /// Takes one statement apart.
    pub(super) fn take(&mut self, from: usize, to: usize) {
        match self.word(from) {
            "var" | "let" | "const" => {
                for (from, to) in self.list(from + 1, to) {
                    self.take_declared(from, to);
                }
            }
            "function" | "class" => self.take_named(from, to),
            "async" if self.word(from + 1) == "function" => self.take_named(from, to),
            "if" | "for" | "while" | "do" | "try" | "switch" | "with" | "{" => {
                self.take_statement(from, to)
            }
            "return" | "throw" | "debugger" | "import" | "export" => {}
            _ if self.kind(from) == Some(Kind::Name) && self.word(from + 1) == ":" => {
                self.take_statement(from, to)
            }
            word if to == from + 1 && self.kind(from) == Some(Kind::Text) => {
                self.strict |= inside(word) == "use strict"
            }
            _ => {
                for (from, to) in self.list(from, to) {
                    let piece = self.expression(from, to);
                    self.pieces.push(piece);
                }
            }
        }
    }

    fn take_declared(&mut self, from: usize, to: usize) {
        if self.kind(from) == Some(Kind::Open) {
            let end = self.closing(from);
            let names = (from..end)
                .filter(|at| self.kind(*at) == Some(Kind::Name))
                .map(|at| self.word(at).to_owned());
            let defines = names.collect();
            self.pieces.push(Piece {
                defines,
                ..Piece::new(from, to, Form::Pattern)
            });
        } else if to == from + 1 {
            let name = self.word(from).to_owned();
            self.declared.insert(name);
        } else {
            let piece = self.expression(from, to);
            self.pieces.push(piece);
        }
    }

    fn take_named(&mut self, from: usize, to: usize) {
        let is_function = self.word(from) != "class";
        let name = (from..to).find(|at| {
            self.kind(*at) == Some(Kind::Name)
                && !matches!(self.word(*at), "function" | "class" | "async")
        });
        let Some(name) = name else { return };
        let defines = vec![self.word(name).to_owned()];
        let function_from = is_function.then_some(name + 1);
        self.pieces.push(Piece {
            defines,
            function_from,
            ..Piece::new(from, to, Form::Declaration)
        });
    }

    fn take_statement(&mut self, from: usize, to: usize) {
        if to - from <= LONGEST_EFFECT_TOKENS {
            let named = (from..to)
                .filter_map(|at| self.key_at(at))
                .map(|(key, _)| key);
            let changes = named.collect();
            self.pieces.push(Piece {
                changes,
                ..Piece::new(from, to, Form::Statement)
            });
        }
    }

    /// Assignments from left to right, then the value.
    fn expression(&self, from: usize, to: usize) -> Piece {
        let mut piece = Piece::new(from, to, Form::Expression);
        let mut at = from;
        while let Some((key, taken)) = self.key_at(at) {
            let after = self.after_members(at + taken);
            let direct = after == at + taken;
            match self.word(after) {
                "=" if after < to && direct => piece.defines.push(key),
                sign if after < to
                    && sign.ends_with('=')
                    && !matches!(sign, "==" | "===" | "!=" | "!==" | "<=" | ">=") =>
                {
                    piece.changes.push(key);
                }
                _ => break,
            }
            at = after + 1;
        }
        if at == from {
            piece.changes = self.touched(from, to);
        } else {
            let head = if self.word(at) == "async" { at + 1 } else { at };
            let arrow = self.word(head) == "(" && self.word(self.closing(head) + 1) == "=>";
            piece.function_from = (self.word(head) == "function" || arrow).then_some(head);
            piece.second_name_of = self
                .key_at(at)
                .filter(|(_, taken)| self.after_members(at + taken) == to)
                .map(|(key, _)| key);
        }
        piece
    }

    /// After `.a[b].c`.
    fn after_members(&self, mut at: usize) -> usize {
        loop {
            match self.word(at) {
                "." => at += 2,
                "[" => at = self.closing(at) + 1,
                _ => return at,
            }
        }
    }

    /// The keys that a call may change: the owner of the method, else the first argument; all arguments of a function
    /// that is called where it is defined.
    fn touched(&self, from: usize, to: usize) -> Vec<Key> {
        if to - from > LONGEST_EFFECT_TOKENS {
            return Vec::new();
        }
        let named = |at: usize| self.key_at(at).map(|(key, _)| key);
        if let Some((key, taken)) = self.key_at(from) {
            if self.word(from + taken) != "(" {
                return vec![key];
            }
            return named(from + taken + 1).into_iter().collect();
        }
        let last = (from..to)
            .rev()
            .find(|at| self.word(*at) == "(" && self.closing(*at) + 2 >= to);
        last.map_or_else(Vec::new, |open| {
            self.list(open + 1, self.closing(open))
                .into_iter()
                .filter_map(|(from, _)| named(from))
                .collect()
        })
    }

    /// Records which pieces define which name.
    pub(super) fn own(&mut self) {
        // A name that is only changed here belongs to the engine, like `Array.prototype`.
        self.declared.extend(
            self.pieces
                .iter()
                .flat_map(|piece| piece.defines.iter().cloned()),
        );
        let mut second: HashMap<&str, (usize, &str)> = HashMap::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            for key in piece
                .changes
                .iter()
                .filter(|key| self.declared.contains(*key))
            {
                match second.get(key.as_str()) {
                    Some((named_at, owner)) => {
                        let of = self.of_key.entry((*owner).to_owned()).or_default();
                        of.push(*named_at);
                        of.push(index);
                    }
                    None => self.of_key.entry(key.clone()).or_default().push(index),
                }
            }
            for key in &piece.defines {
                self.of_key.entry(key.clone()).or_default().push(index);
                match &piece.second_name_of {
                    Some(owner) => second.insert(key, (index, owner)),
                    None => second.remove(key.as_str()),
                };
            }
        }
    }
}

impl Piece {
    fn new(from: usize, to: usize, form: Form) -> Self {
        Self {
            from,
            to,
            form,
            defines: Vec::new(),
            changes: Vec::new(),
            second_name_of: None,
            function_from: None,
        }
    }
}
