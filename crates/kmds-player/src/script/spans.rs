//! Where the statements of the outermost scope begin and end.

use super::Script;
use crate::token::Kind;

/// Wrappers in wrappers: one is usual.
const MAX_WRAPPERS: usize = 4;

/// The inside of a function that is called where it is defined, or passed to one that is, and holds most of the script.
struct Wrapper<'a> {
    from: usize,
    to: usize,
    object: Option<&'a str>,
}

impl<'a> Script<'a> {
    /// The statements of the outermost scope, each without its semicolon: those around the wrapper, then those within.
    pub(super) fn spans(&mut self) -> Vec<(usize, usize)> {
        let (mut from, mut to, mut spans) = (0, self.tokens.len(), Vec::new());
        for _ in 0..=MAX_WRAPPERS {
            let statements = self.statements(from, to);
            let wrapper = statements
                .iter()
                .find_map(|(from, to)| self.wrapper(*from, *to));
            let Some(wrapper) = wrapper else {
                spans.extend(statements);
                break;
            };
            spans.extend(
                statements
                    .into_iter()
                    .filter(|(from, to)| wrapper.from < *from || wrapper.from >= *to),
            );
            self.object = wrapper.object.or(self.object);
            (from, to) = (wrapper.from, wrapper.to);
        }
        spans
    }

    fn statements(&self, from: usize, to: usize) -> Vec<(usize, usize)> {
        let (mut found, mut start, mut depth) = (Vec::new(), from, 0_usize);
        for at in from..to {
            match self.kind(at) {
                Some(Kind::Open) => depth += 1,
                Some(Kind::Close) => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > 0 {
                continue;
            }
            if self.word(at) == ";" {
                found.push((start, at));
                start = at + 1;
            } else if at + 1 < to && self.ends_statement(start, at) {
                found.push((start, at + 1));
                start = at + 1;
            }
        }
        found.push((start, to));
        found.retain(|(start, end)| start < end);
        found
    }

    /// Whether a statement that begins at `start` ends with the token `at`, though no semicolon follows.
    fn ends_statement(&self, start: usize, at: usize) -> bool {
        let next = self.word(at + 1);
        if self.word(at) == "}" && self.is_block(start) {
            let goes_on = matches!(next, "else" | "catch" | "finally" | ";");
            return !goes_on && (next != "while" || self.word(start) != "do");
        }
        let ends_a_value = match self.kind(at) {
            Some(Kind::Name) => !GOES_ON.contains(&self.word(at)),
            Some(Kind::Number | Kind::Text | Kind::Regex | Kind::Template | Kind::Close) => true,
            _ => matches!(self.word(at), "++" | "--"),
        };
        let begins_another = matches!(
            self.kind(at + 1),
            Some(Kind::Name | Kind::Number | Kind::Text)
        ) && !matches!(
            next,
            "in" | "instanceof" | "of" | "else" | "catch" | "finally" | "while" | "extends"
        );
        ends_a_value && begins_another && self.tokens.get(at + 1).is_some_and(|token| token.newline)
    }

    /// A statement whose closing brace ends it.
    fn is_block(&self, start: usize) -> bool {
        match self.word(start) {
            "function" | "class" | "if" | "for" | "while" | "do" | "try" | "switch" | "with"
            | "{" => true,
            "async" => self.word(start + 1) == "function",
            _ => self.kind(start) == Some(Kind::Name) && self.word(start + 1) == ":",
        }
    }

    fn wrapper(&self, from: usize, to: usize) -> Option<Wrapper<'a>> {
        let (body, end) = self.main_body(from, to)?;
        let head = (from..body)
            .rev()
            .find(|at| self.word(*at) == "(")
            .unwrap_or(from);
        let parameters = self.single_words(head);
        let mut call = end + 1;
        while self.word(call) == ")" && call < to {
            call += 1;
        }
        if matches!(self.word(call + 1), "call" | "apply") {
            call += 2;
        }
        let object = if self.word(call) == "(" {
            let mut arguments = self.single_words(call);
            if self.word(call - 1) == "call" {
                arguments.drain(..arguments.len().min(1));
            }
            parameters
                .into_iter()
                .zip(arguments)
                .find_map(|(parameter, argument)| {
                    let is_world = matches!(
                        argument,
                        "this"
                            | "window"
                            | "self"
                            | "globalThis"
                            | "document"
                            | "undefined"
                            | "void"
                    );
                    (!is_world || self.single_words(call).len() == 1).then_some(parameter)
                })
        } else {
            // Given to another function, which calls it.
            self.is_argument(from, head)
                .then(|| parameters.first().copied())?
        };
        Some(Wrapper {
            from: body + 1,
            to: end,
            object: object.filter(|name| !name.is_empty()),
        })
    }

    /// The function body in a statement that holds most of the script: where its braces stand.
    fn main_body(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        let mut at = from + 1;
        while at < to {
            if self.word(at) == "{" {
                let end = self.closing(at);
                if matches!(self.word(at - 1), ")" | "=>") && end - at > self.tokens.len() / 2 {
                    return (end < to).then_some((at, end));
                }
                at = end;
            }
            at += 1;
        }
        None
    }

    /// Whether the function whose parameters open at `head` stands within the brackets of a call.
    fn is_argument(&self, from: usize, head: usize) -> bool {
        let before = (from..head).rev().find(|at| self.word(*at) != "function");
        before.is_some_and(|at| matches!(self.word(at), "(" | ","))
    }

    /// The first word of each thing between the brackets that open at `open`.
    fn single_words(&self, open: usize) -> Vec<&'a str> {
        self.list(open + 1, self.closing(open))
            .into_iter()
            .map(|(from, _)| self.word(from))
            .collect()
    }

    /// The parts between commas.
    pub fn list(&self, from: usize, to: usize) -> Vec<(usize, usize)> {
        let (mut found, mut start, mut depth) = (Vec::new(), from, 0_usize);
        for at in from..to {
            match self.kind(at) {
                Some(Kind::Open) => depth += 1,
                Some(Kind::Close) => depth = depth.saturating_sub(1),
                _ if depth == 0 && self.word(at) == "," => {
                    found.push((start, at));
                    start = at + 1;
                }
                _ => {}
            }
        }
        found.push((start, to));
        found.retain(|(start, end)| start < end);
        found
    }
}

/// Words that never end a statement.
const GOES_ON: [&str; 21] = [
    "var",
    "let",
    "const",
    "return",
    "typeof",
    "case",
    "in",
    "of",
    "delete",
    "void",
    "throw",
    "new",
    "else",
    "do",
    "instanceof",
    "yield",
    "await",
    "function",
    "class",
    "async",
    "extends",
];
