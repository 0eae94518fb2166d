//! libFuzzer's door to `fuzz::vault_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::vault_json(data));
