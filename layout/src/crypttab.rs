//! `/etc/crypttab`: which containers are opened at start, by which name, and with what.

use serde::{Deserialize, Serialize};

/// A line of crypttab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrypttabEntry {
    /// Name below `/dev/mapper`.
    pub name: String,
    /// The device: `UUID=…`, a path.
    pub device: String,
    /// A path, or `none`.
    pub key: String,
    /// Options with commas between them.
    pub options: String,
}

/// Bytes of a key file that are the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Where it lies, absolute.
    pub path: String,
    /// First byte.
    pub offset: u64,
    /// Number of bytes; none: to its end.
    pub size: Option<u64>,
}

/// Reads the lines that name a device; the rest is left out.
#[must_use]
pub fn parse(text: &str) -> Vec<CrypttabEntry> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().map(str::to_owned);
            let (name, device) = (fields.next()?, fields.next()?);
            let key = fields.next().filter(|key| key != "-").unwrap_or_else(|| "none".to_owned());
            Some(CrypttabEntry { name, device, key, options: fields.next().unwrap_or_default() })
        })
        .collect()
}

impl CrypttabEntry {
    /// Whether it opens the container with this UUID, whose device had this path and was open under this name.
    #[must_use]
    pub fn opens(&self, uuid: &str, path: &str, name: Option<&str>) -> bool {
        let of_uuid = |text: &str| text.trim_matches('"').eq_ignore_ascii_case(uuid);
        self.device.strip_prefix("UUID=").is_some_and(of_uuid)
            || self.device.strip_prefix("/dev/disk/by-uuid/").is_some_and(of_uuid)
            || self.device == path
            || name == Some(self.name.as_str())
    }

    /// The device gets a key that is drawn at each start: nothing on it outlives a start.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        matches!(self.key.as_str(), "/dev/urandom" | "/dev/random" | "/dev/hw_random")
    }

    /// The key file, where one is named: by the third field, or by systemd's own folder when that is `none`. What a script, a device of its own, a
    /// token or the kernel's keyring gives is none.
    #[must_use]
    pub fn key_file(&self) -> Option<KeyFile> {
        let option = |key: &str| {
            self.options.split(',').find_map(|word| word.trim().strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
        };
        let number = |key: &str| option(key).and_then(|text| text.parse().ok());
        if self.is_volatile() || option("keyscript").is_some() || option("header").is_some() {
            return None;
        }
        let path = match self.key.as_str() {
            "none" => format!("/etc/cryptsetup-keys.d/{}.key", self.name),
            // `/key:UUID=…` lies on a device of its own; devices, sockets and the like have nothing to extract.
            path if path.starts_with('/') && !path.contains(':') && !path.starts_with("/dev/") => path.to_owned(),
            _ => return None,
        };
        Some(KeyFile { path, offset: number("keyfile-offset").unwrap_or(0), size: number("keyfile-size") })
    }
}

impl KeyFile {
    /// The key in the bytes of the file; none where the file is too short.
    #[must_use]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let rest = bytes.get(usize::try_from(self.offset).ok()?..)?;
        match self.size {
            Some(size) => rest.get(..usize::try_from(size).ok()?),
            None => Some(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# <target name> <source device> <key file> <options>\n\
        root UUID=11111111-AAAA-4111-8111-111111111111 none luks,discard\n\
        data\t/dev/disk/by-uuid/22222222-2222-4222-8222-222222222222 /etc/keys/data.key luks,keyfile-offset=4,keyfile-size=8\n\
        swap /dev/vda3 /dev/urandom swap,cipher=aes-xts-plain64\n\
        old /dev/sdb1\n\
        usb UUID=3 /key:LABEL=stick luks\n\
        script UUID=4 /etc/key luks,keyscript=/bin/x\n\
        tpm UUID=5 - tpm2-device=auto\n\n";

    #[test]
    fn lines_are_read_and_matched_by_uuid_path_or_name() {
        let entries = parse(TEXT);
        assert_eq!(entries.len(), 7);
        assert!(entries[0].opens("11111111-aaaa-4111-8111-111111111111", "/dev/vda2", None));
        assert!(entries[1].opens("22222222-2222-4222-8222-222222222222", "", None));
        assert!(entries[3].opens("x", "/dev/sdb1", None) && entries[3].opens("x", "/dev/sdc1", Some("old")));
        assert!(!entries[3].opens("x", "/dev/sdc1", Some("other")));
        assert_eq!(entries[3].key, "none");
    }

    #[test]
    fn key_files_are_told_from_everything_else() {
        let entries = parse(TEXT);
        let paths: Vec<Option<String>> = entries.iter().map(|e| e.key_file().map(|file| file.path)).collect();
        let named = |path: &str| Some(path.to_owned());
        assert_eq!(
            paths,
            [
                named("/etc/cryptsetup-keys.d/root.key"),
                named("/etc/keys/data.key"),
                None,
                named("/etc/cryptsetup-keys.d/old.key"),
                None,
                None,
                named("/etc/cryptsetup-keys.d/tpm.key")
            ]
        );
        assert!(entries[2].is_volatile() && !entries[1].is_volatile());
    }

    #[test]
    fn a_key_is_the_part_of_the_file_that_crypttab_says() {
        let file = parse(TEXT)[1].key_file().unwrap();
        assert_eq!(file.key(b"0123456789abcdef"), Some(&b"456789ab"[..]));
        assert_eq!(file.key(b"0123456789"), None);
        let whole = KeyFile { path: "/k".to_owned(), offset: 0, size: None };
        assert_eq!(whole.key(b"line\n"), Some(&b"line\n"[..]));
    }
}
