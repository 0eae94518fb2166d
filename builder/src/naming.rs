//! How people name a snapshot: `latest`, `latest~2` for the second before it, or a number.

use std::str::FromStr;

use manifest::Serial;

/// A snapshot as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotName {
    /// So many snapshots before the newest; what was pruned is not counted.
    Latest(usize),
    /// By number.
    Number(Serial),
}

impl FromStr for SnapshotName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let back = match text.strip_prefix("latest") {
            Some("") => Ok(Self::Latest(0)),
            Some(rest) => rest.strip_prefix('~').unwrap_or("?").parse().map(Self::Latest),
            None => text.parse().map(|number| Self::Number(Serial(number))),
        };
        back.map_err(|_| format!("the snapshot {text:?}: `latest`, `latest~1` or a number is wanted"))
    }
}

impl SnapshotName {
    /// The one that is meant among `serials`, which ascend.
    pub fn among(self, serials: &[Serial]) -> Option<Serial> {
        match self {
            Self::Latest(back) => serials.iter().rev().nth(back).copied(),
            Self::Number(wanted) => serials.iter().find(|serial| **serial == wanted).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_named_by_number_or_back_from_the_newest() {
        let serials = [Serial(2), Serial(5), Serial(9)];
        let found = |text: &str| text.parse::<SnapshotName>().unwrap().among(&serials);
        assert_eq!(found("latest"), Some(Serial(9)));
        assert_eq!(found("latest~1"), Some(Serial(5)));
        assert_eq!(found("latest~3"), None);
        assert_eq!(found("5"), Some(Serial(5)));
        assert_eq!(found("4"), None);
        for bad in ["", "latest~", "latest1", "newest", "-1", "latest~-1", "latest~~1"] {
            assert!(bad.parse::<SnapshotName>().is_err(), "{bad}");
        }
    }
}
