//! The arguments of an attribute: `workers = 1, backend = "epoll"`.
//!
//! Every argument is `name = value`, in any order, each at most once. All mistakes of one
//! attribute are reported together. What the public contract names but this version cannot do
//! (several workers, seeds) is an error that says so: a program that asks for it must not get
//! something else in silence.

use crate::function::Face;
use proc_macro2::{Ident, Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprLit, Lit, LitInt, LitStr, Path, Result, Token};

/// What a user asked for; `None` where nothing was said.
#[derive(Default)]
pub(crate) struct Arguments {
    /// `workers = 1`: passed on to the builder.
    pub(crate) workers: Option<LitInt>,
    /// `backend = "..."`: the variant of `aem::Backend`.
    pub(crate) backend: Option<Ident>,
    /// `crate = "..."`: where `aem` is found, if not at `::aem`.
    pub(crate) aem: Option<Path>,
}

/// One `name = value`, with the value not yet judged.
struct Argument {
    name: Ident,
    value: Expr,
}

impl Arguments {
    /// Reads what stands between the attribute's parentheses.
    ///
    /// The arguments that were understood come back beside the error, so that the function can
    /// still be expanded and the user sees this error only.
    pub(crate) fn parse(face: Face, tokens: TokenStream) -> (Arguments, Result<()>) {
        let mut arguments = Arguments::default();
        let parser = |input: ParseStream<'_>| Punctuated::parse_terminated_with(input, argument);
        let list: Punctuated<Argument, Token![,]> = match parser.parse2(tokens) {
            Ok(list) => list,
            Err(error) => return (arguments, Err(error)),
        };
        let mut seen: Vec<String> = Vec::new();
        let mut verdict = Ok(());
        for argument in list {
            let name = argument.name.unraw().to_string();
            let result = if seen.contains(&name) {
                let text = format!("`{name}` is given twice: keep one of them");
                Err(Error::new(argument.name.span(), text))
            } else {
                arguments.take(face, &name, argument)
            };
            seen.push(name);
            verdict = combine(verdict, result);
        }
        (arguments, verdict)
    }

    /// Judges one argument and keeps its value.
    fn take(&mut self, face: Face, name: &str, argument: Argument) -> Result<()> {
        let Argument { name: ident, value } = argument;
        match name {
            "workers" => self.workers = Some(workers(value)?),
            "backend" => self.backend = Some(backend(value)?),
            "crate" => self.aem = Some(crate_path(value)?),
            "seeds" => return Err(seeds(face, ident.span(), &value)),
            _ => return Err(Error::new(ident.span(), unknown(face, name))),
        }
        Ok(())
    }
}

/// Joins two verdicts: both errors are shown.
pub(crate) fn combine(verdict: Result<()>, next: Result<()>) -> Result<()> {
    match (verdict, next) {
        (Err(mut first), Err(second)) => {
            first.combine(second);
            Err(first)
        }
        (Err(error), Ok(())) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(()),
    }
}

/// Parses one `name = value`; `crate` is a keyword, so any identifier will do as the name.
fn argument(input: ParseStream<'_>) -> Result<Argument> {
    let shape = "an argument is written `name = value`, as in `workers = 1`";
    let name = input.call(Ident::parse_any).map_err(|error| Error::new(error.span(), shape))?;
    if !input.peek(Token![=]) {
        return Err(Error::new(name.span(), shape));
    }
    input.parse::<Token![=]>()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(Error::new(name.span(), shape));
    }
    Ok(Argument { name, value: input.parse()? })
}

/// A whole number from 1; more than one is not there yet.
fn workers(value: Expr) -> Result<LitInt> {
    let text = "`workers` is a whole number, as in `workers = 1`";
    let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = value else {
        return Err(Error::new_spanned(&value, text));
    };
    match number.base10_parse::<usize>() {
        Ok(_) if !matches!(number.suffix(), "" | "usize") => Err(Error::new(number.span(), text)),
        Ok(0) => {
            Err(Error::new(number.span(), "a runtime has at least one worker: write `workers = 1`"))
        }
        Ok(1) => Ok(number),
        Ok(_) => Err(Error::new(
            number.span(),
            "several workers come in a later version of aem-rt: write `workers = 1` or nothing",
        )),
        Err(_) => Err(Error::new(number.span(), text)),
    }
}

/// One of three names, as the variant of `aem::Backend` that it stands for.
fn backend(value: Expr) -> Result<Ident> {
    let text = r#"`backend` is one of "auto", "epoll" and "io_uring", as in `backend = "epoll"`"#;
    let name = string(value, text)?;
    let variant = match name.value().as_str() {
        "auto" => "Auto",
        "epoll" => "Epoll",
        "io_uring" => "IoUring",
        _ => return Err(Error::new(name.span(), text)),
    };
    Ok(Ident::new(variant, name.span()))
}

/// The path of a crate that is, or re-exports, `aem`.
fn crate_path(value: Expr) -> Result<Path> {
    let text = r#"`crate` is the path to aem in a string, as in `crate = "::my_crate::aem"`"#;
    let path = string(value, text)?;
    path.parse_with(Path::parse_mod_style).map_err(|_| Error::new(path.span(), text))
}

/// A string literal, or the error that says what was wanted.
fn string(value: Expr, wanted: &str) -> Result<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(string), .. }) => Ok(string),
        other => Err(Error::new_spanned(&other, wanted)),
    }
}

/// Seeds belong to tests, are a range, and wait for the simulated kernel.
fn seeds(face: Face, name: Span, value: &Expr) -> Error {
    if face == Face::Main {
        let text = "`seeds` belongs to `#[aem::test]`: remove it from `#[aem::main]`";
        return Error::new(name, text);
    }
    let is_number = |end: &Option<Box<Expr>>| {
        matches!(end.as_deref(), Some(Expr::Lit(ExprLit { lit: Lit::Int(_), .. })))
    };
    match value {
        Expr::Range(range) if is_number(&range.start) && is_number(&range.end) => Error::new(
            name,
            "`seeds` comes with the simulated kernel, in a later version of aem-rt: remove it",
        ),
        _ => {
            Error::new_spanned(value, "`seeds` is a range of whole numbers, as in `seeds = 0..100`")
        }
    }
}

/// Says which names there are, and guesses at what other runtimes call them.
fn unknown(face: Face, name: &str) -> String {
    match name {
        "worker" | "worker_threads" | "threads" => {
            format!("unknown argument `{name}`: here it is called `workers`")
        }
        "flavor" => "unknown argument `flavor`: the number of `workers` is the only choice".into(),
        _ => {
            let seeds = if face == Face::Test { ", `seeds`" } else { "" };
            format!("unknown argument `{name}`: there are `workers`, `backend`{seeds} and `crate`")
        }
    }
}

#[cfg(test)]
mod tests;
