//! `/proc/self/mountinfo`: what is mounted where, which of it can be seen, and which lines are second views.

use std::collections::{BTreeMap, BTreeSet};

/// Filesystem types that the kernel or a service fills: nothing of theirs lies on a disk of the host.
pub const PSEUDO: &[&str] = &[
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fuse.snapfuse",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// The mount's number.
    pub id: u64,
    /// The number of the mount that it is on.
    pub parent: u64,
    /// Device number as `major:minor`.
    pub number: String,
    /// The folder of the filesystem that is shown; `/` unless it is a bind mount or a subvolume.
    pub root: String,
    /// Where it is shown.
    pub path: String,
    /// Per-mount options and then the filesystem's own, without repetition.
    pub options: String,
    /// Filesystem type.
    pub fstype: String,
    /// Device or other source.
    pub source: String,
}

impl MountEntry {
    /// Whether the kernel or a service fills it.
    #[must_use]
    pub fn is_pseudo(&self) -> bool {
        PSEUDO.contains(&self.fstype.as_str())
    }
}

impl MountEntry {
    /// Whether it shows a folder of a filesystem. Subvolumes of btrfs and datasets of ZFS are none.
    fn is_second_view(&self) -> bool {
        self.root != "/" && !matches!(self.fstype.as_str(), "btrfs" | "zfs")
    }
}

/// Reads mountinfo; lines that do not have its shape are passed over. Bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<MountEntry> {
    bytes.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// The mounts that can be reached by their path, in mount order: one that a later mount lies over, or whose mount
/// point is hidden so, is left out. What is left shows a path at most once.
#[must_use]
pub fn visible(entries: &[MountEntry]) -> Vec<&MountEntry> {
    let mut children: BTreeMap<u64, Vec<&MountEntry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.id != entry.parent) {
        children.entry(entry.parent).or_default().push(entry);
    }
    let ids: BTreeSet<u64> = entries.iter().map(|entry| entry.id).collect();
    let root =
        entries.iter().find(|entry| entry.path == "/" && (entry.parent == entry.id || !ids.contains(&entry.parent)));
    let Some(root) = root else { return Vec::new() };
    entries.iter().filter(|entry| reached(root, &children, &entry.path, entries.len()) == entry.id).collect()
}

/// Visible mounts that show what would show without them: a folder that is mounted over itself, as container engines do with their storage to have it
/// for themselves. What is in them belongs to the filesystem that they are mounted on.
#[must_use]
pub fn over_themselves(entries: &[MountEntry]) -> Vec<&MountEntry> {
    let by_id: BTreeMap<u64, &MountEntry> = entries.iter().map(|entry| (entry.id, entry)).collect();
    visible(entries).into_iter().filter(|entry| !entry.is_pseudo() && is_over_itself(entry, &by_id)).collect()
}

/// Several may lie on each other.
fn is_over_itself(entry: &MountEntry, by_id: &BTreeMap<u64, &MountEntry>) -> bool {
    let mut at = entry;
    for _ in 0..by_id.len() {
        match by_id.get(&at.parent).filter(|parent| shows_itself(at, parent)) {
            Some(parent) if parent.path == at.path => at = parent,
            found => return found.is_some(),
        }
    }
    false
}

/// Whether a mount shows the folder of its parent's that it lies on.
fn shows_itself(entry: &MountEntry, parent: &MountEntry) -> bool {
    let inside = entry.path.strip_prefix(parent.path.trim_end_matches('/'));
    let below = inside.and_then(|inside| entry.root.strip_suffix(inside));
    entry.number == parent.number && below.is_some_and(|below| below == parent.root.trim_end_matches('/'))
}

/// The mount that a walk from the root arrives at for `path`: at each mount the nearest mount point on the way is
/// entered, as the kernel does it.
fn reached(root: &MountEntry, children: &BTreeMap<u64, Vec<&MountEntry>>, path: &str, limit: usize) -> u64 {
    let mut at = root;
    for _ in 0..limit {
        let on_the_way = children.get(&at.id).into_iter().flatten().filter(|child| on_the_way(&child.path, path));
        let Some(next) = on_the_way.min_by_key(|child| child.path.len()) else { break };
        at = next;
    }
    at.id
}

/// Whether what is mounted at `entry` is reached only through memory (`/run`), or through a folder that shows a second time: an archive of the host does
/// not come there.
#[must_use]
pub fn is_aside(entry: &MountEntry, visible: &[&MountEntry], themselves: &[&MountEntry]) -> bool {
    visible.iter().any(|above| {
        let is_above = above.path != "/" && above.path != entry.path && on_the_way(&above.path, &entry.path);
        is_above && (above.is_pseudo() || (above.is_second_view() && !themselves.contains(above)))
    })
}

/// Where `path` lies in the first of the visible mounts of its filesystem, where a bind mount shows it a second time. btrfs and ZFS show parts of themselves by design.
#[must_use]
pub fn first_view(visible: &[MountEntry], path: &str) -> String {
    let above = visible.iter().filter(|entry| on_the_way(&entry.path, path)).max_by_key(|entry| entry.path.len());
    let bound = above.filter(|entry| entry.is_second_view());
    let Some(entry) = bound else { return path.to_owned() };
    let holds = |other: &&MountEntry| other.number == entry.number && on_the_way(&other.root, &entry.root);
    let first = visible.iter().filter(holds).min_by_key(|other| other.root.len());
    first.map_or_else(
        || path.to_owned(),
        |first| {
            let part = entry.root.strip_prefix(first.root.trim_end_matches('/')).unwrap_or_default();
            let rest = path.strip_prefix(entry.path.trim_end_matches('/')).unwrap_or_default();
            format!("{}{part}{rest}", first.path.trim_end_matches('/'))
        },
    )
}

/// Whether `folder` is `path` or one of the folders above it.
#[must_use]
pub fn on_the_way(folder: &str, path: &str) -> bool {
    folder == "/" || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Undoes the kernel's octal escapes (`\040` for a space) in a field of mountinfo, swaps or fstab.
#[must_use]
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut at = 0;
    while at < field.len() {
        let octal = field.get(at + 1..at + 4).filter(|_| field[at] == b'\\');
        let value = octal.and_then(|digits| {
            digits.iter().try_fold(0u32, |value, digit| {
                matches!(digit, b'0'..=b'7').then(|| value * 8 + u32::from(digit - b'0'))
            })
        });
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(value) => {
                bytes.push(value);
                at += 4;
            }
            None => {
                bytes.push(field[at]);
                at += 1;
            }
        }
    }
    bytes
}

fn line(line: &[u8]) -> Option<MountEntry> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    // Optional fields stand between the sixth and a lone hyphen.
    let hyphen = fields.iter().skip(6).position(|field| *field == b"-")? + 6;
    let text = |index: usize| fields.get(index).map(|field| String::from_utf8_lossy(&unescape(field)).into_owned());
    let mut options: Vec<String> = Vec::new();
    for list in [text(5)?, text(hyphen + 3).unwrap_or_default()] {
        for option in list.split(',').filter(|option| !option.is_empty()) {
            if !options.iter().any(|known| known == option) {
                options.push(option.to_owned());
            }
        }
    }
    Some(MountEntry {
        id: text(0)?.parse().ok()?,
        parent: text(1)?.parse().ok()?,
        number: text(2)?,
        root: text(3)?,
        path: text(4)?,
        options: options.join(","),
        fstype: text(hyphen + 1)?,
        source: text(hyphen + 2)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths<'a>(entries: &[&'a MountEntry]) -> Vec<(&'a str, &'a str)> {
        entries.iter().map(|entry| (entry.path.as_str(), entry.source.as_str())).collect()
    }

    #[test]
    fn odd_names_binds_and_options_are_read_from_a_captured_table() {
        let entries = parse(include_bytes!("../fixtures/mountinfo-odd"));
        let find = |path: &str| entries.iter().filter(|entry| entry.path.ends_with(path)).collect::<Vec<_>>();
        let spaced = find("/with space")[0];
        assert_eq!((spaced.fstype.as_str(), spaced.root.as_str()), ("ext4", "/"));
        assert!(spaced.options.starts_with("rw,relatime"), "{}", spaced.options);
        assert_eq!(find("/tab\tand\nline\\")[0].fstype, "tmpfs");
        let bind = find("/bind")[0];
        assert_eq!((bind.root.as_str(), &bind.number), ("/folder", &spaced.number));
        assert_eq!(find("/over").len(), 2);
    }

    #[test]
    fn only_the_topmost_of_stacked_mounts_is_visible() {
        let entries = parse(include_bytes!("../fixtures/mountinfo-odd"));
        let visible = visible(&entries);
        let over: Vec<&&MountEntry> = visible.iter().filter(|entry| entry.path.ends_with("/over")).collect();
        assert_eq!((over.len(), over[0].fstype.as_str()), (1, "tmpfs"));
        let hidden = entries.iter().find(|entry| entry.path.ends_with("/hidden/below")).unwrap();
        assert!(!visible.contains(&hidden), "a mount below a folder that was mounted over is hidden");
    }

    #[test]
    fn a_mount_over_the_root_takes_its_place() {
        let text = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /home rw - ext4 /dev/sda2 rw\n3 1 0:9 / / rw - overlay new rw\n";
        assert_eq!(paths(&visible(&parse(text))), [("/", "new")]);
    }

    #[test]
    fn a_folder_that_is_mounted_over_itself_is_known_and_one_that_shows_another_is_none() {
        let text = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:1 /var/store /var/store rw - ext4 /dev/sda1 rw\n\
                     3 2 8:1 /var/store /var/store rw - ext4 /dev/sda1 rw\n4 3 0:50 / /var/store/x/merged rw - overlay overlay rw\n\
                     5 1 8:1 /srv /mnt rw - ext4 /dev/sda1 rw\n6 5 8:1 /srv/in /mnt/in rw - ext4 /dev/sda1 rw\n\
                     7 1 8:2 /home /home rw - ext4 /dev/sda2 rw\n8 1 8:1 /etc/host /etc/host rw - ext4 /dev/sda1 rw\n\
                     9 1 0:7 / /run rw - tmpfs tmpfs rw\n10 9 0:7 /netns /run/netns rw - tmpfs tmpfs rw\n\
                     11 1 0:30 /@/a /a rw - btrfs /dev/sdb rw\n12 11 0:30 /@/a/b /a/b rw - btrfs /dev/sdb rw\n\
                     13 1 8:1 /xvar/y /var/y rw - ext4 /dev/sda1 rw\n";
        let entries = parse(text);
        let found: Vec<u64> = over_themselves(&entries).iter().map(|entry| entry.id).collect();
        assert_eq!(found, [3, 6, 8, 12]);
        // The second lies on what shows another folder.
        let text = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:1 /b /a rw - ext4 /dev/sda1 rw\n3 2 8:1 /b /a rw - ext4 /dev/sda1 rw\n";
        assert!(over_themselves(&parse(text)).is_empty());
    }

    #[test]
    fn what_is_reached_through_memory_or_a_second_view_is_aside() {
        let text = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:7 / /run rw - tmpfs tmpfs rw\n3 2 8:2 / /run/media/x rw - ext4 /dev/sdb1 rw\n\
                     4 1 8:1 /data/srv /srv rw - ext4 /dev/sda1 rw\n5 4 8:3 / /srv/db rw - ext4 /dev/sdc1 rw\n\
                     6 1 8:3 / /data/srv/db rw - ext4 /dev/sdc1 rw\n7 1 8:1 /st /st rw - ext4 /dev/sda1 rw\n\
                     8 7 8:4 / /st/disk rw - ext4 /dev/sdd1 rw\n";
        let entries = parse(text);
        let (visible, themselves) = (visible(&entries), over_themselves(&entries));
        let aside = visible.iter().filter(|entry| is_aside(entry, &visible, &themselves));
        assert_eq!(aside.map(|entry| entry.id).collect::<Vec<_>>(), [3, 5]);
    }

    #[test]
    fn what_a_bind_mount_shows_lies_where_its_filesystem_is_mounted() {
        let text = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /data rw - ext4 /dev/sdb1 rw\n\
                     3 1 8:2 /images /var/lib/images rw - ext4 /dev/sdb1 rw\n4 1 8:1 /srv /mnt rw - ext4 /dev/sda1 rw\n\
                     5 1 0:30 /@home /home rw - btrfs /dev/sdc rw\n6 1 8:9 /x /lost rw - ext4 /dev/sdd rw\n";
        let entries: Vec<MountEntry> = visible(&parse(text)).into_iter().cloned().collect();
        for (path, lies) in [
            ("/var/lib/images/a.qcow2", "/data/images/a.qcow2"),
            ("/var/lib/images", "/data/images"),
            ("/mnt/a", "/srv/a"),
            ("/data/b", "/data/b"),
            ("/home/c", "/home/c"),
            ("/lost/d", "/lost/d"),
            ("/etc/e", "/etc/e"),
        ] {
            assert_eq!(first_view(&entries, path), lies);
        }
    }

    #[test]
    fn lines_of_another_shape_are_passed_over() {
        assert!(parse(b"\n36 35 98:0 /x\n36 x 98:0 / / rw - a b\n").is_empty());
        assert!(visible(&[]).is_empty());
    }

    #[test]
    fn only_whole_octal_escapes_are_undone() {
        assert_eq!(unescape(br"a\040b\134\9\77\777"), br"a b\\9\77\777");
    }
}
