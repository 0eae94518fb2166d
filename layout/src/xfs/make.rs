//! Making XFS again: arguments for `mkfs.xfs`.

use super::Xfs;
use crate::units::Bytes;

/// `mkfs.xfs` refuses less.
const LEAST: u64 = 300 << 20;

impl Xfs {
    /// Programs that making needs.
    pub const TOOLS: &[&str] = &["mkfs.xfs"];

    /// Arguments for `mkfs.xfs` that make this filesystem on `device`, whose sectors have `logical_sector` bytes: its own sectors are never
    /// smaller. Where it is made on the recorded size it gets its old number of blocks, allocation groups and journal blocks; elsewhere
    /// `mkfs.xfs` knows best.
    #[must_use]
    pub fn mkfs_xfs(&self, device: &str, old: Bytes, new: Bytes, logical_sector: u32) -> Vec<String> {
        let has = |name: &str| u8::from(self.features.iter().any(|feature| feature == name));
        let crc = has("crc");
        let mut metadata = format!("uuid={},crc={crc}", self.uuid);
        if crc == 1 {
            for name in ["finobt", "rmapbt", "reflink", "bigtime", "inobtcount"] {
                metadata.push_str(&format!(",{name}={}", has(name)));
            }
        }
        let mut inodes = format!("size={}", self.inode_size);
        if crc == 1 {
            inodes.push_str(&format!(",sparse={}", has("sparse")));
            // Programs that do not know it refuse the word, so it is said only where it is wanted.
            if has("nrext64") == 1 {
                inodes.push_str(",nrext64=1");
            }
        }
        let mut args: Vec<String> = ["-f", "-q", "-K", "-m", &metadata, "-i", &inodes].map(str::to_owned).into();
        args.extend(["-b".to_owned(), format!("size={}", self.block_size)]);
        args.extend(["-s".to_owned(), format!("size={}", self.sector_size.max(logical_sector))]);
        args.extend(["-n".to_owned(), format!("size={}", self.folder_block_size)]);
        if new == old {
            let groups = if self.groups > 0 { format!(",agcount={}", self.groups) } else { String::new() };
            args.extend(["-d".to_owned(), format!("size={}b{groups}", self.blocks)]);
            if self.journal_blocks > 0 {
                args.extend(["-l".to_owned(), format!("size={}b", self.journal_blocks)]);
            }
        }
        if !self.label.is_empty() {
            args.extend(["-L".to_owned(), self.label.clone()]);
        }
        args.push(device.to_owned());
        args
    }

    /// Bytes that it can be made in: its content with room for the journal and what grows. It is made anew, so that it can be smaller than it
    /// was, though no tool shrinks one in place.
    #[must_use]
    pub fn least(&self) -> Bytes {
        Bytes(self.used.0.saturating_add((self.used.0 / 10).max(128 << 20)).max(LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_sizes_uuid_and_label_come_back() {
        let xfs = Xfs::parse(include_bytes!("../../fixtures/xfs.superblock")).unwrap();
        let size = Bytes(512 << 20);
        assert_eq!(
            xfs.mkfs_xfs("/dev/vda2", size, size, 512).join(" "),
            "-f -q -K -m uuid=55555555-5555-4555-8555-555555555555,crc=1,finobt=1,rmapbt=1,reflink=1,bigtime=1,inobtcount=1 \
             -i size=1024,sparse=1 -b size=4096 -s size=4096 -n size=8192 -d size=131072b,agcount=4 -l size=16384b -L files /dev/vda2"
        );
        let grown = xfs.mkfs_xfs("/dev/vda2", size, Bytes::GIB, 512).join(" ");
        assert!(!grown.contains("-d size"), "{grown}");
    }

    #[test]
    fn its_sectors_are_as_large_as_the_disk_s() {
        let recorded = Xfs::parse(include_bytes!("../../fixtures/xfs.superblock")).unwrap();
        let xfs = Xfs { sector_size: 512, ..recorded };
        let size = Bytes(512 << 20);
        for (disk, made) in [(512, "-s size=512 "), (4096, "-s size=4096 ")] {
            let args = xfs.mkfs_xfs("/dev/vda2", size, size, disk).join(" ");
            assert!(args.contains(made), "{args}");
        }
    }

    #[test]
    fn less_than_mkfs_takes_is_never_planned() {
        let xfs = Xfs::parse(include_bytes!("../../fixtures/xfs.superblock")).unwrap();
        assert!(xfs.least().0 >= LEAST);
    }
}
