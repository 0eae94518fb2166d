//! One rule for what a disk's serial number is, used when it is captured and when disks are matched.
//!
//! The same disk shows its number in several places, and udev's copy has blanks replaced; a number that was read in
//! one way must be found again in another system, where there may be no udev. So both sides collect the places below
//! and leave the choice to [`DiskNames::serial`]. Reading the places is the callers' work.

/// The places where the kernel shows what a disk is called, relative to `/sys/class/block/NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskNames {
    /// `serial` of the nearest USB device above it (a folder that has `idVendor`).
    pub usb: Option<String>,
    /// `serial`: virtio.
    pub block: Option<String>,
    /// `device/serial`: NVMe, MMC.
    pub device: Option<String>,
    /// `device/vpd_pg80`: SCSI and, by translation, SATA. The raw page.
    pub vpd: Option<Vec<u8>>,
    /// udev's, from lsblk.
    pub udev: Option<String>,
    /// `wwid` or `device/wwid`.
    pub wwid: Option<String>,
}

impl DiskNames {
    /// The serial number: USB's own, then the kernel's, then udev's; none where all are empty.
    #[must_use]
    pub fn serial(&self) -> Option<String> {
        let vpd = self.vpd.as_deref().and_then(unit_serial);
        [self.usb.clone(), self.block.clone(), self.device.clone(), vpd, self.udev.clone()]
            .into_iter()
            .flatten()
            .map(|text| text.trim_matches(|char: char| char.is_whitespace() || char == '\0').to_owned())
            .find(|text| !text.is_empty() && text.chars().any(|char| char != '0' && char != ' '))
    }

    /// The world wide name: the kernel's identifier where it is a registered one. `t10.` identifiers are made of
    /// vendor, model and serial number, and say nothing new.
    #[must_use]
    pub fn wwn(&self) -> Option<String> {
        let text = self.wwid.as_deref()?.trim();
        ["naa.", "eui.", "uuid.", "nvme."].iter().any(|form| text.starts_with(form)).then(|| text.to_owned())
    }
}

/// The number in a SCSI unit serial number page (SPC-4, 7.8.15): four bytes of header, the length in the last two.
fn unit_serial(page: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
    let text = page.get(4..)?;
    let text = &text[..length.min(text.len())];
    text.iter()
        .all(|byte| (0x20..0x7f).contains(byte) || *byte == 0)
        .then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_goes_before_udev_and_usb_before_both() {
        let mut names = DiskNames { udev: Some("WD_123".into()), ..DiskNames::default() };
        assert_eq!(names.serial().as_deref(), Some("WD_123"));
        names.vpd = Some(b"\0\x80\0\x0a    WD 123".to_vec());
        assert_eq!(names.serial().as_deref(), Some("WD 123"));
        names.usb = Some("0123456789".into());
        assert_eq!(names.serial().as_deref(), Some("0123456789"));
    }

    #[test]
    fn only_registered_identifiers_are_world_wide_names() {
        let wwn = |text: &str| DiskNames { wwid: Some(text.into()), ..DiskNames::default() }.wwn();
        assert_eq!(wwn("naa.5000c500a1b2c3d4\n").as_deref(), Some("naa.5000c500a1b2c3d4"));
        assert_eq!(wwn("t10.ATA     QEMU HARDDISK   QM00001"), None);
    }

    #[test]
    fn empty_numbers_and_zeroes_are_none() {
        let zeroes = DiskNames { block: Some(" \n".into()), device: Some("0000000".into()), ..DiskNames::default() };
        assert_eq!(zeroes.serial(), None);
    }

    #[test]
    fn a_page_that_is_cut_or_not_text_is_no_number() {
        for page in [&b"\0\x80"[..], b"\0\x80\0\x04\xff\xfe\x01\x02"] {
            assert_eq!(DiskNames { vpd: Some(page.to_vec()), ..DiskNames::default() }.serial(), None);
        }
        assert_eq!(unit_serial(b"\0\x80\0\xffQM00001").as_deref(), Some("QM00001"));
    }
}
