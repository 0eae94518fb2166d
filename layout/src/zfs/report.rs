//! What `zpool`, `zfs` and `zdb` say of the pools that are imported.

use std::collections::BTreeMap;

use super::{Dataset, Pool, Volume, status};
use crate::units::Bytes;

/// Arguments for `zpool` that give every property of every pool.
pub const POOL_PROPERTIES: [&str; 5] = ["get", "-Hp", "-o", "name,property,value,source", "all"];
/// Arguments for `zpool` that draw the pools by the kernel's names of their devices.
pub const STATUS: [&str; 3] = ["status", "-P", "-L"];
/// Arguments for `zfs` that give every property of every dataset.
pub const PROPERTIES: [&str; 7] = ["get", "-Hp", "-t", "filesystem,volume", "-o", "name,property,value,source", "all"];
/// Arguments for `zfs` that name all snapshots, oldest first.
pub const SNAPSHOTS: [&str; 8] = ["list", "-H", "-t", "snapshot", "-o", "name", "-s", "creation"];

/// Properties of pools that are set again. Others are chosen by the restore, belong to one import, or need files that a stick does not have.
const POOL_KEPT: [&str; 7] =
    ["autoexpand", "autoreplace", "autotrim", "comment", "delegation", "failmode", "listsnapshots"];
/// Properties of datasets that are told in other ways, or that no one sets.
const NOT_KEPT: [&str; 8] =
    ["encryption", "keyformat", "keylocation", "mlslabel", "pbkdf2iters", "version", "volblocksize", "volsize"];
/// Properties that are chosen when a dataset is made, with what they are where nothing was chosen.
const CHOSEN: [(&str, &str); 3] = [("casesensitivity", "sensitive"), ("normalization", "none"), ("utf8only", "off")];
/// What a limit that is not set is as a number.
const NO_LIMIT: &str = "18446744073709551615";

/// Everything that ZFS knows of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Pools.
    pub pools: Vec<FoundPool>,
    /// Datasets, parents before children.
    pub datasets: Vec<Dataset>,
    /// Volumes by their devices: the kernel's name (`zd0`), and that of the dataset.
    pub volumes: BTreeMap<String, String>,
}

/// A pool where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPool {
    /// What it is.
    pub pool: Pool,
    /// Its size, copies and parity included.
    pub size: Bytes,
    /// Paths of its devices, in the order of its vdevs.
    pub devices: Vec<String>,
}

/// Name, property, value and source of a line; a value may hold anything but the end of the line.
fn line(line: &str) -> Option<(&str, &str, &str, &str)> {
    let (name, rest) = line.split_once('\t')?;
    let (property, rest) = rest.split_once('\t')?;
    let (value, source) = rest.rsplit_once('\t')?;
    Some((name, property, value, source))
}

/// Lines by name, in the order of their first lines.
fn by_name(text: &str) -> BTreeMap<&str, BTreeMap<&str, (&str, &str)>> {
    let mut found: BTreeMap<&str, BTreeMap<&str, (&str, &str)>> = BTreeMap::new();
    for (name, property, value, source) in text.lines().filter_map(line) {
        found.entry(name).or_default().insert(property, (value, source));
    }
    found
}

/// Reads the outputs of [`POOL_PROPERTIES`], [`STATUS`], [`PROPERTIES`] and [`SNAPSHOTS`].
#[must_use]
pub fn parse(pools: &str, status: &str, properties: &str, snapshots: &str) -> Report {
    let mut shapes = status::parse(status);
    let pools = by_name(pools).into_iter().map(|(name, values)| {
        let at = shapes.iter().position(|shape| shape.pool == name);
        let shape = at.map(|at| shapes.swap_remove(at));
        pool(name, &values, shape.unwrap_or_default())
    });
    let pools: Vec<FoundPool> = pools.collect();
    let mut datasets: Vec<Dataset> =
        by_name(properties).into_iter().map(|(name, values)| dataset(name, &values)).collect();
    for (of, snapshot) in snapshots.lines().filter_map(|line| line.split_once('@')) {
        if let Some(dataset) = datasets.iter_mut().find(|dataset| dataset.name == of) {
            dataset.snapshots += 1;
            dataset.newest_snapshot = Some(snapshot.to_owned());
        }
    }
    Report { pools, datasets, volumes: BTreeMap::new() }
}

fn pool(name: &str, values: &BTreeMap<&str, (&str, &str)>, shape: status::Shape) -> FoundPool {
    let value = |property: &str| values.get(property).map(|(value, _)| *value);
    let bytes = |property: &str| Bytes(value(property).and_then(|text| text.parse().ok()).unwrap_or(0));
    let features = values.iter().filter_map(|(property, (value, _))| {
        let feature = property.strip_prefix("feature@")?;
        (*value != "disabled").then(|| feature.to_owned())
    });
    let kept = values.iter().filter(|(property, (_, source))| POOL_KEPT.contains(property) && *source == "local");
    let hindrance = match value("version") {
        Some("-") | None => shape.hindrance,
        Some(version) => Some(format!("it has the old format {version}: zpool upgrade brings it up to date")),
    };
    let pool = Pool {
        guid: value("guid").unwrap_or_default().to_owned(),
        name: name.to_owned(),
        ashift: value("ashift").and_then(|text| text.parse().ok()).unwrap_or(0),
        features: features.collect(),
        properties: kept.map(|(property, (value, _))| ((*property).to_owned(), (*value).to_owned())).collect(),
        bootfs: value("bootfs").filter(|name| *name != "-").map(str::to_owned),
        vdevs: shape.vdevs,
        used: bytes("allocated"),
        hindrance,
    };
    FoundPool { pool, size: bytes("size"), devices: shape.devices }
}

fn dataset(name: &str, values: &BTreeMap<&str, (&str, &str)>) -> Dataset {
    let value = |property: &str| values.get(property).map(|(value, _)| *value);
    let bytes = |property: &str| value(property).and_then(|text| text.parse().ok()).map(Bytes);
    let set = |property: &str, source: &str| matches!(source, "local" | "received") && !NOT_KEPT.contains(&property);
    let chosen = |property: &str, value: &str| {
        CHOSEN.iter().any(|(name, plain)| *name == property && *plain != value && value != "-")
    };
    let kept = values.iter().filter(|(property, (value, source))| set(property, source) || chosen(property, value));
    let plain = |value: &str| if value == NO_LIMIT { "none".to_owned() } else { value.to_owned() };
    let volume = (value("type") == Some("volume")).then(|| Volume {
        size: bytes("volsize").unwrap_or_default(),
        block: bytes("volblocksize").unwrap_or_default(),
    });
    Dataset {
        name: name.to_owned(),
        volume,
        properties: kept.map(|(property, (value, _))| ((*property).to_owned(), plain(value))).collect(),
        encrypted: value("encryption").is_some_and(|value| !matches!(value, "off" | "-")),
        origin: value("origin").filter(|origin| !matches!(*origin, "-" | "")).map(str::to_owned),
        snapshots: 0,
        newest_snapshot: None,
        used: bytes("referenced").unwrap_or_default(),
    }
}

/// The sector shift in what `zdb -l DEVICE` prints of a device's label.
#[must_use]
pub fn ashift(label: &str) -> Option<u32> {
    label.lines().find_map(|line| line.trim().strip_prefix("ashift: ")?.parse().ok())
}

#[cfg(test)]
mod tests;
