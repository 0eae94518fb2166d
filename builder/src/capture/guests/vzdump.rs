//! Starting Proxmox's own `vzdump` before a capture, for guests that have no recent archive. One after the other: each reads all of a guest's disks.
//!
//! It runs in the system's mount table and not in this run's, whose view of the cluster's files is about to be taken off.

use std::ffi::OsString;
use std::time::Duration;

use exec::{Command, Failure};
use guests::coverage::{Backup, newest};
use guests::inventory::{Guest, Role};
use guests::printable::printable;
use jiff::SignedDuration;
use jiff::civil::DateTime;
use manifest::host::Gap;

use super::Policy;
use crate::capture::{gap, namespace};

/// What the configuration says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vzdump {
    /// The storage that the archives go to.
    pub storage: String,
    /// Whether the guest runs on: `snapshot`, `suspend`, `stop`.
    pub mode: String,
    /// How they are compressed, where not as vzdump's own configuration says.
    pub compress: Option<String>,
    /// Guests with a recent archive get another one.
    pub always: bool,
    /// Only these guests; all where there is none.
    pub only: Vec<String>,
    /// How long one guest may take.
    pub limit: Duration,
}

/// The guests that it is started for.
pub(super) fn wanted<'a>(
    vzdump: &Vzdump,
    guests: &'a [Guest],
    backups: &[Backup],
    now: DateTime,
    most_age: SignedDuration,
) -> Vec<&'a Guest> {
    let recent =
        |guest: &Guest| newest(guest, backups).is_some_and(|backup| now.duration_since(backup.made) <= most_age);
    let has_data = |guest: &Guest| guest.volumes.iter().any(|volume| matches!(volume.role, Role::Disk | Role::Root));
    let named = |guest: &Guest| vzdump.only.is_empty() || vzdump.only.contains(&guest.id);
    guests.iter().filter(|guest| named(guest) && has_data(guest) && (vzdump.always || !recent(guest))).collect()
}

/// Starts it for each of these; one that fails is named, and the others have their turn.
pub(super) fn start(vzdump: &Vzdump, guests: &[&Guest], policy: &Policy, gaps: &mut Vec<Gap>) {
    let program = exec::find("vzdump").map_or_else(|| "vzdump".into(), OsString::from);
    let words = match exec::find("nsenter").filter(|_| namespace::is_own()) {
        Some(nsenter) => vec![nsenter.into(), "--mount=/proc/1/ns/mnt".into(), "--".into(), program],
        None => vec![program],
    };
    each(vzdump, guests, &words, policy, gaps);
}

/// Stopped, vzdump unlocks the guest, lets it go on and removes its snapshot; killed, it does not.
const GRACE: Duration = Duration::from_secs(300);

fn each(vzdump: &Vzdump, guests: &[&Guest], words: &[OsString], policy: &Policy, gaps: &mut Vec<Gap>) {
    for guest in guests {
        eprintln!("vzdump of guest {} {}", guest.id, printable(&guest.name));
        let command = Command::new(&words[0]).args(&words[1..]).args(arguments(vzdump, &guest.id));
        let ended = command.called(format!("vzdump {}", guest.id)).limit(vzdump.limit).group(policy.stop.clone());
        match ended.map(|group| group.grace(GRACE)).and_then(exec::Group::wait) {
            Ok(()) => {}
            // The whole run ends.
            Err(error) if matches!(error.failure, Failure::Stopped) => return,
            Err(error) => gaps.push(gap(format!("guest {}", guest.id), printable(&error.to_string()))),
        }
    }
}

fn arguments(vzdump: &Vzdump, guest: &str) -> Vec<String> {
    let mut arguments = vec![guest.to_owned()];
    for (name, value) in [("--storage", &vzdump.storage), ("--mode", &vzdump.mode)] {
        arguments.extend([name.to_owned(), value.clone()]);
    }
    arguments.extend(vzdump.compress.iter().flat_map(|how| ["--compress".to_owned(), how.clone()]));
    arguments.extend(["--quiet", "1"].map(str::to_owned));
    arguments
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use guests::inventory::{Kind, Volume};

    use super::*;

    fn vzdump() -> Vzdump {
        Vzdump {
            storage: "backups".to_owned(),
            mode: "snapshot".to_owned(),
            compress: None,
            always: false,
            only: Vec::new(),
            limit: Duration::from_secs(60),
        }
    }

    fn guest(id: &str, role: Role) -> Guest {
        let volume = Volume { slot: "scsi0".to_owned(), role, place: None, size: None, target: None, in_backup: true };
        Guest {
            id: id.to_owned(),
            kind: Kind::Machine,
            name: format!("name-{id}"),
            node: "pve".to_owned(),
            starts: true,
            order: None,
            protected: false,
            template: false,
            lock: None,
            volumes: vec![volume],
            attached: Vec::new(),
            snapshots: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn ids(guests: Vec<&Guest>) -> Vec<&str> {
        guests.into_iter().map(|guest| guest.id.as_str()).collect()
    }

    #[test]
    fn guests_without_a_recent_archive_get_one() {
        let guests = [
            guest("100", Role::Disk),
            guest("101", Role::Root),
            guest("102", Role::Disk),
            guest("103", Role::Removable),
        ];
        let now = jiff::civil::date(2026, 11, 20).at(12, 0, 0, 0);
        let made = |guest: &str, day: i8| Backup {
            guest: guest.to_owned(),
            place: String::new(),
            made: jiff::civil::date(2026, 11, day).at(3, 0, 0, 0),
        };
        let backups = [made("100", 20), made("101", 18), made("101", 10)];
        let asked = |vzdump: &Vzdump| ids(wanted(vzdump, &guests, &backups, now, SignedDuration::from_hours(24)));
        assert_eq!(asked(&vzdump()), ["101", "102"], "103 has no disk of its own");
        assert_eq!(asked(&Vzdump { always: true, ..vzdump() }), ["100", "101", "102"]);
        assert_eq!(asked(&Vzdump { only: vec!["102".to_owned(), "100".to_owned()], ..vzdump() }), ["102"]);
    }

    /// A stand-in that writes down how it was called, and fails or hangs for some guests.
    #[test]
    fn one_after_the_other_is_dumped_and_one_that_fails_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (program, calls) = (folder.path().join("vzdump"), folder.path().join("calls"));
        let script = format!(
            "#!/bin/sh\necho \"$@\" >>{}\ncase $1 in 101) echo no space >&2; exit 5;; 102) sleep 60;; esac\n",
            calls.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let guests = ["100", "101", "102", "103"].map(|id| guest(id, Role::Disk));
        let mut gaps = Vec::new();
        let how = Vzdump { compress: Some("zstd".to_owned()), limit: Duration::from_secs(1), ..vzdump() };
        each(&how, &guests.iter().collect::<Vec<_>>(), &[program.into()], &Policy::default(), &mut gaps);
        let rest = "--storage backups --mode snapshot --compress zstd --quiet 1";
        let wanted: String = ["100", "101", "102", "103"].map(|id| format!("{id} {rest}\n")).concat();
        assert_eq!(std::fs::read_to_string(calls).unwrap(), wanted);
        let named: Vec<&str> = gaps.iter().map(|gap| gap.what.as_str()).collect();
        assert_eq!(named, ["guest 101", "guest 102"]);
        assert!(gaps[0].why.contains("no space") && gaps[1].why.contains("1 s"), "{gaps:?}");
    }

    #[test]
    fn a_run_that_is_stopped_starts_no_more_of_them() {
        let guests = ["100", "101"].map(|id| guest(id, Role::Disk));
        let stop = crate::interrupt::Flag::default();
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        let policy = Policy { stop: Some(stop), ..Policy::default() };
        let mut gaps = Vec::new();
        let words = ["sh", "-c", "sleep 60"].map(OsString::from);
        each(&vzdump(), &guests.iter().collect::<Vec<_>>(), &words, &policy, &mut gaps);
        assert!(gaps.is_empty(), "{gaps:?}");
    }
}
