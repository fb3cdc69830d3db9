//! JavaScript text as tokens.
//!
//! Owns where a name, a string, a regular expression or a bracket begins and ends. It resolves the one ambiguity of the
//! language: a slash that divides or opens a regular expression.

/// Not a text whose brackets, strings and comments close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenScript(pub &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Name,
    Number,
    /// With its quotes.
    Text,
    /// A template, or the part of one up to `${` or from `}` on.
    Template,
    Regex,
    /// One character, or `=>`, `++`, `--`, or an operator that ends in `=`.
    Sign,
    Open,
    Close,
}

#[derive(Debug, Clone, Copy)]
pub struct Token {
    pub start: u32,
    pub end: u32,
    pub kind: Kind,
    /// A line ends before it.
    pub newline: bool,
}

/// Deepest nesting of brackets that is read: scripts of the site stay below a hundred.
const MAX_DEPTH: usize = 10_000;
/// Longest regular expression: a slash that begins a longer one divides.
const MAX_REGEX_BYTES: usize = 16 << 10;

/// Reads all of `text`.
/// # Errors
/// [`BrokenScript`] when something is opened and never closed, or closed and never opened.
pub fn tokens(text: &str) -> Result<Vec<Token>, BrokenScript> {
    Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        newline: false,
        after_block: false,
        found: Vec::new(),
        open: Vec::new(),
    }
    .read()
}

/// An open bracket, and what its end means for a slash that follows.
#[derive(Clone, Copy)]
struct Bracket {
    close: u8,
    /// `${` in a template.
    template: bool,
    /// A value ends with it, so that a slash divides.
    is_value: bool,
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    newline: bool,
    /// The bracket that closed last ended a block or a condition, not a value.
    after_block: bool,
    found: Vec<Token>,
    open: Vec<Bracket>,
}

/// Keywords after which a value begins.
const BEFORE_A_VALUE: [&str; 15] = [
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
    "default",
];

impl Reader<'_> {
    fn read(mut self) -> Result<Vec<Token>, BrokenScript> {
        if self.text.len() > u32::MAX as usize {
            return Err(BrokenScript("it is too long"));
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' | b'\r' => {
                    self.newline = true;
                    self.at += 1;
                }
                byte if byte.is_ascii_whitespace() || byte == 0x0b => self.at += 1,
                b'/' if self.starts("//") => self.line_comment(),
                b'/' if self.starts("/*") => self.comment()?,
                b'#' if self.starts("#!") && self.at == 0 => self.line_comment(),
                b'"' | b'\'' => self.quoted(byte)?,
                b'`' => self.template(self.at + 1)?,
                b'/' if self.value_begins() && self.regex() => {}
                b'0'..=b'9' => self.number(),
                b'.' if self.bytes.get(self.at + 1).is_some_and(u8::is_ascii_digit) => {
                    self.number()
                }
                b'(' | b'[' | b'{' => self.open(byte, false)?,
                b')' | b']' | b'}' => self.close(byte)?,
                byte if is_name(byte) => self.name(),
                _ => self.sign(),
            }
        }
        if self.open.is_empty() {
            Ok(self.found)
        } else {
            Err(BrokenScript("a bracket never closes"))
        }
    }

    fn starts(&self, with: &str) -> bool {
        self.bytes[self.at..].starts_with(with.as_bytes())
    }

    fn push(&mut self, kind: Kind, end: usize) {
        // Both conversions fit, because the whole text does.
        let (start, end) = (self.at as u32, end as u32);
        self.found.push(Token {
            start,
            end,
            kind,
            newline: self.newline,
        });
        self.newline = false;
        self.at = end as usize;
    }

    fn line_comment(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .unwrap_or(rest.len());
    }

    fn comment(&mut self) -> Result<(), BrokenScript> {
        let inside = &self.text[self.at + 2..];
        let end = inside
            .find("*/")
            .ok_or(BrokenScript("a comment never ends"))?;
        self.newline |= inside[..end].contains('\n');
        self.at += 2 + end + 2;
        Ok(())
    }

    fn quoted(&mut self, quote: u8) -> Result<(), BrokenScript> {
        let mut end = self.at + 1;
        while let Some(&byte) = self.bytes.get(end) {
            match byte {
                b'\\' => end += 2,
                byte if byte == quote => {
                    self.push(Kind::Text, end + 1);
                    return Ok(());
                }
                b'\n' => break,
                _ => end += 1,
            }
        }
        Err(BrokenScript("a string never ends"))
    }

    /// From `from`, which is inside a template, to its end or to the next `${`.
    fn template(&mut self, from: usize) -> Result<(), BrokenScript> {
        let mut end = from;
        while let Some(&byte) = self.bytes.get(end) {
            match byte {
                b'\\' => end += 2,
                b'`' => {
                    self.push(Kind::Template, end + 1);
                    return Ok(());
                }
                b'$' if self.bytes.get(end + 1) == Some(&b'{') => {
                    self.push(Kind::Template, end + 1);
                    return self.open(b'{', true);
                }
                _ => end += 1,
            }
        }
        Err(BrokenScript("a template never ends"))
    }

    /// Whether it is one: if a slash in the place of a value is not a regular expression, it stays a sign.
    fn regex(&mut self) -> bool {
        let (mut end, mut class) = (self.at + 1, false);
        loop {
            if end - self.at > MAX_REGEX_BYTES {
                return false;
            }
            match self.bytes.get(end) {
                None | Some(b'\n' | b'\r') => return false,
                Some(b'\\') => end += 1,
                Some(b'[') => class = true,
                Some(b']') => class = false,
                Some(b'/') if !class => break,
                Some(_) => {}
            }
            end += 1;
        }
        end += 1;
        while self.bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) {
            end += 1;
        }
        self.push(Kind::Regex, end);
        true
    }

    fn number(&mut self) {
        let mut end = self.at + 1;
        while let Some(&byte) = self.bytes.get(end) {
            let sign_of_exponent = matches!(byte, b'+' | b'-')
                && matches!(self.bytes[end - 1], b'e' | b'E')
                && !self.starts("0x")
                && !self.starts("0X");
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || sign_of_exponent) {
                break;
            }
            end += 1;
        }
        self.push(Kind::Number, end);
    }

    fn name(&mut self) {
        let mut end = self.at + 1;
        while let Some(&byte) = self.bytes.get(end) {
            if byte == b'\\' && self.bytes.get(end + 1) == Some(&b'u') {
                end += 2;
            } else if is_name(byte) || byte.is_ascii_digit() {
                end += 1;
            } else {
                break;
            }
        }
        self.push(Kind::Name, end.min(self.bytes.len()));
    }

    fn sign(&mut self) {
        let rest = &self.bytes[self.at..];
        let long = [
            &b">>>="[..],
            b"===",
            b"!==",
            b"**=",
            b"<<=",
            b">>=",
            b"&&=",
            b"||=",
            b"??=",
            b"...",
            b"=>",
            b"==",
            b"!=",
            b"<=",
            b">=",
            b"+=",
            b"-=",
            b"*=",
            b"/=",
            b"%=",
            b"&=",
            b"|=",
            b"^=",
            b"++",
            b"--",
            b"?.",
        ];
        let length = long
            .iter()
            .find(|sign| rest.starts_with(sign))
            .map_or(1, |sign| sign.len());
        self.push(Kind::Sign, self.at + length);
    }

    fn open(&mut self, byte: u8, template: bool) -> Result<(), BrokenScript> {
        if self.open.len() >= MAX_DEPTH {
            return Err(BrokenScript("its brackets are nested too deeply"));
        }
        let (close, is_value) = match byte {
            // Not the condition of a statement.
            b'(' => (
                b')',
                !matches!(self.last(), "if" | "while" | "for" | "with"),
            ),
            b'[' => (b']', true),
            // An object, not a block; a function's body ends like a block, since a function is never divided.
            _ => (
                b'}',
                self.value_begins()
                    && !matches!(
                        self.last(),
                        "" | ";" | "{" | "}" | ")" | "=>" | "else" | "do"
                    ),
            ),
        };
        self.open.push(Bracket {
            close,
            template,
            is_value,
        });
        self.push(Kind::Open, self.at + 1);
        Ok(())
    }

    fn close(&mut self, byte: u8) -> Result<(), BrokenScript> {
        let bracket = self
            .open
            .pop()
            .filter(|open| open.close == byte)
            .ok_or(BrokenScript("its brackets do not match"))?;
        self.push(Kind::Close, self.at + 1);
        self.after_block = !bracket.is_value;
        if bracket.template {
            self.template(self.at)
        } else {
            Ok(())
        }
    }

    /// Whether a value begins here, and does not continue: this decides the meaning of a slash.
    fn value_begins(&self) -> bool {
        let Some(last) = self.found.last() else {
            return true;
        };
        match last.kind {
            Kind::Number | Kind::Text | Kind::Template | Kind::Regex => false,
            Kind::Open => true,
            Kind::Close => self.after_block,
            Kind::Sign => !matches!(self.last(), "++" | "--"),
            Kind::Name => {
                let property = self
                    .found
                    .iter()
                    .rev()
                    .nth(1)
                    .is_some_and(|before| self.word(before) == ".");
                !property && BEFORE_A_VALUE.contains(&self.last())
            }
        }
    }

    fn word(&self, token: &Token) -> &str {
        &self.text[token.start as usize..token.end as usize]
    }

    fn last(&self) -> &str {
        self.found.last().map_or("", |token| self.word(token))
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$' | b'\\' | b'#') || byte >= 0x80
}
