//! Runtimes: as often as wanted, one inside another's task, and how they are refused.

use std::cell::Cell;
use std::future::pending;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use aem::{Handle, Runtime, spawn, yield_now};
use aem_tests::watch::{alone, keep, watched, watched_outside};
use futures::channel::mpsc;

use super::settle;

#[test]
#[expect(clippy::async_yields_async, reason = "the registration goes out of its runtime")]
fn between_two_block_ons_nothing_runs_and_nothing_is_lost() {
    watched_outside(|watch| {
        let runtime = Runtime::new().unwrap();
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let sum = Rc::new(Cell::new(0));
        let (total, token) = (sum.clone(), watch.tracked());
        let registration = runtime.block_on(async {
            let registration = aem::on(receiver, move |number| {
                let _ = &token;
                total.set(total.get() + number);
            });
            settle().await;
            registration
        });
        sender.unbounded_send(1).unwrap();
        let task = runtime.handle().spawn(async { 7 });
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(sum.get(), 0);
        assert!(!task.is_finished());
        registration.pause();
        runtime.block_on(settle());
        assert_eq!(sum.get(), 0, "paused from between");
        registration.resume();
        assert_eq!(runtime.block_on(task).unwrap(), 7);
        runtime.block_on(settle());
        assert_eq!(sum.get(), 1);
        // Ended from between, too.
        drop(registration);
        assert_eq!(watch.live(), 0);
        assert!(sender.is_closed());
        runtime.block_on(settle());
    });
}

#[test]
fn a_runtime_may_be_made_and_dropped_in_a_task_of_another() {
    watched(async |watch| {
        let before = Handle::current();
        let (outer, inner) = (watch.tracked(), watch.tracked());
        let token = watch.tracked();
        let beside = aem::on(futures::stream::pending::<()>(), move |()| keep(&outer));
        let control = beside.control();
        // One that has never run, and one with jobs in it, whose destructors look around.
        struct Looks(
            aem::Control,
            #[expect(dead_code, reason = "its drop is counted")] aem_tests::watch::Tracked,
        );
        impl Drop for Looks {
            fn drop(&mut self) {
                // The inner runtime is the current one; the outer one's jobs can be reached.
                assert!(Handle::try_current().is_some());
                assert!(aem::jobs().len() <= 1);
                self.0.stop();
            }
        }
        let looks = Looks(control.clone(), inner);
        let runtime = Runtime::new().unwrap();
        runtime.handle().spawn_with({
            let sent = SendBox(looks);
            move || {
                let sent = sent;
                async move {
                    let _sent = sent;
                    pending::<()>().await;
                }
            }
        });
        drop(Runtime::new().unwrap());
        let task = spawn(async move {
            let _token = token;
            drop(runtime);
            Handle::current()
        });
        let after = task.await.unwrap();
        assert_eq!(after.backend(), before.backend());
        assert_eq!(beside.await.unwrap(), aem::End::Stopped);
        assert_eq!(watch.live(), 0);
        yield_now().await;
    });

    /// Made and dropped on one thread.
    struct SendBox<T>(#[allow(dead_code, reason = "its drop is the matter")] T);
    // SAFETY: the test never sends it: the runtime that it goes to lives and dies on this thread.
    unsafe impl<T> Send for SendBox<T> {}
}

#[test]
#[expect(clippy::async_yields_async, reason = "the registration goes out of its runtime")]
fn a_registration_may_be_used_while_another_runtime_runs() {
    watched_outside(|watch| {
        let outer = Runtime::new().unwrap();
        let token = watch.tracked();
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let registration = outer.block_on(async {
            let registration = aem::on(receiver, move |_| keep(&token));
            settle().await;
            registration
        });
        // The other runtime is current; what is done here reaches the first one's job by mail.
        aem::block_on(async {
            registration.pause();
            registration.resume();
            assert!(registration.replace(|_| aem::Next::Stop));
            sender.unbounded_send(1).unwrap();
            settle().await;
            assert!(!registration.is_ended());
        });
        assert_eq!(watch.live(), 0, "the first handler was replaced");
        assert_eq!(outer.block_on(registration).unwrap(), aem::End::Stopped);
    });
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let _alone = alone();
    let refuse = |builder: aem::Builder| builder.build().map(drop).unwrap_err();
    assert_eq!(refuse(Runtime::builder().workers(0)).kind(), ErrorKind::InvalidInput);
    let several = refuse(Runtime::builder().workers(2));
    assert_eq!(several.kind(), ErrorKind::Unsupported);
    assert!(several.to_string().contains("workers"), "{several}");
    let busy = refuse(Runtime::builder().busy_poll(Duration::from_micros(1)));
    assert_eq!(busy.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_runtime_says_which_backend_it_has_and_why() {
    watched(async |_| {
        let report = Handle::current().backend();
        assert!(report.reason.starts_with(&report.kind.to_string()), "{report:?}");
        assert!(!report.reason.contains('\n'), "{report:?}");
        assert_eq!(Handle::current().worker(0).backend(), report);
    });
}

#[test]
fn metrics_can_be_read_from_any_thread() {
    watched(async |_| {
        let before = aem::metrics();
        aem::time::sleep(Duration::from_millis(1)).await;
        let handle = Handle::current();
        let after = std::thread::spawn(move || handle.metrics()).join().unwrap();
        assert!(after.turns > before.turns && after.sleeps > before.sleeps);
        assert!(after.jobs >= 1);
    });
}
