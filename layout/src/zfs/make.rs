//! Making pools and datasets again: arguments for `zpool` and `zfs`.

use serde::{Deserialize, Serialize};

use super::{Dataset, Form, Pool, Role, Volume};
use crate::units::Bytes;

/// Where `zpool` may mount what it makes for a moment; nothing is restored there.
const ASIDE: &str = "/run/zfs-aside";
/// Properties that would be in the way of a restore, or of the comparison after it, and are set when both are done.
const LATER: [&str; 8] =
    ["filesystem_limit", "quota", "readonly", "refquota", "refreservation", "reservation", "snapdir", "snapshot_limit"];
/// No pool is made on less.
const LEAST: u64 = 128 << 20;

/// A property that is set at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// On which dataset.
    pub dataset: String,
    /// Which.
    pub property: String,
    /// To what.
    pub value: String,
}

impl Setting {
    /// Arguments for `zfs`.
    #[must_use]
    pub fn zfs_set(&self) -> Vec<String> {
        vec!["set".to_owned(), format!("{}={}", self.property, self.value), self.dataset.clone()]
    }
}

impl Pool {
    /// Programs that making needs.
    pub const TOOLS: &[&str] = &["zpool", "zfs"];

    /// Arguments for `zpool` that make this pool on `devices`, in the order of its vdevs; `root` is its own dataset.
    #[must_use]
    pub fn zpool_create(&self, root: &Dataset, devices: &[String]) -> Vec<String> {
        // Whatever the new tools would turn on by themselves stays off: a boot loader may have to read it.
        let mut args: Vec<String> = ["create", "-f", "-d", "-R", ASIDE].map(str::to_owned).into();
        let mut say = |flag: &str, name: &str, value: &str| args.extend([flag.to_owned(), format!("{name}={value}")]);
        if self.ashift > 0 {
            say("-o", "ashift", &self.ashift.to_string());
        }
        self.features.iter().for_each(|feature| say("-o", &format!("feature@{feature}"), "enabled"));
        self.properties.iter().for_each(|(name, value)| say("-o", name, value));
        root.now().for_each(|(name, value)| say("-O", name, value));
        args.push(self.name.clone());
        let mut left = devices.iter();
        let mut role = Role::Data;
        for vdev in &self.vdevs {
            if vdev.role != role {
                role = vdev.role;
                args.extend(word(role).map(str::to_owned));
            }
            args.extend(match vdev.form {
                Form::Disk => None,
                Form::Mirror => Some("mirror".to_owned()),
                Form::Raidz { parity } => Some(format!("raidz{parity}")),
            });
            args.extend(left.by_ref().take(vdev.devices).cloned());
        }
        args
    }

    /// Bytes that each of its devices can be made in; none where which of several vdevs gives way is not for us to choose.
    #[must_use]
    pub fn least(&self) -> Option<Bytes> {
        let [vdev] = self.vdevs.as_slice() else { return None };
        let share = match vdev.form {
            Form::Disk | Form::Mirror => self.used.0,
            // Parity is counted as used.
            Form::Raidz { .. } => self.used.0 / (vdev.devices as u64).max(1),
        };
        // ZFS keeps a thirty-second for itself, and slows down when little is free.
        Some(Bytes(share.saturating_add((share / 8).max(256 << 20)).max(LEAST)))
    }
}

/// The word before vdevs of a role.
fn word(role: Role) -> Option<&'static str> {
    match role {
        Role::Data => None,
        Role::Log => Some("log"),
        Role::Cache => Some("cache"),
        Role::Spare => Some("spare"),
        Role::Special => Some("special"),
        Role::Dedup => Some("dedup"),
    }
}

impl Dataset {
    /// Arguments for `zfs` that make this dataset, without mounting it. Room for a volume is not reserved before the end.
    #[must_use]
    pub fn zfs_create(&self) -> Vec<String> {
        let mut args = vec!["create".to_owned()];
        match &self.volume {
            None => args.push("-u".to_owned()),
            Some(Volume { size, block }) => {
                args.extend(["-s".to_owned(), "-V".to_owned(), size.0.to_string()]);
                if block.0 > 0 {
                    args.extend(["-b".to_owned(), block.0.to_string()]);
                }
            }
        }
        args.extend(self.now().flat_map(|(name, value)| ["-o".to_owned(), format!("{name}={value}")]));
        args.push(self.name.clone());
        args
    }

    /// What is set when it is made.
    fn now(&self) -> impl Iterator<Item = (&String, &String)> {
        self.properties.iter().filter(|(name, _)| !LATER.contains(&name.as_str()))
    }

    /// What is set when everything is restored and compared.
    pub fn later(&self) -> impl Iterator<Item = Setting> {
        let later = self.properties.iter().filter(|(name, _)| LATER.contains(&name.as_str()));
        later.map(|(name, value)| Setting { dataset: self.name.clone(), property: name.clone(), value: value.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Vdev;
    use super::*;

    fn dataset(name: &str, properties: &[(&str, &str)]) -> Dataset {
        Dataset {
            name: name.to_owned(),
            volume: None,
            properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            encrypted: false,
            origin: None,
            snapshots: 0,
            newest_snapshot: None,
            used: Bytes(0),
        }
    }

    fn vdev(role: Role, form: Form, devices: usize) -> Vdev {
        Vdev { role, form, devices, missing: 0 }
    }

    fn pool(vdevs: Vec<Vdev>) -> Pool {
        Pool {
            guid: "1".to_owned(),
            name: "tank".to_owned(),
            ashift: 12,
            features: vec!["async_destroy".to_owned()],
            properties: BTreeMap::from([("autotrim".to_owned(), "on".to_owned())]),
            bootfs: None,
            vdevs,
            used: Bytes::GIB,
            hindrance: None,
        }
    }

    #[test]
    fn a_pool_keeps_shape_features_and_properties_and_mounts_nothing_where_files_are_restored() {
        let shape = pool(vec![
            vdev(Role::Data, Form::Mirror, 2),
            vdev(Role::Data, Form::Raidz { parity: 1 }, 3),
            vdev(Role::Log, Form::Disk, 1),
            vdev(Role::Spare, Form::Disk, 2),
        ]);
        let devices: Vec<String> = ('a'..='h').map(|letter| format!("/dev/{letter}")).collect();
        let root = dataset("tank", &[("compression", "lz4"), ("quota", "5"), ("mountpoint", "none")]);
        assert_eq!(
            shape.zpool_create(&root, &devices).join(" "),
            "create -f -d -R /run/zfs-aside -o ashift=12 -o feature@async_destroy=enabled -o autotrim=on -O compression=lz4 -O mountpoint=none \
             tank mirror /dev/a /dev/b raidz1 /dev/c /dev/d /dev/e log /dev/f spare /dev/g /dev/h"
        );
    }

    #[test]
    fn what_hinders_a_restore_is_set_at_the_end() {
        let found = dataset("tank/a b", &[("readonly", "on"), ("recordsize", "1048576"), ("own:key", "two words")]);
        assert_eq!(
            found.zfs_create(),
            ["create", "-u", "-o", "own:key=two words", "-o", "recordsize=1048576", "tank/a b"]
        );
        let later: Vec<Vec<String>> = found.later().map(|setting| setting.zfs_set()).collect();
        assert_eq!(later, [["set", "readonly=on", "tank/a b"]]);
    }

    #[test]
    fn a_volume_has_its_size_and_block_and_takes_its_room_at_the_end() {
        let volume = Volume { size: Bytes(64 << 20), block: Bytes(16384) };
        let found = Dataset { volume: Some(volume), ..dataset("tank/v", &[("refreservation", "70000000")]) };
        assert_eq!(found.zfs_create().join(" "), "create -s -V 67108864 -b 16384 tank/v");
        assert_eq!(found.later().count(), 1);
        assert_eq!(found.path(), "/dev/zvol/tank/v");
    }

    proptest::proptest! {
        #[test]
        fn a_device_is_never_planned_smaller_than_its_share(used in 0u64..1 << 50, devices in 1usize..20, parity in 1u32..4) {
            let raidz = Pool { used: Bytes(used), ..pool(vec![vdev(Role::Data, Form::Raidz { parity }, devices)]) };
            let room = raidz.least().unwrap().0;
            proptest::prop_assert!(room - room / 32 >= used / devices as u64);
            let mirror = Pool { used: Bytes(used), ..pool(vec![vdev(Role::Data, Form::Mirror, devices)]) };
            let room = mirror.least().unwrap().0;
            proptest::prop_assert!(room - room / 32 >= used);
        }
    }
}
