//! The errors that users meet.
