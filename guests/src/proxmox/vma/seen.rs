//! Which clusters of a device have been seen, in memory that an archive cannot make large.
//!
//! A bit for each cluster, in pages that exist only while they are partly filled: archives go through a disk roughly in order, so few are
//! partly filled at a time, and one that scatters its clusters over more pages than any real disk needs is refused.

use std::collections::BTreeMap;

/// Clusters of a page: 256 MiB of disk.
const PAGE: u32 = 4096;
/// Pages of all devices together that may be partly filled: 32 TiB of disk, 70 MB of memory.
const PAGES: usize = 1 << 17;

/// What came of marking a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It had not been seen.
    New,
    /// It had.
    Again,
    /// There is no room left to remember it.
    Refused,
}

/// Pages that may still be made; shared by the devices of an archive.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Room(PAGES)
    }
}

/// Clusters of one device.
#[derive(Debug)]
pub(super) struct Seen {
    clusters: u64,
    count: u64,
    partly: BTreeMap<u32, Box<Page>>,
    /// A bit for each page that is full.
    full: Vec<u64>,
}

#[derive(Debug)]
struct Page {
    bits: [u64; PAGE as usize / 64],
    left: u32,
}

/// Clusters that were not seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) count: u64,
    /// The first of them, as ranges; the end is not part of one.
    pub(super) ranges: Vec<(u64, u64)>,
}

impl Seen {
    pub(super) fn new(clusters: u64) -> Self {
        let pages = usize::try_from(clusters.div_ceil(u64::from(PAGE))).unwrap_or(usize::MAX);
        Self { clusters, count: 0, partly: BTreeMap::new(), full: vec![0; pages.div_ceil(64)] }
    }

    fn is_full(&self, page: u32) -> bool {
        self.full[page as usize / 64] & (1 << (page % 64)) != 0
    }

    /// Clusters of this page: the last may have fewer.
    fn length(&self, page: u32) -> u32 {
        let rest = self.clusters.saturating_sub(u64::from(page) * u64::from(PAGE));
        u32::try_from(rest).unwrap_or(PAGE).min(PAGE)
    }

    /// Remembers a cluster, which the device has.
    pub(super) fn mark(&mut self, cluster: u32, room: &mut Room) -> Mark {
        let (page, bit) = (cluster / PAGE, cluster % PAGE);
        if self.is_full(page) {
            return Mark::Again;
        }
        if !self.partly.contains_key(&page) {
            if room.0 == 0 {
                return Mark::Refused;
            }
            room.0 -= 1;
        }
        let length = self.length(page);
        let found = self.partly.entry(page).or_insert_with(|| Box::new(Page { bits: [0; 64], left: length }));
        let word = &mut found.bits[bit as usize / 64];
        if *word & (1 << (bit % 64)) != 0 {
            return Mark::Again;
        }
        *word |= 1 << (bit % 64);
        found.left -= 1;
        self.count += 1;
        if found.left == 0 {
            self.partly.remove(&page);
            self.full[page as usize / 64] |= 1 << (page % 64);
            room.0 += 1;
        }
        Mark::New
    }

    /// What was not seen, with the first `most` ranges of it.
    pub(super) fn missing(&self, most: usize) -> Missing {
        let mut missing = Missing { count: self.clusters - self.count, ranges: Vec::new() };
        if missing.count == 0 {
            return missing;
        }
        let pages = self.clusters.div_ceil(u64::from(PAGE));
        for page in (0..pages).filter_map(|page| u32::try_from(page).ok()) {
            if missing.ranges.len() > most {
                break;
            }
            self.missing_of(page, &mut missing.ranges);
        }
        missing.ranges.truncate(most);
        missing
    }

    fn missing_of(&self, page: u32, ranges: &mut Vec<(u64, u64)>) {
        let start = u64::from(page) * u64::from(PAGE);
        let mut add = |from: u64, to: u64| match ranges.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => ranges.push((from, to)),
        };
        match self.partly.get(&page) {
            _ if self.is_full(page) => {}
            None => add(start, start + u64::from(self.length(page))),
            Some(found) => (0..self.length(page)).for_each(|bit| {
                if found.bits[bit as usize / 64] & (1 << (bit % 64)) == 0 {
                    add(start + u64::from(bit), start + u64::from(bit) + 1);
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_remembers_what_a_set_remembers(
            clusters in 1..20_000_u64,
            marks in prop::collection::vec((0.0..1.0_f64, 1..6000_u32), 1..8),
        ) {
            let (mut seen, mut room, mut set) = (Seen::new(clusters), Room::default(), BTreeSet::new());
            for (at, length) in marks {
                let from = (at * clusters as f64) as u32;
                for cluster in (from..from + length).filter(|cluster| u64::from(*cluster) < clusters) {
                    let wanted = if set.insert(u64::from(cluster)) { Mark::New } else { Mark::Again };
                    prop_assert_eq!(seen.mark(cluster, &mut room), wanted);
                }
            }
            let missing = seen.missing(usize::MAX - 1);
            let listed: Vec<u64> = missing.ranges.iter().flat_map(|(from, to)| *from..*to).collect();
            let wanted: Vec<u64> = (0..clusters).filter(|cluster| !set.contains(cluster)).collect();
            prop_assert_eq!(missing.count, wanted.len() as u64);
            prop_assert_eq!(listed, wanted);
            prop_assert_eq!(room.0, PAGES - seen.partly.len());
        }
    }

    #[test]
    fn scattered_clusters_end_in_a_refusal_and_not_in_all_memory() {
        let (mut seen, mut room) = (Seen::new(1 << 32), Room(10));
        let marks: Vec<Mark> = (0..12).map(|page| seen.mark(page * PAGE, &mut room)).collect();
        assert_eq!((marks[9], marks[10], marks[11]), (Mark::New, Mark::Refused, Mark::Refused));
        assert_eq!(seen.mark(PAGE + 1, &mut room), Mark::New);
        assert_eq!(seen.missing(3).ranges, [(1, 4096), (4098, 8192), (8193, 12288)]);
    }
}
