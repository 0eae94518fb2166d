//! Large files: the blocks that they are kept in, and the block lines of the catalogue.

use std::borrow::Cow;

use serde::Deserialize;

use super::line::{decimal, digest, extents, member};
use super::place::{Extent, Member, RawMember, checked_sum, member_of};
use crate::contents::Digest;

/// A large file's content in blocks of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    /// Bytes per block; the last one ends with the file.
    pub size: u64,
    /// Those that are no holes, by offset.
    pub list: Vec<Block>,
}

/// One block of a large file (see [`Entry::blocks`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// First byte in the file, a multiple of [`Blocks::size`].
    pub offset: u64,
    /// BLAKE3 of the block's whole content, holes read as zeroes.
    pub content: Digest,
    /// Where the data lies; `None` when all of it is zeroes.
    pub member: Option<Member>,
    /// Stretches of the file with data, in order; in the member they follow each other. When `member` is `None` they are
    /// zeroes that occupy space, as opposed to holes.
    pub extents: Vec<Extent>,
}

impl Block {
    pub(super) fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"block\":");
        decimal(out, self.offset);
        digest(out, "blake3", &self.content);
        member(out, &self.member);
        extents(out, &self.extents);
        out.extend_from_slice(b"}\n");
    }
}

/// A block line as it is in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBlock<'a> {
    block: u64,
    #[serde(borrow)]
    blake3: Cow<'a, str>,
    #[serde(default)]
    member: Option<RawMember>,
    extents: Vec<Extent>,
}

impl Block {
    /// Parses a block line of a file of `size` bytes.
    pub(crate) fn parse_line(line: &[u8], size: u64, block_size: u64) -> Result<Block, String> {
        let raw: RawBlock<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let content = Digest::parse(&raw.blake3).ok_or("blake3")?;
        if !raw.block.is_multiple_of(block_size) || raw.block >= size {
            return Err(format!("block at {} of a file of {size} bytes", raw.block));
        }
        let member = member_of(raw.member)?;
        let stored = checked_sum(&raw.extents, raw.block, size.min(raw.block + block_size))?;
        if member.is_some_and(|m| m.head.checked_add(stored).is_none_or(|end| end > m.piece.len)) {
            return Err(format!("{stored} bytes of data do not fit the member"));
        }
        Ok(Block { offset: raw.block, content, member, extents: raw.extents })
    }
}
