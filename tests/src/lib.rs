//! What the integration tests share: guards, traffic, a fixed random generator.
