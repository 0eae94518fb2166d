//! What `blkid --probe --output export` prints about one device.

use std::collections::BTreeMap;

/// What blkid found on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Filesystem or member type: `ext4`, `LVM2_member`, `crypto_LUKS`.
    pub kind: Option<String>,
    /// Partition table type: `gpt`, `dos`.
    pub table: Option<String>,
    /// UUID as blkid writes it.
    pub uuid: Option<String>,
    /// Label.
    pub label: Option<String>,
}

/// Reads the `KEY=value` lines of one device. Values are escaped with backslashes by blkid.
#[must_use]
pub fn parse(text: &str) -> Found {
    let mut values: BTreeMap<&str, String> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key, unescape(value))).collect();
    Found {
        kind: values.remove("TYPE"),
        table: values.remove("PTTYPE"),
        uuid: values.remove("UUID"),
        label: values.remove("LABEL"),
    }
}

fn unescape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        text.push(if char == '\\' { chars.next().unwrap_or('\\') } else { char });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_outputs_name_what_is_there() {
        let ext = parse(include_str!("../fixtures/blkid-ext4"));
        assert_eq!((ext.kind.as_deref(), ext.label.as_deref()), (Some("ext4"), Some("a label")));
        assert_eq!(ext.uuid.as_deref(), Some("0a0b0c0d-1111-2222-3333-444455556666"));
        let disk = parse(include_str!("../fixtures/blkid-gpt"));
        assert_eq!((disk.kind, disk.table.as_deref()), (None, Some("gpt")));
        for (text, kind) in [
            (include_str!("../fixtures/blkid-luks"), "crypto_LUKS"),
            (include_str!("../fixtures/blkid-lvm"), "LVM2_member"),
            (include_str!("../fixtures/blkid-btrfs"), "btrfs"),
        ] {
            assert_eq!(parse(text).kind.as_deref(), Some(kind));
        }
        assert_eq!(parse(""), Found::default());
    }
}
