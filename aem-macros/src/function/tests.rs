//! The shape of the expansion. That it compiles and runs is shown by the tests crate.

use super::*;

/// The expansion as text, with spaces squeezed so that a test may quote it.
fn expanded(face: Face, arguments: TokenStream, item: TokenStream) -> String {
    let text = expand(face, arguments, item).to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text(tokens: TokenStream) -> String {
    tokens.to_string()
}

fn errors(expansion: &str) -> usize {
    expansion.matches("compile_error").count()
}

#[test]
fn the_users_function_is_kept_whole_inside_its_coat() {
    let item = quote! { pub(crate) async fn main() -> aem::Result { go().await?; Ok(()) } };
    let out = expanded(Face::Main, TokenStream::new(), item);
    assert!(out.starts_with("pub (crate) fn main () -> aem :: Result {"), "{out}");
    let inner = text(quote! { async fn main() -> aem::Result { go().await?; Ok(()) } });
    assert!(out.contains(&inner), "{out}");
    assert!(out.contains(":: aem :: Runtime :: builder () . build ()"), "{out}");
    assert!(out.contains("runtime . block_on (main ())"), "{out}");
    assert_eq!(errors(&out), 0);
}

#[test]
fn arguments_reach_the_builder() {
    let arguments = quote! { backend = "epoll", workers = 1, crate = "house::aem" };
    let out = expanded(Face::Main, arguments, quote! { async fn main() {} });
    let call = "house :: aem :: Runtime :: builder () . workers (1) \
                . backend (house :: aem :: Backend :: Epoll) . build ()";
    assert!(out.contains(call), "{out}");
    assert!(!out.contains(":: aem :: Runtime :: builder () . build"), "{out}");
}

#[test]
fn a_test_keeps_its_attributes_and_becomes_a_test() {
    let item = quote! { #[should_panic(expected = "boom")] #[ignore] async fn bad() { boom() } };
    let out = expanded(Face::Test, TokenStream::new(), item);
    let head = text(quote! {
        #[should_panic(expected = "boom")] #[ignore] #[::core::prelude::v1::test] fn bad()
    });
    assert!(out.starts_with(&head), "{out}");
    assert_eq!(errors(&out), 0);
}

#[test]
fn a_body_that_no_parser_knows_is_left_to_the_compiler() {
    let item = quote! { async fn main() { let = = 5 fn ; } };
    assert_eq!(errors(&expanded(Face::Main, TokenStream::new(), item)), 0);
}

#[test]
fn each_wrong_part_of_a_signature_is_one_error_and_the_name_stays() {
    for (item, count) in [
        (quote! { fn main() {} }, 1),
        (quote! { async fn main(n: u8) {} }, 1),
        (quote! { async fn main<T>() {} }, 1),
        (quote! { async fn main<'a>() where 'a: 'static {} }, 2),
        (quote! { async unsafe fn main() {} }, 1),
        (quote! { extern "C" fn main() {} }, 2),
        (quote! { const fn main(n: u8) {} }, 3),
    ] {
        let out = expanded(Face::Main, TokenStream::new(), item.clone());
        assert_eq!(errors(&out), count, "{item}: {out}");
        assert!(out.contains("fn main () {"), "{out}");
    }
}

#[test]
fn what_is_not_a_function_is_said_to_be_none_and_kept() {
    for item in [
        quote! { struct Main; },
        quote! { const MAIN: u8 = 0; },
        quote! { extern "C" {} },
        quote! { impl Main { async fn main() {} } },
    ] {
        let out = expanded(Face::Main, TokenStream::new(), item.clone());
        assert!(out.contains("goes on an `async fn`, and this is none"), "{out}");
        assert!(out.ends_with(&text(item)), "{out}");
    }
    let out = expanded(Face::Main, TokenStream::new(), quote! { async fn main(); });
    assert!(out.contains("needs a function with a body"), "{out}");
}

#[test]
fn a_bad_argument_leaves_the_function_whole() {
    let out = expanded(Face::Main, quote! { workers = 8 }, quote! { async fn main() {} });
    assert_eq!(errors(&out), 1);
    assert!(out.contains("runtime . block_on (main ())"), "{out}");
}

#[test]
fn a_test_twice_is_refused() {
    let out = expanded(Face::Test, TokenStream::new(), quote! { #[test] async fn twice() {} });
    assert!(out.contains("makes this a test already"), "{out}");
}
