//! Blocks of ids, one after the other.

use super::*;

#[test]
fn the_last_of_a_block_is_followed_by_the_first_of_another() {
    let before = JobId::next();
    let last = before.0 | (BLOCK - 1);
    NEXT.set(last);
    assert_eq!(JobId::next(), JobId(last));
    let after = JobId::next();
    assert_eq!(after.0 % BLOCK, 1);
    assert!(after.0 > last);
    assert_eq!(JobId::next(), JobId(after.0 + 1));
    assert_eq!(JobId(7 * BLOCK + 12).to_string(), "7.12");
}
