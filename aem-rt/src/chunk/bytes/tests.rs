//! Every owner is given up once, on whatever thread.

use super::*;

#[test]
fn bytes_are_those_of_their_owner() {
    let shared: Arc<[u8]> = Arc::from(*b"shared");
    let all: [(Bytes, Origin, &[u8]); 6] = [
        (b"static".as_slice().into(), Origin::Static, b"static"),
        (b"".as_slice().into(), Origin::Static, b""),
        (shared.clone().into(), Origin::Shared, b"shared"),
        (Arc::<[u8]>::from(*b"").into(), Origin::Shared, b""),
        (Chunk::from(b"vector".to_vec()).into(), Origin::Vector, b"vector"),
        (Chunk::from(b"cut".to_vec()).split_to(1).into(), Origin::Chunk, b"c"),
    ];
    assert_eq!(Arc::strong_count(&shared), 2);
    for (bytes, origin, expected) in all {
        assert_eq!((bytes.origin(), &bytes[..]), (origin, expected));
    }
    assert_eq!(Arc::strong_count(&shared), 1);
}

#[test]
fn the_last_reference_may_go_on_another_thread() {
    let shared: Arc<[u8]> = Arc::from(vec![7; 1000]);
    let weak = Arc::downgrade(&shared);
    let bytes = Bytes::from(shared);
    let sum =
        std::thread::spawn(move || bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>());
    assert_eq!(sum.join().expect("no panic"), 7000);
    assert!(weak.upgrade().is_none());
}

#[test]
fn bytes_are_three_words_and_so_is_none() {
    assert_eq!(size_of::<Option<Bytes>>(), 3 * size_of::<usize>());
}
