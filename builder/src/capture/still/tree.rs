//! The host's tree, built a second time in this run's own mount table: each filesystem that was made to stand still by its snapshot, everything else as
//! it is. What is mounted and not archived is there too, so that what lies hidden below it is as hidden as it is on the host.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use layout::mountinfo::{MountEntry, on_the_way, over_themselves, visible};
use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, move_mount, open_tree, unmount};

/// Where it is built.
const TREE: &str = "/run/lifeboat-still";

/// A filesystem to be mounted: at a path of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    pub(super) place: String,
    pub(super) source: PathBuf,
    pub(super) fstype: String,
    pub(super) options: CString,
}

/// What shows at a path of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown<'a> {
    /// A snapshot.
    Still(&'a Mounted),
    /// What is there on the host.
    Live(String),
}

impl Shown<'_> {
    fn place(&self) -> &str {
        match self {
            Self::Still(mounted) => &mounted.place,
            Self::Live(place) => place,
        }
    }
}

/// What the tree is built of, in order: of the host's mounts those that an archive of `/` and `cross` comes upon, `still` in the place of what they are
/// snapshots of, and the folders `beside` that are not archived but seen.
pub(super) fn parts<'a>(
    mounts: &[MountEntry],
    cross: &[PathBuf],
    still: &'a [Mounted],
    beside: &[String],
) -> Vec<Shown<'a>> {
    let entered = |path: &str| path == "/" || cross.iter().any(|other| other == Path::new(path));
    // A folder that is mounted over itself is in what stands still: as it was then.
    let themselves = over_themselves(mounts);
    let mut seen = visible(mounts);
    seen.retain(|entry| entered(&entry.path) || !themselves.contains(entry));
    let mut paths: BTreeSet<&str> = seen.iter().map(|entry| entry.path.as_str()).collect();
    paths.extend(still.iter().map(|mounted| mounted.place.as_str()));
    paths.extend(beside.iter().map(String::as_str));
    let closed: Vec<&str> = seen.iter().map(|entry| entry.path.as_str()).filter(|path| !entered(path)).collect();
    let within = |path: &str| closed.iter().any(|other| *other != path && on_the_way(other, path));
    let shown = |path: &str| {
        let found = still.iter().find(|mounted| mounted.place == path);
        found.map_or_else(|| Shown::Live(path.to_owned()), Shown::Still)
    };
    // Sorted, so that a folder comes before what lies in it.
    paths.into_iter().filter(|path| !within(path)).map(shown).collect()
}

/// Something that cannot be shown in its place.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) place: String,
    pub(super) why: String,
}

impl Fault {
    pub(super) fn of(place: &str, error: io::Error) -> Self {
        Self { place: place.to_owned(), why: error.to_string() }
    }
}

/// The tree, as long as this value lives.
#[derive(Debug, Default)]
pub(super) struct Tree {
    places: Vec<PathBuf>,
}

impl Tree {
    /// Builds it.
    ///
    /// What the host merely shows, and is not `entered`, may have come or gone since the snapshots were taken: a container's mounts. It is an empty
    /// folder in an archive, or nothing.
    pub(super) fn build(parts: &[Shown<'_>], entered: &[PathBuf]) -> Result<Self, Fault> {
        DirBuilder::new().recursive(true).mode(0o700).create(TREE).map_err(|error| Fault::of("/", error))?;
        let mut tree = Self::default();
        for part in parts {
            let place = Self::at(part.place());
            let beside = matches!(part, Shown::Live(path) if may_be_gone(Path::new(path), entered));
            match show(part, &place) {
                Ok(()) => tree.places.push(place),
                Err(error) if beside && came_or_went(&error) => {}
                Err(error) => return Err(Fault::of(part.place(), error)),
            }
        }
        Ok(tree)
    }

    /// Where a path of the host is in it.
    fn at(path: &str) -> PathBuf {
        Path::new(TREE).join(path.trim_start_matches('/'))
    }

    /// Its root.
    pub(super) fn root(&self) -> PathBuf {
        PathBuf::from(TREE)
    }
}

/// Whether nothing is lost without what a path of the host shows: it is not archived, and is no file, which a run may have laid over another one.
fn may_be_gone(path: &Path, entered: &[PathBuf]) -> bool {
    !path.is_file() && !entered.iter().any(|other| other == path)
}

/// Whether something is not there, or may not be shown twice.
fn came_or_went(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory)
}

impl Drop for Tree {
    fn drop(&mut self) {
        for place in self.places.drain(..).rev() {
            // What somebody still has open is gone when he lets go of it.
            let _ = unmount(&place, UnmountFlags::empty()).or_else(|_| unmount(&place, UnmountFlags::DETACH));
        }
    }
}

fn show(part: &Shown<'_>, place: &Path) -> io::Result<()> {
    match part {
        Shown::Still(mounted) => {
            let flags =
                MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
            mount(&mounted.source, place, mounted.fstype.as_str(), flags, mounted.options.as_c_str())?;
        }
        Shown::Live(path) => {
            // Of an automounter the mount point itself: nothing is woken up.
            let flags =
                OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_NO_AUTOMOUNT;
            let clone = open_tree(CWD, path.as_str(), flags)?;
            move_mount(clone, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use layout::mountinfo;

    use super::*;

    const TABLE: &[u8] = b"\
20 1 253:0 / / rw - ext4 /dev/mapper/pve-root rw
21 20 0:5 / /dev rw - devtmpfs udev rw
22 21 0:6 / /dev/pts rw - devpts devpts rw
23 20 0:7 / /run rw - tmpfs tmpfs rw
24 23 0:8 / /run/user/0 rw - tmpfs tmpfs rw
25 20 8:2 / /boot/efi rw - vfat /dev/sda2 rw
26 20 253:3 / /home rw - xfs /dev/mapper/store-files rw
27 26 0:40 / /home/nas rw - nfs4 nas:/x rw
28 20 0:41 / /mnt/nas rw - nfs4 nas:/y rw
29 28 8:17 / /mnt/nas/disk rw - ext4 /dev/sdb1 rw
30 20 0:42 / /var/lib/pve-cluster/config.db rw - tmpfs tmpfs rw
31 20 253:0 /var/lib/store /var/lib/store rw - ext4 /dev/mapper/pve-root rw
32 31 0:43 / /var/lib/store/x/merged rw - overlay overlay rw
";

    fn still(place: &str) -> Mounted {
        Mounted { place: place.to_owned(), source: "/dev/x".into(), fstype: "ext4".to_owned(), options: c"".into() }
    }

    fn built(still: &[Mounted], beside: &[&str]) -> Vec<String> {
        let cross: Vec<PathBuf> = ["/boot/efi", "/home", "/mnt/nas/disk", "/home/inner"].map(PathBuf::from).into();
        let beside: Vec<String> = beside.iter().map(|path| (*path).to_owned()).collect();
        let mounts = mountinfo::parse(TABLE);
        let parts = parts(&mounts, &cross, still, &beside);
        let word = |part: &Shown<'_>| match part {
            Shown::Still(mounted) => format!("still {}", mounted.place),
            Shown::Live(place) => place.clone(),
        };
        parts.iter().map(word).collect()
    }

    #[test]
    fn what_is_archived_stands_still_and_all_else_is_as_it_is_on_the_host() {
        assert_eq!(
            built(&[still("/"), still("/home")], &[]),
            [
                "still /",
                "/boot/efi",
                "/dev",
                "still /home",
                "/home/nas",
                "/mnt/nas",
                "/run",
                "/var/lib/pve-cluster/config.db",
                "/var/lib/store/x/merged"
            ],
            "what is laid over a file is laid over its snapshot too, and what lies below a mount that is not entered is not needed"
        );
    }

    #[test]
    fn subvolumes_that_nobody_mounted_are_shown_in_their_places() {
        let found = built(&[still("/home"), still("/home/inner")], &["/home/old"]);
        assert_eq!(found[3..6], ["still /home", "still /home/inner", "/home/nas"]);
        assert_eq!(found[6], "/home/old");
    }
}
