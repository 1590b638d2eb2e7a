//! The unit that runs.
