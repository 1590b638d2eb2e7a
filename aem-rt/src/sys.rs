//! System calls as safe functions.
