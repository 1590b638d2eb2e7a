//! The only door to `std`'s or loom's shared memory.
