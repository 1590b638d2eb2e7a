//! What a file imports, and from which floor.

use std::collections::HashMap;

use super::lexer::{Kind, Token};
use super::sources::{Findings, Source};
use super::{FLOORS, NEIGHBOURS};

/// Which module each name that the façade exports comes from.
pub(crate) fn exports(tokens: &[Token]) -> HashMap<String, String> {
    let mut exports = HashMap::new();
    let mut at = 0;
    while let Some(start) = tokens[at..].iter().position(|token| token.is("use")) {
        let start = at + start;
        let end = start + tokens[start..].iter().position(|token| token.is_mark(';')).unwrap_or(0);
        let module = tokens[start + 1..end].iter().find_map(Token::word).unwrap_or_default();
        for name in tokens[start + 1..end].iter().filter_map(Token::word) {
            exports.insert(name.to_owned(), module.to_owned());
        }
        at = end.max(start + 1);
    }
    exports
}

pub(crate) fn check(source: &Source, exports: &HashMap<String, String>, found: &mut Findings) {
    let Some(module) = source.module() else { return };
    let Some(own) = floor(module[0]) else { return };
    for (name, line) in crate_paths(source.shipped(), module.len()) {
        let name = match floor(&name) {
            Some(_) => name,
            None => exports.get(&name).cloned().unwrap_or(name),
        };
        if name == module[0] {
            continue;
        }
        // What has no floor is a macro, or nothing that compiles.
        let Some(other) = floor(&name) else { continue };
        let is_neighbour = own == other && NEIGHBOURS.contains(&(module[0], name.as_str()));
        if other >= own && !is_neighbour {
            let what = format!("floor {own} imports {name} from floor {other}");
            found.add(&source.path, line, &what);
        }
    }
}

fn floor(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(_, names)| names.contains(&module)).map(|(floor, _)| *floor)
}

/// The first names of all paths that begin at the crate's root, with their lines. In a file whose
/// module is `depth` names deep, that many `super` lead there too.
fn crate_paths(tokens: &[Token], depth: usize) -> Vec<(String, usize)> {
    let mut names = Vec::new();
    let mut supers = 0;
    for (at, token) in tokens.iter().enumerate() {
        supers = match () {
            () if token.is("super") => supers + 1,
            () if token.is_mark(':') => supers,
            () => 0,
        };
        let is_path = tokens.get(at + 1).is_some_and(|next| next.is_mark(':'))
            && tokens.get(at + 2).is_some_and(|next| next.is_mark(':'));
        let is_macro = at > 0 && tokens[at - 1].is_mark('$');
        if !is_path || is_macro || !(token.is("crate") || (token.is("super") && supers == depth)) {
            continue;
        }
        match tokens.get(at + 3).map(|next| &next.kind) {
            Some(Kind::Word(name)) => names.push((name.clone(), token.line)),
            Some(Kind::Mark('{')) => names.extend(first_names(&tokens[at + 4..])),
            _ => {}
        }
    }
    names
}

/// The first name of each branch of an import tree, from behind its brace.
fn first_names(tokens: &[Token]) -> Vec<(String, usize)> {
    let (mut names, mut depth, mut is_first) = (Vec::new(), 0, true);
    for token in tokens {
        match &token.kind {
            Kind::Mark('{') => depth += 1,
            Kind::Mark('}') if depth == 0 => break,
            Kind::Mark('}') => depth -= 1,
            Kind::Mark(',') if depth == 0 => is_first = true,
            Kind::Word(name) if is_first => {
                names.push((name.clone(), token.line));
                is_first = false;
            }
            _ => {}
        }
    }
    names
}
