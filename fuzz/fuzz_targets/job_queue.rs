//! Jobs and their queues against a model. See `aem_fuzz::job_queue`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    aem_fuzz::job_queue::run(input);
});
