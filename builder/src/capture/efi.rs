//! UEFI variables of the boot manager, read from efivarfs and parsed here (UEFI specification 2.10, 3.1.3 and 10.3).

use layout::Guid;
use manifest::host::{EfiBoot, EfiEntry};

use super::source::Source;

const FOLDER: &str = "/sys/firmware/efi/efivars";
/// The vendor GUID of the boot manager's variables.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The boot manager's variables; `None` when there are none to be read.
pub(super) fn boot(source: &Source) -> Option<EfiBoot> {
    let names = source.names(FOLDER);
    let suffix = format!("-{GLOBAL}");
    let mut boot = EfiBoot::default();
    let mut found = false;
    for name in names.iter().filter_map(|name| name.strip_suffix(&suffix)) {
        let Some(value) = variable(source, name) else { continue };
        let first = || u16s(&value).first().copied();
        match name {
            "BootCurrent" => boot.current = first(),
            "BootNext" => boot.next = first(),
            "BootOrder" => boot.order = u16s(&value),
            "Timeout" => boot.timeout = first(),
            _ => {
                let number = name.strip_prefix("Boot").filter(|digits| digits.len() == 4);
                let Some(number) = number.and_then(|digits| u16::from_str_radix(digits, 16).ok()) else { continue };
                boot.entries.extend(entry(number, &value));
            }
        }
        found = true;
    }
    boot.entries.sort_by_key(|entry| entry.number);
    found.then_some(boot)
}

/// Whether Secure Boot is enforced; `None` where the firmware does not say.
pub(super) fn secure_boot(source: &Source) -> Option<bool> {
    variable(source, "SecureBoot").and_then(|value| value.first().map(|byte| *byte == 1))
}

/// A variable without the four bytes of attributes that efivarfs puts in front.
fn variable(source: &Source, name: &str) -> Option<Vec<u8>> {
    let bytes = source.bytes(format!("{FOLDER}/{name}-{GLOBAL}")).ok()?;
    Some(bytes.get(4..)?.to_vec())
}

fn u16s(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// A boot entry: EFI_LOAD_OPTION.
pub(super) fn entry(number: u16, value: &[u8]) -> Option<EfiEntry> {
    let attributes = u32::from_le_bytes(*value.first_chunk()?);
    let path_length = usize::from(u16::from_le_bytes([*value.get(4)?, *value.get(5)?]));
    let (label, rest) = text(value.get(6..)?);
    let mut nodes = &rest[..path_length.min(rest.len())];
    let (mut partition, mut file) = (None, None);
    // Type, subtype, length with these four bytes.
    while let [kind, subtype, low, high, ..] = nodes {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some(data) = nodes.get(4..length) else { break };
        match (kind, subtype) {
            // Hard drive; signature type 2 is a partition's GUID.
            (4, 1) if data.get(37) == Some(&2) => partition = data.get(20..36).and_then(guid),
            (4, 4) => file = Some(format!("{}{}", file.unwrap_or_default(), text(data).0)),
            (0x7f, _) => break,
            _ => {}
        }
        nodes = &nodes[length..];
    }
    let raw = value.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(EfiEntry { number, active: attributes & 1 != 0, label, partition, file, raw })
}

/// UTF-16 up to a zero, and what follows it.
fn text(bytes: &[u8]) -> (String, &[u8]) {
    let units = u16s(bytes);
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    (String::from_utf16_lossy(&units[..end]), bytes.get(2 * end + 2..).unwrap_or_default())
}

/// Sixteen bytes as EFI stores a GUID: the first three groups little-endian.
fn guid(bytes: &[u8]) -> Option<Guid> {
    let hex = |range: &[usize]| range.iter().map(|index| format!("{:02x}", bytes[*index])).collect::<String>();
    let groups = [hex(&[3, 2, 1, 0]), hex(&[5, 4]), hex(&[7, 6]), hex(&[8, 9]), hex(&[10, 11, 12, 13, 14, 15])];
    Guid::new(&groups.join("-")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Boot0004` of a Debian guest on OVMF, as efivarfs shows it, without the attributes.
    fn debian() -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0, 0x62, 0];
        bytes.extend("debian\0".encode_utf16().flat_map(u16::to_le_bytes));
        bytes.extend([4, 1, 42, 0, 1, 0, 0, 0]);
        bytes.extend(2048u64.to_le_bytes());
        bytes.extend(131_072u64.to_le_bytes());
        bytes.extend([
            0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b, 2, 2,
        ]);
        let file: Vec<u8> = "\\EFI\\debian\\shimx64.efi\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.extend([4, 4]);
        bytes.extend((file.len() as u16 + 4).to_le_bytes());
        bytes.extend(file);
        bytes.extend([0x7f, 0xff, 4, 0]);
        bytes
    }

    #[test]
    fn an_entry_names_its_partition_and_file() {
        let entry = entry(4, &debian()).unwrap();
        assert_eq!((entry.active, entry.label.as_str()), (true, "debian"));
        assert_eq!(entry.file.as_deref(), Some("\\EFI\\debian\\shimx64.efi"));
        assert_eq!(entry.partition.unwrap().as_str(), "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
        assert!(entry.raw.starts_with("010000006200640065"), "{}", entry.raw);
    }

    #[test]
    fn an_entry_that_is_cut_anywhere_is_read_as_far_as_it_goes() {
        let whole = debian();
        for length in 0..whole.len() {
            let _ = entry(0, &whole[..length]);
        }
        assert!(entry(0, &[0; 5]).is_none());
        // A node that claims no length must not be read for ever.
        let mut stuck = debian();
        stuck[22..24].copy_from_slice(&[0, 0]);
        assert!(entry(0, &stuck).is_some());
    }

    #[test]
    fn order_current_and_secure_boot_are_read_from_files() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/firmware/efi/efivars");
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, value: &[u8]| {
            std::fs::write(folder.join(format!("{name}-{GLOBAL}")), [&[7, 0, 0, 0], value].concat()).unwrap();
        };
        write("Boot0004", &debian());
        write("BootOrder", &[4, 0, 1, 0]);
        write("BootCurrent", &[4, 0]);
        write("SecureBoot", &[1]);
        write("BootOptionSupport", &[3, 0, 0, 0]);
        let source = Source::new(root.path());
        let boot = boot(&source).unwrap();
        assert_eq!((boot.order, boot.current, boot.next, boot.entries.len()), (vec![4, 1], Some(4), None, 1));
        assert_eq!(secure_boot(&source), Some(true));
    }
}
