//! Instances and storage pools of Incus, from the lists that `incus` prints as JSON.
//!
//! Formats: <https://linuxcontainers.org/incus/docs/main/rest-api-spec/>. Of configurations only what is named here is read: they hold
//! passwords.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An instance.
#[derive(Clone, Debug, Deserialize)]
pub struct Instance {
    /// Its name, of letters, digits and dashes.
    pub name: String,
    /// The project that it belongs to.
    #[serde(default)]
    pub project: String,
    #[serde(default)]
    status: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    expanded_config: BTreeMap<String, String>,
    #[serde(default)]
    expanded_devices: BTreeMap<String, BTreeMap<String, String>>,
}

/// A disk of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What the instance calls it.
    pub name: String,
    /// The pool that it lies on; none where it is of the host.
    pub pool: Option<String>,
    /// Its volume, or a folder or device of the host; none for the root.
    pub source: Option<String>,
}

impl Instance {
    /// Whether it is a virtual machine.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.kind == "virtual-machine"
    }

    /// Whether it may write now: whatever is not known to be stopped or frozen.
    #[must_use]
    pub fn runs(&self) -> bool {
        !matches!(self.status.to_ascii_lowercase().as_str(), "stopped" | "frozen")
    }

    /// Whether it starts with the host.
    #[must_use]
    pub fn starts(&self) -> bool {
        self.expanded_config.get("boot.autostart").is_some_and(|value| value == "true")
    }

    /// Its disks.
    #[must_use]
    pub fn disks(&self) -> Vec<Disk> {
        let disks =
            self.expanded_devices.iter().filter(|(_, device)| device.get("type").is_some_and(|kind| kind == "disk"));
        let disk = |(name, device): (&String, &BTreeMap<String, String>)| Disk {
            name: name.clone(),
            pool: device.get("pool").cloned(),
            source: device.get("source").cloned(),
        };
        disks.map(disk).collect()
    }
}

/// A storage pool.
#[derive(Clone, Debug, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// `dir`, `btrfs`, `lvm`, `zfs`, `ceph`.
    #[serde(default)]
    pub driver: String,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

impl Pool {
    /// What it was made of: a folder, a file that is mounted as a loop, a device, a group or a pool of another kind.
    #[must_use]
    pub fn source(&self) -> &str {
        self.config.get("source").map(String::as_str).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use super::*;

    #[test]
    fn instances_and_pools_are_read_as_the_interface_describes_them() {
        let instances: Vec<Instance> = serde_json::from_str(include_str!("../fixtures/incus/list.json")).unwrap();
        let [mail, desk] = &instances[..] else { panic!("{instances:?}") };
        assert!(mail.runs() && mail.starts() && !mail.is_machine());
        assert!(!desk.runs() && !desk.starts() && desk.is_machine());
        let disk = |name: &str, pool: Option<&str>, source: Option<&str>| Disk {
            name: name.to_owned(),
            pool: pool.map(str::to_owned),
            source: source.map(str::to_owned),
        };
        let wanted = [
            disk("data", Some("fast"), Some("mail-data")),
            disk("root", Some("default"), None),
            disk("srv", None, Some("/srv/mail")),
        ];
        assert_eq!(mail.disks(), wanted);
        let pools: Vec<Pool> = serde_json::from_str(include_str!("../fixtures/incus/pools.json")).unwrap();
        let told: Vec<(&str, &str)> = pools.iter().map(|pool| (pool.driver.as_str(), pool.source())).collect();
        assert_eq!(told, [("dir", "/var/lib/incus/storage-pools/default"), ("zfs", "/var/lib/incus/disks/fast.img")]);
    }
}
