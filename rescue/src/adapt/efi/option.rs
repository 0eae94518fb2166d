//! A boot entry as the firmware keeps it: EFI_LOAD_OPTION (UEFI 2.10, 3.1.3) with a device path of a partition and a file (10.3.5).
//!
//! u32 attributes, u16 length of the device path, description in UTF-16 with its end, device path, and data for the program. A device path is
//! a list of nodes: type, subtype, u16 length, data. A hard drive node (4, 1) is partition number, start and size in sectors, GUID, format
//! and kind of signature; a file node (4, 4) is a path in UTF-16.

use layout::Guid;

/// The firmware tries the entry.
const ACTIVE: u32 = 1;
const MEDIA: u8 = 4;
const HARD_DRIVE: u8 = 1;
const FILE: u8 = 4;
const END: [u8; 4] = [0x7f, 0xff, 4, 0];

/// A boot entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOption {
    /// What the firmware's menu shows.
    pub label: String,
    /// The partition that it starts from.
    pub partition: Option<Place>,
    /// The file on it, with backslashes.
    pub file: Option<String>,
    /// What the program is given: a kernel's command line for instance.
    pub data: Vec<u8>,
    /// Bit 0: the firmware tries it.
    attributes: u32,
}

/// A partition as a device path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub number: u32,
    /// First sector.
    pub start: u64,
    /// Sectors.
    pub sectors: u64,
    /// Its GUID: the only thing that firmware goes by.
    pub guid: Guid,
}

impl LoadOption {
    /// An entry that the firmware tries.
    pub fn new(label: &str, partition: Place, file: &str, data: Vec<u8>) -> Self {
        let (label, file) = (label.to_owned(), Some(file.to_owned()));
        Self { label, partition: Some(partition), file, data, attributes: ACTIVE }
    }

    /// Reads a variable's content; none where it is damaged.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let attributes = u32::from_le_bytes(*bytes.first_chunk()?);
        let paths = usize::from(u16::from_le_bytes([*bytes.get(4)?, *bytes.get(5)?]));
        let (label, rest) = text(bytes.get(6..)?);
        let mut nodes = rest.get(..paths)?;
        let data = rest.get(paths..)?.to_vec();
        let mut option = Self { label, partition: None, file: None, data, attributes };
        while let [kind, subtype, low, high, ..] = nodes {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let node = nodes.get(..length).filter(|_| length >= 4)?;
            match (*kind, *subtype) {
                (MEDIA, HARD_DRIVE) => option.partition = place(node),
                (MEDIA, FILE) => option.file = Some(option.file.unwrap_or_default() + &text(&node[4..]).0),
                _ => {}
            }
            nodes = &nodes[length..];
        }
        Some(option)
    }

    /// The variable's content.
    pub fn write(&self) -> Vec<u8> {
        let mut paths = Vec::new();
        if let Some(place) = &self.partition {
            paths.extend([MEDIA, HARD_DRIVE, 42, 0]);
            paths.extend(place.number.to_le_bytes());
            paths.extend(place.start.to_le_bytes());
            paths.extend(place.sectors.to_le_bytes());
            let guid = uuid::Uuid::parse_str(place.guid.as_str()).unwrap_or_default();
            paths.extend(guid.to_bytes_le());
            // A GPT, and a signature that is a GUID.
            paths.extend([2, 2]);
        }
        if let Some(file) = &self.file {
            let units = utf16(file);
            let length = u16::try_from(units.len() + 4).unwrap_or(u16::MAX);
            paths.extend([MEDIA, FILE]);
            paths.extend(length.to_le_bytes());
            paths.extend(units);
        }
        paths.extend(END);
        let mut bytes = self.attributes.to_le_bytes().to_vec();
        bytes.extend(u16::try_from(paths.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(utf16(&self.label));
        bytes.extend(paths);
        bytes.extend(&self.data);
        bytes
    }
}

fn place(node: &[u8]) -> Option<Place> {
    if node.len() < 42 || node[41] != 2 {
        return None;
    }
    let long = |at: usize| Some(u64::from_le_bytes(*node.get(at..)?.first_chunk()?));
    Some(Place {
        number: u32::from_le_bytes(*node.get(4..)?.first_chunk()?),
        start: long(8)?,
        sectors: long(16)?,
        guid: guid(&node[24..40])?,
    })
}

/// A GUID in its mixed-endian form.
fn guid(bytes: &[u8]) -> Option<Guid> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    Guid::new(&uuid::Uuid::from_bytes_le(bytes).to_string()).ok()
}

/// UTF-16 up to a zero, and what follows it.
fn text(bytes: &[u8]) -> (String, &[u8]) {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    (String::from_utf16_lossy(&units), bytes.get(2 * units.len() + 2..).unwrap_or_default())
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What grub-install had efibootmgr write for a Debian under OVMF, taken from the firmware's variable store.
    fn captured() -> Vec<u8> {
        let hex = "010000006200640065006200690061006e000000\
                   04012a00020000000010000000000000000002000000000\
                   03a68fd36c832f242b0b7c0fe8554c9ff0202\
                   040434005c004500460049005c00640065006200690061006e005c0067007200750062007800360034002e006500660069000000\
                   7fff0400";
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn an_entry_is_read_and_written_byte_for_byte() {
        let option = LoadOption::read(&captured()).unwrap();
        assert_eq!((option.label.as_str(), option.file.as_deref()), ("debian", Some("\\EFI\\debian\\grubx64.efi")));
        let place = option.partition.clone().unwrap();
        assert_eq!((place.number, place.start, place.sectors), (2, 0x1000, 0x20000));
        assert_eq!(place.guid.as_str(), "36FD683A-32C8-42F2-B0B7-C0FE8554C9FF");
        assert!(option.attributes & ACTIVE != 0 && option.data.is_empty());
        assert_eq!(option.write(), captured());
        let made = LoadOption::new("debian", place, "\\EFI\\debian\\grubx64.efi", Vec::new());
        assert_eq!(made.write(), captured());
    }

    #[test]
    fn what_a_kernel_is_started_with_stays_behind_the_path() {
        let mut bytes = captured();
        bytes.extend(b"root=UUID=x\0");
        let option = LoadOption::read(&bytes).unwrap();
        assert_eq!(option.data, b"root=UUID=x\0");
        assert_eq!(option.write(), bytes);
    }

    #[test]
    fn entries_without_a_partition_and_damaged_ones_do_no_harm() {
        let plain =
            LoadOption { label: "UEFI Shell".into(), partition: None, file: None, data: Vec::new(), attributes: 1 };
        assert_eq!(LoadOption::read(&plain.write()), Some(plain));
        let whole = captured();
        for length in 0..whole.len() {
            let _ = LoadOption::read(&whole[..length]);
        }
        // A node of length 0 must not loop.
        assert_eq!(LoadOption::read(&[1, 0, 0, 0, 4, 0, 0, 0, 4, 1, 0, 0]), None);
    }
}
