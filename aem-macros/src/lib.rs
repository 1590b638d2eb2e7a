//! The attribute macros of `aem-rt`: `#[aem::main]` and `#[aem::test]`.
//!
//! Use them through `aem-rt`, which re-exports both and documents them with examples. Each turns
//! an `async fn` into a plain one that builds a runtime and blocks on what was written:
//!
//! ```text
//! arguments   what stands in the attribute's parentheses, and whether this version has it
//! function    what stands under the attribute: checked, then put into its new coat
//! ```
//!
//! The user's function is kept whole as an inner function of the same name. So its return type
//! guides inference as it does without the attribute, an error in the body points at the body,
//! and lint levels set on the function reach it. What cannot be expanded is a compile error that
//! names what to do; beside it stands a harmless function, so that one mistake is one error.

mod arguments;
mod function;

use function::Face;
use proc_macro::TokenStream;

/// Runs an `async fn main` on a fresh runtime: see `aem::main`.
///
/// The arguments are `workers = N`, `backend = "auto" | "epoll" | "io_uring"` and
/// `crate = "path::to::aem"`, all optional. When no runtime can be built, the program prints
/// `aem: ` and the error on standard error, and exits with status 1.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(Face::Main, arguments.into(), item.into()).into()
}

/// Makes an `async fn` a test that runs on a fresh runtime: see `aem::test`.
///
/// The arguments are those of `main`; `seeds = A..B` is reserved for the simulated kernel. When
/// no runtime can be built, the test panics with the error.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(Face::Test, arguments.into(), item.into()).into()
}
