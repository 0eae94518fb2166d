//! The block size of a large file. Small blocks keep what a small write costs small; each costs about 150 bytes of memory and 50 of
//! every catalogue. So a file that is written in place, as a guest's disk or a database is, has the smallest blocks that are few enough,
//! counted by its data and not by its size: a sparse file has few. One that was written once, as a film is, has larger ones.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, StatxFlags};

use super::segment::Run;
use crate::source::each_extent;

/// A file that was not written in place has no blocks smaller than this share of a segment.
const QUIET: u64 = 64;
/// A file that was written so long after it was made, in seconds, is one that is written in place.
const LATER: i64 = 86_400;
/// A file's blocks may be so many times what they would be were it new.
const SLACK: u64 = 8;
/// No blocks are larger, whatever their number: a worker holds one in memory.
const LARGEST: u64 = 16 << 20;

/// How many blocks with data a file has, for each block size from the smallest on, doubled each time.
struct Counts(Vec<Count>);

struct Count {
    size: u64,
    blocks: u64,
    /// First block that is not yet counted.
    next: u64,
}

impl Counts {
    fn new(smallest: u64, largest: u64) -> Self {
        let sizes = std::iter::successors(Some(smallest), |size| Some(size * 2)).take_while(|size| *size <= largest);
        Counts(sizes.map(|size| Count { size, blocks: 0, next: 0 }).collect())
    }

    /// Adds a stretch with data. They come in order.
    fn add(&mut self, from: u64, to: u64) {
        for count in &mut self.0 {
            let first = (from / count.size).max(count.next);
            let end = to.div_ceil(count.size);
            count.blocks += end.saturating_sub(first);
            count.next = end.max(count.next);
        }
    }

    /// The size to be used for at most `most` blocks of at least `floor` bytes, where a file has had `previous` before.
    fn choose(&self, most: u64, floor: u64, previous: Option<u64>) -> Option<u64> {
        let fits = |count: &&Count| count.blocks <= most;
        let anew = self.0.iter().filter(|count| count.size >= floor).find(fits).or(self.0.last())?.size;
        let kept = self.0.iter().filter(fits).map(|count| count.size).find(|size| Some(*size) == previous);
        kept.filter(|size| *size <= anew * SLACK).or(Some(anew))
    }
}

/// The block size for a file of `size` bytes, which had blocks of `previous` bytes before. It keeps them until they are too
/// many, for in others it is stored again as a whole.
pub(super) fn block_size(file: BorrowedFd<'_>, size: u64, previous: Option<u64>, run: &Run<'_>) -> io::Result<u64> {
    let smallest = run.vault.block_size;
    let mut counts = Counts::new(smallest, LARGEST.min(run.vault.segment_size).max(smallest));
    each_extent(file, 0, size, |extent| counts.add(extent.offset, extent.offset + extent.len))?;
    let floor = if is_written_in_place(file)? { smallest } else { smallest.max(run.vault.segment_size / QUIET) };
    Ok(counts.choose(run.most_blocks, floor, previous).unwrap_or(smallest))
}

/// Whether a file has holes, or was written to long after it was made. Where a filesystem does not say when that was, it may have been.
fn is_written_in_place(file: BorrowedFd<'_>) -> io::Result<bool> {
    let flags = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let stat = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, flags)?;
    let sparse = stat.stx_blocks.saturating_mul(512) < stat.stx_size;
    let dated = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    Ok(sparse || !dated || stat.stx_mtime.tv_sec.saturating_sub(stat.stx_btime.tv_sec) > LATER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const GIB: u64 = 1 << 30;

    fn chosen(extents: &[(u64, u64)], previous: Option<u64>) -> u64 {
        chosen_from(64 * KIB, extents, previous)
    }

    fn chosen_from(floor: u64, extents: &[(u64, u64)], previous: Option<u64>) -> u64 {
        let mut counts = Counts::new(64 * KIB, LARGEST);
        extents.iter().for_each(|(from, to)| counts.add(*from, *to));
        counts.choose(1 << 16, floor, previous).unwrap()
    }

    #[test]
    fn blocks_are_as_small_as_their_number_allows_whatever_lies_in_holes() {
        assert_eq!(chosen(&[(0, 4 * GIB)], None), 64 * KIB);
        assert_eq!(chosen(&[(0, 4 * GIB + 1)], None), 128 * KIB);
        assert_eq!(chosen(&[(0, GIB), (1000 * GIB, 1001 * GIB)], None), 64 * KIB);
        assert_eq!(chosen(&[(0, 4096 * GIB)], None), LARGEST, "64 MiB would be in bounds, a worker holds one");
        assert_eq!(chosen(&[], None), 64 * KIB);
    }

    #[test]
    fn a_file_keeps_its_block_size_until_it_does_not_fit_at_all() {
        assert_eq!(chosen(&[(0, GIB)], Some(512 * KIB)), 512 * KIB, "in other blocks it would be stored again");
        assert_eq!(chosen(&[(0, GIB)], Some(1024 * KIB)), 64 * KIB);
        assert_eq!(chosen(&[(0, 4 * GIB + 1)], Some(64 * KIB)), 128 * KIB);
        assert_eq!(chosen_from(1024 * KIB, &[(0, GIB)], None), 1024 * KIB);
        assert_eq!(chosen_from(1024 * KIB, &[(0, GIB)], Some(64 * KIB)), 64 * KIB);
        assert_eq!(chosen(&[(0, GIB)], Some(100_000)), 64 * KIB, "a size that is none of these");
    }

    #[test]
    fn stretches_in_one_block_count_once() {
        let scattered: Vec<_> = (0..100_000).map(|at| (at * 16 * KIB, at * 16 * KIB + 4096)).collect();
        let mut counts = Counts::new(64 * KIB, LARGEST);
        scattered.iter().for_each(|(from, to)| counts.add(*from, *to));
        assert_eq!(counts.0[0].blocks, 25_000);
        assert_eq!(counts.0[1].blocks, 12_500);
    }
}
