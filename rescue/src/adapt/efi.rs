//! UEFI boot entries: what points to a disk that is gone is removed, `BootNext` too. Entries are made by `grub-install`.
//!
//! A load option (UEFI 2.10, 3.1.3) is: u32 attributes, u16 length of the device path, description in UTF-16 with its end, device path.
//! A hard drive node (10.3.5.1) is type 4, subtype 1, with the partition's GUID at 24.

use std::fs;
use std::path::{Path, PathBuf};

use layout::Guid;

use crate::kernel::EFIVARS;

/// The vendor GUID of the firmware's own variables.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Whether this machine's variables can be read.
pub fn reachable() -> bool {
    Path::new(EFIVARS).read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

/// A boot entry.
#[derive(Debug, PartialEq, Eq)]
struct LoadOption {
    label: String,
    partition: Option<Guid>,
}

/// Removes `BootNext`, and entries with `label` for partitions that are not `alive`. Says what it did.
pub fn tidy(alive: &[Guid], label: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    let next = variable("BootNext");
    if next.exists() && remove(&next) {
        lines.push("what was left of BootNext removed".to_owned());
    }
    for name in entries() {
        let path = variable(&name);
        let Some(option) = fs::read(&path).ok().and_then(|bytes| parse(bytes.get(4..)?)) else { continue };
        let dead = option.partition.as_ref().is_some_and(|guid| !alive.contains(guid));
        if dead && label.is_some_and(|label| option.label == label) && remove(&path) {
            lines.push(format!("boot entry {name} ({:?}, for a disk that is gone) removed", option.label));
        }
    }
    lines
}

fn variable(name: &str) -> PathBuf {
    Path::new(EFIVARS).join(format!("{name}-{GLOBAL}"))
}

/// Names of the boot entries: `Boot0001`.
fn entries() -> Vec<String> {
    let files = fs::read_dir(EFIVARS).into_iter().flatten().flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(GLOBAL)?.strip_suffix('-')?.to_owned())).collect();
    names.retain(|name| {
        name.strip_prefix("Boot")
            .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    });
    names.sort_unstable();
    names
}

/// The kernel makes variables immutable, so that `rm -r` does not brick machines.
fn remove(path: &Path) -> bool {
    if let Ok(file) = fs::File::open(path) {
        let flags = rustix::fs::ioctl_getflags(&file).unwrap_or(rustix::fs::IFlags::empty());
        let _ = rustix::fs::ioctl_setflags(&file, flags - rustix::fs::IFlags::IMMUTABLE);
    }
    fs::remove_file(path).is_ok()
}

fn parse(option: &[u8]) -> Option<LoadOption> {
    let paths = usize::from(u16::from_le_bytes([*option.get(4)?, *option.get(5)?]));
    let text = option.get(6..)?;
    let units: Vec<u16> =
        text.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|unit| *unit != 0).collect();
    let start = 2 * (units.len() + 1);
    let mut nodes = text.get(start..start + paths)?;
    let mut partition = None;
    while let [kind, subtype, low, high, ..] = nodes {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let node = nodes.get(..length).filter(|_| length >= 4)?;
        if (*kind, *subtype) == (4, 1) && node.len() >= 42 && node[41] == 2 {
            partition = guid(&node[24..40]);
        }
        nodes = &nodes[length..];
    }
    Some(LoadOption { label: String::from_utf16_lossy(&units), partition })
}

/// A GUID in its mixed-endian form.
fn guid(bytes: &[u8]) -> Option<Guid> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    Guid::new(&uuid::Uuid::from_bytes_le(bytes).to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(label: &str, node: &[u8]) -> Vec<u8> {
        let mut path = node.to_vec();
        path.extend([0x7f, 0xff, 4, 0]);
        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend((path.len() as u16).to_le_bytes());
        bytes.extend(label.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        bytes.extend(path);
        bytes
    }

    fn hard_drive(id: uuid::Uuid) -> Vec<u8> {
        let mut node = vec![4, 1, 42, 0];
        node.extend([0; 20]);
        node.extend(id.to_bytes_le());
        node.extend([2, 2]);
        node
    }

    #[test]
    fn label_and_partition_of_an_entry_are_read() {
        let id = uuid::Uuid::parse_str("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").unwrap();
        let read = parse(&option("debian", &hard_drive(id))).unwrap();
        assert_eq!(read.label, "debian");
        assert_eq!(read.partition.unwrap().as_str(), "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
    }

    #[test]
    fn entries_without_a_partition_and_damaged_ones_do_no_harm() {
        assert_eq!(parse(&option("UEFI Shell", &[])).unwrap().partition, None);
        assert!(parse(&[]).is_none());
        let mut cut = option("debian", &hard_drive(uuid::Uuid::nil()));
        cut.truncate(30);
        assert!(parse(&cut).is_none());
        // A node of length 0 must not loop.
        assert!(parse(&option("x", &[4, 1, 0, 0])).is_none());
    }
}
