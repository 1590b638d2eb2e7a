//! Models of the inject queue, with elements that know nothing of jobs.

mod loom_models;
