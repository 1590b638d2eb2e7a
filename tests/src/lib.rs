//! What the integration tests share: guards, traffic, a fixed random generator.

pub mod child;
pub mod proc;
pub mod scale;
