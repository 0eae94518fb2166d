//! What a qcow2 image builds on, by the specification `docs/interop/qcow2.txt` of QEMU.
//!
//! Only an image that its guest's definition calls qcow2 may be read so: a guest can write any header into a raw disk of its own.

/// Bytes of the header that are looked at.
pub const HEADER: usize = 20;
/// The longest name that the specification allows.
const LONGEST: u32 = 1023;

/// Where the name of the backing file lies in the image, as offset and length in bytes; none where it has none, or is no qcow2.
#[must_use]
pub fn backing_name(header: &[u8]) -> Option<(u64, u32)> {
    let header: &[u8; HEADER] = header.get(..HEADER)?.try_into().ok()?;
    let [_, _, _, _, _, _, _, _, o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3] = *header;
    let offset = u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    (header.starts_with(b"QFI\xfb") && offset != 0 && (1..=LONGEST).contains(&length)).then_some((offset, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of `qemu-img create -f qcow2 -b base.qcow2 -F qcow2 top.qcow2`, by QEMU 7.2.
    const TOP: [u8; HEADER] = [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 2, 0x18, 0, 0, 0, 10];

    #[test]
    fn the_backing_name_is_found_where_there_is_one() {
        assert_eq!(backing_name(&TOP), Some((0x218, 10)));
        let mut alone = TOP;
        alone[8..16].fill(0);
        assert_eq!(backing_name(&alone), None);
        let mut raw = TOP;
        raw[0] = 0;
        assert_eq!(backing_name(&raw), None);
        let mut long = TOP;
        long[16] = 1;
        assert_eq!(backing_name(&long), None);
        assert_eq!(backing_name(&TOP[..19]), None);
    }
}
