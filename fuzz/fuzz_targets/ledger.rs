//! The ledger against a model. See `aem_fuzz::ledger`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    aem_fuzz::ledger::run(input);
});
