//! The function under an attribute: checked, then wrapped.
//!
//! Only the signature is parsed; the body stays the tokens that the user typed, so that nothing
//! of it can be refused or moved by a parser that knows less than the compiler. The outcome is
//!
//! ```text
//! #[attributes of the user] fn name() -> Output {
//!     async fn name() -> Output { body of the user }
//!     build a runtime; on an error say so and end; else block_on(name())
//! }
//! ```

use crate::arguments::{Arguments, combine};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Error, Result, Signature, Visibility};

/// Which of the two attributes is being expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// `#[aem::main]`
    Main,
    /// `#[aem::test]`
    Test,
}

impl Face {
    /// The attribute as users write it.
    fn attribute(self) -> &'static str {
        match self {
            Face::Main => "#[aem::main]",
            Face::Test => "#[aem::test]",
        }
    }
}

/// A function whose body was left alone.
struct Function {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
    body: Group,
}

/// Expands one attribute: the new function, and a compile error for everything that is wrong.
pub(crate) fn expand(face: Face, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let (arguments, argument_verdict) = Arguments::parse(face, arguments);
    let parser = |input: ParseStream<'_>| Function::parse(face, input);
    let function = match parser.parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = error.into_compile_error();
            return quote! { #error #item };
        }
    };
    let signature_verdict = function.check(face);
    let expansion = match signature_verdict {
        Ok(()) => function.wrap(face, &arguments),
        Err(_) => function.husk(face),
    };
    let errors = match combine(argument_verdict, signature_verdict) {
        Ok(()) => TokenStream::new(),
        Err(error) => error.into_compile_error(),
    };
    quote! { #errors #expansion }
}

impl Function {
    fn parse(face: Face, input: ParseStream<'_>) -> Result<Function> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility: Visibility = input.parse()?;
        let not_a_function = Error::new(
            input.span(),
            format!("`{}` goes on an `async fn`, and this is none", face.attribute()),
        );
        if !stands_for_a_function(input) {
            return Err(not_a_function);
        }
        let signature: Signature = input.parse()?;
        let body = match input.parse::<TokenTree>() {
            Ok(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => group,
            _ => {
                let text = format!("`{}` needs a function with a body", face.attribute());
                return Err(Error::new_spanned(signature, text));
            }
        };
        Ok(Function { attributes, visibility, signature, body })
    }

    /// Everything that stands in the way of wrapping, all at once.
    fn check(&self, face: Face) -> Result<()> {
        let Signature { constness, asyncness, unsafety, abi, fn_token, ident, .. } =
            &self.signature;
        let attribute = face.attribute();
        let mut verdict = Ok(());
        let mut wrong = |part: &dyn ToTokens, text: String| {
            let so_far = std::mem::replace(&mut verdict, Ok(()));
            verdict = combine(so_far, Err(Error::new_spanned(part, text)));
        };
        if asyncness.is_none() {
            let text = format!("`{attribute}` goes on an `async fn`: write `async fn {ident}`");
            wrong(fn_token, text);
        }
        if !self.signature.inputs.is_empty() {
            let hint = match face {
                Face::Main => "read the command line with `std::env::args`",
                Face::Test => "make what the test needs in its body",
            };
            let text = format!("a function under `{attribute}` takes no arguments: {hint}");
            wrong(&self.signature.inputs, text);
        }
        let generics = &self.signature.generics;
        if !generics.params.is_empty() {
            let text = format!("a function under `{attribute}` is not generic: name its types");
            wrong(&generics.params, text);
        }
        if let Some(clause) = &generics.where_clause {
            let text = format!("a function under `{attribute}` has no `where`: remove it");
            wrong(clause, text);
        }
        let words: [(&str, Option<&dyn ToTokens>); 3] = [
            ("const", constness.as_ref().map(|word| word as _)),
            ("unsafe", unsafety.as_ref().map(|word| word as _)),
            ("extern", abi.as_ref().map(|abi| abi as _)),
        ];
        for (word, part) in words {
            if let Some(part) = part {
                wrong(part, format!("a function under `{attribute}` is not `{word}`: remove it"));
            }
        }
        if face == Face::Test
            && let Some(twice) = self.attributes.iter().find(|it| it.path().is_ident("test"))
        {
            let text = "`#[aem::test]` makes this a test already: remove `#[test]`";
            wrong(twice, text.into());
        }
        verdict
    }

    /// The function in its new coat.
    fn wrap(&self, face: Face, arguments: &Arguments) -> TokenStream {
        let Function { attributes, visibility, signature, body } = self;
        let Signature { ident: name, output, .. } = signature;
        let aem = match &arguments.aem {
            Some(path) => quote! { #path },
            None => quote_spanned! { Span::mixed_site() => ::aem },
        };
        let workers = arguments.workers.as_ref().map(|number| quote! { .workers(#number) });
        let backend =
            arguments.backend.as_ref().map(|variant| quote! { .backend(#aem::Backend::#variant) });
        let test = (face == Face::Test).then(|| quote! { #[::core::prelude::v1::test] });
        let failure = failure(face, name);
        // The lint would ask an `async fn main` without an await to be a plain one, which the
        // attribute then refuses.
        quote_spanned! { Span::mixed_site() =>
            #(#attributes)*
            #test
            #visibility fn #name() #output {
                #[allow(clippy::unused_async)]
                async fn #name() #output #body
                match #aem::Runtime::builder() #workers #backend .build() {
                    ::core::result::Result::Ok(runtime) => runtime.block_on(#name()),
                    ::core::result::Result::Err(error) => #failure,
                }
            }
        }
    }

    /// What stands in for a function that cannot be wrapped.
    ///
    /// It has the name, so that `main` is not reported as missing, and what the user wrote is
    /// inside, so that editors go on helping with it.
    fn husk(&self, face: Face) -> TokenStream {
        let Function { visibility, signature, body, .. } = self;
        let name = &signature.ident;
        let test = (face == Face::Test).then(|| quote! { #[cfg(test)] });
        quote! {
            #test
            #[allow(dead_code)]
            #visibility fn #name() { #signature #body }
        }
    }
}

/// What runs when no runtime could be built.
fn failure(face: Face, name: &Ident) -> TokenStream {
    match face {
        Face::Main => quote_spanned! { Span::mixed_site() => {
            ::std::eprintln!("aem: {error}");
            ::std::process::exit(1)
        }},
        Face::Test => quote_spanned! { Span::mixed_site() =>
            ::core::panic!("aem: no runtime for the test `{}`: {error}", ::core::stringify!(#name))
        },
    }
}

/// Whether what follows is `fn`, perhaps after words that may stand before it.
fn stands_for_a_function(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    while let Ok(token) = ahead.parse::<TokenTree>() {
        match token {
            TokenTree::Ident(word) if word == "fn" => return true,
            TokenTree::Ident(word)
                if ["const", "async", "unsafe", "extern", "safe"].iter().any(|it| word == it) => {}
            // The name of an ABI, as in `extern "C"`.
            TokenTree::Literal(_) => {}
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests;
