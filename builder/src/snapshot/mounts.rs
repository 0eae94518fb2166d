//! Mounts that a run came upon and did not enter, or should have entered and did not: what they hold is not in the snapshot, and is named.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use layout::mountinfo::{self, MountEntry};
use manifest::Problem;
use vault::{EntryPath, Finished};

use super::Subject;
use crate::capture::pattern::fits;
use crate::capture::still::Outcome;
use crate::config::Waiver;

/// What the kernel says is mounted.
const TABLE: &str = "/proc/self/mountinfo";

/// What is wrong, once the tree is read.
pub(super) fn problems(subject: &Subject, finished: &Finished, outcome: &Outcome, waived: &[Waiver]) -> Vec<Problem> {
    if subject.nothing.is_some() || (subject.host.is_none() && finished.foreign.is_empty()) {
        return Vec::new();
    }
    let table = match std::fs::read(TABLE) {
        Ok(text) => mountinfo::parse(&text),
        Err(error) => {
            let what = format!(
                "it cannot be read ({error}), so that it is not known whether something is mounted that the snapshot lacks"
            );
            return vec![problem(Path::new(TABLE), &what)];
        }
    };
    let visible = mountinfo::visible(&table);
    match &subject.host {
        Some(_) if subject.root == Path::new("/") => missed(subject, finished, outcome, &visible),
        None => {
            let mut found = not_entered(&subject.root, finished, &visible);
            found.retain(|problem| !waived.iter().any(|waive| fits(&waive.what, &problem.object)));
            found
        }
        // Of another root the mounts are not this system's.
        Some(_) => Vec::new(),
    }
}

/// A tree ends where something is mounted in it.
fn not_entered(root: &Path, finished: &Finished, visible: &[&MountEntry]) -> Vec<Problem> {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let places = finished.foreign.iter().map(|path| root.join(OsStr::from_bytes(path.as_bytes())));
    let what = "another filesystem is mounted there, and is not in the snapshot: name it as the --source of a snapshot of its own, or waive it";
    places.filter(|place| !is_nothing(place, visible)).map(|place| problem(&place, what)).collect()
}

/// Whether what is mounted there is filled by the kernel, or shows what lies elsewhere, as an overlay and an image do.
fn is_nothing(place: &Path, visible: &[&MountEntry]) -> bool {
    let entry = visible.iter().find(|entry| Path::new(&entry.path) == place);
    // What is not mounted any more was a container's that has ended.
    entry.is_none_or(|entry| entry.is_pseudo() || entry.fstype == "overlay" || entry.source.starts_with("/dev/loop"))
}

/// Of a host, each mount that is to be archived was there until the end, and the walk came to it.
fn missed(subject: &Subject, finished: &Finished, outcome: &Outcome, visible: &[&MountEntry]) -> Vec<Problem> {
    let is_left_out = |place: &Path| {
        let above = place.ancestors().filter_map(|path| EntryPath::from_argument(path.as_os_str().as_bytes()));
        above
            .filter(|path| !path.is_root())
            .any(|path| subject.exclude.iter().any(|exclusion| exclusion.matches(&path)))
    };
    let why = |place: &Path| {
        let inside = EntryPath::from_argument(place.as_os_str().as_bytes());
        let share = finished.shares.iter().find(|share| Some(&share.path) == inside.as_ref());
        if share.is_some_and(|share| share.entries == 0) {
            return Some("it is mounted where nothing was archived, and is not in the snapshot");
        }
        let stood = place.to_str().is_some_and(|place| outcome.still.contains(place));
        let is_there = visible.iter().any(|entry| Path::new(&entry.path) == place);
        (!stood && !is_there)
            .then_some("it was unmounted while the backup ran: what it held may be missing in the snapshot")
    };
    let places = subject.cross.iter().filter(|place| !is_left_out(place));
    places.filter_map(|place| Some(problem(place, why(place)?))).collect()
}

fn problem(place: &Path, what: &str) -> Problem {
    Problem { object: place.to_string_lossy().into_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_in_a_tree_is_named_but_for_what_the_kernel_fills() {
        let entries = mountinfo::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /srv/app/db rw - zfs tank/db rw\n3 1 0:7 / /srv/app/run rw - tmpfs tmpfs rw\n\
             4 1 0:8 / /srv/app/merged rw - overlay overlay rw\n",
        );
        let visible = mountinfo::visible(&entries);
        let mut met = vec!["/srv/app/db", "/srv/app/run", "/srv/app/merged", "/srv/app/gone"];
        met.retain(|place| !is_nothing(Path::new(place), &visible));
        assert_eq!(met, ["/srv/app/db"]);
    }
}
