//! Snapshots of datasets: all of a pool's at one moment.

use exec::Command;

use super::left::Left;
use super::names::{self, Owner};

fn zfs(args: &[&str]) -> Result<String, String> {
    let program = exec::find("zfs").unwrap_or_else(|| "zfs".into());
    Command::new(program).args(args.iter().copied()).read().map_err(|error| error.to_string())
}

/// Marks a snapshot where it was taken. A copy of it in another pool has the same name, and this property as one that it received, if at all.
const MARK: &str = "org.lifeboat:snapshot";

/// Takes a snapshot of each of these datasets, which are of one pool.
pub(super) fn take(datasets: &[&str], name: &str) -> Result<(), String> {
    let snapshots: Vec<String> = datasets.iter().map(|dataset| format!("{dataset}@{name}")).collect();
    let mark = format!("{MARK}=taken");
    let mut args = vec!["snapshot", "-o", &mark];
    args.extend(snapshots.iter().map(String::as_str));
    zfs(&args).map(|_| ())
}

/// Removes one, by its whole name.
pub(super) fn remove(snapshot: &str) -> Result<(), String> {
    match snapshot.split_once('@') {
        Some((_, name)) if names::is_ours(name) => zfs(&["destroy", snapshot]).map(|_| ()),
        _ => Err(format!("{snapshot} is no snapshot of a run")),
    }
}

/// Removes what runs that `is_gone` names have left.
pub(super) fn sweep(is_gone: impl Fn(&Owner) -> bool, found: &mut Left) {
    if !std::path::Path::new("/sys/module/zfs").exists() {
        return;
    }
    // Without the tools there is nothing to look with; a capture says so.
    let all = zfs(&["get", "-H", "-t", "snapshot", "-s", "local", "-o", "name", MARK]).unwrap_or_default();
    for snapshot in left(&all, is_gone) {
        found.add(snapshot.to_owned(), remove(snapshot));
    }
}

/// Snapshots of runs in a list that `wanted` wants.
fn left(list: &str, wanted: impl Fn(&Owner) -> bool) -> Vec<&str> {
    let own =
        |line: &&str| line.split_once('@').and_then(|(_, name)| Owner::of(name)).is_some_and(|owner| wanted(&owner));
    list.lines().filter(own).collect()
}

/// A list of snapshots without those of runs; each line has the name in front.
pub(crate) fn without_ours(list: &str) -> String {
    let theirs = |line: &&str| {
        let name = line.split(['\t', ' ']).next().and_then(|first| first.split_once('@'));
        !name.is_some_and(|(_, name)| names::is_ours(name))
    };
    list.lines().filter(theirs).fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "rpool/a@before\nrpool/a@lifeboat-snap-0123abcd-89ef0011-1\nrpool/b@lifeboat-snap-mine\n";

    #[test]
    fn only_runs_own_snapshots_are_removed() {
        assert_eq!(left(LIST, |_| true), ["rpool/a@lifeboat-snap-0123abcd-89ef0011-1"]);
        assert!(left(LIST, |_| false).is_empty());
        assert!(remove("rpool/a@before").is_err() && remove("rpool/a").is_err());
        assert_eq!(without_ours(LIST), "rpool/a@before\nrpool/b@lifeboat-snap-mine\n");
    }
}
