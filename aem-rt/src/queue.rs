//! Queues of a worker.
