//! Making a FAT filesystem again: arguments for `mkfs.fat`.

use super::Vfat;

impl Vfat {
    /// Programs that making and checking need.
    pub const TOOLS: &[&str] = &["mkfs.fat", "fsck.fat"];

    /// Arguments for `mkfs.fat` that make this filesystem on `device`, whose sectors have `logical_sector` bytes. The
    /// serial number comes back, because fstab and boot tools refer to it.
    #[must_use]
    pub fn mkfs_vfat(&self, device: &str, logical_sector: u32) -> Vec<String> {
        let sector = self.sector_size.max(logical_sector);
        let serial = self.serial.replace('-', "");
        let mut args = Vec::new();
        // In larger sectors it has fewer clusters, perhaps too few for its kind, and firmware reads none that has: `mkfs.fat` chooses.
        if sector == self.sector_size {
            args.extend(["-F".to_owned(), self.fat_bits.to_string()]);
        }
        args.extend(["-i".to_owned(), serial]);
        if !self.label.is_empty() {
            args.extend(["-n".to_owned(), self.label.clone()]);
        }
        args.extend(["-S".to_owned(), sector.to_string()]);
        args.extend(["-s".to_owned(), (self.cluster_size / sector).max(1).to_string()]);
        args.push(device.to_owned());
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    fn esp() -> Vfat {
        Vfat {
            serial: "ABCD-1234".to_owned(),
            label: "EFI".to_owned(),
            fat_bits: 32,
            sector_size: 512,
            cluster_size: 4096,
            used: Bytes(0),
        }
    }

    #[test]
    fn serial_label_and_clusters_come_back() {
        assert_eq!(esp().mkfs_vfat("/dev/vda1", 512).join(" "), "-F 32 -i ABCD1234 -n EFI -S 512 -s 8 /dev/vda1");
    }

    #[test]
    fn larger_sectors_are_honoured() {
        assert_eq!(esp().mkfs_vfat("/dev/vda1", 4096).join(" "), "-i ABCD1234 -n EFI -S 4096 -s 1 /dev/vda1");
    }
}
