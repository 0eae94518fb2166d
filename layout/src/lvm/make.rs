//! Making volumes again: arguments for `pvcreate`, `vgcreate` and `lvcreate`.

use super::{Form, LogicalVolume, PhysicalVolume, VolumeGroup};
use crate::units::Bytes;

impl PhysicalVolume {
    /// Programs that making needs.
    pub const TOOLS: &[&str] = &["lvm"];

    /// Arguments for `lvm` that make this physical volume on `device`, with its own UUID and with its extents at the same place.
    #[must_use]
    pub fn pvcreate(&self, device: &str) -> Vec<String> {
        let args = ["pvcreate", "--yes", "--force", "--force", "--norestorefile", "--uuid", &self.uuid];
        let mut args = args.map(str::to_owned).to_vec();
        args.extend(["--dataalignment".to_owned(), format!("{}b", self.data_start.0), device.to_owned()]);
        args
    }

    /// Extents of `extent` bytes on a device of `size` bytes.
    #[must_use]
    pub fn extents_on(&self, size: Bytes, extent: Bytes) -> u64 {
        size.0.saturating_sub(self.data_start.0) / extent.0.max(1)
    }
}

impl VolumeGroup {
    /// Arguments for `lvm` that make this group over `devices`.
    #[must_use]
    pub fn vgcreate(&self, devices: &[String]) -> Vec<String> {
        let mut args = ["vgcreate", "--yes", "--physicalextentsize"].map(str::to_owned).to_vec();
        args.push(format!("{}b", self.extent.0));
        args.extend(self.tags.iter().flat_map(|tag| ["--addtag".to_owned(), tag.clone()]));
        args.push(self.name.clone());
        args.extend(devices.iter().cloned());
        args
    }
}

impl LogicalVolume {
    /// Programs that a thin pool needs besides.
    pub const THIN_TOOLS: &[&str] = &["thin_check"];

    /// Arguments for `lvm` that make this volume with `size`. No argument holds a comma or a blank of LVM's own making, so none needs quoting.
    ///
    /// Nothing is wiped or zeroed by LVM: the disk was cleared before, and what is made on the volume comes next.
    #[must_use]
    pub fn lvcreate(&self, size: Bytes, extent: Bytes) -> Vec<String> {
        let extents = (size.0 / extent.0.max(1)).to_string();
        let mut args = ["lvcreate", "--yes", "--name", &self.name].map(str::to_owned).to_vec();
        let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
        let stripe = |size: &Bytes| format!("{}b", size.0);
        match &self.form {
            Form::Linear | Form::Other { .. } | Form::Snapshot { .. } => {
                add(&["--type", "linear", "--extents", &extents, "--wipesignatures", "y", "--zero", "y"]);
            }
            Form::Striped { stripes, stripe_size } => {
                add(&["--type", "striped", "--stripes", &stripes.to_string(), "--stripesize", &stripe(stripe_size)]);
                add(&["--extents", &extents, "--wipesignatures", "y", "--zero", "y"]);
            }
            Form::Mirrored { copies } => {
                // Without the first resynchronisation: both sides get all that is written from now on.
                add(&["--type", "raid1", "--mirrors", &copies.saturating_sub(1).to_string(), "--nosync"]);
                add(&["--extents", &extents, "--wipesignatures", "y", "--zero", "y"]);
            }
            Form::ThinPool { chunk, metadata, zero, discards } => {
                add(&["--type", "thin-pool", "--extents", &extents, "--chunksize", &stripe(chunk)]);
                add(&["--poolmetadatasize", &stripe(metadata), "--zero", if *zero { "y" } else { "n" }]);
                add(&["--discards", if discards.is_empty() { "passdown" } else { discards }]);
            }
            Form::Thin { pool } => {
                add(&["--type", "thin", "--virtualsize", &format!("{}b", size.0), "--thinpool", pool]);
            }
        }
        args.extend(self.tags.iter().flat_map(|tag| ["--addtag".to_owned(), tag.clone()]));
        args.push(self.group.clone());
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str, form: Form) -> LogicalVolume {
        LogicalVolume {
            uuid: "u".to_owned(),
            group: "pve".to_owned(),
            name: name.to_owned(),
            form,
            writable: true,
            tags: Vec::new(),
        }
    }

    const EXTENT: Bytes = Bytes(4 << 20);

    #[test]
    fn a_physical_volume_keeps_its_uuid_and_the_place_of_its_extents() {
        let pv = PhysicalVolume { uuid: "abc".to_owned(), data_start: Bytes::MIB, extents: 10 };
        assert_eq!(
            pv.pvcreate("/dev/vda3").join(" "),
            "pvcreate --yes --force --force --norestorefile --uuid abc --dataalignment 1048576b /dev/vda3"
        );
        assert_eq!(pv.extents_on(Bytes::GIB, EXTENT), 255);
    }

    #[test]
    fn a_group_keeps_its_name_extent_size_and_tags() {
        let group = VolumeGroup {
            uuid: "g".to_owned(),
            name: "pve".to_owned(),
            extent: EXTENT,
            free: 0,
            tags: vec!["a".to_owned()],
        };
        let args = group.vgcreate(&["/dev/vda3".to_owned(), "/dev/vdb".to_owned()]).join(" ");
        assert_eq!(args, "vgcreate --yes --physicalextentsize 4194304b --addtag a pve /dev/vda3 /dev/vdb");
    }

    #[test]
    fn each_form_is_made_as_what_it_was() {
        let made = |form| volume("x", form).lvcreate(Bytes(64 << 20), EXTENT).join(" ");
        assert!(made(Form::Linear).starts_with("lvcreate --yes --name x --type linear --extents 16 "));
        let striped = made(Form::Striped { stripes: 2, stripe_size: Bytes(65536) });
        assert!(striped.contains("--type striped --stripes 2 --stripesize 65536b --extents 16"), "{striped}");
        assert!(made(Form::Mirrored { copies: 2 }).contains("--type raid1 --mirrors 1"));
        let pool = made(Form::ThinPool {
            chunk: Bytes(65536),
            metadata: Bytes(8 << 20),
            zero: false,
            discards: "ignore".to_owned(),
        });
        assert!(pool.contains("--chunksize 65536b --poolmetadatasize 8388608b --zero n --discards ignore"), "{pool}");
        let thin = made(Form::Thin { pool: "data".to_owned() });
        assert!(thin.contains("--type thin --virtualsize 67108864b --thinpool data"), "{thin}");
    }
}
