//! Signals of a process that sends them to itself. One test, as signals are the whole process's.

use std::time::Duration;

use super::{ctrl_c, shutdown_requested};
use crate::sys::signal::raise;
use crate::time::timeout;
use crate::{Handle, block_on, spawn, yield_now};

const LONG: Duration = Duration::from_secs(5);

#[test]
fn each_listener_hears_each_signal_once_and_none_is_lost() {
    block_on(async {
        let (first, second) = (ctrl_c(), shutdown_requested());
        // Before either is awaited: listening began with the call.
        raise(libc::SIGINT).unwrap();
        timeout(LONG, first).await.unwrap();
        timeout(LONG, second).await.unwrap();

        let mut third = ctrl_c();
        assert!(timeout(Duration::from_millis(5), &mut third).await.is_err(), "an old signal");
        let waiting = spawn(shutdown_requested());
        yield_now().await;
        raise(libc::SIGTERM).unwrap();
        timeout(LONG, waiting).await.unwrap().unwrap();
        raise(libc::SIGINT).unwrap();
        timeout(LONG, &mut third).await.unwrap();
    });
    let (sender, receiver) = std::sync::mpsc::channel();
    let threads = [sender.clone(), sender].map(|listens| {
        std::thread::spawn(move || {
            block_on(async {
                let asked = shutdown_requested();
                listens.send(()).unwrap();
                timeout(LONG, asked).await
            })
        })
    });
    block_on(async {
        let own = shutdown_requested();
        assert_eq!(receiver.iter().take(2).count(), 2);
        raise(libc::SIGTERM).unwrap();
        timeout(LONG, own).await.unwrap();
    });
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn the_end_of_the_runtime_is_heard() {
    block_on(async {
        let asked = shutdown_requested();
        Handle::current().shutdown();
        timeout(LONG, asked).await.unwrap();
        timeout(LONG, shutdown_requested()).await.unwrap();
    });
}
