//! The wheel against a sorted map, and its promises one by one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::{COARSEST_TICK, STEPS_PER_EXPIRE, TimerKey, Timers};

const SLACK: Duration = Duration::from_micros(50);
const TICK_NS: u64 = 1 << COARSEST_TICK;

/// Wakers that write their number into a shared log when they are woken.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u64>>>);

struct Named {
    name: u64,
    log: Log,
}

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        self.log.0.lock().unwrap().push(self.name);
    }
}

impl Log {
    fn waker(&self, name: u64) -> Waker {
        Waker::from(Arc::new(Named { name, log: self.clone() }))
    }

    fn name_of(&self, waker: Waker) -> u64 {
        waker.wake();
        self.0.lock().unwrap().pop().unwrap()
    }

    fn expire(&self, timers: &mut Timers, now: Instant) -> Vec<u64> {
        let mut wakes = Vec::new();
        timers.expire(now, &mut wakes);
        wakes.into_iter().map(|waker| self.name_of(waker)).collect()
    }
}

/// splitmix64: enough randomness for a test, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A number with a random count of bits, so that all levels of the wheel are met.
    fn spread(&mut self, bits: u64) -> u64 {
        let bits = self.below(bits) + 1;
        self.next() >> (64 - bits)
    }
}

/// What the wheel should do: timers by (deadline, order of insertion).
struct Model {
    timers: Timers,
    log: Log,
    start: Instant,
    now_ns: u64,
    tick_ns: u64,
    slack_ns: u64,
    made: u64,
    by_deadline: BTreeMap<(u64, u64), TimerKey>,
    deadlines: HashMap<u64, u64>,
    nevers: Vec<(u64, TimerKey)>,
    dead: Vec<TimerKey>,
}

impl Model {
    fn new(slack: Duration) -> Model {
        let start = Instant::now();
        let timers = Timers::new(slack, start);
        Model {
            tick_ns: 1 << timers.shift,
            slack_ns: slack.as_nanos() as u64,
            timers,
            start,
            now_ns: 0,
            made: 0,
            log: Log::default(),
            by_deadline: BTreeMap::new(),
            deadlines: HashMap::new(),
            nevers: Vec::new(),
            dead: Vec::new(),
        }
    }

    fn at(&self, ns: u64) -> Instant {
        self.start + Duration::from_nanos(ns)
    }

    fn insert(&mut self, deadline: u64) {
        let name = self.made;
        self.made += 1;
        let key = self.timers.insert(self.at(deadline), self.log.waker(name));
        self.by_deadline.insert((deadline, name), key);
        self.deadlines.insert(name, deadline);
    }

    fn insert_never(&mut self) {
        let name = self.made;
        self.made += 1;
        let deadline = self.start.checked_add(Duration::from_secs(u64::MAX >> 2)).unwrap();
        self.nevers.push((name, self.timers.insert(deadline, self.log.waker(name))));
    }

    fn remove_near(&mut self, deadline: u64) {
        let Some((&(deadline, name), &key)) = self.by_deadline.range((deadline, 0)..).next() else {
            return;
        };
        self.by_deadline.remove(&(deadline, name));
        let waker = self.timers.remove(key).expect("a timer that has not fired");
        assert_eq!(self.log.name_of(waker), name);
        self.dead.push(key);
    }

    fn replace_near(&mut self, deadline: u64) {
        let Some((&(deadline, name), &key)) = self.by_deadline.range((deadline, 0)..).next() else {
            return;
        };
        assert_eq!(self.deadlines[&name], deadline);
        let old = self.timers.replace_waker(key, self.log.waker(name)).expect("it has not fired");
        assert_eq!(self.log.name_of(old), name);
    }

    fn move_to(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        let now = self.at(self.now_ns);
        let fired = self.log.expire(&mut self.timers, now);
        for name in fired {
            let ((deadline, expected), key) = self.by_deadline.pop_first().expect("one more");
            assert_eq!((expected, deadline), (name, self.deadlines[&name]), "out of order");
            assert!(deadline <= self.now_ns, "early");
            assert!(self.timers.remove(key).is_none());
            self.dead.push(key);
        }
        self.check();
    }

    /// What is asked for is not after the first deadline by more than the slack.
    fn check(&mut self) {
        assert_eq!(self.timers.len(), self.by_deadline.len() + self.nevers.len());
        let next = self.timers.next();
        if let Some((&(deadline, _), _)) = self.by_deadline.first_key_value() {
            let next = next.expect("a deadline to wait for");
            let late = self.slack_ns.max(self.tick_ns);
            assert!(next <= self.at(deadline.saturating_add(late)), "asks for too late a time");
        }
        if let Some(key) = self.dead.pop() {
            assert!(self.timers.remove(key).is_none(), "a dead key still reaches a timer");
            assert!(self.timers.waker(key).is_none());
        }
    }
}

fn run_against_model(seed: u64, slack: Duration, operations: usize) {
    let mut random = Random(seed);
    let mut model = Model::new(slack);
    for _ in 0..operations {
        match random.below(100) {
            0..40 => {
                let deadline = model.now_ns + random.spread(50);
                model.insert(deadline);
            }
            40..45 => {
                let deadline = model.now_ns.saturating_sub(random.spread(40));
                model.insert(deadline);
            }
            45..55 => {
                // Few different deadlines, so that equal ones are met on all levels.
                let deadline = (model.now_ns >> 24).wrapping_add(random.below(3)) << 24;
                model.insert(deadline);
            }
            55..56 => model.insert_never(),
            56..75 => {
                let near = model.now_ns + random.spread(50);
                model.remove_near(near);
            }
            75..80 => {
                let near = model.now_ns + random.spread(50);
                model.replace_near(near);
            }
            80..99 => {
                let now = model.now_ns + random.spread(30);
                model.move_to(now);
            }
            _ => {
                let now = model.now_ns + random.spread(48);
                model.move_to(now);
            }
        }
    }
    // All that is left fires, one wake-up after the other, as the reactor would do it.
    let mut turns = 0;
    while let Some(next) = model.timers.next() {
        let now = next.saturating_duration_since(model.start).as_nanos() as u64;
        model.move_to(now);
        turns += 1;
        assert!(turns < 100_000, "it asks for ever");
    }
    assert!(model.by_deadline.is_empty());
    for (name, key) in std::mem::take(&mut model.nevers) {
        let waker = model.timers.remove(key).expect("it never fires");
        assert_eq!(model.log.name_of(waker), name);
    }
    assert_eq!(model.timers.len(), 0);
}

#[test]
fn wheel_fires_as_a_sorted_map_would() {
    for seed in 0..4 {
        run_against_model(seed, SLACK, 25_000);
    }
}

#[test]
fn every_slack_is_kept() {
    let slacks = [0, 1, 1_000, 10_000, 16_384, 1_000_000, 3_000_000_000, u64::MAX];
    for (seed, slack) in slacks.into_iter().enumerate() {
        run_against_model(seed as u64, Duration::from_nanos(slack), 5_000);
    }
}

#[test]
fn storm_is_fired_in_bounded_steps_and_in_order() {
    let mut model = Model::new(SLACK);
    let count = 3 * STEPS_PER_EXPIRE as u64;
    for n in 0..count {
        // All in one slot of the third level, in no order.
        model.insert(1_000_000_000 + n.wrapping_mul(7919) % 1000);
    }
    let mut calls = 0;
    while !model.by_deadline.is_empty() {
        let before = model.by_deadline.len();
        model.move_to(2_000_000_000);
        assert!(before - model.by_deadline.len() <= STEPS_PER_EXPIRE);
        // New ones join while the slot is half sifted, late, just due and to come.
        if calls < 3 {
            model.insert(1_000_000_500);
            model.insert(999_000_000);
            model.insert(1_000_000_000 + 3 * TICK_NS);
        }
        calls += 1;
        if !model.by_deadline.is_empty() {
            assert!(model.timers.next().unwrap() <= model.at(2_000_000_000), "work is left");
        }
    }
    assert!(calls > 3, "one call did the work of many");
}

#[test]
fn lonely_timer_asks_for_one_wake_up() {
    let start = Instant::now();
    let log = Log::default();
    for ms in [1, 20, 1_000, 60_000, 3_600_000] {
        let mut timers = Timers::new(SLACK, start);
        let deadline = start + Duration::from_millis(ms);
        timers.insert(deadline, log.waker(ms));
        let next = timers.next().unwrap();
        assert!(next >= deadline && next <= deadline + SLACK);
        assert_eq!(log.expire(&mut timers, next), [ms]);
        assert_eq!(timers.next(), None);
    }
}

#[test]
fn storm_of_deadlines_shares_wake_ups() {
    let start = Instant::now();
    let log = Log::default();
    let mut timers = Timers::new(SLACK, start);
    for us in 0..1000 {
        timers.insert(start + Duration::from_micros(5_000 + us), log.waker(us));
    }
    let mut wake_ups = 0;
    while let Some(next) = timers.next() {
        log.expire(&mut timers, next);
        wake_ups += 1;
    }
    assert!(wake_ups <= 25, "{wake_ups} wake-ups for a millisecond of deadlines");
}

#[test]
fn far_future_never_fires_and_can_be_removed() {
    let start = Instant::now();
    let log = Log::default();
    let mut timers = Timers::new(SLACK, start);
    let far = start.checked_add(Duration::from_secs(600 * 366 * 24 * 3600)).unwrap();
    let edge = start.checked_add(Duration::from_nanos(u64::MAX)).unwrap();
    let inside = start.checked_add(Duration::from_nanos(super::FURTHEST)).unwrap();
    let keys = [timers.insert(far, log.waker(1)), timers.insert(edge, log.waker(2))];
    assert_eq!(timers.next(), None);
    let last = timers.insert(inside, log.waker(3));
    assert!(timers.next().is_some());
    assert_eq!(log.expire(&mut timers, far), [3]);
    assert_eq!(timers.len(), 2);
    assert!(keys.into_iter().all(|key| timers.remove(key).is_some()));
    assert!(timers.remove(last).is_none());
    assert_eq!((timers.len(), timers.next()), (0, None));
}

#[test]
fn dead_key_reaches_no_later_timer() {
    let start = Instant::now();
    let log = Log::default();
    let mut timers = Timers::new(SLACK, start);
    let first = timers.insert(start, log.waker(1));
    assert_eq!(log.expire(&mut timers, start), [1]);
    let second = timers.insert(start, log.waker(2));
    assert!(timers.remove(first).is_none());
    assert!(timers.replace_waker(first, log.waker(3)).is_err());
    assert!(timers.replace_waker(second, log.waker(4)).is_ok());
    assert_eq!(log.expire(&mut timers, start), [4]);
}

#[test]
fn removed_while_due_does_not_fire() {
    let start = Instant::now();
    let log = Log::default();
    let mut timers = Timers::new(SLACK, start);
    let keys: Vec<_> =
        (0..3 * STEPS_PER_EXPIRE as u64).map(|n| timers.insert(start, log.waker(n))).collect();
    // The first call sifts as many as it may and fires none yet.
    assert!(log.expire(&mut timers, start).len() < keys.len());
    let live = timers.len();
    let removed = keys.iter().filter(|key| timers.remove(**key).is_some()).count();
    assert_eq!((removed, timers.len()), (live, 0));
    let mut calls = 0;
    while timers.next().is_some() {
        assert!(log.expire(&mut timers, start).is_empty());
        calls += 1;
        assert!(calls < 10);
    }
}
