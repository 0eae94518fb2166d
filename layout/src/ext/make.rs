//! Making an ext filesystem again: arguments for `mke2fs` and `tune2fs`.

use super::Ext;
use crate::units::Bytes;

/// Features that describe a moment and not the filesystem, or that only other tools set.
const PASSING: [&str; 5] = ["needs_recovery", "orphan_present", "shared_blocks", "snapshot_bitmap", "read-only"];
/// Mount options that mke2fs sets by itself.
const SET_BY_DEFAULT: [&str; 2] = ["acl", "user_xattr"];

impl Ext {
    /// Programs that making, checking and resizing need.
    pub const TOOLS: &[&str] = &["mke2fs", "tune2fs", "e2fsck", "resize2fs"];

    /// Arguments for `mke2fs` that make this filesystem on `device`, whose partition had `old` bytes and now has `new`.
    ///
    /// On an unchanged partition it gets its old number of blocks and inodes. On a larger one it fills the
    /// partition, with as many bytes to an inode as before; on a smaller one it keeps its inodes, since all may be in use.
    #[must_use]
    pub fn mke2fs(&self, device: &str, old: Bytes, new: Bytes) -> Vec<String> {
        let mut features: Vec<&str> = vec!["none"];
        features.extend(self.features.iter().map(String::as_str).filter(|name| !PASSING.contains(name)));
        let mut extended = "nodiscard".to_owned();
        if features.iter().any(|name| ["metadata_csum", "uninit_bg"].contains(name)) {
            extended.push_str(",lazy_itable_init=1");
        }
        for word in self.details.extended() {
            extended.push_str(&format!(",{word}"));
        }
        let inodes = if new > old { scaled(self.inodes, new, old).min(u64::from(u32::MAX)) } else { self.inodes };
        let mut args: Vec<String> = ["-F", "-q", "-t", &self.fstype, "-U", &self.uuid].map(str::to_owned).into();
        if !self.label.is_empty() {
            args.extend(["-L".to_owned(), self.label.clone()]);
        }
        args.extend(["-b".to_owned(), self.block_size.to_string(), "-I".to_owned(), self.inode_size.to_string()]);
        args.extend(["-N".to_owned(), inodes.to_string(), "-O".to_owned(), features.join(",")]);
        args.extend(self.details.arguments(new < old));
        args.extend(["-E".to_owned(), extended, device.to_owned()]);
        if new == old {
            args.push(self.blocks.to_string());
        }
        args
    }

    /// Arguments for `tune2fs` that set what `mke2fs` cannot: default mount options and the exact reserve.
    #[must_use]
    pub fn tune2fs(&self, device: &str, old: Bytes, new: Bytes) -> Vec<String> {
        let unset = SET_BY_DEFAULT.iter().filter(|name| !self.default_mount_options.iter().any(|set| set == *name));
        let mut options: Vec<String> = unset.map(|name| format!("^{name}")).collect();
        options.extend(self.default_mount_options.iter().cloned());
        let reserve = if new == old { self.reserved_blocks } else { scaled(self.reserved_blocks, new, old) };
        let mut args = vec!["-r".to_owned(), reserve.to_string()];
        if !options.is_empty() {
            args.extend(["-o".to_owned(), options.join(",")]);
        }
        args.push(device.to_owned());
        args
    }
}

fn scaled(value: u64, new: Bytes, old: Bytes) -> u64 {
    let scaled = u128::from(value) * u128::from(new.0) / u128::from(old.0.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Ext {
        Ext {
            fstype: "ext4".to_owned(),
            uuid: "7b1f".to_owned(),
            label: "root".to_owned(),
            features: ["extent", "has_journal", "metadata_csum", "needs_recovery"].map(str::to_owned).into(),
            block_size: 4096,
            inode_size: 256,
            inodes: 1000,
            reserved_blocks: 50,
            blocks: 262_144,
            default_mount_options: vec!["acl".to_owned()],
            used: Bytes(1 << 20),
            details: super::super::Details::default(),
        }
    }

    #[test]
    fn an_unchanged_partition_gets_the_same_filesystem() {
        let args = root().mke2fs("/dev/vda2", Bytes::GIB, Bytes::GIB).join(" ");
        assert_eq!(
            args,
            "-F -q -t ext4 -U 7b1f -L root -b 4096 -I 256 -N 1000 -O none,extent,has_journal,metadata_csum \
             -E nodiscard,lazy_itable_init=1 /dev/vda2 262144"
        );
        let tune = root().tune2fs("/dev/vda2", Bytes::GIB, Bytes::GIB).join(" ");
        assert_eq!(tune, "-r 50 -o ^user_xattr,acl /dev/vda2");
    }

    #[test]
    fn a_grown_one_fills_its_partition_with_inodes_and_reserve_in_proportion() {
        let double = Bytes(2 << 30);
        let args = root().mke2fs("/dev/vda2", Bytes::GIB, double).join(" ");
        assert!(args.contains("-N 2000") && args.ends_with("/dev/vda2"), "{args}");
        assert!(root().tune2fs("/dev/vda2", Bytes::GIB, double).join(" ").starts_with("-r 100"));
    }

    #[test]
    fn a_shrunk_one_keeps_its_inodes() {
        let args = root().mke2fs("/dev/vda2", Bytes(2 << 30), Bytes::GIB).join(" ");
        assert!(args.contains("-N 1000") && args.ends_with("/dev/vda2"), "{args}");
    }

    #[test]
    fn a_filesystem_without_label_gets_none() {
        let args = Ext { label: String::new(), ..root() }.mke2fs("/dev/vda2", Bytes::GIB, Bytes::GIB);
        assert!(!args.contains(&"-L".to_owned()));
    }
}
