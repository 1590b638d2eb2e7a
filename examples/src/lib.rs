//! The examples of `aem-rt` are the files beside this one.
