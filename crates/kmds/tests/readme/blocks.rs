//! What a document gives its reader to type and to write: its fenced blocks, in order.

use std::path::Path;

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The number of its first line inside the fence.
    pub line: usize,
    pub language: String,
    pub text: String,
    /// The last `code span` before it: for a file its name.
    pub named: String,
}

/// One command of a block, with the line it begins at.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    pub line: usize,
    pub command: String,
}

pub fn read(document: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(document)
        .unwrap_or_else(|error| panic!("{}: {error}", document.display()));
    blocks(&text)
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut named = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            named = line
                .split('`')
                .skip(1)
                .step_by(2)
                .last()
                .map_or(named, str::to_owned);
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let inside = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| line.trim() != "```");
        let text = inside
            .map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()))
            .collect();
        found.push(Block {
            line: at + 2,
            language: language.to_owned(),
            text,
            named: named.clone(),
        });
    }
    found
}

impl Block {
    /// The commands of a `bash` block: a line each, together with those it goes on to by a final backslash.
    pub fn commands(&self) -> Vec<Typed> {
        let mut typed: Vec<Typed> = Vec::new();
        let mut goes_on = false;
        for (at, line) in self.text.lines().enumerate() {
            match typed.last_mut().filter(|_| goes_on) {
                Some(last) => last.command = format!("{}\n{line}", last.command),
                None if line.trim().is_empty() || line.starts_with('#') => {}
                None => typed.push(Typed {
                    line: self.line + at,
                    command: line.to_owned(),
                }),
            }
            goes_on = line.ends_with('\\');
        }
        typed
    }
}

#[test]
fn blocks_are_found_wherever_they_stand() {
    let text = "Save as `one.toml`:\n```toml\na = 1\n```\n1. Then\n\n   ```bash\n   # a remark\n   first \\\n     on\n   last\n   ```\n";
    let found = blocks(text);
    let file = Block {
        line: 3,
        language: "toml".into(),
        text: "a = 1\n".into(),
        named: "one.toml".into(),
    };
    assert_eq!(found[0], file);
    let typed = |line, command: &str| Typed {
        line,
        command: command.to_owned(),
    };
    assert_eq!(
        found[1].commands(),
        [typed(9, "first \\\n  on"), typed(11, "last")]
    );
}
