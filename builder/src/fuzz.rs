//! libFuzzer's door to the configuration. With the feature `libfuzzer` this program is that fuzz target and nothing else.

use crate::config::Config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(Config::parse(text).is_ok_and(|config| config.version == 1) || Config::parse(text).is_err());
    }
});
