//! Sizes and identifiers as types. Knows no node.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A size or an offset in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// One mebibyte.
    pub const MIB: Self = Self(1 << 20);
    /// One gibibyte.
    pub const GIB: Self = Self(1 << 30);
}

impl fmt::Display for Bytes {
    /// Three significant digits in binary units: `512 B`, `1.50 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1023.5 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let decimals = if value < 10.0 {
            2
        } else if value < 100.0 {
            1
        } else {
            0
        };
        write!(f, "{value:.decimals$} {}", UNITS[unit])
    }
}

/// A GUID as text in upper case, `8-4-4-4-12`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Guid(String);

/// Text that is not a GUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a GUID (8-4-4-4-12 hexadecimal digits)")]
pub struct GuidError(pub String);

impl Guid {
    /// Checks the form and folds the case.
    ///
    /// # Errors
    /// [`GuidError`] when `text` is not `8-4-4-4-12` hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, GuidError> {
        let groups: Vec<&str> = text.split('-').collect();
        let shape: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let hex = groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if shape == [8, 4, 4, 4, 12] && hex {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(GuidError(text.to_owned()))
        }
    }

    /// The GUID in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Guid {
    type Error = GuidError;
    fn try_from(text: String) -> Result<Self, GuidError> {
        Self::new(&text)
    }
}

impl From<Guid> for String {
    fn from(guid: Guid) -> Self {
        guid.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_print_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536 << 20, "1.50 GiB"),
            (1 << 40, "1.00 TiB"),
            ((1 << 30) - 1, "1.00 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn guids_fold_case_and_refuse_other_shapes() {
        let guid = Guid::new("0fc63daf-8483-4772-8e79-3d69d8477de4").unwrap();
        assert_eq!(guid.as_str(), "0FC63DAF-8483-4772-8E79-3D69D8477DE4");
        for bad in ["", "0fc63daf", "0fc63daf-8483-4772-8e79-3d69d8477deg", "0fc63daf84834772-8e79-3d69d8477de4"] {
            assert!(Guid::new(bad).is_err(), "{bad}");
        }
    }
}
