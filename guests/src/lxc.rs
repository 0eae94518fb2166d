//! Configurations of LXC's containers: `/var/lib/lxc/NAME/config`, by `lxc.container.conf(5)`.
//!
//! Only what the file says itself: files that it includes are the distribution's, and say nothing of a container's data.

use serde::Serialize;

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Where its root lies.
    pub root: Option<Root>,
    /// It starts with the host.
    pub starts: bool,
    /// Its place among those that start, the lowest first.
    pub order: Option<u32>,
    /// Folders and devices of the host that it mounts.
    pub mounts: Vec<String>,
    /// Identifiers of the host that it uses.
    pub maps: Vec<Map>,
}

/// Where a root lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// Folders of the host: one, or the layers of an overlay.
    Folders(Vec<String>),
    /// A file with a filesystem in it.
    Loop(String),
    /// A block device.
    Block(String),
    /// A dataset of ZFS.
    Dataset(String),
    /// Something else, as it is written.
    Other(String),
}

/// What kind of identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Users.
    Users,
    /// Groups.
    Groups,
}

/// A range of identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Map {
    /// Users or groups.
    pub of: Of,
    /// The first on the host.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl Container {
    /// Reads a configuration. A line that it does not know is LXC's business.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut container = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let Some((key, value)) = line.split_once('=') else { continue };
            let value = value.trim();
            match key.trim() {
                // Without a dot before it: releases before 2.1.
                "lxc.rootfs.path" | "lxc.rootfs" => container.root = Some(root(value)),
                "lxc.start.auto" => container.starts = value == "1",
                "lxc.start.order" => container.order = value.parse().ok(),
                "lxc.mount.entry" => container.mounts.extend(source(value)),
                "lxc.idmap" | "lxc.id_map" => container.maps.extend(map(value)),
                _ => {}
            }
        }
        container
    }
}

fn root(value: &str) -> Root {
    let (kind, place) = match value.split_once(':') {
        Some((kind, place)) if !kind.contains('/') => (kind, place),
        _ => ("", value),
    };
    match kind {
        "" if place.starts_with("/dev/") => Root::Block(place.to_owned()),
        "" | "dir" | "btrfs" => Root::Folders(vec![place.to_owned()]),
        "overlay" | "overlayfs" => Root::Folders(place.split(':').map(str::to_owned).collect()),
        "loop" => Root::Loop(place.to_owned()),
        "lvm" => Root::Block(place.to_owned()),
        "zfs" => Root::Dataset(place.to_owned()),
        _ => Root::Other(value.to_owned()),
    }
}

/// What of the host an entry in the form of fstab mounts; none for the kernel's filesystems, and for paths of the container itself.
fn source(entry: &str) -> Option<String> {
    let source = entry.split_whitespace().next()?.replace("\\040", " ");
    let kernels = ["/proc", "/sys", "/dev", "/run"];
    (source.starts_with('/') && !kernels.iter().any(|top| std::path::Path::new(&source).starts_with(top)))
        .then_some(source)
}

fn map(value: &str) -> Option<Map> {
    let mut words = value.split_whitespace();
    let of = match words.next()? {
        "u" => Of::Users,
        "g" => Of::Groups,
        _ => return None,
    };
    let _inside = words.next()?;
    Some(Map { of, first: words.next()?.parse().ok()?, count: words.next()?.parse().ok()? })
}

/// Whether the lines of `/etc/subuid` or `/etc/subgid` give the whole range to somebody. A single identifier may be anybody's own.
#[must_use]
pub fn is_given(lines: &str, map: Map) -> bool {
    let given = |line: &str| {
        let mut parts = line.trim().split(':').skip(1);
        let first: u64 = parts.next()?.parse().ok()?;
        let count: u64 = parts.next()?.parse().ok()?;
        Some(first <= map.first && map.first.checked_add(map.count)? <= first.checked_add(count)?)
    };
    map.count <= 1 || lines.lines().any(|line| given(line).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = include_str!("../fixtures/lxc/config");

    #[test]
    fn a_configuration_of_lxc_create_tells_its_root() {
        let container = Container::parse(DEFAULT);
        assert_eq!(container.root, Some(Root::Folders(vec!["/var/lib/lxc/web/rootfs".to_owned()])));
        assert!(!container.starts && container.maps.is_empty());
    }

    #[test]
    fn a_root_lies_where_its_kind_says() {
        let folders = |paths: &[&str]| Root::Folders(paths.iter().map(|&path| path.to_owned()).collect());
        for (value, wanted) in [
            ("/srv/web", folders(&["/srv/web"])),
            ("dir:/srv/web", folders(&["/srv/web"])),
            ("overlay:/srv/base:/srv/web", folders(&["/srv/base", "/srv/web"])),
            ("lvm:/dev/vg/web", Root::Block("/dev/vg/web".to_owned())),
            ("/dev/vg/web", Root::Block("/dev/vg/web".to_owned())),
            ("zfs:tank/lxc/web", Root::Dataset("tank/lxc/web".to_owned())),
            ("loop:/srv/web.img", Root::Loop("/srv/web.img".to_owned())),
            ("rbd:pool/web", Root::Other("rbd:pool/web".to_owned())),
        ] {
            assert_eq!(Container::parse(&format!("lxc.rootfs.path = {value}")).root, Some(wanted), "{value}");
        }
    }

    #[test]
    fn mounts_maps_and_starts_are_read_and_what_is_the_kernels_is_not() {
        let text = "lxc.start.auto = 1\nlxc.start.order=5\nlxc.mount.entry = /srv/a\\040b mnt none bind 0 0\n\
                    lxc.mount.entry = proc proc proc nodev 0 0\nlxc.mount.entry = /dev/fuse dev/fuse none bind 0 0\n\
                    lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.idmap = x 0 1 2\n# lxc.start.auto = 0\n";
        let container = Container::parse(text);
        assert_eq!((container.starts, container.order), (true, Some(5)));
        assert_eq!(container.mounts, ["/srv/a b"]);
        let map = |of| Map { of, first: 100_000, count: 65_536 };
        assert_eq!(container.maps, [map(Of::Users), map(Of::Groups)]);
    }

    #[test]
    fn a_range_is_given_only_as_a_whole() {
        let map = |first, count| Map { of: Of::Users, first, count };
        let lines = "root:100000:65536\nbroken\nother:200000:10\n";
        assert!(
            is_given(lines, map(100_000, 65_536)) && is_given(lines, map(100_010, 5)) && is_given("", map(1000, 1))
        );
        assert!(
            !is_given(lines, map(100_000, 65_537))
                && !is_given(lines, map(u64::MAX, 2))
                && !is_given("", map(100_000, 65_536))
        );
    }
}
