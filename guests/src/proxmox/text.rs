//! What the configuration files have in common: words, lists, options, encoded characters, and errors that name file and line.

use std::collections::BTreeMap;

/// A configuration file that breaks its grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {what}")]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Where in a file one is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
}

impl Place<'_> {
    pub(super) fn error(self, what: impl Into<String>) -> ConfigError {
        ConfigError { file: self.file.to_owned(), line: self.line, what: what.into() }
    }
}

/// Lines with their numbers; a carriage return and blanks at the end do not count.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end()))
}

/// A yes or no in one of the ways in which it is written.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Words with commas, semicolons or blanks between them.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split([',', ';', ' ', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A size in bytes: `32G`, `528K`, `4096`, `1.5T`.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u32 = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return None,
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || part.len() > 9 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << unit)?;
    let tenths = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let part = (part.parse::<u128>().unwrap_or(0) << unit) / tenths;
    whole.checked_add(u64::try_from(part).ok()?)
}

/// Decodes `%` and two digits; what is none of that stays. Descriptions, and serial numbers and models of disks, are written so.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|digits| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
        });
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `VALUE,key=value,…`, where the first may stand without its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) first: Option<String>,
    pub(super) named: BTreeMap<String, String>,
}

impl Properties {
    /// Reads them; `key` is the name that the value without one has.
    ///
    /// # Errors
    /// What is wrong: something that comes twice, or has no name where one is wanted.
    pub(super) fn parse(text: &str, key: &str) -> Result<Self, String> {
        let mut properties = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = match part.split_once('=').filter(|(name, _)| is_key(name)) {
                Some((name, value)) => (name, value),
                None if properties.first.is_none() => (key, part),
                None => return Err(format!("{part:?} is not of the form key=value")),
            };
            let twice = if name == key {
                properties.first.replace(value.to_owned()).is_some()
            } else {
                properties.named.insert(name.to_owned(), value.to_owned()).is_some()
            };
            if twice {
                return Err(format!("{name} comes twice"));
            }
        }
        Ok(properties)
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.named.get(key).map(String::as_str)
    }

    /// A yes or no, or `otherwise` where it is not there.
    pub(super) fn boolean(&self, key: &str, otherwise: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(otherwise),
            Some(text) => boolean(text).ok_or_else(|| format!("{key}={text} is neither yes nor no")),
        }
    }
}

fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit() {
        let sizes = [("32G", 32 << 30), ("528K", 528 << 10), ("4M", 4 << 20), ("4096", 4096), ("1.5T", 3 << 39)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "G", "32GB", "-1", ".5G", "1.x", "99999999999T", "1.0000000000001G", "32 G"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn encoded_characters_are_decoded_and_the_rest_stays() {
        assert_eq!(decode("a%0Ab%3A%25%"), "a\nb:%%");
        assert_eq!(decode("caf%C3%A9 100%zz"), "café 100%zz");
    }

    #[test]
    fn options_are_read_with_and_without_the_first_name() {
        let read = |text| Properties::parse(text, "file");
        let properties = read("local-lvm:vm-100-disk-0,discard=on,size=32G").unwrap();
        assert_eq!(properties.first.as_deref(), Some("local-lvm:vm-100-disk-0"));
        assert_eq!(properties.get("size"), Some("32G"));
        assert_eq!(read("size=1G,file=a:b").unwrap().first.as_deref(), Some("a:b"));
        assert_eq!(read("/mnt/a=b,mp=/c").unwrap().first.as_deref(), Some("/mnt/a=b"));
        assert_eq!(read("a:b,c").unwrap_err(), "\"c\" is not of the form key=value");
        assert_eq!(read("a:b,size=1,size=2").unwrap_err(), "size comes twice");
        assert_eq!(read("a:b,file=c").unwrap_err(), "file comes twice");
        assert!(read("a:b,backup=maybe").unwrap().boolean("backup", true).is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in "\\PC{0,40}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode(&encoded), text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-0-9a-zA-Z%=,:. ]{0,60}") {
            let _ = (decode(&text), size(&text), Properties::parse(&text, "file"), list(&text), boolean(&text));
        }
    }
}
