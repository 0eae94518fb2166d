//! Where the files of each subvolume can be read on the running system: the one place from which they are archived, and the other places
//! that show them too. Two things make this more than a list of mounts. A subvolume that is not mounted itself is a folder of its parent; and one that
//! is mounted may show up a second time, inside its parent or below the mounted top.

use std::collections::BTreeMap;

use super::{Btrfs, Subvolume};
use crate::graph::{Mount, NodeId};

/// What becomes of a subvolume's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// They are read at this path.
    At(String),
    /// It is a read-only snapshot of a subvolume that is there, and is not archived.
    Copy,
    /// It lies in one that is not archived.
    InCopy,
    /// No mount shows it.
    Unreached,
}

/// The places of a filesystem's subvolumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    places: BTreeMap<String, Place>,
    /// Paths below which nothing is archived, and the subvolume that shows there.
    pub hidden: Vec<(String, String)>,
}

impl Reach {
    /// For the filesystem `node`, mounted as `mounts` says.
    #[must_use]
    pub fn of(btrfs: &Btrfs, node: &NodeId, mounts: &[Mount]) -> Self {
        let own = mounts.iter().filter(|mount| mount.node == *node);
        let own: BTreeMap<&str, &str> =
            own.rev().filter_map(|mount| Some((mount.subvolume.as_deref()?, mount.path.as_str()))).collect();
        let mut reach = Self { places: BTreeMap::new(), hidden: Vec::new() };
        let top = own.get("").map_or(Place::Unreached, |path| Place::At((*path).to_owned()));
        reach.places.insert(String::new(), top);
        // Sorted by path, so that parents come first.
        for subvolume in &btrfs.subvolumes {
            let place = reach.place_of(btrfs, subvolume, own.get(subvolume.path.as_str()).copied(), mounts);
            reach.places.insert(subvolume.path.clone(), place);
        }
        reach
    }

    /// Where the files of the subvolume with this path are read.
    #[must_use]
    pub fn place(&self, path: &str) -> &Place {
        self.places.get(path).unwrap_or(&Place::Unreached)
    }

    /// Whether its files come back.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        matches!(self.place(path), Place::At(_))
    }

    fn place_of(&mut self, btrfs: &Btrfs, one: &Subvolume, mounted: Option<&str>, mounts: &[Mount]) -> Place {
        let (parent, inside) = self.parent(&one.path);
        let shown = match &parent {
            Place::At(place) => Some(join(place, &inside)),
            _ => None,
        };
        // A mount on the way hides what the parent shows there.
        let hidden = |path: &str| {
            let Place::At(place) = &parent else { return false };
            mounts.iter().any(|mount| covers(&mount.path, path) && mount.path.len() > place.len())
        };
        let shown = shown.filter(|path| !hidden(path));
        match (mounted, shown) {
            (Some(mounted), shown) => {
                self.hidden.extend(shown.map(|path| (path, one.path.clone())));
                Place::At(mounted.to_owned())
            }
            (None, shown) if btrfs.is_copy(one) => {
                self.hidden.extend(shown.map(|path| (path, one.path.clone())));
                Place::Copy
            }
            (None, Some(shown)) => Place::At(shown),
            (None, None) if matches!(parent, Place::Copy | Place::InCopy) => Place::InCopy,
            (None, None) => Place::Unreached,
        }
    }

    /// The place of the nearest subvolume above `path`, and the path inside it.
    fn parent(&self, path: &str) -> (Place, String) {
        let above = path.rmatch_indices('/').map(|(at, _)| &path[..at]);
        let nearest = above.into_iter().find_map(|folder| self.places.get(folder).map(|place| (folder, place)));
        match nearest {
            Some((folder, place)) => (place.clone(), path[folder.len() + 1..].to_owned()),
            None => (self.place("").clone(), path.to_owned()),
        }
    }
}

fn join(folder: &str, inside: &str) -> String {
    format!("{}/{inside}", folder.trim_end_matches('/'))
}

/// Whether `mount` is `path` or a folder above it.
fn covers(mount: &str, path: &str) -> bool {
    mount == "/" || path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn btrfs(subvolumes: &[(&str, bool, Option<&str>)]) -> Btrfs {
        let mut found = Btrfs::parse(include_bytes!("../../fixtures/btrfs/plain.superblock")).unwrap().0;
        found.subvolumes = subvolumes
            .iter()
            .map(|(path, read_only, origin)| Subvolume {
                path: (*path).to_owned(),
                uuid: format!("uuid of {path}"),
                origin: origin.map(|origin| format!("uuid of {origin}")),
                read_only: *read_only,
                bare: false,
            })
            .collect();
        found.subvolumes.sort_by(|one, other| one.path.cmp(&other.path));
        found
    }

    fn mounts(list: &[(&str, &str)]) -> Vec<Mount> {
        let mount = |(subvolume, path): &(&str, &str)| Mount {
            node: NodeId(if *subvolume == "other" { "other" } else { "fs" }.into()),
            path: (*path).to_owned(),
            fstype: "btrfs".to_owned(),
            options: "rw".to_owned(),
            subvolume: Some((*subvolume).to_owned()),
        };
        list.iter().map(mount).collect()
    }

    fn at(path: &str) -> Place {
        Place::At(path.to_owned())
    }

    #[test]
    fn a_nested_subvolume_is_a_folder_of_its_parent() {
        let host =
            btrfs(&[("@", false, None), ("@home", false, None), ("@/var/inner", false, None), ("spare", false, None)]);
        let reach = Reach::of(&host, &NodeId("fs".into()), &mounts(&[("@", "/"), ("@home", "/home")]));
        assert_eq!((reach.place("@"), reach.place("@home")), (&at("/"), &at("/home")));
        assert_eq!(reach.place("@/var/inner"), &at("/var/inner"));
        assert_eq!((reach.place("spare"), reach.place("")), (&Place::Unreached, &Place::Unreached));
        assert!(reach.hidden.is_empty());
    }

    #[test]
    fn what_the_mounted_top_shows_a_second_time_is_not_archived_twice() {
        let host = btrfs(&[("@", false, None), ("@/inner", false, None), ("before", true, Some("@"))]);
        let reach = Reach::of(&host, &NodeId("fs".into()), &mounts(&[("@", "/"), ("", "/mnt/top")]));
        assert_eq!((reach.place(""), reach.place("@/inner")), (&at("/mnt/top"), &at("/inner")));
        assert_eq!(reach.place("before"), &Place::Copy);
        let hidden: Vec<&str> = reach.hidden.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(hidden, ["/mnt/top/@", "/mnt/top/before"]);
    }

    #[test]
    fn a_root_that_is_a_snapshot_itself_comes_back_and_its_read_only_ones_do_not() {
        // As openSUSE lays it out.
        let snapshots = "@/.snapshots";
        let (root, older) = (format!("{snapshots}/1/snapshot"), format!("{snapshots}/2/snapshot"));
        let host = btrfs(&[
            ("@", false, None),
            (snapshots, false, None),
            (&root, false, Some("@")),
            (&older, true, Some(&root)),
        ]);
        let reach = Reach::of(&host, &NodeId("fs".into()), &mounts(&[(&root, "/"), (snapshots, "/.snapshots")]));
        assert_eq!((reach.place(&root), reach.place(snapshots)), (&at("/"), &at("/.snapshots")));
        assert_eq!((reach.place(&older), reach.place("@")), (&Place::Copy, &Place::Unreached));
        let hidden: Vec<&str> = reach.hidden.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(hidden, ["/.snapshots/1/snapshot", "/.snapshots/2/snapshot"]);
    }

    #[test]
    fn a_mount_over_the_folder_hides_what_lies_in_it() {
        let host = btrfs(&[("@", false, None), ("@/srv/data", false, None), ("@/srv/data/deep", false, None)]);
        let reach = Reach::of(&host, &NodeId("fs".into()), &mounts(&[("@", "/"), ("other", "/srv")]));
        assert_eq!(reach.place("@/srv/data"), &Place::Unreached);
        assert_eq!(reach.place("@/srv/data/deep"), &Place::Unreached);
    }

    #[test]
    fn what_lies_in_a_copy_goes_with_it() {
        let host = btrfs(&[("@", false, None), ("@/snap", true, Some("@")), ("@/snap/inner", false, None)]);
        let reach = Reach::of(&host, &NodeId("fs".into()), &mounts(&[("@", "/")]));
        assert_eq!(reach.place("@/snap/inner"), &Place::InCopy);
    }
}
