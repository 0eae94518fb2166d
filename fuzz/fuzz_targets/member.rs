//! libFuzzer's door to `fuzz::member`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::member(data));
