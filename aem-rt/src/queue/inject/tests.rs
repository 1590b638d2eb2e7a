//! Models of the inject queue.
