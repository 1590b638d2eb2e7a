//! Anything that can be sent.
