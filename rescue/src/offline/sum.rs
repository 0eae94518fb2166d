//! A sum over a disk's content that can be taken in any order, without memory of what came before: an archive has the clusters of a disk in
//! whatever order they were read.
//!
//! Each block that is not zero is hashed with its place, and the hashes are added. Two disks have the same sum when the same blocks lie at
//! the same places; zero blocks count for nothing. It tells mistakes and media that fail, not somebody who chooses the blocks: what is
//! written was signed.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// Bytes of a block.
pub const BLOCK: usize = guests::proxmox::vma::BLOCK as usize;

/// Bytes that are read at once.
const PIECE: usize = 256 * BLOCK;

/// The sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum([u64; 4]);

impl Sum {
    /// Adds a block at `at`, a multiple of [`BLOCK`]; a shorter one ends with zeroes.
    pub fn add(&mut self, at: u64, block: &[u8]) {
        if is_zero(block) {
            return;
        }
        let mut hash = Sha256::new();
        hash.update(at.to_le_bytes());
        hash.update(block);
        hash.update(&[0; BLOCK][block.len().min(BLOCK)..]);
        for (lane, part) in self.0.iter_mut().zip(hash.finalize().chunks(8)) {
            *lane = lane.wrapping_add(part.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        }
    }

    /// The sum of all that `read` gives.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(read: &mut impl Read) -> io::Result<Self> {
        let (mut sum, mut at) = (Self::default(), 0);
        let mut buffer = Vec::with_capacity(PIECE);
        loop {
            buffer.clear();
            read.by_ref().take(PIECE as u64).read_to_end(&mut buffer)?;
            for block in buffer.chunks(BLOCK) {
                sum.add(at, block);
                at += block.len() as u64;
            }
            if buffer.len() < PIECE {
                return Ok(sum);
            }
        }
    }
}

/// Nothing but zeroes.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_blocks_does_not_count_and_their_place_does() {
        let disk: Vec<u8> =
            (0..10 * BLOCK + 700).map(|at| if at / BLOCK % 3 == 1 { 0 } else { (at % 251) as u8 }).collect();
        let whole = Sum::of(&mut &disk[..]).unwrap();
        let mut backwards = Sum::default();
        let blocks: Vec<&[u8]> = disk.chunks(BLOCK).collect();
        for (number, block) in blocks.iter().enumerate().rev() {
            backwards.add((number * BLOCK) as u64, block);
        }
        assert_eq!(whole, backwards);
        // A volume is longer than the disk in it, by zeroes.
        assert_eq!(Sum::of(&mut &[disk.clone(), vec![0; 3 * BLOCK + 5]].concat()[..]).unwrap(), whole);
        for at in [0, BLOCK + 3, disk.len() - 1] {
            let mut other = disk.clone();
            other[at] ^= 1;
            assert_ne!(Sum::of(&mut &other[..]).unwrap(), whole, "{at}");
        }
        let mut moved = disk;
        moved.rotate_right(BLOCK);
        assert_ne!(Sum::of(&mut &moved[..]).unwrap(), whole);
    }
}
