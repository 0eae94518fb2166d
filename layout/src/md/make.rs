//! Making an array again: arguments for `mdadm`.

use super::Array;
use crate::units::Bytes;

/// Room that version 1 metadata, its bitmap and the log of bad blocks take at most on a member, by size of the member.
const HEADROOM: u64 = 128 << 20;

impl Array {
    /// Programs that making needs.
    pub const TOOLS: &[&str] = &["mdadm"];

    /// Arguments for `mdadm` that make this array over `members`; `None` is a place that stays empty (a degraded array).
    ///
    /// The copies of a mirror are not made equal beforehand: all that counts is written by the restore, to each. Parity is another matter. A small
    /// write takes the old parity into account, so that over whatever the disks held before it would stay wrong until the day when a
    /// member is lost: such an array computes it while it is in use, and goes on after a restart.
    #[must_use]
    pub fn create(&self, members: &[Option<String>]) -> Vec<String> {
        let mut args = vec!["--create".to_owned(), self.path(), "--run".to_owned(), "--force".to_owned()];
        let mut add = |key: &str, value: &str| args.extend([key.to_owned(), value.to_owned()]);
        add("--level", self.level.trim_start_matches("raid"));
        add("--metadata", &self.metadata);
        add("--uuid", &self.uuid);
        if let Some((host, name)) = self.name.split_once(':') {
            add("--homehost", host);
            add("--name", name);
        } else if !self.name.is_empty() {
            add("--homehost", "any");
            add("--name", &self.name);
        }
        if self.chunk.0 > 0 && self.level != "raid1" {
            add("--chunk", &(self.chunk.0 >> 10).to_string());
        }
        if let Some(layout) = self.layout_name() {
            add("--layout", &layout);
        }
        let places = if self.spares.is_empty() { members.len() } else { members.len().min(self.devices as usize) };
        add("--raid-devices", &places.to_string());
        if places < members.len() {
            add("--spare-devices", &(members.len() - places).to_string());
        }
        if matches!(self.level.as_str(), "raid1" | "raid10") {
            args.push("--assume-clean".to_owned());
        }
        if self.level != "raid0" && self.level != "linear" {
            args.extend(["--bitmap".to_owned(), "internal".to_owned()]);
        }
        args.extend(members.iter().map(|member| member.clone().unwrap_or_else(|| "missing".to_owned())));
        args
    }

    /// mdadm's name for the kernel's layout number, where the level has one.
    fn layout_name(&self) -> Option<String> {
        match self.level.as_str() {
            "raid5" | "raid6" => {
                let names = ["left-asymmetric", "right-asymmetric", "left-symmetric", "right-symmetric"];
                names.get(self.layout as usize).map(|name| (*name).to_owned())
            }
            // The low byte counts near copies, the next one far copies; bit 16 says that far means offset.
            "raid10" => {
                let (near, far) = (self.layout & 0xff, self.layout >> 8 & 0xff);
                match (near, far) {
                    (near, 0 | 1) if near > 1 => Some(format!("n{near}")),
                    (0 | 1, far) if far > 1 && self.layout & 0x1_0000 != 0 => Some(format!("o{far}")),
                    (0 | 1, far) if far > 1 => Some(format!("f{far}")),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Bytes that the array offers at least, over members of these sizes. Some may be missing, and spares may be among them.
    #[must_use]
    pub fn size_over(&self, members: &[Bytes]) -> Bytes {
        let usable = |size: &Bytes| size.0.saturating_sub(HEADROOM.min(size.0 / 8).max(1 << 20));
        let least = members.iter().map(usable).min().unwrap_or(0);
        let count = u64::from(self.devices);
        Bytes(match self.level.as_str() {
            "raid1" => least,
            "raid4" | "raid5" => least.saturating_mul(count.saturating_sub(1)),
            "raid6" => least.saturating_mul(count.saturating_sub(2)),
            "raid10" => least.saturating_mul(count) / 2,
            // Stripes over the longer members go on where the shorter ones end.
            _ => members.iter().map(usable).fold(0, u64::saturating_add),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(level: &str, layout: u32, chunk: u64) -> Array {
        Array {
            uuid: "1:2:3:4".to_owned(),
            name: "host:data".to_owned(),
            level: level.to_owned(),
            metadata: "1.2".to_owned(),
            devices: 2,
            chunk: Bytes(chunk),
            layout,
            members: Vec::new(),
            spares: Vec::new(),
        }
    }

    fn args(array: &Array) -> String {
        array.create(&[Some("/dev/vda1".to_owned()), None]).join(" ")
    }

    #[test]
    fn an_array_comes_back_with_uuid_name_and_metadata_version() {
        assert_eq!(
            args(&array("raid1", 0, 0)),
            "--create /dev/md/data --run --force --level 1 --metadata 1.2 --uuid 1:2:3:4 --homehost host --name data \
             --raid-devices 2 --assume-clean --bitmap internal /dev/vda1 missing"
        );
    }

    #[test]
    fn parity_is_never_taken_for_computed() {
        assert!(args(&array("raid10", 0x102, 512 << 10)).contains("--assume-clean"));
        for level in ["raid4", "raid5", "raid6"] {
            assert!(!args(&array(level, 2, 512 << 10)).contains("--assume-clean"), "{level}");
        }
    }

    #[test]
    fn spares_stay_spares() {
        let mut mirror = array("raid1", 0, 0);
        mirror.spares = vec!["/dev/vdc1".to_owned()];
        let members = ["/dev/vda1", "/dev/vdb1", "/dev/vdc1"].map(|path| Some(path.to_owned()));
        let args = mirror.create(&members).join(" ");
        assert!(args.contains("--raid-devices 2 --spare-devices 1 "), "{args}");
    }

    #[test]
    fn chunks_and_layouts_are_kept_where_the_level_has_them() {
        assert!(args(&array("raid0", 0, 64 << 10)).contains("--chunk 64 --raid-devices"));
        assert!(args(&array("raid5", 2, 512 << 10)).contains("--chunk 512 --layout left-symmetric"));
        assert!(args(&array("raid10", 0x102, 512 << 10)).contains("--layout n2"));
        assert!(args(&array("raid10", 0x201, 512 << 10)).contains("--layout f2"));
        assert!(!args(&array("raid1", 0, 65536)).contains("--chunk"));
    }

    #[test]
    fn the_size_is_never_promised_too_large() {
        let two = [Bytes(749 << 20), Bytes(749 << 20)];
        // mdadm made 1,570,766,848 bytes of two members of 786,432,000 in the captured machine.
        assert!(array("raid0", 0, 0).size_over(&[Bytes(786_432_000); 2]).0 <= 1_570_766_848);
        assert!(array("raid1", 0, 0).size_over(&two).0 <= 749 << 20);
        assert_eq!(array("raid5", 0, 0).size_over(&[]), Bytes(0));
        let three = Array { devices: 3, ..array("raid5", 2, 512 << 10) };
        assert!(three.size_over(&two).0 > 749 << 20, "a member that is missing takes nothing from a RAID 5");
    }
}
