//! A pool that is full, low and dry.

use super::*;

fn receive(pool: &mut Pool, bytes: &[u8]) -> (Chunk, bool) {
    let reception = pool.receive(|buffer| {
        let n = bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        Ok(n)
    });
    match reception.unwrap() {
        Reception::Data { chunk, full } => (chunk, full),
        Reception::End => panic!("no bytes"),
    }
}

#[test]
fn a_dry_pool_starves_nobody() {
    for buffers in [0, 2] {
        let mut pool = Pool::new(buffers * BUFFER_SIZE, BUFFER_SIZE).unwrap();
        let large = vec![7; BUFFER_SIZE];
        let held: Vec<(Chunk, bool)> = (0..5).map(|_| receive(&mut pool, &large)).collect();
        assert!(held.iter().all(|(chunk, full)| *full && chunk[..] == large[..]));
        let (small, full) = receive(&mut pool, b"small");
        assert_eq!((&small[..], full), (&b"small"[..], false));
        assert_eq!(small.into_vec().capacity(), 5, "memory of its own size");
    }
}

#[test]
fn a_failed_receive_keeps_its_buffer_in_hand() {
    let mut pool = Pool::new(BUFFER_SIZE, BUFFER_SIZE).unwrap();
    let failed = pool.receive(|_| Err(io::ErrorKind::WouldBlock.into()));
    assert!(failed.is_err());
    assert!(matches!(pool.receive(|_| Ok(0)), Ok(Reception::End)));
    assert!(pool.in_hand.is_some());
    let (chunk, _) = receive(&mut pool, &vec![1; BUFFER_SIZE]);
    assert!(pool.in_hand.is_none() && pool.spare.is_empty());
    drop(chunk);
}

#[test]
fn small_pieces_leave_a_low_pool() {
    let mut pool = Pool::new(2 * BUFFER_SIZE, BUFFER_SIZE).unwrap();
    let held: Vec<Chunk> = (0..100).map(|_| receive(&mut pool, b"unread").0).collect();
    assert!(pool.in_hand.is_some(), "a hundred unread pieces have not taken all buffers");
    assert!(held.iter().all(|chunk| &chunk[..] == b"unread"));
}
