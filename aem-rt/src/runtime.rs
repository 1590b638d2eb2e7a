//! Runtime, Builder, and the order of shutdown.
