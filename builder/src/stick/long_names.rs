//! Long names in a FAT folder that belong to no file: a cut while a name was written leaves them. Firmware passes over them, `fsck.vfat`
//! does not.
//!
//! A long name is a row of entries right before its file's own: the last part first and marked so, then down to part 1, each with a
//! checksum over the short name (Microsoft's FAT specification, section 7).

const ENTRY: usize = 32;
const LONG_NAME: u8 = 0x0f;
const DELETED: u8 = 0xe5;
const LAST_PART: u8 = 0x40;

/// Deletes the parts that lead to no file in one cluster of a folder; a row at its end may go on in the next cluster and stays. Says whether
/// anything was deleted.
pub fn drop_orphans(cluster: &mut [u8]) -> bool {
    let entries = cluster.len() / ENTRY;
    let mut dropped = false;
    let mut at = 0;
    while at < entries && cluster[at * ENTRY] != 0 {
        if !is_part(entry(cluster, at)) {
            at += 1;
            continue;
        }
        let length = (at..entries).take_while(|number| is_part(entry(cluster, *number))).count();
        let end = at + length;
        if end == entries {
            break;
        }
        // Rows can stand behind each other when the first one lost its file: only the last whole row may belong to one.
        let start = (at..end).rev().find(|number| entry(cluster, *number)[0] & LAST_PART != 0).unwrap_or(end);
        let whole = names(cluster, start, end);
        for number in at..if whole { start } else { end } {
            cluster[number * ENTRY] = DELETED;
            dropped = true;
        }
        at = end;
    }
    dropped
}

/// Whether the parts from `start` up to `end` are a whole name of the entry at `end`.
fn names(cluster: &[u8], start: usize, end: usize) -> bool {
    let file = entry(cluster, end);
    let sum = checksum(file);
    let in_order = (start..end).all(|number| {
        let part = entry(cluster, number);
        usize::from(part[0] & !LAST_PART) == end - number && part[13] == sum
    });
    start < end && in_order && file[0] != 0 && file[0] != DELETED
}

fn entry(cluster: &[u8], number: usize) -> &[u8] {
    &cluster[number * ENTRY..(number + 1) * ENTRY]
}

fn is_part(entry: &[u8]) -> bool {
    entry[0] != 0 && entry[0] != DELETED && entry[11] == LONG_NAME
}

fn checksum(file: &[u8]) -> u8 {
    file[..11].iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &[u8; 11]) -> Vec<u8> {
        let mut entry = vec![0; ENTRY];
        entry[..11].copy_from_slice(name);
        entry[11] = 0x20;
        entry
    }

    fn parts(count: u8, file: &[u8]) -> Vec<u8> {
        let part = |number: u8| {
            let mut entry = vec![0; ENTRY];
            entry[0] = if number == count { number | LAST_PART } else { number };
            (entry[11], entry[13]) = (LONG_NAME, checksum(file));
            entry
        };
        (1..=count).rev().flat_map(part).collect()
    }

    fn folder(entries: &[&[u8]]) -> Vec<u8> {
        let mut cluster = entries.concat();
        cluster.resize(16 * ENTRY, 0);
        cluster
    }

    #[test]
    fn names_of_files_stay_and_names_of_nothing_go() {
        let (kernel, initrd) = (file(b"VMLINUZ    "), file(b"INITRD  IMG"));
        let whole = folder(&[&parts(2, &kernel), &kernel, &initrd]);
        let mut same = whole.clone();
        assert!(!drop_orphans(&mut same));
        assert_eq!(same, whole);
        // A name without its file at the end, before a deleted file, before another file's own name, and one that lost its first part.
        let mut deleted = kernel.clone();
        deleted[0] = DELETED;
        for (entries, gone) in [
            (vec![kernel.clone(), parts(1, &initrd)], 1),
            (vec![parts(2, &kernel), deleted.clone(), initrd.clone()], 2),
            (vec![parts(1, &kernel), parts(2, &initrd), initrd.clone()], 1),
            (vec![parts(2, &kernel)[ENTRY..].to_vec(), kernel.clone()], 1),
        ] {
            let before = folder(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let mut after = before.clone();
            assert!(drop_orphans(&mut after));
            let changed = before.iter().zip(&after).filter(|(old, new)| old != new).count();
            assert_eq!(changed, gone, "one byte for each part");
            assert!(!drop_orphans(&mut after), "once is enough");
        }
    }
}
