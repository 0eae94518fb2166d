//! Software RAID arrays of the kernel's md driver.

mod make;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// An array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Array {
    /// UUID as mdadm writes it, four groups of eight digits.
    pub uuid: String,
    /// Name in the metadata, with the host's before a colon; empty where there is none.
    pub name: String,
    /// `raid0`, `raid1`, `raid5`, `raid10`, …
    pub level: String,
    /// Version of the metadata: `1.0` lies at the end of a member, `1.1` at its start, `1.2` 4 KiB behind it.
    pub metadata: String,
    /// Number of members it is made for.
    pub devices: u32,
    /// Bytes of a chunk; 0 for levels without chunks.
    pub chunk: Bytes,
    /// The kernel's number for how data is spread (RAID 5, 6, 10); 0 for others.
    pub layout: u32,
    /// Paths of the members that were there when it was captured, by their place in the array; none for a place without one.
    pub members: Vec<Option<String>>,
    /// Paths of its spares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spares: Vec<String>,
}

/// Output that is not mdadm's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetailError {
    /// A line that must be there is not.
    #[error("mdadm's detail has no {0}")]
    Missing(&'static str),
    /// More members than an array can have.
    #[error("mdadm's detail speaks of {0} members")]
    Members(u32),
}

/// More members than any array has; what says more is no array.
const MOST_MEMBERS: u32 = 384;

impl Array {
    /// Reads `mdadm --detail --export`. It does not tell `chunk` and `layout`, which the kernel shows in sysfs (`md/chunk_size`, `md/layout`).
    ///
    /// # Errors
    /// When level, UUID or the number of members are missing.
    pub fn parse(text: &str, chunk: Bytes, layout: u32) -> Result<Self, DetailError> {
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(|value| value.trim().to_owned())
        };
        let wanted = |key: &'static str| value(key).ok_or(DetailError::Missing(key));
        let devices = wanted("MD_DEVICES")?.parse().map_err(|_| DetailError::Missing("MD_DEVICES"))?;
        if devices > MOST_MEMBERS {
            return Err(DetailError::Members(devices));
        }
        let mut members = vec![None; devices as usize];
        let mut spares = Vec::new();
        for (role, path) in text.lines().filter_map(|line| member(line, text)) {
            match role.parse::<usize>().ok().and_then(|role| members.get_mut(role)) {
                Some(place) => *place = Some(path),
                None if role == "spare" => spares.push(path),
                None => {}
            }
        }
        Ok(Self {
            uuid: wanted("MD_UUID")?,
            name: value("MD_NAME").unwrap_or_default(),
            level: wanted("MD_LEVEL")?,
            metadata: value("MD_METADATA").unwrap_or_else(|| "1.2".to_owned()),
            devices,
            chunk,
            layout,
            members,
            spares,
        })
    }

    /// The name without the host's.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.name.rsplit(':').next().unwrap_or_default()
    }

    /// The path of its node when it is made again: by name, or by the first digits of its UUID where it has none.
    #[must_use]
    pub fn path(&self) -> String {
        match self.short_name() {
            "" => format!("/dev/md/{}", self.uuid.get(..8).unwrap_or("array")),
            name => format!("/dev/md/{name}"),
        }
    }

    /// Whether it starts with only `present` of its members.
    #[must_use]
    pub fn starts_with(&self, present: usize) -> bool {
        let may_miss = match self.level.as_str() {
            "raid1" => self.devices.saturating_sub(1),
            "raid4" | "raid5" | "raid10" => 1,
            "raid6" => 2,
            _ => 0,
        };
        present > 0 && present + may_miss as usize >= self.devices as usize
    }
}

/// Role (a number, or `spare`) and path from one `MD_DEVICE_…_ROLE` line and its `_DEV` line.
fn member<'a>(line: &'a str, text: &str) -> Option<(&'a str, String)> {
    let (key, role) = line.split_once('=')?;
    let device = key.strip_prefix("MD_DEVICE_")?.strip_suffix("_ROLE")?;
    let wanted = format!("MD_DEVICE_{device}_DEV=");
    let path = text.lines().find_map(|line| line.strip_prefix(&wanted))?;
    Some((role.trim(), path.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_arrays_are_told_in_full() {
        let esp = Array::parse(include_str!("../fixtures/stacks/mdadm.detail"), Bytes(0), 0).unwrap();
        assert_eq!((esp.level.as_str(), esp.metadata.as_str(), esp.short_name()), ("raid1", "1.0", "esp"));
        assert_eq!(esp.uuid, "44444444:44444444:44444444:44444444");
        assert_eq!(esp.members, [Some("/dev/vde2".to_owned()), Some("/dev/vdf2".to_owned())]);
        let five = Array::parse(include_str!("../fixtures/stacks/mdadm.detail-five"), Bytes(512 << 10), 2).unwrap();
        assert_eq!((five.level.as_str(), five.devices, five.metadata.as_str()), ("raid5", 3, "1.1"));
        assert_eq!(five.members.iter().flatten().collect::<Vec<_>>(), ["/dev/vda", "/dev/vdb", "/dev/vdc"]);
    }

    #[test]
    fn what_an_array_survives_is_known_by_its_level() {
        let starts = |fixture: &str, present| Array::parse(fixture, Bytes(0), 0).unwrap().starts_with(present);
        let stripes = include_str!("../fixtures/stacks/mdadm.detail-data");
        let mirror = include_str!("../fixtures/stacks/mdadm.detail-boot");
        let five = include_str!("../fixtures/stacks/mdadm.detail-five");
        assert!(starts(stripes, 2) && !starts(stripes, 1));
        assert!(starts(mirror, 1) && !starts(mirror, 0));
        assert!(starts(five, 2) && !starts(five, 1));
    }

    #[test]
    fn text_that_is_no_array_is_refused() {
        assert_eq!(Array::parse("", Bytes(0), 0), Err(DetailError::Missing("MD_DEVICES")));
        let many = "MD_DEVICES=99999\nMD_LEVEL=raid1\nMD_UUID=x\n";
        assert_eq!(Array::parse(many, Bytes(0), 0), Err(DetailError::Members(99999)));
    }
}
