//! Chunks of every kind of memory: shared, cut, carried away, outliving their pool.

use std::thread;

use super::arena::Arena;
use super::*;

fn filled(arena: &mut Arena, bytes: &[u8]) -> Chunk {
    let mut chunk = arena.take().expect("a free buffer");
    chunk[..bytes.len()].copy_from_slice(bytes);
    chunk.truncate(bytes.len());
    chunk
}

#[test]
fn is_three_words_and_empty_costs_nothing() {
    assert!(size_of::<Chunk>() <= 24);
    assert!(size_of::<Option<Chunk>>() <= 24);
    let empty = Chunk::default();
    assert!(empty.owner.is_null() && empty.is_empty());
    assert_eq!(Chunk::from(Vec::new()), empty);
}

#[test]
fn a_vector_comes_back_as_the_same_memory() {
    let vector = b"hello".to_vec();
    let start = vector.as_ptr();
    let back = Chunk::from(vector).into_vec();
    assert_eq!(back.as_ptr(), start);
    assert_eq!(back, b"hello");
}

#[test]
fn cut_chunks_share_memory_and_no_byte() {
    let mut arena = Arena::new(1, 64).unwrap();
    for mut whole in [Chunk::from(b"abcdef".to_vec()), filled(&mut arena, b"abcdef")] {
        let mut head = whole.split_to(2);
        let mut middle = whole.split_to(3);
        head[0] = b'A';
        middle.make_ascii_uppercase();
        whole[0] = b'F';
        assert_eq!((&head[..], &middle[..], &whole[..]), (&b"Ab"[..], &b"CDE"[..], &b"F"[..]));
        drop(middle);
        assert_eq!(whole.split_to(0), Chunk::default());
        let rest = whole.split_to(1);
        assert!(whole.is_empty());
        assert_eq!(head.into_vec(), b"Ab");
        assert_eq!(rest.into_vec(), b"F");
    }
    assert!(arena.take().is_some(), "the buffer is back with the last of its chunks");
}

#[test]
#[should_panic(expected = "cannot cut 4 bytes off a chunk of 3")]
fn cutting_too_much_panics() {
    let _ = Chunk::from(vec![1, 2, 3]).split_to(4);
}

#[test]
fn a_pool_lends_what_it_has_and_reuses_the_last() {
    let mut arena = Arena::new(3, 16).unwrap();
    let lent: Vec<Chunk> = (0..3).map(|_| arena.take().unwrap()).collect();
    assert!(arena.take().is_none());
    let last = lent[1].as_ptr();
    let [first, second, third] = <[Chunk; 3]>::try_from(lent).unwrap();
    drop((first, third));
    drop(second);
    assert_eq!(arena.take().unwrap().as_ptr(), last);
    assert!(Arena::new(0, 16).unwrap().take().is_none());
}

#[test]
fn a_pool_says_when_it_is_low() {
    let mut arena = Arena::new(64, 16).unwrap();
    let mut lent: Vec<Chunk> = (0..50).map(|_| arena.take().unwrap()).collect();
    assert!(!arena.is_low());
    lent.extend((0..14).map(|_| arena.take().unwrap()));
    assert!(arena.is_low());
    drop(lent);
    let _one = arena.take();
    assert!(!arena.is_low());
}

#[test]
fn a_chunk_outlives_its_pool() {
    let mut arena = Arena::new(2, 64).unwrap();
    let mut kept = filled(&mut arena, b"kept after all");
    let _other = arena.take();
    drop(arena);
    let head = kept.split_to(4);
    assert_eq!(&head[..], b"kept");
    assert_eq!(&kept[..], b" after all");
}

#[test]
fn leaving_the_pool_frees_the_buffer_and_keeps_the_bytes() {
    let mut arena = Arena::new(1, 64).unwrap();
    let mut chunk = filled(&mut arena, b"unread");
    assert!(arena.take().is_none());
    chunk.leave_pool();
    assert_eq!(&chunk[..], b"unread");
    assert!(arena.take().is_some());
}

#[test]
fn chunks_go_home_from_other_threads() {
    // Under Miri, which this test is for, a few rounds show what there is to show.
    let rounds = if cfg!(miri) { 20 } else { 2_000 };
    let mut arena = Arena::new(8, 32).unwrap();
    let (send, receive) = std::sync::mpsc::channel::<Chunk>();
    let (send_too, receive_too) = std::sync::mpsc::channel::<Chunk>();
    let threads = [receive, receive_too].map(|inbox| {
        thread::spawn(move || inbox.iter().map(|chunk| usize::from(chunk[0])).sum::<usize>())
    });
    let mut sent = 0;
    while sent < rounds {
        let Some(mut chunk) = arena.take() else {
            thread::yield_now();
            continue;
        };
        chunk.fill(1);
        send.send(chunk.split_to(16)).unwrap();
        send_too.send(chunk).unwrap();
        sent += 1;
    }
    drop((send, send_too, arena));
    let sum: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(sum, 2 * rounds);
}

#[test]
fn prints_as_a_byte_string() {
    assert_eq!(format!("{:?}", Chunk::from(b"a\"\r\n\xff".to_vec())), r#"b"a\"\r\n\xff""#);
}
