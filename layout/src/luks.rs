//! LUKS containers, versions 1 and 2. The header itself, with its key slots, is secret and is kept elsewhere, sealed.

mod make;
pub mod token;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// A LUKS container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Luks {
    /// 1 or 2.
    pub version: u8,
    /// UUID in lower case.
    pub uuid: String,
    /// Label (version 2), empty where none is set.
    pub label: String,
    /// Cipher and mode as the kernel's crypto names them: `aes-xts-plain64`.
    pub cipher: String,
    /// Bits of the volume key.
    pub key_bits: u32,
    /// Bytes of an encryption sector.
    pub sector_size: u32,
    /// First byte of the data.
    pub data_start: Bytes,
    /// Numbers of the key slots in use.
    pub slots: Vec<u32>,
    /// Types of the tokens (version 2): `systemd-tpm2`, `systemd-fido2`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// Name of the opened container below `/dev/mapper`, where it was open when captured.
    pub name: Option<String>,
    /// Why it cannot be brought back: a data segment of fixed size, integrity tags, a reencryption under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<String>,
}

/// Output that is not cryptsetup's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cryptsetup's dump has no {0}")]
pub struct DumpError(&'static str);

impl Luks {
    /// Reads `cryptsetup luksDump`.
    ///
    /// # Errors
    /// When it is no dump of version 1 or 2.
    pub fn parse(text: &str) -> Result<Self, DumpError> {
        let value = |key: &'static str| {
            let found = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'));
            found.map(str::trim).ok_or(DumpError(key))
        };
        let bytes = |key: &'static str| -> Result<u64, DumpError> {
            value(key)?.split(' ').next().and_then(|number| number.parse().ok()).ok_or(DumpError(key))
        };
        let number = |key: &'static str| bytes(key).map(|value| u32::try_from(value).unwrap_or(0));
        let uuid = value("UUID")?.to_lowercase();
        match value("Version")? {
            "1" => Ok(Self {
                version: 1,
                uuid,
                label: String::new(),
                cipher: format!("{}-{}", value("Cipher name")?, value("Cipher mode")?),
                key_bits: number("MK bits")?,
                sector_size: 512,
                data_start: Bytes(bytes("Payload offset")?.saturating_mul(512)),
                slots: old_slots(text),
                tokens: Vec::new(),
                name: None,
                hindrance: None,
            }),
            "2" => Ok(Self {
                version: 2,
                uuid,
                label: value("Label").map(|label| if label == "(no label)" { "" } else { label })?.to_owned(),
                cipher: value("cipher")?.to_owned(),
                key_bits: number("Cipher key").or_else(|_| number("Key"))?,
                sector_size: number("sector")?,
                data_start: Bytes(bytes("offset")?),
                slots: section(text, "Keyslots:").filter_map(|(slot, _)| slot.parse().ok()).collect(),
                tokens: section(text, "Tokens:").map(|(_, kind)| kind.to_owned()).collect(),
                name: None,
                hindrance: hindrance(text),
            }),
            _ => Err(DumpError("version that is known here")),
        }
    }

    /// Whether a TPM opens it: only the one that it was enrolled with.
    #[must_use]
    pub fn has_tpm(&self) -> bool {
        self.tokens.iter().any(|token| token == "systemd-tpm2")
    }
}

/// What of version 2 is more than a header and one plain segment to the device's end.
fn hindrance(text: &str) -> Option<String> {
    let value = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key)).map(str::trim);
    let segments = section(text, "Data segments:").count();
    if let Some(needs) = value("Requirements:").filter(|needs| !needs.is_empty()) {
        return Some(format!("it needs {needs}: finish the reencryption first"));
    }
    if segments != 1 {
        return Some(format!("it has {segments} data segments: a reencryption is under way"));
    }
    if let Some(tags) = value("integrity:") {
        return Some(format!("its sectors carry integrity tags ({tags}), which only formatting anew makes"));
    }
    let length = value("length:").unwrap_or_default();
    (length != "(whole device)").then(|| format!("its data segment has the fixed length {length}"))
}

/// The `N: type` lines of a section of version 2.
fn section<'a>(text: &'a str, heading: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let lines = text.lines().skip_while(move |line| *line != heading).skip(1);
    let lines = lines.take_while(|line| line.starts_with([' ', '\t']));
    lines.filter_map(|line| {
        let (number, kind) = line.strip_prefix("  ")?.split_once(':')?;
        number.chars().all(|char| char.is_ascii_digit()).then(|| (number, kind.trim()))
    })
}

fn old_slots(text: &str) -> Vec<u32> {
    let enabled = text.lines().filter_map(|line| line.strip_prefix("Key Slot ")?.strip_suffix(": ENABLED"));
    enabled.filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read_from_captured_dumps() {
        let two = Luks::parse(include_str!("../fixtures/stacks/luks2.dump")).unwrap();
        assert_eq!((two.version, two.label.as_str(), two.cipher.as_str()), (2, "sealed", "aes-xts-plain64"));
        assert_eq!((two.key_bits, two.sector_size, two.data_start), (512, 512, Bytes(16 << 20)));
        assert_eq!((two.slots.as_slice(), two.tokens.len()), (&[0][..], 0));
        assert_eq!(two.hindrance, None);
        let one = Luks::parse(include_str!("../fixtures/stacks/luks1.dump")).unwrap();
        assert_eq!((one.version, one.uuid.as_str()), (1, "33333333-3333-4333-8333-333333333333"));
        assert_eq!((one.cipher.as_str(), one.data_start), ("aes-xts-plain64", Bytes(2 << 20)));
        assert_eq!(one.slots, [0]);
    }

    #[test]
    fn slots_and_tokens_are_told_and_a_reencryption_that_was_begun_is_a_hindrance() {
        let tpm = Luks::parse(include_str!("../fixtures/stacks/luks2-tpm.dump")).unwrap();
        assert_eq!((tpm.slots.as_slice(), tpm.tokens.as_slice()), (&[0, 1][..], &["systemd-tpm2".to_owned()][..]));
        assert!(tpm.has_tpm() && tpm.hindrance.is_none());
        let begun = Luks::parse(include_str!("../fixtures/stacks/luks2-reencrypt.dump")).unwrap();
        assert!(begun.hindrance.unwrap().contains("online-reencrypt-v2"));
        let whole = include_str!("../fixtures/stacks/luks2.dump");
        let fixed = Luks::parse(&whole.replace("(whole device)", "8388608 [bytes]")).unwrap();
        assert_eq!(fixed.hindrance.unwrap(), "its data segment has the fixed length 8388608 [bytes]");
        let tags = whole.replace("\tsector: 512 [bytes]\n", "\tsector: 512 [bytes]\n\tintegrity: hmac(sha256)\n");
        assert!(Luks::parse(&tags).unwrap().hindrance.unwrap().contains("hmac(sha256)"));
    }

    /// The lab wrote saved headers back and opened both containers, by passphrase and by volume key, as the rescue does.
    #[test]
    fn a_restored_header_opens_what_lay_in_the_captured_containers() {
        let two = include_str!("../fixtures/stacks/luks2.restored");
        let held = include_str!("../fixtures/stacks/lsblk-luks.json");
        let size =
            two.lines().find_map(|line| line.trim().strip_prefix("size:")?.trim().split(' ').next()?.parse().ok());
        let size: u64 = size.unwrap();
        assert!(held.contains(&format!("\"size\": {}", size * 512)), "{size}");
        assert!(two.contains("TYPE=LVM2_member") && two.contains("key location: dm-crypt"));
        assert!(include_str!("../fixtures/stacks/luks1.restored").contains("is active"));
    }

    #[test]
    fn other_text_is_no_container() {
        assert_eq!(Luks::parse(""), Err(DumpError("UUID")));
        let later = include_str!("../fixtures/stacks/luks2.dump").replacen("\t2", "\t3", 1);
        assert!(Luks::parse(&later).is_err());
    }
}
