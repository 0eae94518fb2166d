//! Names of the snapshots that runs take: `lifeboat-snap-HOST-RUN-NUMBER`. By them what a killed run has left is told from everything else, and from
//! what a run that is at work, on this host or on another one that shares its storage, still reads.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use layout::lsblk::BlockDevice;
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "lifeboat-snap-";
/// The same in names of the device mapper, which doubles each `-`.
const MAPPED: &str = "-lifeboat--snap--";
/// Digits of a host and of a run.
const DIGITS: usize = 8;
/// Where a run at work holds a lock. It is empty after a start of the host, as it should be.
const LEASES: &str = "/run/lifeboat-snapshots";

/// Whose a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    host: String,
    run: String,
}

impl Owner {
    /// The owner of the snapshot with this name; none where it is no run's.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.split('-');
        let (host, run, number) = (parts.next()?, parts.next()?, parts.next()?);
        let hex =
            |text: &str| text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let whole = parts.next().is_none() && hex(host) && hex(run);
        let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        (whole && numbered).then(|| Self { host: host.to_owned(), run: run.to_owned() })
    }

    /// The name of one of its snapshots.
    pub(super) fn name(&self, number: usize) -> String {
        format!("{PREFIX}{}-{}-{number}", self.host, self.run)
    }

    /// Whether it is a run of the host with this mark, and is at work no more.
    pub(super) fn is_gone(&self, host: &str) -> bool {
        if self.host != host {
            return false;
        }
        match File::open(Path::new(LEASES).join(&self.run)) {
            // The lock is given back when the file is closed.
            Ok(file) => file.try_lock().is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

/// Whether a snapshot of a run has this name.
pub(crate) fn is_ours(name: &str) -> bool {
    Owner::of(name).is_some()
}

/// Whether the device mapper calls a snapshot of a run, or a part of one, so.
pub(super) fn is_mapped(name: &str) -> bool {
    name.contains(MAPPED)
}

/// Takes snapshots of runs, with what lies inside them, off a list of devices.
pub(crate) fn hide(devices: &mut Vec<BlockDevice>) {
    devices.retain(|device| !device.path.strip_prefix("/dev/mapper/").is_some_and(is_mapped));
}

/// What marks this host: part of a digest of its machine id, else of its name.
pub(super) fn host() -> String {
    let id = fs::read("/etc/machine-id").unwrap_or_default();
    let name = rustix::system::uname();
    let known = if id.trim_ascii().is_empty() { name.nodename().to_bytes() } else { id.trim_ascii() };
    hex(&Sha256::digest(known)[..DIGITS / 2])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The word of a run that it is at work, as long as it lives.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) owner: Owner,
    file: PathBuf,
    _lock: File,
}

impl Lease {
    /// A new run's. It is there before anything has its name.
    pub(super) fn new() -> io::Result<Self> {
        let mut random = [0; DIGITS / 2];
        getrandom(&mut random, GetRandomFlags::empty())?;
        let owner = Owner { host: host(), run: hex(&random) };
        DirBuilder::new().recursive(true).mode(0o700).create(LEASES)?;
        let file = Path::new(LEASES).join(&owner.run);
        let lock = File::create_new(&file)?;
        // Nobody else holds it for long.
        lock.lock()?;
        Ok(Self { owner, file, _lock: lock })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that stays says nothing: nobody holds its lock.
        let _ = fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_own_snapshots_are_told_from_everything_else() {
        let owner = Owner { host: "0123abcd".to_owned(), run: "89ef0011".to_owned() };
        assert_eq!(owner.name(3), "lifeboat-snap-0123abcd-89ef0011-3");
        assert_eq!(Owner::of(&owner.name(12)), Some(owner));
        for other in [
            "lifeboat-snap-",
            "lifeboat-snap-before-update",
            "lifeboat-snap-0123abcd-89ef0011",
            "lifeboat-snap-0123abcd-89ef0011-",
            "lifeboat-snap-0123abcd-89ef0011-1-2",
            "lifeboat-snap-0123abcd-89ef0011-x",
            "lifeboat-snap-0123ABCD-89ef0011-1",
            "lifeboat-snap-0123abc-89ef0011-1",
            "my-lifeboat-snap-0123abcd-89ef0011-1",
            "root",
        ] {
            assert_eq!(Owner::of(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_this_hosts_own_runs_have_left_is_gone() {
        let left = Owner { host: "0123abcd".to_owned(), run: "00000000".to_owned() };
        assert!(left.is_gone("0123abcd"), "no run holds a lock of this name");
        assert!(!left.is_gone("ffffffff"), "a host that shares its storage with this one may be at work");
    }

    #[test]
    fn a_run_at_work_is_not_gone_and_one_that_ended_is() {
        // Locks lie in the system's own folder, which only root may make.
        let Ok(lease) = Lease::new() else { return };
        let owner = lease.owner.clone();
        assert!(!owner.is_gone(&owner.host));
        drop(lease);
        assert!(owner.is_gone(&owner.host));
    }

    #[test]
    fn devices_of_a_snapshot_are_hidden_and_no_others() {
        let device = |path: &str| BlockDevice { path: path.to_owned(), ..BlockDevice::default() };
        let mut devices: Vec<BlockDevice> = [
            "/dev/mapper/vg-root",
            "/dev/mapper/vg-root-real",
            "/dev/mapper/vg-lifeboat--snap--0123abcd--89ef0011--1",
            "/dev/mapper/vg-lifeboat--snap--0123abcd--89ef0011--1-cow",
            "/dev/mapper/vg-before",
        ]
        .map(device)
        .into();
        hide(&mut devices);
        let left: Vec<&str> = devices.iter().map(|device| device.path.as_str()).collect();
        assert_eq!(left, ["/dev/mapper/vg-root", "/dev/mapper/vg-root-real", "/dev/mapper/vg-before"]);
    }
}
