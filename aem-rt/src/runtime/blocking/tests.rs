//! What a forked child does without the threads.

use std::sync::mpsc;

use super::*;
use crate::sys::child::{forked, in_child};

#[test]
fn a_lock_that_was_held_at_the_fork_does_not_hold_up_the_child() {
    let name =
        "runtime::blocking::tests::a_lock_that_was_held_at_the_fork_does_not_hold_up_the_child";
    if !in_child(name) {
        return;
    }
    let pool = Pool::new(Process::current().unwrap());
    let dropped = Arc::new(());
    let held = {
        let dropped = Arc::clone(&dropped);
        pool.refuse(move || drop(dropped))
    };
    let free = {
        let dropped = Arc::clone(&dropped);
        pool.refuse::<_, ()>(move || drop(dropped))
    };
    let (locked, is_locked) = mpsc::channel();
    let (unlock, may_unlock) = mpsc::channel::<()>();
    let errand = Arc::clone(&held.errand);
    let thread = thread::spawn(move || {
        let stage = lock::<Stage<_, ()>>(&errand.stage);
        locked.send(()).unwrap();
        // If the child hangs, this must not.
        let _ = may_unlock.recv_timeout(Duration::from_secs(15));
        drop(stage);
    });
    is_locked.recv().unwrap();
    let both = Arc::new(Mutex::new(Some((held, free))));
    forked(|| {
        let (held, free) = both.lock().unwrap().take().unwrap();
        drop(held);
        assert_eq!(Arc::strong_count(&dropped), 3, "it stays where it is");
        drop(free);
        assert_eq!(Arc::strong_count(&dropped), 2, "as at home");
        // Another lock may be held as well.
        let _held = pool.state.lock().unwrap();
        pool.close();
    });
    unlock.send(()).unwrap();
    thread.join().unwrap();
    drop(both.lock().unwrap().take());
    assert_eq!(Arc::strong_count(&dropped), 1);
}
