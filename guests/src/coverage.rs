//! What no backup of a guest holds, so that it is said before the disaster and not found out afterwards.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::Serialize;

use crate::inventory::{Guest, Role, Volume};

/// A finished backup of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// The guest, as its platform calls it.
    pub guest: String,
    /// Where it is: a file, a snapshot on a server.
    pub place: String,
    /// When it was made, in the host's local time.
    pub made: DateTime,
}

/// What counts as recent.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The host's local time.
    pub now: DateTime,
    /// A backup that is older is no recent one.
    pub most_age: SignedDuration,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Data or a whole guest does not come back.
    Gap,
    /// Data comes back, something else does not, or needs a hand.
    Note,
}

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// There is no backup.
    NoBackup,
    /// The newest is not recent.
    OldBackup,
    /// A disk or a mount point that the backup leaves out.
    LeftOut,
    /// A folder or a device of the host.
    HostsOwn,
    /// A volume that nothing uses.
    Unused,
    /// Snapshots.
    Snapshots,
    /// Changes that wait for the next start.
    Pending,
    /// Devices and the like of the host.
    Attached,
    /// Something that a restore over the guest refuses.
    Refuses,
}

/// One thing that a backup does not hold, or that a restore stumbles over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The guest.
    pub guest: String,
    /// Its name.
    pub name: String,
    /// How much it matters.
    pub weight: Weight,
    /// What kind.
    pub what: What,
    /// In words.
    pub text: String,
}

/// The newest backup of a guest.
pub fn newest<'a>(guest: &Guest, backups: &'a [Backup]) -> Option<&'a Backup> {
    backups.iter().filter(|backup| backup.guest == guest.id).max_by_key(|backup| backup.made)
}

/// Judges all guests, the weightier findings of each first.
#[must_use]
pub fn findings(guests: &[Guest], backups: &[Backup], policy: Policy) -> Vec<Finding> {
    guests.iter().flat_map(|guest| of_guest(guest, backups, policy)).collect()
}

fn of_guest(guest: &Guest, backups: &[Backup], policy: Policy) -> Vec<Finding> {
    let mut found: Vec<(What, String)> = Vec::new();
    match newest(guest, backups) {
        None => found.push((What::NoBackup, "there is no backup of it".to_owned())),
        // A clock that was set back makes one of the future: that is not recent either way, but it is not old.
        Some(backup) if policy.now.duration_since(backup.made) > policy.most_age => {
            found.push((What::OldBackup, format!("its newest backup is of {}: {}", backup.made, backup.place)));
        }
        Some(_) => {}
    }
    found.extend(guest.volumes.iter().filter_map(of_volume));
    if !guest.snapshots.is_empty() {
        let names: Vec<&str> = guest.snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect();
        found.push((What::Snapshots, format!("no backup holds its snapshots: {}", names.join(", "))));
    }
    if !guest.pending.is_empty() {
        found.push((What::Pending, format!("changes that wait for its next start: {}", guest.pending.join(", "))));
    }
    found.extend(guest.attached.iter().map(|one| {
        (What::Attached, format!("{} is {}: the machine that it is restored to must have it", one.slot, one.what))
    }));
    if let Some(lock) = &guest.lock {
        found.push((What::Refuses, format!("it is locked ({lock}): while it is, no restore over it succeeds")));
    }
    if guest.protected {
        found.push((What::Refuses, "it is protected: no restore over it succeeds".to_owned()));
    }
    let finding =
        |(what, text)| Finding { guest: guest.id.clone(), name: guest.name.clone(), weight: weight(what), what, text };
    let mut findings: Vec<Finding> = found.into_iter().map(finding).collect();
    findings.sort_by_key(|finding| finding.weight);
    findings
}

fn weight(what: What) -> Weight {
    match what {
        What::NoBackup | What::OldBackup | What::LeftOut | What::HostsOwn | What::Unused => Weight::Gap,
        What::Snapshots | What::Pending | What::Attached | What::Refuses => Weight::Note,
    }
}

/// What is wrong with a volume that the guest's backup does not hold.
fn of_volume(volume: &Volume) -> Option<(What, String)> {
    if volume.in_backup {
        return None;
    }
    let place = volume.place.as_ref()?;
    let slot = &volume.slot;
    let target = volume.target.as_deref().map(|target| format!(", mounted at {target}")).unwrap_or_default();
    match volume.role {
        Role::Disk | Role::Firmware | Role::Root => {
            Some((What::LeftOut, format!("{slot} ({place}) is left out (backup=0)")))
        }
        Role::MountPoint => {
            Some((What::LeftOut, format!("{slot} ({place}{target}) is left out, for it has no backup=1")))
        }
        Role::Bind => Some((
            What::HostsOwn,
            format!("{slot} is the host's folder {place}{target}: no backup of the guest holds it"),
        )),
        Role::DeviceMount => Some((
            What::HostsOwn,
            format!("{slot} is the host's device {place}{target}: no backup of the guest holds it"),
        )),
        Role::Unused => Some((What::Unused, format!("{slot} ({place}) is used by nothing, and no backup holds it"))),
        Role::Removable | Role::Generated => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::inventory::Kind;
    use crate::proxmox::config::Config;

    fn judged(kind: Kind, text: &str, backups: &[Backup]) -> Vec<String> {
        let guest = Config::parse("f", kind, text).unwrap().guest("100", "pve1").unwrap();
        let policy = Policy { now: date(2024, 3, 10).at(12, 0, 0, 0), most_age: SignedDuration::from_hours(48) };
        findings(&[guest], backups, policy)
            .iter()
            .map(|one| format!("{:?} {:?}: {}", one.weight, one.what, one.text))
            .collect()
    }

    fn backup(guest: &str, day: i8) -> Backup {
        Backup { guest: guest.to_owned(), place: format!("/dump/{day}"), made: date(2024, 3, day).at(1, 0, 0, 0) }
    }

    #[test]
    fn a_guest_needs_a_recent_backup_of_its_own() {
        let judge = |backups: &[Backup]| judged(Kind::Machine, "scsi0: local:a\n", backups);
        assert_eq!(judge(&[]), ["Gap NoBackup: there is no backup of it"]);
        assert_eq!(judge(&[backup("101", 10)]), ["Gap NoBackup: there is no backup of it"]);
        let old = judge(&[backup("100", 1), backup("100", 7)]);
        assert_eq!(old, ["Gap OldBackup: its newest backup is of 2024-03-07T01:00:00: /dump/7"]);
        assert_eq!(judge(&[backup("100", 9), backup("100", 1)]), [""; 0]);
        assert_eq!(judge(&[backup("100", 11)]), [""; 0]);
    }

    #[test]
    fn everything_that_a_machines_backup_does_not_hold_is_named() {
        let text = include_str!("../fixtures/guests/release-8.qemu")
            .replace("[PENDING]", "unused3: san:x\nscsi5: san:y,backup=0\n\n[PENDING]");
        let found = judged(Kind::Machine, &text, &[backup("100", 10)]);
        assert_eq!(
            found[..4],
            [
                "Gap Unused: unused3 (san:x) is used by nothing, and no backup holds it",
                "Gap LeftOut: scsi5 (san:y) is left out (backup=0)",
                "Note Snapshots: no backup holds its snapshots: before_upgrade, clean",
                "Note Pending: changes that wait for its next start: memory, net1, scsi3",
            ]
        );
        assert!(found.iter().filter(|one| one.starts_with("Note Attached")).count() == 7, "{found:#?}");
        assert!(found.iter().filter(|one| one.starts_with("Note Refuses")).count() == 2, "{found:#?}");
    }

    #[test]
    fn everything_that_a_containers_backup_does_not_hold_is_named() {
        let found = judged(Kind::Container, include_str!("../fixtures/guests/release-8.lxc"), &[backup("100", 10)]);
        assert_eq!(
            found[..4],
            [
                "Gap LeftOut: mp1 (local-lvm:vm-101-disk-2, mounted at /var/cache) is left out, for it has no backup=1",
                "Gap HostsOwn: mp2 is the host's folder /srv/shared, mounted at /shared: no backup of the guest holds it",
                "Gap HostsOwn: mp3 is the host's device /dev/vg0/scratch, mounted at /scratch: no backup of the guest holds it",
                "Gap Unused: unused0 (local-lvm:vm-101-disk-3) is used by nothing, and no backup holds it",
            ]
        );
    }
}
