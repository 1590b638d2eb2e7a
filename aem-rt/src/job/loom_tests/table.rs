//! The transition table: what the owner does, in rows, against what another thread does, in columns, on a
//! job that lives and on one that is done.
//!
//! Whatever the order, every value is dropped once and at home, every cell is freed, and nobody hangs. A
//! handle is on one side only, so that rows and columns that both need it do not meet.

use std::future::poll_fn;
use std::sync::Arc as StdArc;
use std::task::{Poll, Waker};

use crate::job::join::JoinHandle;
use crate::job::rig::{
    Count, Flag, Output, Plain, Rig, Sender, block_on, counting_waker, poll_with,
};
use crate::sync::model;
use crate::sync::testing::spawn;

/// What one side has of the job.
struct Side {
    waker: Waker,
    handle: Option<JoinHandle<Output>>,
    probe: StdArc<Plain>,
    flag: StdArc<Flag>,
    /// For the column `spawn`.
    sender: Sender,
    /// For the rows and columns that wait.
    other_waker: Waker,
}

/// Whether the job has ended when the two meet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Lives,
    IsDone,
}

/// Who has the handle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Owner,
    Other,
}

fn meet(phase: Phase, row: fn(&Rig, Side), (holder, column): (Holder, fn(Side))) {
    let rig = Rig::new();
    let (flag, local, output) = (Flag::shared(), rig.local(), rig.output());
    let up = StdArc::clone(&flag);
    let job = rig.job(poll_fn(move |_| {
        local.use_it();
        if up.is_up() { Poll::Ready(output(1)) } else { Poll::Pending }
    }));
    // Of a done job the other thread's waker counts as made there, so that the counts can merge.
    let theirs = match phase {
        Phase::Lives => job.waker.clone(),
        Phase::IsDone => rig.away(|| job.waker.clone()),
    };
    if phase == Phase::IsDone {
        flag.raise();
    }
    rig.turn();
    let side = |waker| Side {
        waker,
        handle: None,
        probe: StdArc::clone(&job.probe),
        flag: StdArc::clone(&flag),
        sender: rig.sender(),
        other_waker: counting_waker(&rig, &Count::default()),
    };
    let (mut mine, mut theirs) = (side(job.waker), side(theirs));
    match holder {
        Holder::Owner => mine.handle = Some(job.handle),
        Holder::Other => theirs.handle = Some(job.handle),
    }
    let other = spawn(move || column(theirs));
    row(&rig, mine);
    let memory = rig.end();
    other.join().unwrap();
    memory.assert_free();
}

impl Side {
    /// What every holder of a reference may do.
    fn look(&self) {
        self.probe.read();
    }
}

/// What the owner does.
mod rows {
    use super::*;

    pub(super) fn clone(_rig: &Rig, mine: Side) {
        let copy = mine.waker.clone();
        drop(mine);
        drop(copy);
    }

    pub(super) fn drop_all(_rig: &Rig, mine: Side) {
        drop(mine);
    }

    pub(super) fn wake(rig: &Rig, mine: Side) {
        mine.waker.wake_by_ref();
        rig.run_ready();
        mine.look();
    }

    pub(super) fn wake_by_value(rig: &Rig, mine: Side) {
        mine.waker.wake();
        drop(mine.handle);
        rig.run_ready();
    }

    pub(super) fn complete(rig: &Rig, mine: Side) {
        mine.flag.raise();
        mine.waker.wake_by_ref();
        drop(mine.waker);
        rig.run_ready();
    }

    pub(super) fn drain(rig: &Rig, mine: Side) {
        rig.turn();
        drop(mine);
        rig.turn();
    }

    pub(super) fn finish(rig: &Rig, mine: Side) {
        drop(mine.waker);
        assert_eq!(rig.home.finish(), 0);
        drop(mine.handle);
    }

    pub(super) fn abort(rig: &Rig, mine: Side) {
        if let Some(handle) = &mine.handle {
            handle.abort();
        }
        rig.run_ready();
        mine.look();
    }

    pub(super) fn leave(rig: &Rig, mine: Side) {
        drop(mine.handle);
        rig.turn();
    }

    pub(super) fn join(rig: &Rig, mut mine: Side) {
        mine.flag.raise();
        if let Some(mut handle) = mine.handle.take()
            && poll_with(&mut handle, &mine.other_waker).is_pending()
        {
            mine.waker.wake_by_ref();
            rig.run_ready();
            match poll_with(&mut handle, &mine.other_waker) {
                Poll::Ready(Ok(output)) => assert_eq!(output.read(), 1),
                other => panic!("done, and yet {other:?}"),
            }
        }
    }
}

/// What the other thread does.
mod columns {
    use super::*;

    pub(super) const CLONE: (Holder, fn(Side)) = (Holder::Owner, |theirs| {
        let copy = theirs.waker.clone();
        theirs.look();
        drop(theirs);
        drop(copy);
    });

    pub(super) const DROP_ALL: (Holder, fn(Side)) = (Holder::Owner, |theirs| {
        theirs.look();
        drop(theirs);
    });

    pub(super) const WAKE: (Holder, fn(Side)) = (Holder::Owner, |theirs| {
        theirs.flag.raise();
        theirs.waker.wake_by_ref();
        theirs.look();
    });

    pub(super) const WAKE_BY_VALUE: (Holder, fn(Side)) = (Holder::Owner, |theirs| {
        theirs.look();
        let Side { waker, sender, .. } = theirs;
        waker.wake();
        drop(sender);
    });

    pub(super) const SPAWN: (Holder, fn(Side)) = (Holder::Owner, |theirs| {
        let (handle, probe) = theirs.sender.spawn(async move { theirs.waker.wake() });
        probe.read();
        drop(handle);
    });

    pub(super) const ABORT: (Holder, fn(Side)) = (Holder::Other, |theirs| {
        if let Some(handle) = &theirs.handle {
            handle.abort();
        }
        theirs.look();
        drop(theirs.waker);
    });

    pub(super) const LEAVE: (Holder, fn(Side)) = (Holder::Other, |theirs| {
        theirs.look();
        drop(theirs.handle);
        drop(theirs.waker);
    });

    pub(super) const JOIN: (Holder, fn(Side)) = (Holder::Other, |theirs| {
        theirs.look();
        drop(theirs.waker);
        drop(theirs.sender);
        if let Some(handle) = theirs.handle {
            match block_on(handle) {
                Ok(output) => assert_eq!(output.read(), 1),
                Err(error) => assert!(error.is_cancelled()),
            }
        }
    });
}

macro_rules! table {
    ($($row:ident: $($column:ident $constant:ident),*;)*) => {
        $(mod $row {
            use super::*;
            $(mod $column {
                use super::*;

                #[test]
                fn of_a_job_that_lives() {
                    model(|| meet(Phase::Lives, rows::$row, columns::$constant));
                }

                #[test]
                fn of_a_job_that_is_done() {
                    model(|| meet(Phase::IsDone, rows::$row, columns::$constant));
                }
            })*
        })*
    };
}

table! {
    clone:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN, meets_abort ABORT, meets_leave LEAVE,
        meets_join JOIN;
    drop_all:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN, meets_abort ABORT, meets_leave LEAVE,
        meets_join JOIN;
    wake:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN, meets_abort ABORT, meets_leave LEAVE,
        meets_join JOIN;
    wake_by_value:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN, meets_abort ABORT, meets_leave LEAVE,
        meets_join JOIN;
    complete:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN, meets_abort ABORT, meets_leave LEAVE,
        meets_join JOIN;
    drain:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN, meets_abort ABORT, meets_leave LEAVE,
        meets_join JOIN;
    finish:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN, meets_abort ABORT, meets_leave LEAVE,
        meets_join JOIN;
    abort:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN;
    leave:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN;
    join:
        meets_clone CLONE, meets_drop DROP_ALL, meets_wake WAKE, meets_wake_by_value
        WAKE_BY_VALUE, meets_spawn SPAWN;
}
