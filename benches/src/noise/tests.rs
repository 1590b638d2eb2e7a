//! Tests of what is read and counted.

use super::*;

#[test]
fn two_cores_are_added_up() {
    let text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 400 500 6 7 8 0 0\n\
                cpu1 10 20 30 4 5 60 70 80 0 0\ncpu2 1 1 1 1 1 1 1 1 1 1\nintr 5\n";
    let cores = Cores::read(text).unwrap();
    assert_eq!((cores.busy, cores.stolen), (209, 88));
}

#[test]
fn own_work_is_no_noise() {
    let (watch, before) = (Watch::start().unwrap(), own_nanos().unwrap());
    let began = Instant::now();
    while began.elapsed() < SHORTEST {}
    let own = own_nanos().unwrap() - before;
    let noise = watch.stop().unwrap();
    // Other tests may run beside, in this process or another.
    assert!(own >= SHORTEST.as_nanos() as u64 / 4, "{own} ns");
    assert!(noise.core_time >= 2 * SHORTEST && noise.share() <= 1.1, "{noise:?}");
}
