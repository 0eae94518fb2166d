//! What the program `btrfs` says of a mounted filesystem: its subvolumes, the default one, and the profiles.

use super::{Btrfs, Subvolume};

/// Arguments for `btrfs` that list all subvolumes, seen from one mount point; read by [`subvolumes`].
pub const ALL: [&str; 5] = ["subvolume", "list", "-a", "-u", "-q"];
/// As [`ALL`], read-only ones alone.
pub const READ_ONLY: [&str; 4] = ["subvolume", "list", "-a", "-r"];
/// Arguments that name the default subvolume; read by [`Btrfs::take_listing`].
pub const DEFAULT: [&str; 2] = ["subvolume", "get-default"];
/// Arguments that show the profiles; read by [`profile`].
pub const USAGE: [&str; 3] = ["filesystem", "df", "--raw"];

/// With `-a` a path that does not lie straight below the mounted subvolume begins so; what follows counts from the top either way.
const FROM_TOP: &str = "<FS_TREE>/";

/// One line of a listing: the subvolume's number and what the line says.
fn line(line: &str) -> Option<(u64, Subvolume)> {
    let (facts, path) = line.split_once(" path ")?;
    let words: Vec<&str> = facts.split_ascii_whitespace().collect();
    let after = |name: &str| words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    let origin = after("parent_uuid").filter(|uuid| *uuid != "-");
    let subvolume = Subvolume {
        path: path.strip_prefix(FROM_TOP).unwrap_or(path).to_owned(),
        uuid: after("uuid").unwrap_or_default().to_owned(),
        origin: origin.map(str::to_owned),
        read_only: false,
        bare: false,
    };
    Some((after("ID")?.parse().ok()?, subvolume))
}

/// The subvolumes of a listing with their numbers, parents before children. Those that were deleted and are still being cleaned are
/// no subvolumes any more.
fn subvolumes(text: &str) -> Vec<(u64, Subvolume)> {
    let mut found: Vec<(u64, Subvolume)> = text.lines().filter_map(line).collect();
    found.retain(|(_, subvolume)| subvolume.path != "DELETED");
    found.sort_by(|one, other| one.1.path.cmp(&other.1.path));
    found
}

/// The profile of `what` (`Data`, `Metadata`) in lower case. Mixed block groups hold both under one name.
#[must_use]
pub fn profile(usage: &str, what: &str) -> Option<String> {
    let lines = usage.lines().filter_map(|line| line.split_once(", "));
    let mut of_it = lines.filter(|(names, _)| names.split('+').any(|name| name == what));
    let (_, rest) = of_it.next()?;
    Some(rest.split_once(':')?.0.to_lowercase())
}

impl Btrfs {
    /// Takes what the outputs of [`ALL`], [`READ_ONLY`], [`DEFAULT`] and [`USAGE`] say.
    pub fn take_listing(&mut self, all: &str, read_only: &str, default: &str, usage: &str) {
        let mut found = subvolumes(all);
        let locked: Vec<u64> = subvolumes(read_only).into_iter().map(|(id, _)| id).collect();
        for (id, subvolume) in &mut found {
            subvolume.read_only = locked.contains(id);
        }
        let default: Option<u64> = default.split_ascii_whitespace().nth(1).and_then(|id| id.parse().ok());
        let default = found.iter().find(|(id, _)| Some(*id) == default);
        self.default = default.map(|(_, subvolume)| subvolume.path.clone()).unwrap_or_default();
        self.subvolumes = found.into_iter().map(|(_, subvolume)| subvolume).collect();
        self.data = profile(usage, "Data").unwrap_or_default();
        self.metadata = profile(usage, "Metadata").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was captured of one filesystem, seen from `place`.
    fn taken(all: &str, read_only: &str) -> Btrfs {
        let mut found = Btrfs::parse(include_bytes!("../../fixtures/btrfs/plain.superblock")).unwrap().0;
        found.take_listing(
            all,
            read_only,
            include_str!("../../fixtures/btrfs/plain.default"),
            include_str!("../../fixtures/btrfs/plain.usage"),
        );
        found
    }

    #[test]
    fn subvolumes_have_the_same_paths_from_wherever_they_are_seen() {
        let top =
            taken(include_str!("../../fixtures/btrfs/top.all"), include_str!("../../fixtures/btrfs/top.read-only"));
        let inside = taken(
            include_str!("../../fixtures/btrfs/inside.all"),
            include_str!("../../fixtures/btrfs/inside.read-only"),
        );
        assert_eq!(top, inside);
        let seen: Vec<(&str, bool, bool)> =
            top.subvolumes.iter().map(|one| (one.path.as_str(), one.read_only, one.origin.is_some())).collect();
        assert_eq!(
            seen,
            [
                ("@", false, false),
                ("@/folder/sub", false, false),
                ("@/inner", false, false),
                ("@/inner/deep", false, false),
                ("@home", false, false),
                ("before", true, true),
                ("locked", true, false),
                ("with path in it", false, false),
                ("writable", false, true),
            ]
        );
        assert_eq!((top.default.as_str(), top.data.as_str(), top.metadata.as_str()), ("@", "single", "dup"));
    }

    #[test]
    fn a_read_only_snapshot_is_a_copy_as_long_as_its_origin_is_there() {
        let mut found =
            taken(include_str!("../../fixtures/btrfs/top.all"), include_str!("../../fixtures/btrfs/top.read-only"));
        let copies = |found: &Btrfs| -> Vec<String> {
            found.subvolumes.iter().filter(|one| found.is_copy(one)).map(|one| one.path.clone()).collect()
        };
        assert_eq!(copies(&found), ["before"]);
        found.subvolumes.retain(|one| one.path != "@");
        assert!(copies(&found).is_empty());
    }

    #[test]
    fn without_a_default_the_top_is_mounted() {
        let mut found = taken("", "");
        found.take_listing(
            "ID 256 gen 1 top level 5 path @",
            "",
            "ID 5 (FS_TREE)",
            "Data+Metadata, single: total=1, used=1",
        );
        assert_eq!((found.default.as_str(), found.data.as_str(), found.metadata.as_str()), ("", "single", "single"));
    }
}
