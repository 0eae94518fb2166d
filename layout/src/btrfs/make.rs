//! Making btrfs again: arguments for `mkfs.btrfs` and `btrfs`.

use super::Btrfs;
use crate::units::Bytes;

/// `mkfs.btrfs` takes little more than a hundred MiB with metadata twice; below this nothing useful fits.
const LEAST: u64 = 256 << 20;
/// Features that are on unless they are refused by name.
const REFUSABLE: [&str; 3] = ["extref", "no-holes", "skinny-metadata"];
/// Features that are off unless they are asked for, and that no profile implies.
const WANTED: [&str; 4] = ["mixed-bg", "zoned", "block-group-tree", "raid-stripe-tree"];

impl Btrfs {
    /// Programs that making needs.
    pub const TOOLS: &[&str] = &["mkfs.btrfs", "btrfs"];

    /// Arguments for `mkfs.btrfs` that make this filesystem on `devices`, in the order of their numbers.
    #[must_use]
    pub fn mkfs_btrfs(&self, devices: &[String]) -> Vec<String> {
        let has = |name: &&str| self.features.iter().any(|feature| feature == name);
        let mut features: Vec<String> = WANTED.into_iter().filter(has).map(str::to_owned).collect();
        features
            .extend(REFUSABLE.into_iter().map(|name| if has(&name) { name.to_owned() } else { format!("^{name}") }));
        let tree = if has(&"free-space-tree") { "free-space-tree" } else { "^free-space-tree" };
        let mut args: Vec<String> = ["-f", "-q", "-K", "-U", &self.uuid].map(str::to_owned).into();
        let mut say = |flag: &str, value: &str| args.extend([flag.to_owned(), value.to_owned()]);
        say("-s", &self.sector_size.to_string());
        say("-n", &self.node_size.to_string());
        say("--csum", &self.checksum);
        for (flag, profile) in [("-d", &self.data), ("-m", &self.metadata)] {
            if !profile.is_empty() {
                say(flag, profile);
            }
        }
        say("-O", &features.join(","));
        say("-R", tree);
        if !self.label.is_empty() {
            say("-L", &self.label);
        }
        args.extend_from_slice(devices);
        args
    }

    /// Bytes that it can be made in: its content with room for a copy of the metadata, and to breathe.
    #[must_use]
    pub fn least(&self) -> Bytes {
        Bytes(self.used.0.saturating_add((self.used.0 / 8).max(128 << 20)).max(LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_label_sizes_features_and_profiles_come_back() {
        let mut second = Btrfs::parse(include_bytes!("../../fixtures/btrfs/second.superblock")).unwrap().0;
        (second.data, second.metadata) = ("raid1".to_owned(), "raid1".to_owned());
        let devices = ["/dev/vda1", "/dev/vdb1"].map(str::to_owned);
        assert_eq!(
            second.mkfs_btrfs(&devices).join(" "),
            "-f -q -K -U 77777777-7777-4777-8777-777777777777 -s 4096 -n 32768 --csum xxhash -d raid1 -m raid1 \
             -O extref,^no-holes,skinny-metadata -R ^free-space-tree -L two /dev/vda1 /dev/vdb1"
        );
    }

    #[test]
    fn what_is_not_known_is_left_to_mkfs() {
        let plain = Btrfs::parse(include_bytes!("../../fixtures/btrfs/plain.superblock")).unwrap().0;
        let args = plain.mkfs_btrfs(&["/dev/vda1".to_owned()]).join(" ");
        assert!(!args.contains(" -d ") && !args.contains(" -m "), "{args}");
        assert!(plain.least().0 >= LEAST);
    }
}
