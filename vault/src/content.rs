//! The content hash of a file: what `blake3` in the catalogue is for a file, and how it is made for a large one.

use crate::contents::Digest;

/// Hashes the content of one file as the catalogue does, for whoever compares a restored file with its entry.
///
/// A file that is not in blocks: BLAKE3 of its bytes, holes read as zeroes. A large one: BLAKE3 over its size
/// (8 bytes, little-endian) and, for each block with a byte that is not zero, in order, the block's offset (8 bytes,
/// little-endian) and the 32-byte BLAKE3 digest of the block. So blocks can be hashed in parallel, and holes cost nothing.
#[derive(Debug)]
pub struct ContentHasher {
    whole: blake3::Hasher,
    blocks: Option<Blocks>,
}

#[derive(Debug)]
struct Blocks {
    size: usize,
    /// Offset of the current block.
    offset: u64,
    current: blake3::Hasher,
    filled: usize,
    zero: bool,
}

impl Blocks {
    fn close(&mut self, whole: &mut blake3::Hasher) {
        if !self.zero {
            whole.update(&self.offset.to_le_bytes());
            whole.update(self.current.finalize().as_bytes());
        }
        self.offset += self.filled as u64;
        self.current.reset();
        (self.filled, self.zero) = (0, true);
    }
}

impl ContentHasher {
    pub(crate) fn new(size: u64, block_size: Option<u64>) -> Self {
        let blocks = block_size.map(|block_size| Blocks {
            size: usize::try_from(block_size).unwrap_or(usize::MAX),
            offset: 0,
            current: blake3::Hasher::new(),
            filled: 0,
            zero: true,
        });
        let mut whole = blake3::Hasher::new();
        if blocks.is_some() {
            whole.update(&size.to_le_bytes());
        }
        ContentHasher { whole, blocks }
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let Some(blocks) = &mut self.blocks else {
            self.whole.update(bytes);
            return;
        };
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(blocks.size - blocks.filled));
            blocks.current.update(now);
            blocks.zero &= now.iter().all(|b| *b == 0);
            blocks.filled += now.len();
            if blocks.filled == blocks.size {
                blocks.close(&mut self.whole);
            }
            bytes = later;
        }
    }

    /// The hash, to compare with [`crate::Entry::content`].
    pub fn finish(mut self) -> Digest {
        if let Some(mut blocks) = self.blocks.filter(|blocks| blocks.filled > 0) {
            blocks.close(&mut self.whole);
        }
        Digest(self.whole.finalize().into())
    }
}

/// What a hole reads as.
static ZEROES: [u8; 16 << 10] = [0; 16 << 10];

/// BLAKE3 of a file with holes.
pub(crate) struct Zeroes {
    hasher: blake3::Hasher,
    at: u64,
}

impl Zeroes {
    pub(crate) fn new() -> Self {
        Zeroes { hasher: blake3::Hasher::new(), at: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.at += bytes.len() as u64;
    }

    /// Adds the hole up to `offset`.
    pub(crate) fn up_to(&mut self, offset: u64) {
        while self.at < offset {
            let n = (offset - self.at).min(ZEROES.len() as u64) as usize;
            self.update(&ZEROES[..n]);
        }
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.hasher.finalize().into())
    }
}

/// The content hash of a large file from offset and digest of its blocks that are not all zeroes, in order.
pub(crate) fn large_content(size: u64, blocks: impl IntoIterator<Item = (u64, Digest)>) -> Digest {
    let mut whole = blake3::Hasher::new();
    whole.update(&size.to_le_bytes());
    for (offset, digest) in blocks {
        whole.update(&offset.to_le_bytes());
        whole.update(&digest.0);
    }
    Digest(whole.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_hashes_alike_as_stream_and_from_blocks_with_holes() {
        let mut bytes = vec![0u8; 10 * 4096 + 17];
        bytes[4096..4200].fill(7);
        bytes[9 * 4096..].fill(9);
        let mut hasher = ContentHasher::new(bytes.len() as u64, Some(4096));
        bytes.chunks(1000).for_each(|chunk| hasher.update(chunk));
        let digest = |at: usize| {
            let block = &bytes[at * 4096..bytes.len().min((at + 1) * 4096)];
            (at as u64 * 4096, Digest(blake3::hash(block).into()))
        };
        let from_blocks = large_content(bytes.len() as u64, [1, 9, 10].map(digest));
        assert_eq!(hasher.finish(), from_blocks);
    }
}
