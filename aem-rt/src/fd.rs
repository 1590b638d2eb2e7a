//! Any pollable descriptor as a source of readiness.
