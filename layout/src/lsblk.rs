//! What `lsblk --json --bytes` prints, as flat block devices with their parents.
//!
//! Old versions of lsblk write numbers and booleans as strings, newer ones as JSON values, and containers without udev
//! leave most columns null: each of these is read. A device that lies on several others (RAID, a volume over two
//! disks) appears once below each of them in lsblk's tree and once here, with all its parents.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::units::Bytes;

/// The columns that [`parse`] reads, for `lsblk --output`. NAME makes lsblk print a tree.
pub const COLUMNS: &str =
    "NAME,KNAME,PATH,MAJ:MIN,TYPE,SIZE,MODEL,SERIAL,WWN,TRAN,LOG-SEC,PHY-SEC,RM,ROTA,PTTYPE,FSTYPE";
/// The columns that every lsblk with JSON output has.
pub const COLUMNS_AT_LEAST: &str = "NAME,KNAME,MAJ:MIN,TYPE,SIZE,RM";

/// One block device as the kernel and udev see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockDevice {
    /// The kernel's name: `vda2`, `dm-0`.
    pub kname: String,
    /// The path that people use: `/dev/vda2`, `/dev/mapper/vg-root`.
    pub path: String,
    /// Device number as `major:minor`.
    pub number: String,
    /// lsblk's TYPE: `disk`, `part`, `lvm`, `crypt`, `raid1`, `loop`, `rom`, ...
    pub kind: String,
    /// Size of the device.
    pub size: Bytes,
    /// Model name.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// World wide name.
    pub wwn: Option<String>,
    /// How it is attached.
    pub transport: Option<String>,
    /// Bytes of a logical sector, where known.
    pub logical_sector: Option<u32>,
    /// Bytes of a physical sector, where known.
    pub physical_sector: Option<u32>,
    /// The medium is removable.
    pub removable: bool,
    /// Spinning platters.
    pub rotational: bool,
    /// Partition table: `gpt`, `dos`, ...
    pub pttype: Option<String>,
    /// What blkid found on it.
    pub fstype: Option<String>,
    /// Kernel names of the devices that it lies on.
    pub parents: Vec<String>,
}

/// Output that is not lsblk's.
#[derive(Debug, thiserror::Error)]
#[error("lsblk's output could not be read: {0}")]
pub struct LsblkError(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Output {
    blockdevices: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    kname: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(rename = "maj:min", default)]
    number: Option<String>,
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default, deserialize_with = "number")]
    size: Option<u64>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    serial: Option<String>,
    #[serde(default)]
    wwn: Option<String>,
    #[serde(default)]
    tran: Option<String>,
    #[serde(rename = "log-sec", default, deserialize_with = "number")]
    logical: Option<u64>,
    #[serde(rename = "phy-sec", default, deserialize_with = "number")]
    physical: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    rm: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    rota: Option<u64>,
    #[serde(default)]
    pttype: Option<String>,
    #[serde(default)]
    fstype: Option<String>,
    #[serde(default)]
    children: Vec<Raw>,
}

/// Reads `lsblk --json --bytes --output `[`COLUMNS`], parents before children.
///
/// # Errors
/// When the text is not JSON of lsblk's shape.
pub fn parse(json: &str) -> Result<Vec<BlockDevice>, LsblkError> {
    let output: Output = serde_json::from_str(json)?;
    let mut devices = Vec::new();
    let mut seen = BTreeMap::new();
    for raw in output.blockdevices {
        flatten(raw, None, &mut devices, &mut seen);
    }
    Ok(devices)
}

/// The partition number in a kernel name: 2 in `vda2`, 1 in `nvme0n1p1`, given the disk's own name.
#[must_use]
pub fn partition_number(disk: &str, partition: &str) -> Option<u32> {
    let rest = partition.strip_prefix(disk)?;
    let digits = rest.strip_prefix('p').unwrap_or(rest);
    digits.parse().ok().filter(|number| *number > 0)
}

fn flatten(raw: Raw, parent: Option<&str>, devices: &mut Vec<BlockDevice>, seen: &mut BTreeMap<String, usize>) {
    let (kname, children) = (raw.kname, raw.children);
    if let Some(&index) = seen.get(&kname) {
        let device: &mut BlockDevice = &mut devices[index];
        let new = parent.filter(|name| !device.parents.iter().any(|known| known == name));
        device.parents.extend(new.map(str::to_owned));
        return;
    }
    seen.insert(kname.clone(), devices.len());
    devices.push(BlockDevice {
        path: raw.path.unwrap_or_else(|| format!("/dev/{kname}")),
        number: raw.number.unwrap_or_default().trim().to_owned(),
        kind: raw.kind.unwrap_or_default(),
        size: Bytes(raw.size.unwrap_or(0)),
        model: text(raw.model),
        serial: text(raw.serial),
        wwn: text(raw.wwn),
        transport: text(raw.tran),
        logical_sector: raw.logical.and_then(|value| u32::try_from(value).ok()),
        physical_sector: raw.physical.and_then(|value| u32::try_from(value).ok()),
        removable: raw.rm == Some(1),
        rotational: raw.rota == Some(1),
        pttype: text(raw.pttype),
        fstype: text(raw.fstype),
        parents: parent.map(str::to_owned).into_iter().collect(),
        kname: kname.clone(),
    });
    for child in children {
        flatten(child, Some(&kname), devices, seen);
    }
}

fn text(value: Option<String>) -> Option<String> {
    value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A number that may be written as a number, a string or a boolean.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Bool(bool),
        Text(String),
    }
    Ok(match Option::<Form>::deserialize(from)? {
        Some(Form::Number(value)) => Some(value),
        Some(Form::Bool(value)) => Some(u64::from(value)),
        Some(Form::Text(text)) => text.trim().parse().ok(),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_machine_is_read_with_its_loop_devices() {
        let devices = parse(include_str!("../fixtures/lsblk-whole-disk.json")).unwrap();
        let vda = devices.iter().find(|device| device.kname == "vda").unwrap();
        assert_eq!((vda.kind.as_str(), vda.path.as_str(), vda.number.as_str()), ("disk", "/dev/vda", "254:0"));
        assert_eq!(vda.logical_sector, Some(512));
        assert!(vda.size.0 > 1 << 30 && vda.parents.is_empty());
        let part = devices.iter().find(|device| device.kname == "loop0p2").unwrap();
        assert_eq!((part.kind.as_str(), part.parents.as_slice()), ("part", &["loop0".to_owned()][..]));
    }

    #[test]
    fn numbers_written_as_strings_are_numbers() {
        let json = r#"{"blockdevices":[{"kname":"sda","maj:min":"8:0","type":"disk","size":"1000","rm":"1","rota":"0",
            "log-sec":"4096","model":"  Disk  ","serial":" "}]}"#;
        let device = &parse(json).unwrap()[0];
        assert_eq!((device.size, device.removable, device.rotational), (Bytes(1000), true, false));
        assert_eq!((device.model.as_deref(), device.serial.as_deref()), (Some("Disk"), None));
        assert_eq!((device.path.as_str(), device.logical_sector), ("/dev/sda", Some(4096)));
    }

    #[test]
    fn a_device_on_two_others_appears_once_with_both() {
        let json = r#"{"blockdevices":[
            {"kname":"sda1","size":10,"children":[{"kname":"md0","type":"raid1","size":10,"children":[{"kname":"dm-0","size":5}]}]},
            {"kname":"sdb1","size":10,"children":[{"kname":"md0","type":"raid1","size":10,"children":[{"kname":"dm-0","size":5}]}]}]}"#;
        let devices = parse(json).unwrap();
        let names: Vec<&str> = devices.iter().map(|device| device.kname.as_str()).collect();
        assert_eq!(names, ["sda1", "md0", "dm-0", "sdb1"]);
        assert_eq!(devices[1].parents, ["sda1", "sdb1"]);
    }

    #[test]
    fn partition_numbers_follow_the_disk_s_name() {
        assert_eq!(partition_number("vda", "vda12"), Some(12));
        assert_eq!(partition_number("nvme0n1", "nvme0n1p1"), Some(1));
        assert_eq!(partition_number("mmcblk0", "mmcblk0boot0"), None);
        assert_eq!(partition_number("sda", "sdb1"), None);
    }
}
