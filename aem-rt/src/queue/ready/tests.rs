//! The ready queue: order, ageing bounds, length.

use super::*;

struct Node {
    link: Cell<Option<NonNull<Node>>>,
    name: usize,
    priority: Priority,
}

// SAFETY: the cell is a field, and only lists of these tests write it.
unsafe impl Linked for Node {
    fn link(&self) -> &Cell<Option<NonNull<Self>>> {
        &self.link
    }
}

#[expect(clippy::vec_box, reason = "the nodes must not move")]
fn nodes(priorities: &[Priority]) -> Vec<Box<Node>> {
    let make = |(name, &priority)| Box::new(Node { link: Cell::new(None), name, priority });
    priorities.iter().enumerate().map(make).collect()
}

fn push(ready: &mut Ready<Node>, node: &Node) {
    // SAFETY: the boxes of each test outlive its queue, and each is pushed once at a time.
    unsafe { ready.push(NonNull::from(node), node.priority) };
}

fn pop(ready: &mut Ready<Node>) -> Option<usize> {
    // SAFETY: as in `push`.
    ready.pop().map(|node| unsafe { node.as_ref() }.name)
}

#[test]
fn arrival_order_within_a_priority() {
    use Priority::{High, Low, Normal};
    let nodes = nodes(&[Low, Normal, High, Normal, Low, High]);
    let mut ready = Ready::new();
    nodes.iter().for_each(|node| push(&mut ready, node));
    assert_eq!(ready.len(), 6);
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut ready)).collect();
    assert_eq!(order, [2, 5, 1, 3, 0, 4]);
    assert_eq!(ready.len(), 0);
}

#[test]
fn who_is_served_each_time_does_not_age() {
    use Priority::{High, Low, Normal};
    for lower in [Normal, Low] {
        let nodes = nodes(&[lower, High]);
        let mut ready = Ready::new();
        for _ in 0..10 * LOW_AGE {
            nodes.iter().for_each(|node| push(&mut ready, node));
            assert_eq!((pop(&mut ready), pop(&mut ready)), (Some(1), Some(0)), "High first");
        }
    }
}

#[test]
fn low_is_late_but_never_starved() {
    use Priority::{High, Low, Normal};
    let nodes = nodes(&[High, Normal, Low]);
    let mut ready = Ready::new();
    nodes.iter().for_each(|node| push(&mut ready, node));
    let mut runs = [0u32; 3];
    let mut since = [0u32; 3];
    for _ in 0..10_000 {
        let name = pop(&mut ready).expect("three jobs requeue for ever");
        runs[name] += 1;
        since.iter_mut().for_each(|pops| *pops += 1);
        since[name] = 0;
        assert!(since[1] <= NORMAL_AGE + 1, "Normal waited {} pops", since[1]);
        assert!(since[2] <= LOW_AGE + 1, "Low waited {} pops", since[2]);
        push(&mut ready, &nodes[name]);
    }
    assert!(runs[0] > 9_000, "High has most of the worker: {runs:?}");
    assert!(runs[2] >= 10_000 / (LOW_AGE + 2), "Low has its share: {runs:?}");
}

#[test]
fn the_only_urgent_job_starves_nobody_by_coming_back() {
    use Priority::{High, Low, Normal};
    for (upper, lower, age) in
        [(High, Normal, NORMAL_AGE), (High, Low, LOW_AGE), (Normal, Low, LOW_AGE)]
    {
        let nodes = nodes(&[upper, lower]);
        let mut ready = Ready::new();
        nodes.iter().for_each(|node| push(&mut ready, node));
        let mut runs = [0u32; 2];
        let mut since = 0;
        for _ in 0..10_000 {
            let name = pop(&mut ready).expect("two jobs requeue for ever");
            runs[name] += 1;
            since = if name == 1 { 0 } else { since + 1 };
            assert!(since <= age, "{lower:?} behind {upper:?} waited {since} pops");
            push(&mut ready, &nodes[name]);
        }
        assert!(runs[0] > 9_000, "{upper:?} has most of the worker: {runs:?}");
    }
}
