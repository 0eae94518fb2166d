//! Where data lies: stretches of segments, stretches of files, tar members.

use serde::Deserialize;

/// Bytes of a tar header.
pub(super) const HEADER: u64 = 512;

/// A stretch of an opened segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    /// Place of the run in the catalogue's list of runs.
    pub run: u32,
    /// Number of the segment in that run.
    pub number: u64,
    /// First byte in the opened segment.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// A stretch of a file that holds data; what lies between such stretches is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Extent {
    /// First byte in the file.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// Where a tar member lies: its headers, then its data, then padding to 512.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// The whole member.
    pub piece: Piece,
    /// Bytes before the data: headers, and the map of a sparse file.
    pub head: u64,
}

/// A member as a line has it: run, number, offset, length, head.
pub(super) type RawMember = (u32, u64, u64, u64, u64);

pub(super) fn member_of(raw: Option<RawMember>) -> Result<Option<Member>, String> {
    let Some((run, number, offset, len, head)) = raw else { return Ok(None) };
    if !(HEADER..=len).contains(&head) || offset.checked_add(len).is_none() {
        return Err(format!("member of {len} bytes with {head} bytes of headers at {offset}"));
    }
    Ok(Some(Member { piece: Piece { run, number, offset, len }, head }))
}

/// Checks that extents are in order, within `from..to`, and returns their sum.
pub(super) fn checked_sum(extents: &[Extent], from: u64, to: u64) -> Result<u64, String> {
    let (mut at, mut sum) = (from, 0);
    for extent in extents {
        let sound = |end: &u64| *end <= to && extent.offset >= at && extent.len > 0;
        let end = extent.offset.checked_add(extent.len).filter(sound);
        at = end.ok_or_else(|| format!("extent of {} bytes at {} out of order or range", extent.len, extent.offset))?;
        sum += extent.len;
    }
    Ok(sum)
}
