//! What is understood, and what is said about the rest.

use super::*;
use quote::{ToTokens, quote};

/// The messages of all errors, in the order of the arguments.
fn complaints(face: Face, tokens: TokenStream) -> Vec<String> {
    match Arguments::parse(face, tokens).1 {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.to_string()).collect(),
    }
}

fn complaint(face: Face, tokens: TokenStream) -> String {
    let mut all = complaints(face, tokens);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn all_arguments_are_understood_in_any_order_and_with_a_last_comma() {
    let tokens = quote! { crate = "::house::aem", backend = "io_uring", workers = 1, };
    let (arguments, verdict) = Arguments::parse(Face::Main, tokens);
    assert!(verdict.is_ok());
    assert_eq!(arguments.workers.unwrap().to_string(), "1");
    assert_eq!(arguments.backend.unwrap(), "IoUring");
    assert_eq!(arguments.aem.to_token_stream().to_string(), quote! { ::house::aem }.to_string());
}

#[test]
fn nothing_said_is_nothing_asked() {
    let (arguments, verdict) = Arguments::parse(Face::Test, TokenStream::new());
    assert!(verdict.is_ok());
    assert!(arguments.workers.is_none() && arguments.backend.is_none() && arguments.aem.is_none());
}

#[test]
fn what_this_version_lacks_is_named_and_never_ignored() {
    let text = complaint(Face::Main, quote! { workers = 2 });
    assert!(text.contains("several workers come in a later version"), "{text}");
    let text = complaint(Face::Test, quote! { seeds = 0..100 });
    assert!(text.contains("later version"), "{text}");
    let text = complaint(Face::Main, quote! { seeds = 0..100 });
    assert!(text.contains("belongs to `#[aem::test]`"), "{text}");
}

#[test]
fn every_mistake_of_one_attribute_is_reported() {
    let tokens = quote! { workers = 0, backend = "kqueue", wokers = 1, workers = 1 };
    let all = complaints(Face::Main, tokens);
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all[0].contains("at least one worker"));
    assert!(all[1].contains("is one of \"auto\", \"epoll\" and \"io_uring\""));
    assert!(all[2].contains("unknown argument `wokers`"));
    assert!(all[3].contains("`workers` is given twice"));
}

#[test]
fn ill_typed_values_are_answered_with_an_example() {
    for (tokens, example) in [
        (quote! { workers = "1" }, "`workers = 1`"),
        (quote! { workers = 1.0 }, "`workers = 1`"),
        (quote! { workers = 1u8 }, "`workers = 1`"),
        (quote! { workers = -1 }, "`workers = 1`"),
        (quote! { workers = 99999999999999999999999 }, "`workers = 1`"),
        (quote! { backend = epoll }, "`backend = \"epoll\"`"),
        (quote! { crate = 7 }, "`crate = \"::my_crate::aem\"`"),
        (quote! { crate = "not a path" }, "`crate = \"::my_crate::aem\"`"),
        (quote! { seeds = 7 }, "`seeds = 0..100`"),
        (quote! { seeds = 0.. }, "`seeds = 0..100`"),
        (quote! { workers }, "`name = value`"),
        (quote! { workers = }, "`name = value`"),
        (quote! { workers(1) }, "`name = value`"),
        (quote! { 4 }, "`name = value`"),
    ] {
        let text = complaint(Face::Test, tokens.clone());
        assert!(text.contains(example), "{tokens}: {text}");
    }
}

#[test]
fn names_of_other_runtimes_lead_to_ours() {
    let text = complaint(Face::Main, quote! { worker_threads = 1 });
    assert!(text.contains("here it is called `workers`"), "{text}");
    let text = complaint(Face::Main, quote! { flavor = "current_thread" });
    assert!(text.contains("the number of `workers`"), "{text}");
}
