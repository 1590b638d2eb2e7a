//! What the examples of `aem-rt` share. The examples themselves are in the directories beside this one.

pub mod http;
