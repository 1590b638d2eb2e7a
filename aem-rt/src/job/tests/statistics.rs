//! What is known of jobs: ids, counts of runs, records.

use std::collections::HashSet;
use std::future::pending;
use std::task::Poll;

use crate::job::registry::Kind;
use crate::job::rig::Rig;
use crate::queue::Priority;

#[test]
fn no_id_is_given_twice() {
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let rig = Rig::new();
        let sender = rig.sender();
        for _ in 0..100 {
            let here = rig.spawn(async {});
            let (there, _) = rig.away(|| sender.spawn(async {}));
            assert!(seen.insert(here.id()) && seen.insert(there.id()));
            rig.turn();
        }
        drop(sender);
        rig.end().assert_free();
    }
    assert_eq!(seen.len(), 600);
}

#[test]
fn runs_are_counted_past_the_small_counter() {
    let rig = Rig::new();
    let job = rig.make(std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    job.wake();
    let runs = 3 * u64::from(u16::MAX) + 5;
    for _ in 0..runs {
        let job = rig.home.pop().unwrap();
        rig.home.run(job);
    }
    assert_eq!(job.info(|sight| sight.runs), Some(runs));
    job.abort();
    rig.turn();
    drop(job);
    rig.end().assert_free();
}

#[test]
fn records_are_of_jobs_that_have_not_ended() {
    let rig = Rig::new();
    let (done, waits) = (rig.spawn(async {}), rig.make(pending::<()>()));
    waits.set_name("the patient one".into());
    waits.set_priority(Priority::Low);
    rig.turn();
    let mut seen = Vec::new();
    rig.home.for_each(|sight| {
        seen.push((sight.record.kind, sight.record.name.cloned(), sight.runs, sight.priority));
    });
    assert_eq!(seen, [(Kind::Task, Some("the patient one".into()), 0, Priority::Low)]);
    // A done job that is held has a record still, for those who ask by its slot.
    assert_eq!(rig.home.registered(), 2);
    drop((done, waits));
    assert_eq!(rig.home.registered(), 1);
    rig.end().assert_free();
}

#[test]
fn records_are_struck_out_at_the_end() {
    let rig = Rig::new();
    let job = rig.make(pending::<()>());
    assert!(job.info(|_| ()).is_some());
    assert_eq!(rig.home.finish(), 0);
    assert!(job.info(|_| ()).is_none());
    assert_eq!(rig.home.registered(), 0);
    drop(job);
    rig.end().assert_free();
}
