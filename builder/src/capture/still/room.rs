//! How large the classic snapshots of a volume group are made. Pure.
//!
//! One takes what is written to its volume while it is read, and is worth nothing when it is full, so it gets plenty; all of it is given back within the
//! run. A tenth of what is free stays free, for a thin pool that grows by itself.

/// A snapshot is given no more than this part of its volume, unless [`USUAL`] is more.
const MOST: u64 = 5;
const USUAL: u64 = 256 << 20;
/// With less than this part of its volume, or less than [`LEAST`], none is taken.
const FEWEST: u64 = 50;
const LEAST: u64 = 64 << 20;

/// Extents for a snapshot of each volume of these bytes, in a group that has `free` extents of `extent` bytes; none where there is too little room.
pub(super) fn shares(volumes: &[u64], extent: u64, free: u64) -> Vec<Option<u64>> {
    let extent = extent.max(1);
    // With all of its volume, and what it notes of it, a snapshot cannot be full.
    let whole = |size: u64| (size + size / 64).div_ceil(extent) + 1;
    let least = |size: u64| LEAST.max(size / FEWEST).div_ceil(extent).min(whole(size));
    let wish = |size: u64| USUAL.max(size / MOST).div_ceil(extent).min(whole(size));
    let mut left = free - free.div_ceil(10);
    let mut order: Vec<usize> = (0..volumes.len()).collect();
    order.sort_by_key(|at| least(volumes[*at]));
    let mut shares = vec![None; volumes.len()];
    for at in order {
        let least = least(volumes[at]);
        if least <= left {
            left -= least;
            shares[at] = Some(least);
        }
    }
    let wanting = |at: usize, share: u64| wish(volumes[at]).saturating_sub(share);
    let all: u64 = shares.iter().enumerate().filter_map(|(at, share)| Some(wanting(at, (*share)?))).sum();
    let rest = left.min(all);
    for (at, share) in shares.iter_mut().enumerate() {
        if let Some(share) = share {
            *share +=
                u64::try_from(u128::from(rest) * u128::from(wanting(at, *share)) / u128::from(all.max(1))).unwrap_or(0);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const EXTENT: u64 = 4 * MIB;

    #[test]
    fn with_room_each_gets_a_fifth_of_its_volume_and_no_less_than_is_usual() {
        assert_eq!(shares(&[100 << 30, 1 << 30], EXTENT, 100_000), [Some(5120), Some(64)]);
    }

    #[test]
    fn none_gets_more_than_its_volume_can_fill() {
        assert_eq!(shares(&[64 * MIB], EXTENT, 100_000), [Some(18)]);
    }

    #[test]
    fn little_room_is_divided_and_a_tenth_is_left() {
        // The host of the scenario: 70 extents free beside a root of 1300 MiB.
        assert_eq!(shares(&[1300 * MIB], EXTENT, 70), [Some(63)]);
        let both = shares(&[10 << 30, 10 << 30], EXTENT, 200);
        assert_eq!(both, [Some(90), Some(90)]);
    }

    #[test]
    fn where_there_is_room_for_some_the_smaller_ones_get_it() {
        assert_eq!(shares(&[1 << 40, 1 << 30], EXTENT, 100), [None, Some(64)]);
        assert_eq!(shares(&[1 << 30], EXTENT, 10), [None]);
        assert_eq!(shares(&[1 << 30], EXTENT, 0), [None]);
    }

    #[test]
    fn never_is_more_given_than_there_is() {
        for free in 0..400 {
            let given: u64 = shares(&[5 << 30, 1 << 30, 900 * MIB, 10 * MIB], EXTENT, free).into_iter().flatten().sum();
            assert!(given <= free - free.div_ceil(10), "{given} of {free}");
        }
    }
}
