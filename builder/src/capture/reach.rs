//! Whether an archive comes to the filesystems that it is to hold: from `/` through what is archived itself. Pure.

use std::path::{Path, PathBuf};

use layout::mountinfo::{MountEntry, on_the_way, over_themselves, visible};
use manifest::host::{Coverage, Gap, Verdict};

use super::coverage::SYSTEM;
use super::{exclusions, gap};

/// Of the mount points of captured filesystems those that an archive comes to. A filesystem at another one is not covered: it would come back empty.
pub(super) fn reached(
    mounts: &[MountEntry],
    mut cross: Vec<PathBuf>,
    coverage: &mut Coverage,
    gaps: &mut Vec<Gap>,
) -> Vec<PathBuf> {
    // A folder before what lies in it.
    cross.sort();
    let themselves = over_themselves(mounts);
    let mut visible = visible(mounts);
    visible.retain(|entry| entry.path != "/" && !themselves.contains(entry));
    let mut reached: Vec<PathBuf> = Vec::new();
    for place in cross {
        match hindrance(&visible, &reached, &place) {
            None => reached.push(place),
            Some(above) => lose(&place, &above, coverage, gaps),
        }
    }
    reached
}

/// What lies between `/` and a mount point and is not archived.
fn hindrance(mounts: &[&MountEntry], reached: &[PathBuf], place: &Path) -> Option<String> {
    let text = place.to_string_lossy();
    let mut above = mounts.iter().filter(|entry| {
        let inner = entry.path != text && on_the_way(&entry.path, &text);
        inner && !reached.iter().any(|other| other == Path::new(&entry.path))
    });
    let left_out = || {
        let defaults: Vec<String> = exclusions::defaults().into_iter().map(|exclusion| exclusion.pattern).collect();
        let above = place.ancestors().skip(1).map(|folder| folder.to_string_lossy().into_owned());
        above.filter(|folder| defaults.contains(folder)).last()
    };
    above.next().map(|entry| entry.path.clone()).or_else(left_out)
}

fn lose(place: &Path, above: &str, coverage: &mut Coverage, gaps: &mut Vec<Gap>) {
    let text = place.to_string_lossy();
    let reason = format!(
        "it is mounted at {text}, below {above}, which is not archived: mount it elsewhere, or waive it by name"
    );
    let held = |verdict: &Verdict| matches!(verdict, Verdict::Captured { .. });
    match coverage.items.iter_mut().find(|item| item.mount.as_deref() == Some(&*text) && held(&item.verdict)) {
        Some(item) => item.verdict = Verdict::Uncovered { reason, system: SYSTEM.contains(&&*text) },
        // A subvolume of a btrfs that is reached elsewhere.
        None => gaps.push(gap(&*text, reason)),
    }
}

#[cfg(test)]
mod tests {
    use layout::NodeId;
    use layout::mountinfo;
    use manifest::host::Item;

    use super::*;

    const TABLE: &[u8] = b"\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 0:7 / /run rw - tmpfs tmpfs rw
22 21 8:17 / /run/media/ann/DISK rw - ext4 /dev/sdb1 rw
23 20 0:41 / /mnt/nas rw - nfs4 nas:/y rw
24 23 8:33 / /mnt/nas/disk rw - ext4 /dev/sdc1 rw
25 20 8:2 / /home rw - ext4 /dev/sda2 rw
26 25 8:3 / /home/ann rw - ext4 /dev/sda3 rw
27 20 8:4 / /tmp/disk rw - ext4 /dev/sda4 rw
28 20 8:1 /srv /srv rw - ext4 /dev/sda1 rw
29 28 8:5 / /srv/data rw - ext4 /dev/sda5 rw
";

    #[test]
    fn a_filesystem_below_what_is_not_archived_is_not_covered_and_says_why() {
        let places = ["/run/media/ann/DISK", "/mnt/nas/disk", "/home/ann", "/home", "/tmp/disk", "/srv/data"];
        let item = |place: &&str| Item {
            node: NodeId((*place).to_owned()),
            path: String::new(),
            what: "ext4".into(),
            mount: Some((*place).to_owned()),
            verdict: Verdict::Captured { how: "its files are archived".into() },
        };
        let items = places.iter().map(item).collect();
        let mut coverage = Coverage { items, exclusions: Vec::new(), unused_waivers: Vec::new() };
        let mut gaps = Vec::new();
        let cross = places.map(PathBuf::from).to_vec();
        let found = reached(&mountinfo::parse(TABLE), cross, &mut coverage, &mut gaps);
        assert_eq!(found, ["/home", "/home/ann", "/srv/data"].map(PathBuf::from));
        let lost: Vec<String> = coverage
            .uncovered()
            .map(|item| match &item.verdict {
                Verdict::Uncovered { reason, .. } => reason.split(',').nth(1).unwrap().to_owned(),
                _ => String::new(),
            })
            .collect();
        assert_eq!(lost, [" below /run", " below /mnt/nas", " below /tmp"]);
        assert!(gaps.is_empty());
    }
}
