//! Rust read just closely enough to check it for style: tokens, and comments apart from them.
//!
//! No parser: [`read`] tells code from comments and from the insides of literals, which is all that
//! questions like "does this file say `unsafe`?" need. A literal is one token without its text, so
//! that a test may speak of what it forbids.

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Word(String),
    /// One character of punctuation.
    Mark(char),
    /// A literal of any kind, or a lifetime: nothing in it is looked at.
    Opaque,
}

/// A token and its line, counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

impl Token {
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(own) if own == word)
    }

    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// What a line has of a comment.
#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A file, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Code {
    pub(crate) tokens: Vec<Token>,
    pub(crate) comments: Vec<Comment>,
}

/// Takes a file apart.
pub(crate) fn read(text: &str) -> Code {
    let mut reader = Reader { rest: text.chars().collect(), at: 0, line: 1, code: Code::default() };
    while reader.at < reader.rest.len() {
        reader.step();
    }
    reader.code
}

struct Reader {
    rest: Vec<char>,
    at: usize,
    line: usize,
    code: Code,
}

impl Reader {
    fn peek(&self, ahead: usize) -> char {
        self.rest.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn advance(&mut self) -> char {
        let next = self.peek(0);
        self.at += 1;
        self.line += usize::from(next == '\n');
        next
    }

    fn token(&mut self, line: usize, kind: Kind) {
        self.code.tokens.push(Token { line, kind });
    }

    fn step(&mut self) {
        let line = self.line;
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.quote(),
            (first, _) if first.is_alphabetic() || first == '_' => self.word(),
            (first, _) if first.is_ascii_digit() => {
                while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
                    self.advance();
                }
                self.token(line, Kind::Opaque);
            }
            (first, _) => {
                self.advance();
                if !first.is_whitespace() {
                    self.token(line, Kind::Mark(first));
                }
            }
        }
    }

    fn line_comment(&mut self) {
        let (line, mut text) = (self.line, String::new());
        while self.at < self.rest.len() && self.peek(0) != '\n' {
            text.push(self.advance());
        }
        self.code.comments.push(Comment { line, text });
    }

    /// Nested ones too, as Rust's are.
    fn block_comment(&mut self) {
        let (mut line, mut text, mut depth) = (self.line, String::new(), 0);
        while self.at < self.rest.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                ('\n', _) => {
                    self.code.comments.push(Comment { line, text: std::mem::take(&mut text) });
                    line += 1;
                    self.advance();
                    continue;
                }
                _ => {
                    text.push(self.advance());
                    continue;
                }
            }
            text.push(self.advance());
            text.push(self.advance());
            if depth == 0 {
                break;
            }
        }
        self.code.comments.push(Comment { line, text });
    }

    /// From its opening quote.
    fn string(&mut self) {
        let line = self.line;
        self.advance();
        while self.at < self.rest.len() {
            match self.advance() {
                '\\' => drop(self.advance()),
                '"' => break,
                _ => {}
            }
        }
        self.token(line, Kind::Opaque);
    }

    /// From the first `#` or the quote of a raw string.
    fn raw_string(&mut self) {
        let (line, mut fences) = (self.line, 0);
        while self.peek(0) == '#' {
            self.advance();
            fences += 1;
        }
        self.advance();
        while self.at < self.rest.len() {
            if self.advance() == '"' && (0..fences).all(|ahead| self.peek(ahead) == '#') {
                self.at += fences;
                break;
            }
        }
        self.token(line, Kind::Opaque);
    }

    /// A character or a lifetime.
    fn quote(&mut self) {
        let line = self.line;
        self.advance();
        if self.peek(0) == '\\' {
            self.advance();
            self.advance();
            while self.at < self.rest.len() && self.advance() != '\'' {}
        } else if self.peek(1) == '\'' {
            self.advance();
            self.advance();
        } else {
            while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
                self.advance();
            }
        }
        self.token(line, Kind::Opaque);
    }

    /// A word, unless it turns out to be the prefix of a literal.
    fn word(&mut self) {
        let (line, mut word) = (self.line, String::new());
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            word.push(self.advance());
        }
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        let fences = (0..).take_while(|ahead| self.peek(*ahead) == '#').count();
        match self.peek(0) {
            '"' if raw => self.raw_string(),
            '#' if raw && self.peek(fences) == '"' => self.raw_string(),
            '"' if matches!(word.as_str(), "b" | "c") => self.string(),
            '\'' if word == "b" => self.quote(),
            // A raw name: what follows the mark is a word of its own.
            '#' if raw => drop(self.advance()),
            _ => self.token(line, Kind::Word(word)),
        }
    }
}
