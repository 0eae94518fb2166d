//! Bringing containers back: arguments for `cryptsetup`, and the room that a container offers. Secrets are never arguments.

use super::Luks;
use crate::units::Bytes;

impl Luks {
    /// Programs that bringing back needs.
    pub const TOOLS: &[&str] = &["cryptsetup"];

    /// Name of the opened container in the rescue. Its own name may be taken by something else there.
    #[must_use]
    pub fn rescue_name(&self) -> String {
        format!("lifeboat-{}", self.uuid)
    }

    /// The opened container's node in the rescue.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/dev/mapper/{}", self.rescue_name())
    }

    /// Arguments that write the saved header in the file `header` to `device`.
    #[must_use]
    pub fn restore_header(&self, device: &str, header: &str) -> Vec<String> {
        let kind = if self.version == 1 { "luks1" } else { "luks2" };
        let args = ["luksHeaderRestore", "--batch-mode", "--type", kind, "--header-backup-file", header, device];
        args.map(str::to_owned).to_vec()
    }

    /// Bytes that the opened container offers on a device of `size` bytes.
    #[must_use]
    pub fn room_on(&self, size: Bytes) -> Bytes {
        let sector = u64::from(self.sector_size.max(512));
        let room = size.0.saturating_sub(self.data_start.0);
        Bytes(room - room % sector)
    }

    /// Bytes of a device whose opened container offers `room` bytes.
    #[must_use]
    pub fn size_for(&self, room: u64) -> u64 {
        let sector = u64::from(self.sector_size.max(512));
        room.div_ceil(sector).saturating_mul(sector).saturating_add(self.data_start.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Luks {
        Luks::parse(include_str!("../../fixtures/stacks/luks2.dump")).unwrap()
    }

    #[test]
    fn the_header_is_written_as_what_it_was() {
        let args = two().restore_header("/dev/vda3", "/run/h").join(" ");
        assert_eq!(args, "luksHeaderRestore --batch-mode --type luks2 --header-backup-file /run/h /dev/vda3");
        assert_eq!(two().path(), "/dev/mapper/lifeboat-22222222-2222-4222-8222-222222222222");
    }

    proptest::proptest! {
        #[test]
        fn a_device_for_a_room_has_it_and_not_a_sector_more(room in 0u64..1 << 50, large in proptest::bool::ANY) {
            let luks = Luks { sector_size: if large { 4096 } else { 512 }, ..two() };
            let sector = u64::from(luks.sector_size);
            let size = luks.size_for(room);
            proptest::prop_assert!(luks.room_on(Bytes(size)).0 >= room);
            proptest::prop_assert!(luks.room_on(Bytes(size)).0 < room + sector);
            proptest::prop_assert!(luks.room_on(Bytes(size - 1)).0 < room.max(1));
            proptest::prop_assert_eq!(luks.room_on(Bytes(size)).0 % sector, 0);
        }
    }
}
