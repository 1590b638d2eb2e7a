//! Many children: no zombie stays, nothing leaks.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use aem::process::Command;
use aem::time::every;
use aem_tests::proc::children;
use aem_tests::scale::scaled_count;
use futures::{StreamExt, stream};

use super::on_both;

/// A child that has ended is a zombie until the turn that hears of it; so none may be one
/// in two looks in a row, with a turn between.
#[test]
fn feature_41_none_of_ten_thousand_children_stays_a_zombie() {
    on_both(async |_| {
        let total = scaled_count(10_000, 300);
        let (before, samples) = (Rc::new(RefCell::new(HashSet::new())), Rc::new(Cell::new(0)));
        let count = samples.clone();
        let looking = aem::on(every(Duration::from_millis(2)), move |_| {
            let dead = children().into_iter().filter(|(_, state)| *state == 'Z');
            let dead: HashSet<u32> = dead.map(|(pid, _)| pid).collect();
            let stayed: Vec<u32> = dead.intersection(&before.borrow()).copied().collect();
            assert!(stayed.is_empty(), "{stayed:?}");
            before.replace(dead);
            count.set(count.get() + 1);
        });
        let begun = Instant::now();
        let starting = Rc::new(Cell::new(Duration::ZERO));
        let ends = stream::iter(0..total).map(async |number| {
            let mut command = Command::new("true");
            let started = Instant::now();
            let mut child = command.spawn().expect("started");
            starting.set(starting.get() + started.elapsed());
            match number % 3 {
                // Awaited, killed, left alone.
                0 => assert!(child.wait().await.expect("its end").success()),
                1 => child.kill().await.expect("its end"),
                _ => drop(child),
            }
        });
        ends.buffer_unordered(16).collect::<Vec<()>>().await;
        let each = starting.get() / total as u32;
        println!("{total} children in {:?}, {each:?} a start", begun.elapsed());
        looking.stop();
        looking.await.expect("no zombie has stayed");
        assert!(samples.get() > total / 100, "{} samples", samples.get());
    });
}
