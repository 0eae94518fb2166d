//! The header of a swap area, read from bytes.

use super::Swap;
use crate::ext::superblock::{label, uuid};

/// Bytes at the start of a device that hold the header for every page size that Linux has.
pub const LENGTH: usize = 65536;
/// `SWAPSPACE2` marks a swap area; `S1SUSPEND` one that holds a hibernated system's memory.
const MAGICS: [&[u8]; 2] = [b"SWAPSPACE2", b"S1SUSPEND\0"];

impl Swap {
    /// Reads a device's first bytes, at least one page of them; `None` when they are no swap area of version 1.
    #[must_use]
    pub fn parse(start: &[u8]) -> Option<Self> {
        // The magic stands at the end of the first page, whose size is the machine's.
        let pages = [4096, 8192, 16384, 65536];
        let marked = |page: &usize| start.get(page - 10..*page).is_some_and(|magic| MAGICS.contains(&magic));
        pages.iter().find(|page| marked(page))?;
        if start.get(1024..1028)? != 1u32.to_le_bytes() {
            return None;
        }
        Some(Self { uuid: uuid(start.get(1036..1052)?), label: label(start.get(1052..1068)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_and_label_are_what_mkswap_wrote() {
        let swap = Swap::parse(include_bytes!("../../fixtures/swap.header")).unwrap();
        assert_eq!((swap.uuid.as_str(), swap.label.as_str()), ("5a5a5a5a-0000-4000-8000-00000000cafe", "swap0"));
    }

    #[test]
    fn a_hibernated_area_is_still_swap() {
        let mut bytes = include_bytes!("../../fixtures/swap.header").to_vec();
        bytes[4086..4096].copy_from_slice(b"S1SUSPEND\0");
        assert!(Swap::parse(&bytes).is_some());
    }

    #[test]
    fn other_bytes_are_no_swap() {
        assert_eq!(Swap::parse(&[]), None);
        assert_eq!(Swap::parse(&[0; 4096]), None);
        let mut later = include_bytes!("../../fixtures/swap.header").to_vec();
        later[1024] = 2;
        assert_eq!(Swap::parse(&later), None);
    }
}
