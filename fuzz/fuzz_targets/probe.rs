//! libFuzzer's door to `fuzz::probe`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::probe(data));
