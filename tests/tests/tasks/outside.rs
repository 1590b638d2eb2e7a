//! Outside of a runtime everything says how to enter one; inside, `block_on` says what to do instead.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aem::{Scope, State};
use aem_tests::watch::{alone, keep};
use futures::stream;

/// What a call panics with.
fn panic_text(call: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("it must not go through");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().expect("a text").to_string(),
    }
}

#[test]
fn calls_outside_of_a_runtime_say_how_to_enter_one() {
    let _alone = alone();
    let numbers = || stream::iter(0..3);
    type Call = (&'static str, Box<dyn FnOnce()>);
    let calls: Vec<Call> = vec![
        ("on", Box::new(move || drop(aem::on(numbers(), |_| ())))),
        (
            "on_ok",
            Box::new(move || {
                drop(aem::on_ok(stream::iter([Ok::<_, aem::BoxError>(1)]), |_| ()));
            }),
        ),
        ("on_async", Box::new(move || drop(aem::on_async(numbers(), async |_| ())))),
        ("on_each", Box::new(move || drop(aem::on_each(numbers(), 1, async |_| ())))),
        ("State::on", Box::new(move || drop(State::new(1).on(numbers(), |_, _| ())))),
        (
            "WeakState::on",
            Box::new(move || {
                drop(State::new(1).downgrade().on(numbers(), |_, _| ()));
            }),
        ),
        ("Scope::on", Box::new(move || drop(Scope::new().on(numbers(), |_| ())))),
        ("Scope::spawn", Box::new(|| drop(Scope::new().spawn(async {})))),
        (
            "ScopeHandle::on",
            Box::new(move || {
                drop(Scope::new().handle().on(numbers(), |_| ()));
            }),
        ),
        ("ScopeHandle::spawn", Box::new(|| drop(Scope::new().handle().spawn(async {})))),
        ("spawn", Box::new(|| drop(aem::spawn(async {})))),
        ("spawn_blocking", Box::new(|| drop(aem::spawn_blocking(|| ())))),
        ("jobs", Box::new(|| drop(aem::jobs()))),
        ("metrics", Box::new(|| keep(&aem::metrics()))),
        ("Handle::current", Box::new(|| drop(aem::Handle::current()))),
    ];
    for (name, call) in calls {
        let text = panic_text(call);
        assert!(text.contains("runtime on this thread"), "{name}: {text}");
        assert!(text.contains("aem::block_on") && text.contains("#[aem::main]"), "{name}: {text}");
    }
    assert!(aem::Handle::try_current().is_none());
    // These do not need one.
    let scope = Scope::new();
    scope.stop();
    scope.pause();
    assert_eq!(State::new(3).with(|n| *n), 3);
}

#[test]
fn block_on_inside_a_runtime_says_what_to_do_instead() {
    let _alone = alone();
    let runtime = aem::Runtime::new().unwrap();
    aem::block_on(async {
        for text in
            [panic_text(|| aem::block_on(async {})), panic_text(|| runtime.block_on(async {}))]
        {
            assert!(text.contains("block_on inside a runtime"), "{text}");
            assert!(text.contains(".await") && text.contains("aem::spawn"), "{text}");
        }
        // In a handler it ends the handler, and nothing else.
        let error = aem::on(stream::iter(0..1), |_| aem::block_on(async {})).await.unwrap_err();
        assert!(error.to_string().contains("block_on inside a runtime"), "{error}");
        aem::yield_now().await;
    });
    assert_eq!(runtime.block_on(async { 7 }), 7);
}
