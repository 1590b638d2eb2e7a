//! Models of jobs.
