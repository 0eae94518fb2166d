//! libFuzzer's door to `fuzz::gpt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gpt(data));
