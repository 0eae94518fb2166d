//! libFuzzer's door to `fuzz::catalogue`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::catalogue(data));
