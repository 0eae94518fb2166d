//! What an archive of a host leaves out inside covered filesystems, each with its reason. `lifeboat show` prints it.
//!
//! The list is short on purpose: an administrator who restores a machine expects their files back. Left out is what the
//! kernel fills, what is emptied by design, and what can be downloaded or is made again. `/var/tmp` stays: by the
//! filesystem hierarchy standard it outlives a restart.

use layout::fstab::FstabEntry;
use manifest::host::{Exclusion, SwapFile};

use super::{Options, shown};

const DEFAULTS: &[(&str, &str)] = &[
    ("/dev", "filled by the kernel"),
    ("/proc", "filled by the kernel"),
    ("/sys", "filled by the kernel"),
    ("/run", "filled at every start"),
    ("/tmp", "temporary by design"),
    ("/var/tmp/systemd-private-*", "temporary files of running services"),
    ("/var/cache/apt/archives/*.deb", "downloaded packages, which apt fetches again"),
    ("/var/cache/apt/archives/partial", "half downloaded packages"),
    ("/var/cache/apt/*.bin", "apt makes it again"),
    ("/var/cache/dnf", "downloaded packages, which dnf fetches again"),
    ("/var/cache/yum", "downloaded packages, which yum fetches again"),
    ("/var/cache/pacman/pkg", "downloaded packages, which pacman fetches again"),
    ("/var/cache/zypp/packages", "downloaded packages, which zypper fetches again"),
    ("/var/lib/systemd/coredump", "memory of crashed programs, which systemd removes after days"),
];

/// The default list.
#[must_use]
pub fn defaults() -> Vec<Exclusion> {
    DEFAULTS.iter().map(|(pattern, reason)| exclusion(*pattern, reason)).collect()
}

/// The default list and what this host and its configuration add.
pub(super) fn of(options: &Options, swap_files: &[SwapFile], fstab: &[FstabEntry]) -> Vec<Exclusion> {
    let mut list = defaults();
    let mut add = |pattern: String, reason: &str| {
        if !list.iter().any(|known| known.pattern == pattern) {
            list.push(exclusion(pattern, reason));
        }
    };
    add(shown(&options.state.join("cache")), "Lifeboat's own cache, which the next run makes again");
    add(
        shown(&options.state.join("guests")),
        "what an earlier restore did with its guests, and the next one does anew",
    );
    for vault in &options.vaults {
        add(shown(vault), "a vault is not archived into itself");
    }
    for swap in swap_files {
        add(swap.path.clone(), "a swap file, which is made anew");
    }
    let files = fstab.iter().filter(|entry| entry.fstype == "swap" && entry.spec.starts_with('/'));
    for entry in files.filter(|entry| !entry.spec.starts_with("/dev/")) {
        add(entry.spec.clone(), "a swap file, which is made anew");
    }
    for pattern in &options.exclude {
        add(pattern.clone(), "named in the configuration");
    }
    list
}

fn exclusion(pattern: impl Into<String>, reason: &str) -> Exclusion {
    Exclusion { pattern: pattern.into(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use layout::{Bytes, fstab};

    use super::*;

    #[test]
    fn the_host_adds_its_swap_files_vaults_and_configuration_once_each() {
        let options = Options {
            vaults: vec!["/srv/vault".into()],
            exclude: vec!["/home/*/Downloads".into(), "/tmp".into()],
            ..Options::default()
        };
        let swap = [SwapFile { path: "/swapfile".into(), size: Bytes(1) }];
        let fstab =
            fstab::parse("/swapfile none swap sw\n/swap2 none swap sw\n/dev/sda2 none swap sw\nUUID=1 none swap sw\n");
        let list = of(&options, &swap, &fstab);
        let added: Vec<&str> = list[DEFAULTS.len()..].iter().map(|exclusion| exclusion.pattern.as_str()).collect();
        assert_eq!(
            added,
            [
                "/var/lib/lifeboat/cache",
                "/var/lib/lifeboat/guests",
                "/srv/vault",
                "/swapfile",
                "/swap2",
                "/home/*/Downloads"
            ]
        );
        assert!(list.iter().all(|exclusion| !exclusion.reason.is_empty()));
    }

    #[test]
    fn what_people_put_there_themselves_stays() {
        for path in
            ["/var/tmp", "/home", "/var/log", "/lost+found", "/var/lib/apt/lists", "/root/.cache", "/mnt", "/media"]
        {
            assert!(!DEFAULTS.iter().any(|(pattern, _)| *pattern == path), "{path}");
        }
    }
}
