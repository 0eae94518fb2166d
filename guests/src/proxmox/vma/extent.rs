//! An extent's header: which clusters follow, and which of their blocks.

use super::{array, sum, u64_at};

/// Bytes of it.
pub(super) const LENGTH: usize = 512;
/// Slots that it has.
pub(super) const SLOTS: usize = 59;
/// Where its MD5 is, and the slots.
pub(super) const SUM_AT: usize = 24;
pub(super) const SLOTS_AT: usize = 40;
/// The first bytes.
pub(super) const MAGIC: &[u8] = b"VMAE";

/// A cluster in an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) device: u8,
    pub(super) cluster: u32,
    /// Blocks that follow.
    pub(super) mask: u16,
    /// Bits that have no meaning are set.
    pub(super) odd: bool,
}

impl Slot {
    fn parse(number: u64) -> Option<Self> {
        let [mask @ .., _, _, _, _, _, _] = number.to_be_bytes();
        let [_, _, reserved, device, cluster @ ..] = number.to_be_bytes();
        let (mask, cluster) = (u16::from_be_bytes(mask), u32::from_be_bytes(cluster));
        (number != 0).then_some(Self { device, cluster, mask, odd: reserved != 0 })
    }

    /// Bytes that follow.
    pub(super) fn bytes(self) -> usize {
        self.mask.count_ones() as usize * super::BLOCK as usize
    }
}

/// What the header says.
#[derive(Debug)]
pub(super) struct Extent {
    /// Blocks that follow.
    pub(super) blocks: u16,
    pub(super) uuid: [u8; 16],
    /// Those in use.
    pub(super) slots: Vec<Slot>,
    /// It matches its sum.
    pub(super) sum_holds: bool,
}

impl Extent {
    /// None where the bytes are no such header.
    pub(super) fn parse(bytes: &[u8; LENGTH]) -> Option<Self> {
        bytes.starts_with(MAGIC).then(|| Self {
            blocks: u16::from_be_bytes(array(bytes, 6)),
            uuid: array(bytes, 8),
            slots: (0..SLOTS).filter_map(|slot| Slot::parse(u64_at(bytes, SLOTS_AT + 8 * slot))).collect(),
            sum_holds: sum(bytes, SUM_AT) == array::<16>(bytes, SUM_AT),
        })
    }

    /// Blocks by the masks.
    pub(super) fn counted(&self) -> u32 {
        self.slots.iter().map(|slot| slot.mask.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_its_parts_where_the_format_says() {
        assert_eq!(Slot::parse(0), None);
        let slot = Slot::parse(0x8001_0007_1234_5678).unwrap();
        assert_eq!(slot, Slot { device: 7, cluster: 0x1234_5678, mask: 0x8001, odd: false });
        assert_eq!(slot.bytes(), 8192);
        assert!(Slot::parse(0x0000_0107_0000_0000).unwrap().odd);
    }
}
