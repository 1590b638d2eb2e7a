//! The house rules that a program can check, so that the map in ARCHITECTURE.md cannot drift.
//!
//! The tables come first: which floor a module lives on, who may look sideways, where `unsafe` may
//! be said, and which promises have a name. A check lists all that it finds, with file and line.
//! Files and functions over their budget are named on standard error and fail nothing: over budget,
//! look for the second idea in there; never cut only for the number.

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/sources.rs"]
mod sources;
#[path = "tidy/the_checks_see.rs"]
mod the_checks_see;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::ops::Range;

use lexer::{Kind, Token};
use sources::{Findings, Source, files, root, sources};

/// The floor of each module of aem-rt. An import names a lower one.
const FLOORS: &[(u32, &[&str])] = &[
    (0, &["error", "rare", "report", "sync", "sys", "chunk", "payload"]),
    (1, &["queue", "job"]),
    (2, &["backend"]),
    (3, &["reactor"]),
    (4, &["runtime", "metrics"]),
    (5, &["handler", "time", "fd", "fs", "net", "process", "signal", "fuzzing"]),
];

/// Who may import a neighbour on its own floor, never both ways.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("error", "rare"),      // few outputs are errors
    ("chunk", "sync"),      // the count of a shared buffer
    ("sys", "sync"),        // what signal handlers write and listeners read
    ("chunk", "sys"),       // the pages of a pool
    ("payload", "chunk"),   // a chunk can be sent as it is
    ("job", "queue"),       // a job is linked into the queue it waits in
    ("runtime", "metrics"), // the runtime fills in what metrics describe
    ("handler", "time"),    // a scope closes with a deadline
    ("net", "fd"),          // a socket is a descriptor
    ("net", "time"),        // a connect that is tried again
    ("fs", "fd"),           // and so is what tells of changes
    ("fs", "time"),         // half a move waits for the other half, for a while
    ("signal", "fd"),       // and so is a signalfd
    ("process", "fd"),      // a child is spoken with through pipes
    ("process", "handler"), // a cloner of processes is a cloner
    ("process", "time"),    // what cannot be started is tried again later
];

/// The only modules that may say `unsafe`, with what is below them.
const UNSAFE_ISLANDS: &[&str] = &[
    "sys",
    "job/cell",
    "job/task",
    "job/slot",
    "job/waker",
    "job/join",
    "job/memory",
    "job/owner",
    "job/rig",
    "queue/ready",
    "queue/inject",
    "chunk",
    "backend/uring/buffers",
    "backend/uring/entry",
];

/// What comments and tests cite. Each has a test that names it.
const PROMISES: &[&str] = &[
    "LENT", "ONCE", "FRESH", "SINGLE", "AGAIN", "AWAKE", "OUTSIDE", "BOUND", "DRAIN", "BLIND",
    "KEPT", "HOME",
];

/// What a file must not be named: a name for what nobody found the place of.
const NO_NOUNS: &[&str] =
    &["mod", "util", "utils", "common", "helper", "helpers", "misc", "types", "prelude"];

/// All that aem-rt may depend on. Each one more is a decision, and belongs in ARCHITECTURE.md.
const DEPENDENCIES: &[&str] =
    &["aem-macros", "futures", "io-uring", "libc", "loom", "pin-project-lite", "slab", "socket2"];

const COLUMNS: usize = 100;
/// A little more than code, as a table in a comment cannot be wrapped.
const COMMENT_COLUMNS: usize = 110;
const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
/// How far above an `unsafe` the statement it belongs to may begin.
const STATEMENT_LINES: usize = 10;

#[test]
fn imports_name_a_lower_floor() {
    let facade = fs::read_to_string(root().join("aem-rt/src/lib.rs")).expect("the façade");
    let exports = imports::exports(&lexer::read(&facade).tokens);
    let mut found = Findings::default();
    for source in sources().iter().filter(|source| !source.is_test()) {
        imports::check(source, &exports, &mut found);
    }
    found.must_be_none();
}

#[test]
fn every_module_has_a_floor() {
    let facade = fs::read_to_string(root().join("aem-rt/src/lib.rs")).expect("the façade");
    let tokens = lexer::read(&facade).tokens;
    let modules: HashSet<&str> = tokens
        .windows(3)
        .filter(|window| window[0].is("mod") && window[2].is_mark(';'))
        .filter_map(|window| window[1].word())
        .collect();
    let planned: HashSet<&str> = FLOORS.iter().flat_map(|(_, names)| *names).copied().collect();
    assert_eq!(modules, planned, "the modules of lib.rs and those of the table FLOORS");
}

#[test]
fn unsafe_stays_on_its_islands() {
    let mut found = Findings::default();
    for source in &sources() {
        // Tests look at the process from outside, and benches have a floor to measure.
        let is_apart = ["tests/", "fuzz/", "benches/"].iter().any(|at| source.path.starts_with(at));
        if is_apart || on_an_island(&source.path) || is_syntax(source) {
            continue;
        }
        for token in source.code.tokens.iter().filter(|token| token.is("unsafe")) {
            found.add(&source.path, token.line, "unsafe outside of its islands");
        }
    }
    for island in UNSAFE_ISLANDS {
        let is_used = sources().iter().any(|source| {
            below(&source.path, island) && source.code.tokens.iter().any(|token| token.is("unsafe"))
        });
        if !is_used {
            found.add(island, 0, "an island without unsafe: take it off the list");
        }
    }
    found.must_be_none();
}

#[test]
fn every_unsafe_says_why_it_is_safe() {
    let mut found = Findings::default();
    for source in sources().iter().filter(|source| !is_syntax(source)) {
        check_safety(source, &mut found);
    }
    found.must_be_none();
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut found = Findings::default();
    for source in &sources() {
        if !source.text.starts_with("//! ") {
            found.add(&source.path, 1, "does not open with //!");
        }
    }
    found.must_be_none();
}

#[test]
fn loom_has_one_door() {
    let mut found = Findings::default();
    for source in sources().iter().filter(|source| source.path != "aem-rt/src/sync.rs") {
        check_loom(source, &mut found);
    }
    found.must_be_none();
}

#[test]
fn files_are_named_by_a_noun() {
    let mut found = Findings::default();
    for source in &sources() {
        let name = source.path.rsplit('/').next().expect("a path has a last part");
        if NO_NOUNS.contains(&name.trim_end_matches(".rs")) {
            found.add(&source.path, 1, "is not named by what it holds");
        }
        for window in source.code.tokens.windows(3) {
            if window[0].is("mod") && window[1].is("tests") && window[2].is_mark('{') {
                found.add(&source.path, window[0].line, "tests sit in a file of their own");
            }
        }
    }
    found.must_be_none();
}

/// The README shows what is compiled, with fewer line breaks and semicolons, before anybody has to scroll.
#[test]
fn the_readme_shows_the_two_echo_servers() {
    let dense = |text: &str| text.replace(';', "").split_whitespace().collect::<String>();
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    let top: Vec<&str> = readme.lines().take(35).collect();
    let top = dense(&top.join("\n"));
    for name in ["echo_handlers", "echo_futures"] {
        let path = root().join(format!("examples/small/{name}.rs"));
        let text = fs::read_to_string(path).expect("an example");
        let program = &text[text.find("#[aem::main]").expect("a main function")..];
        assert!(top.contains(&dense(program)), "the README's {name} is another one");
    }
}

#[test]
fn lines_fit() {
    let mut found = Findings::default();
    for source in &sources() {
        for (at, line) in source.text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            let limit = if is_comment { COMMENT_COLUMNS } else { COLUMNS };
            let width = line.chars().count();
            if width > limit {
                found.add(&source.path, at + 1, &format!("{width} columns, over {limit}"));
            }
        }
    }
    found.must_be_none();
}

#[test]
fn long_files_and_functions_are_named() {
    let mut found = Findings::default();
    for source in &sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            found.add(&source.path, lines, &format!("a file of {lines} lines"));
        }
        for (name, line, lines) in functions(&source.code.tokens) {
            if lines > FUNCTION_LINES {
                found.add(&source.path, line, &format!("{name} has {lines} lines"));
            }
        }
    }
    if found.len() > 0 {
        // Past the test harness, which would keep to itself what a passing test prints.
        let text = format!("over budget, {} in all:\n{}", found.len(), found.listed());
        std::io::stderr().write_all(text.as_bytes()).expect("standard error is open");
    }
}

#[test]
fn every_promise_has_a_test() {
    let sources = sources();
    let mut found = Findings::default();
    for promise in PROMISES {
        let is_cited = sources.iter().any(|source| {
            let is_this = source.path.starts_with("tests/tests/tidy");
            source.is_test() && !is_this && cites(source, promise)
        });
        if !is_cited {
            found.add("tests", 0, &format!("no test cites {promise}"));
        }
    }
    found.must_be_none();
}

#[test]
fn nothing_is_left_to_do() {
    let mut found = Findings::default();
    for source in &sources() {
        for comment in &source.code.comments {
            for word in ["TODO", "FIXME", "XXX"] {
                if words(&comment.text).any(|own| own == word) {
                    found.add(&source.path, comment.line, word);
                }
            }
        }
        for window in source.code.tokens.windows(2) {
            let is_stub = window[0].is("todo") || window[0].is("unimplemented");
            if is_stub && window[1].is_mark('!') {
                found.add(&source.path, window[0].line, "a stub");
            }
        }
    }
    found.must_be_none();
}

#[test]
fn no_path_of_a_machine_is_named() {
    // In two parts, or this file would name them.
    let machines = [("/wo", "rk/"), ("/tmp/", "w/"), ("/ro", "ot/"), ("/ho", "me/"), ("farm", "-")]
        .map(|(first, second)| format!("{first}{second}"));
    let mut found = Findings::default();
    for path in files() {
        // What is not text has no lines to look at.
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (at, line) in text.lines().enumerate() {
            for machine in &machines {
                let is_named = line.match_indices(machine.as_str()).any(|(start, _)| {
                    !line[..start].ends_with(|before: char| before.is_alphanumeric())
                });
                if is_named {
                    found.add(&path, at + 1, &format!("names {machine}"));
                }
            }
        }
    }
    found.must_be_none();
}

#[test]
fn dependencies_are_few() {
    let manifest = fs::read_to_string(root().join("aem-rt/Cargo.toml")).expect("the manifest");
    let mut found = Findings::default();
    let mut section = "";
    for (at, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]") && line.contains('=') {
            let name = line.split(['=', '.']).next().expect("a split has a first part").trim();
            if !section.contains("dev-") && !DEPENDENCIES.contains(&name) {
                found.add("aem-rt/Cargo.toml", at + 1, &format!("depends on {name}"));
            }
        }
    }
    found.must_be_none();
}

/// Whether the Rust in this file is what macros are fed with.
fn is_syntax(source: &Source) -> bool {
    source.path.starts_with("aem-macros/") && source.is_test()
}

fn on_an_island(path: &str) -> bool {
    UNSAFE_ISLANDS.iter().any(|island| below(path, island))
}

fn below(path: &str, island: &str) -> bool {
    path.strip_prefix("aem-rt/src/")
        .and_then(|path| path.strip_prefix(island))
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Blocks and impls need a `SAFETY:` directly above their statement, functions and traits a
/// `# Safety` in their documentation, unless they keep the one of the trait they implement.
fn check_safety(source: &Source, found: &mut Findings) {
    let comments: HashMap<usize, &str> =
        source.code.comments.iter().map(|comment| (comment.line, comment.text.as_str())).collect();
    let lines: Vec<&str> = source.text.lines().collect();
    let kept = trait_impls(&source.code.tokens);
    for (at, token) in source.code.tokens.iter().enumerate() {
        let next = source.code.tokens.get(at + 1);
        let is_attribute = next.is_some_and(|next| next.is_mark('('));
        if !token.is("unsafe") || is_attribute {
            continue;
        }
        let declares =
            next.is_some_and(|next| ["fn", "trait", "extern"].iter().any(|w| next.is(w)));
        // `unsafe fn(..)` is a type, and says nothing.
        if declares && source.code.tokens.get(at + 2).is_some_and(|after| after.is_mark('(')) {
            continue;
        }
        if declares && kept.iter().any(|tokens| tokens.contains(&at)) {
            continue;
        }
        let wanted = if declares { "# Safety" } else { "SAFETY:" };
        if !explained(&lines, &comments, token.line, wanted) {
            found.add(&source.path, token.line, &format!("unsafe without {wanted} above"));
        }
    }
}

/// Whether the comment above the statement that `line` belongs to has `wanted` in it.
fn explained(lines: &[&str], comments: &HashMap<usize, &str>, line: usize, wanted: &str) -> bool {
    let text = |line: usize| lines[line - 1].trim();
    let is_comment = |line: usize| text(line).starts_with("//");
    let mut above = line - 1;
    for _ in 0..STATEMENT_LINES {
        if above == 0 || is_comment(above) {
            break;
        }
        let ends = [';', '}', '{'].iter().any(|end| text(above).ends_with(*end));
        if text(above).is_empty() || ends {
            return false;
        }
        above -= 1;
    }
    while above > 0 && is_comment(above) {
        if comments.get(&above).is_some_and(|comment| comment.contains(wanted)) {
            return true;
        }
        above -= 1;
    }
    false
}

/// Where the bodies of `impl Trait for Type` are.
fn trait_impls(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.is("impl")) {
        let head = tokens[at..].iter().take_while(|token| !token.is_mark('{'));
        let is_end = |token: &Token| token.is_mark(';') || token.is_mark(')');
        // `impl` in a signature is not one, nor is the `for` of `for<'a>`.
        let head: Vec<&Token> = head.collect();
        let of_a_trait = head.windows(2).any(|two| two[0].is("for") && !two[1].is_mark('<'));
        if of_a_trait && !head.iter().any(|token| is_end(token)) {
            let start = at + head.len();
            found.push(start..start + body(&tokens[start..]));
        }
    }
    found
}

/// How many tokens there are from an opening brace to its closing one.
fn body(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Mark('{') => depth += 1,
            Kind::Mark('}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

fn check_loom(source: &Source, found: &mut Findings) {
    let tokens = &source.code.tokens;
    for (at, token) in tokens.iter().enumerate() {
        if !(token.is("cfg") || token.is("cfg_attr") || token.is("cfg_select")) {
            continue;
        }
        let mut depth = 0;
        for inner in &tokens[at + 1..] {
            match inner.kind {
                Kind::Mark('(' | '{') => depth += 1,
                Kind::Mark(')' | '}') => depth -= 1,
                Kind::Mark('!') => continue,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if inner.is("loom") {
                found.add(&source.path, inner.line, "asks for loom outside of sync.rs");
            }
        }
    }
}

/// The functions with a body: name, first line, number of lines.
fn functions(tokens: &[Token]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, window) in tokens.windows(2).enumerate() {
        let (true, Some(name)) = (window[0].is("fn"), window[1].word()) else { continue };
        let mut round = 0;
        let opening = tokens[at..].iter().position(|token| {
            match token.kind {
                Kind::Mark('(' | '[') => round += 1,
                Kind::Mark(')' | ']') => round -= 1,
                _ => {}
            }
            round == 0 && (token.is_mark('{') || token.is_mark(';'))
        });
        let Some(start) = opening.map(|opening| at + opening) else { continue };
        if tokens[start].is_mark('{') {
            let last = &tokens[start + body(&tokens[start..]) - 1];
            found.push((name.to_owned(), window[0].line, last.line - window[0].line + 1));
        }
    }
    found
}

/// Whether a comment of this file has the promise in capitals, or a function begins with its name.
fn cites(source: &Source, promise: &str) -> bool {
    let name = promise.to_lowercase();
    source.code.comments.iter().any(|comment| words(&comment.text).any(|word| word == promise))
        || source.code.tokens.windows(2).any(|window| {
            let function = window[1].word().filter(|_| window[0].is("fn"));
            function.is_some_and(|function| function.split('_').next() == Some(&name))
        })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}
