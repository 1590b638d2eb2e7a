//! The files of this repository, and what is found wrong with them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::lexer::{self, Code, Token};

/// A Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the repository, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) code: Code,
}

impl Source {
    /// A file of this text, for the checks of the checks.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Source { path: path.to_owned(), text: text.to_owned(), code: lexer::read(text) }
    }

    /// Its tokens, without those of inline test modules.
    pub(crate) fn shipped(&self) -> &[Token] {
        let tokens = &self.code.tokens;
        let test = tokens.windows(7).position(|window| {
            window[0].is_mark('#')
                && window[2].is("cfg")
                && window[4].is("test")
                && self.opens_a_module(window[6].line)
        });
        &tokens[..test.unwrap_or(tokens.len())]
    }

    fn opens_a_module(&self, attribute: usize) -> bool {
        self.text.lines().nth(attribute).is_some_and(|line| {
            line.trim_start().starts_with("mod ") && line.trim_end().ends_with('{')
        })
    }

    /// Whether all of it is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("/loom_tests.rs")
            || self.path.contains("/tests/")
            || self.path.contains("/loom_tests/")
    }

    /// The module path of a file of aem-rt: `["job", "cell"]`, none for the façade.
    pub(crate) fn module(&self) -> Option<Vec<&str>> {
        let path = self.path.strip_prefix("aem-rt/src/")?.strip_suffix(".rs")?;
        if path == "lib" { None } else { Some(path.split('/').collect()) }
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the root").to_owned()
}

/// All Rust files but those that are there to be refused by the compiler.
pub(crate) fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    rust.filter(|path| !path.starts_with("tests/compile_fail/"))
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).expect("a source is UTF-8");
            Source::new(&path, &text)
        })
        .collect()
}

/// All files, by their path from the root, in order; without git's and the build's.
pub(crate) fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("its entries can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("plain names");
            if path.is_symlink() || matches!(name, "target" | ".git") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(root()).expect("below the root");
                found.push(relative.to_str().expect("plain names").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<String>);

impl Findings {
    pub(crate) fn add(&mut self, path: &str, line: usize, what: &str) {
        self.0.push(format!("{path}:{line}: {what}"));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails the test with all of them at once.
    #[track_caller]
    pub(crate) fn must_be_none(self) {
        assert!(self.0.is_empty(), "{} found:\n{}", self.0.len(), self.listed());
    }

    /// One text, for those that only warn.
    pub(crate) fn listed(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, finding| {
            writeln!(text, "  {finding}").expect("a String takes all");
            text
        })
    }
}
