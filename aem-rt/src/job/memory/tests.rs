//! What is kept, what is not, and that all of it goes back.

use super::*;

fn piece(size: usize, align: usize) -> Piece {
    Piece::new(Layout::from_size_align(size, align).expect("a layout"))
}

/// How many such pieces are kept.
fn kept(memory: &Memory, piece: Piece) -> usize {
    let mut next = memory.lists[piece.class].get();
    std::iter::from_fn(|| {
        // SAFETY: it is in a list.
        next = unsafe { next?.read() }.next;
        Some(())
    })
    .count()
}

#[test]
fn what_was_freed_last_is_given_out_first() {
    let memory = Memory::new();
    let piece = piece(96, 8);
    let cells = [0; 3].map(|_| memory.allocate(piece));
    for cell in cells {
        // SAFETY: allocated above, once.
        unsafe { memory.release(cell, piece) };
    }
    assert_eq!(kept(&memory, piece), 3);
    let again = [0; 3].map(|_| memory.allocate(piece));
    assert_eq!(again, [cells[2], cells[1], cells[0]]);
    assert_eq!((kept(&memory, piece), memory.room.get()), (0, KEPT_MAX));
    for cell in again {
        // SAFETY: allocated above, once.
        unsafe { memory.release(cell, piece) };
    }
}

#[test]
fn sizes_of_one_class_share_pieces_and_others_do_not() {
    let memory = Memory::new();
    let cell = memory.allocate(piece(57, 8));
    // SAFETY: allocated above, for a piece of the same class.
    unsafe { memory.release(cell, piece(72, 16)) };
    assert_eq!(kept(&memory, piece(57, 1)), 1);
    assert_eq!(kept(&memory, piece(56, 8)), 0);
    assert_eq!(kept(&memory, piece(73, 8)), 0);
}

#[test]
fn large_and_widely_aligned_ones_are_not_kept() {
    let memory = Memory::new();
    for odd in [piece(GRAIN * CLASSES + 1, 8), piece(64, 32), piece(1 << 20, 4096)] {
        let cell = memory.allocate(odd);
        assert_eq!(cell.as_ptr() as usize % odd.layout.align(), 0);
        // SAFETY: allocated just now.
        unsafe { memory.release(cell, odd) };
        assert_eq!(memory.room.get(), KEPT_MAX);
    }
}

#[test]
fn no_more_is_kept_than_the_bound() {
    let memory = Memory::new();
    let piece = piece(504, 8);
    let most = KEPT_MAX / 504;
    let cells: Vec<_> = (0..most + 10).map(|_| memory.allocate(piece)).collect();
    for cell in cells {
        // SAFETY: allocated above, once.
        unsafe { memory.release(cell, piece) };
    }
    assert_eq!((kept(&memory, piece), memory.room.get()), (most, KEPT_MAX - most * 504));
}

#[test]
fn a_piece_may_go_back_on_another_thread() {
    let memory = Memory::new();
    let piece = piece(100, 8);
    let address = memory.allocate(piece).as_ptr().expose_provenance();
    let elsewhere = std::thread::spawn(move || {
        let cell = std::ptr::with_exposed_provenance_mut::<u8>(address);
        // SAFETY: allocated for such a piece by the other thread, which does not use it.
        unsafe { piece.release(NonNull::new(cell).expect("memory")) };
    });
    elsewhere.join().expect("no panic");
    let posted = piece.allocate();
    // SAFETY: allocated just now.
    unsafe { memory.release(posted, piece) };
    assert_eq!(kept(&memory, piece), 1);
}
