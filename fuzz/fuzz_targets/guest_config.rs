//! libFuzzer's door to `fuzz::guest_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::guest_config(data));
