//! Reads Rust sources for tests that check rules about them.

use std::iter::Peekable;
use std::str::Chars;

/// The code of a source file, line for line: comments and what string and character literals hold
/// are left out, so that a search finds only what the compiler would act on.
#[must_use]
pub fn code(source: &str) -> String {
    let mut reader = Reader {
        rest: source.chars().peekable(),
        code: String::new(),
    };
    reader.read();
    reader.code
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    code: String,
}

impl Reader<'_> {
    fn read(&mut self) {
        while let Some(character) = self.rest.next() {
            match character {
                '/' if self.rest.peek() == Some(&'/') => self.line_comment(),
                '/' if self.rest.peek() == Some(&'*') => self.block_comment(),
                '"' => self.string(),
                'r' if !self.in_word() => self.raw_string(),
                '\'' => self.character_or_lifetime(),
                other => self.code.push(other),
            }
        }
    }

    /// Whether what was read last is part of a name (`br"` starts a literal all the same).
    fn in_word(&self) -> bool {
        let mut last = self.code.chars().rev();
        match (last.next(), last.next()) {
            (Some('b' | 'c'), before) => before.is_some_and(is_word),
            (Some(before), _) => is_word(before),
            (None, _) => false,
        }
    }

    fn line_comment(&mut self) {
        while self.rest.next_if(|next| *next != '\n').is_some() {}
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        let mut last = '/';
        while let Some(character) = self.rest.next() {
            self.keep_line_break(character);
            match (last, character) {
                ('/', '*') => depth = depth.saturating_add(1),
                ('*', '/') => depth = depth.saturating_sub(1),
                _ => {
                    last = character;
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
            last = ' ';
        }
    }

    fn string(&mut self) {
        self.code.push('"');
        while let Some(character) = self.rest.next() {
            self.keep_line_break(character);
            match character {
                '\\' => {
                    if let Some(escaped) = self.rest.next() {
                        self.keep_line_break(escaped);
                    }
                }
                '"' => break,
                _ => {}
            }
        }
        self.code.push('"');
    }

    /// After an `r`: a raw string, a raw name, or only a word that starts so.
    fn raw_string(&mut self) {
        self.code.push('r');
        let mut fence = 0_usize;
        while self.rest.next_if_eq(&'#').is_some() {
            fence = fence.saturating_add(1);
        }
        if self.rest.next_if_eq(&'"').is_none() {
            return;
        }
        self.code.push_str("\"\"");
        let mut closing: Option<usize> = None;
        for character in self.rest.by_ref() {
            if character == '\n' {
                self.code.push('\n');
            }
            closing = match (character, closing) {
                ('"', _) => Some(0),
                ('#', Some(seen)) => Some(seen.saturating_add(1)),
                _ => None,
            };
            if closing == Some(fence) {
                return;
            }
        }
    }

    fn character_or_lifetime(&mut self) {
        self.code.push('\'');
        let mut ahead = self.rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('\\'), _) => {
                // The escaped character may itself be a quote.
                self.rest.next();
                self.rest.next();
                while self.rest.next_if(|next| *next != '\'').is_some() {}
                self.rest.next();
            }
            (Some(_), Some('\'')) => {
                self.rest.next();
                self.rest.next();
            }
            _ => return,
        }
        self.code.push('\'');
    }

    fn keep_line_break(&mut self, character: char) {
        if character == '\n' {
            self.code.push('\n');
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
