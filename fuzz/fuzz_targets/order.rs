//! libFuzzer's door to `fuzz::order`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::order(data));
