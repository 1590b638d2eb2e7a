//! Three ways between a worker and other threads, none with a lock.
//!
//! ```text
//! cargo run --release --example cross_thread
//! ```
//!
//! Jobs never change threads. What travels is messages, the `Handle` that spawns jobs from
//! outside, and closures that block. It ends by itself.

use futures::channel::mpsc;
use std::thread;

#[aem::main]
async fn main() -> aem::Result {
    let home = thread::current().id();

    // 1. Messages in: a channel's receiver is a `Stream`, so it is a source like any other.
    let (sender, messages) = mpsc::unbounded();
    let threads: Vec<_> = (1..=3)
        .map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || {
                for n in 1..=1000_u64 {
                    let _ = sender.unbounded_send(thread * n);
                }
            })
        })
        .collect();
    drop(sender);
    let sum = aem::State::new(0);
    sum.on(messages, move |sum, message| {
        assert_eq!(thread::current().id(), home, "handlers run at home");
        *sum += message;
    })
    .await?;
    println!("messages: the sum is {}", sum.with(|sum| *sum));
    for thread in threads {
        thread.join().expect("the senders do not panic");
    }

    // 2. Jobs in: a handle of the runtime may go anywhere, and what it spawns runs here.
    let handle = aem::Handle::current();
    let (job, answer) = mpsc::unbounded();
    let outside = thread::spawn(move || {
        // The future is made at home, so it may hold what is not `Send`.
        let join = handle.spawn_with(move || async move {
            let local = std::rc::Rc::new(thread::current().id());
            aem::yield_now().await;
            *local
        });
        let _ = job.unbounded_send(join);
    });
    let join = futures::StreamExt::into_future(answer).await.0.expect("the thread sends one");
    assert_eq!(join.await?, home);
    println!("jobs: one from outside ran at home");
    outside.join().expect("the thread does not panic");

    // 3. Work out: what blocks goes to a pool, and its result is awaited.
    let worker = aem::spawn_blocking(|| thread::current().id()).await?;
    assert_ne!(worker, home);
    println!("blocking: a closure ran on another thread");
    Ok(())
}
