//! The attribute macros of `aem-rt`.
