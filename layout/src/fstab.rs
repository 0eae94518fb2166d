//! `/etc/fstab` and `/proc/swaps`: what is meant to be mounted, and which swap areas are in use.

use serde::{Deserialize, Serialize};

use crate::mountinfo::unescape;
use crate::units::Bytes;

/// One line of fstab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FstabEntry {
    /// What is mounted, as it is written: `UUID=...`, `LABEL=...`, `/dev/sda1`, `server:/export`.
    pub spec: String,
    /// Where; `none` for swap.
    pub path: String,
    /// Filesystem type.
    pub fstype: String,
    /// Options.
    pub options: String,
}

impl FstabEntry {
    /// Whether it names a device by a name that the kernel gives by order of discovery (`/dev/sda1`): such a line may
    /// mean another device on another machine.
    #[must_use]
    pub fn names_kernel_device(&self) -> bool {
        let Some(name) = self.spec.strip_prefix("/dev/") else { return false };
        ["sd", "hd", "vd", "xvd", "nvme", "mmcblk"].iter().any(|prefix| name.starts_with(prefix))
    }
}

/// A swap area in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapInUse {
    /// Device or file.
    pub path: String,
    /// It is a file, not a device.
    pub file: bool,
    /// Its size.
    pub size: Bytes,
}

/// Reads fstab; comments and lines with fewer than three fields are passed over.
#[must_use]
pub fn parse(text: &str) -> Vec<FstabEntry> {
    let fields = text.lines().map(str::trim).filter(|line| !line.starts_with('#')).map(|line| {
        line.split_ascii_whitespace()
            .map(|field| String::from_utf8_lossy(&unescape(field.as_bytes())).into_owned())
            .collect::<Vec<String>>()
    });
    fields
        .filter_map(|fields| {
            let mut fields = fields.into_iter();
            Some(FstabEntry {
                spec: fields.next()?,
                path: fields.next()?,
                fstype: fields.next()?,
                options: fields.next().unwrap_or_else(|| "defaults".into()),
            })
        })
        .collect()
}

/// Reads `/proc/swaps`.
#[must_use]
pub fn parse_swaps(text: &str) -> Vec<SwapInUse> {
    let lines = text.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    lines
        .filter_map(|fields| {
            let path = String::from_utf8_lossy(&unescape(fields.first()?.as_bytes())).into_owned();
            // The kernel counts in KiB and does not count the header's page.
            let kib: u64 = fields.get(2)?.parse().ok()?;
            Some(SwapInUse { path, file: fields[1] == "file", size: Bytes(kib.saturating_mul(1024)) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fstab_lines_are_read_with_spaces_and_without_options() {
        let text = "# comment\n\nUUID=1234 / ext4 errors=remount-ro 0 1\n/dev/sda3\t/srv/my\\040data xfs\n  LABEL=x none swap sw 0 0\nbroken line\n";
        let entries = parse(text);
        let paths: Vec<(&str, &str)> =
            entries.iter().map(|entry| (entry.path.as_str(), entry.options.as_str())).collect();
        assert_eq!(paths, [("/", "errors=remount-ro"), ("/srv/my data", "defaults"), ("none", "sw")]);
        let kernel: Vec<bool> = entries.iter().map(FstabEntry::names_kernel_device).collect();
        assert_eq!(kernel, [false, true, false]);
    }

    #[test]
    fn swaps_in_use_are_read_from_a_captured_table() {
        let swaps = parse_swaps(include_str!("../fixtures/swaps"));
        assert_eq!(swaps.len(), 2, "{swaps:?}");
        assert!(swaps[0].file && swaps[0].path.ends_with("swap file"), "{swaps:?}");
        assert!(!swaps[1].file && swaps[1].path.starts_with("/dev/loop"), "{swaps:?}");
        assert_eq!(swaps[0].size, Bytes((1 << 20) - 4096));
    }
}
