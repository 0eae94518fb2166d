//! Puts right what `fatfs` 0.3 and a cut leave behind: a long-name slot before `.` and `..`, no count of free clusters, long names
//! without a file, clusters that no file names, and the mark of a volume that was not closed.
//!
//! Firmware reads the volume either way; `fsck.vfat` complains, and an admin who sees that will not trust the stick. The format is
//! Microsoft's FAT specification, FAT32 only.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::long_names::drop_orphans;

const ENTRY: usize = 32;
const LONG_NAME: u8 = 0x0f;
/// Set in a label's entry and in every slot of a long name.
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const DELETED: u8 = 0xe5;
const BAD_CLUSTER: u32 = 0x0fff_fff7;
const END_OF_CHAIN: u32 = 0x0fff_fff8;

/// What a folder holds: a file or another folder, by its first cluster.
struct Entry {
    first: u32,
    is_folder: bool,
}

struct Folder {
    first: u32,
    /// 0 is the root, which has no dots; the `..` of depth 1 points to cluster 0, whatever the root's cluster is.
    depth: u32,
}

struct Volume<'a, T> {
    medium: &'a mut T,
    fat_start: u64,
    fat_size: u64,
    fats: u64,
    data_start: u64,
    cluster_size: u64,
    clusters: u32,
    fat: Vec<u32>,
    info_sector: u64,
    backup_sector: u64,
    sector: u64,
}

/// Mends every folder of the FAT32 volume on `medium`, and writes its count of free clusters.
///
/// # Errors
/// When the medium cannot be read or written, or holds no FAT32.
pub fn mend<T: Read + Write + Seek>(medium: &mut T) -> io::Result<()> {
    let mut volume = Volume::open(medium)?;
    let root = volume.root()?;
    let mut open = vec![Folder { first: root, depth: 0 }];
    let mut reached = HashSet::new();
    while let Some(folder) = open.pop() {
        if !volume.reach(folder.first, &mut reached)? {
            return Err(damaged("two entries share their clusters"));
        }
        for entry in volume.mend_folder(&folder)? {
            if entry.is_folder {
                open.push(Folder { first: entry.first, depth: folder.depth + 1 });
            } else if entry.first != 0 && !volume.reach(entry.first, &mut reached)? {
                return Err(damaged("two entries share their clusters"));
            }
        }
    }
    volume.free_what_is_lost(&reached)?;
    volume.write_free_count()?;
    volume.mark_clean()
}

impl<'a, T: Read + Write + Seek> Volume<'a, T> {
    fn open(medium: &'a mut T) -> io::Result<Self> {
        let mut boot = [0; 512];
        medium.rewind()?;
        medium.read_exact(&mut boot)?;
        let word = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let long = |at: usize| u64::from(u32::from_le_bytes([boot[at], boot[at + 1], boot[at + 2], boot[at + 3]]));
        let (sector, cluster, fats) = (word(11), u64::from(boot[13]), u64::from(boot[16]));
        let (reserved, fat_sectors, sectors) = (word(14), long(36), long(32));
        if sector == 0 || cluster == 0 || fat_sectors == 0 || word(22) != 0 {
            return Err(damaged("no FAT32 volume"));
        }
        let data_sector = reserved + fats * fat_sectors;
        let clusters =
            u32::try_from(sectors.saturating_sub(data_sector) / cluster).map_err(|_| damaged("too many clusters"))?;
        let mut volume = Self {
            medium,
            fat_start: reserved * sector,
            fat_size: fat_sectors * sector,
            fats,
            data_start: data_sector * sector,
            cluster_size: cluster * sector,
            clusters,
            fat: Vec::new(),
            info_sector: word(48),
            backup_sector: word(50),
            sector,
        };
        volume.fat = volume.read_fat()?;
        Ok(volume)
    }

    /// Adds a chain to what is reached; false if part of it was reached before.
    fn reach(&self, first: u32, reached: &mut HashSet<u32>) -> io::Result<bool> {
        Ok(self.chain(first)?.into_iter().all(|cluster| reached.insert(cluster)))
    }

    /// Clusters in use that no file or folder leads to: what a cut left of a file that was being written.
    fn free_what_is_lost(&mut self, reached: &HashSet<u32>) -> io::Result<()> {
        let in_use = (2..).zip(self.fat.iter().skip(2)).filter(|(_, entry)| **entry != 0 && **entry != BAD_CLUSTER);
        let lost: Vec<u32> = in_use.map(|(cluster, _)| cluster).filter(|cluster| !reached.contains(cluster)).collect();
        for cluster in lost {
            self.fat[cluster as usize] = 0;
            for copy in 0..self.fats {
                self.medium.seek(SeekFrom::Start(self.fat_start + copy * self.fat_size + u64::from(cluster) * 4))?;
                self.medium.write_all(&[0; 4])?;
            }
        }
        Ok(())
    }

    /// The dirty bits in the boot sector and its copy.
    fn mark_clean(&mut self) -> io::Result<()> {
        for sector in [0, self.backup_sector] {
            self.medium.seek(SeekFrom::Start(sector * self.sector + 65))?;
            self.medium.write_all(&[0])?;
        }
        Ok(())
    }

    fn read_fat(&mut self) -> io::Result<Vec<u32>> {
        let mut bytes = vec![0; (self.clusters as usize + 2) * 4];
        self.medium.seek(SeekFrom::Start(self.fat_start))?;
        self.medium.read_exact(&mut bytes)?;
        Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) & 0x0fff_ffff).collect())
    }

    fn root(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.medium.seek(SeekFrom::Start(44))?;
        self.medium.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn chain(&self, first: u32) -> io::Result<Vec<u32>> {
        let mut chain = Vec::new();
        let mut at = first;
        while at < END_OF_CHAIN {
            let next = self.fat.get(at as usize).filter(|_| at >= 2 && chain.len() < self.fat.len());
            let next = next.ok_or_else(|| damaged("a damaged cluster chain"))?;
            chain.push(at);
            at = *next;
        }
        Ok(chain)
    }

    /// Mends one folder and gives what is in it.
    fn mend_folder(&mut self, folder: &Folder) -> io::Result<Vec<Entry>> {
        let chain = self.chain(folder.first)?;
        let mut entries = Vec::new();
        for (index, cluster) in chain.into_iter().enumerate() {
            let mut bytes = vec![0; usize::try_from(self.cluster_size).unwrap_or(0)];
            let place = self.data_start + u64::from(cluster - 2) * self.cluster_size;
            self.medium.seek(SeekFrom::Start(place))?;
            self.medium.read_exact(&mut bytes)?;
            let straightened = index == 0 && folder.depth > 0 && straighten(&mut bytes, folder.depth == 1);
            if drop_orphans(&mut bytes) || straightened {
                self.medium.seek(SeekFrom::Start(place))?;
                self.medium.write_all(&bytes)?;
            }
            let (inner, ended) = entries_of(&bytes);
            entries.extend(inner);
            if ended {
                break;
            }
        }
        Ok(entries)
    }

    fn write_free_count(&mut self) -> io::Result<()> {
        let used = |entry: &&u32| **entry == 0;
        let free = u32::try_from(self.fat.iter().skip(2).filter(used).count()).unwrap_or(u32::MAX);
        let next = self.fat.iter().skip(2).position(|entry| *entry == 0).map_or(u32::MAX, |at| at as u32 + 2);
        for sector in [self.info_sector, self.backup_sector + self.info_sector] {
            self.medium.seek(SeekFrom::Start(sector * self.sector + 488))?;
            self.medium.write_all(&free.to_le_bytes())?;
            self.medium.write_all(&next.to_le_bytes())?;
        }
        Ok(())
    }
}

/// Moves `.` and `..` to the first two places of a folder. Says whether anything had to be moved.
fn straighten(folder: &mut [u8], below_root: bool) -> bool {
    let is_dot =
        |entry: &[u8]| entry[11] != LONG_NAME && (entry[..11] == *b".          " || entry[..11] == *b"..         ");
    let dots: Vec<Vec<u8>> =
        folder.chunks_exact(ENTRY).take(4).filter(|entry| is_dot(entry)).map(<[u8]>::to_vec).collect();
    if folder[11] != LONG_NAME || dots.len() != 2 {
        return false;
    }
    for (place, entry) in folder.chunks_exact_mut(ENTRY).take(4).enumerate() {
        match dots.get(place) {
            Some(dot) => entry.copy_from_slice(dot),
            None => {
                entry.fill(0);
                entry[0] = DELETED;
            }
        }
    }
    if below_root {
        let parent = &mut folder[ENTRY..2 * ENTRY];
        parent[20..22].fill(0);
        parent[26..28].fill(0);
    }
    true
}

/// The entries in one cluster of a folder, and whether the folder ends in it.
fn entries_of(cluster: &[u8]) -> (Vec<Entry>, bool) {
    let used: Vec<&[u8]> = cluster.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0).collect();
    let ended = used.len() * ENTRY < cluster.len();
    let entries = used
        .into_iter()
        .filter(|entry| entry[0] != DELETED && entry[0] != b'.' && entry[11] & VOLUME_LABEL == 0)
        .map(|entry| Entry {
            first: u32::from_le_bytes([entry[26], entry[27], entry[20], entry[21]]),
            is_folder: entry[11] & DIRECTORY != 0,
        });
    (entries.collect(), ended)
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

    use super::*;

    /// What `fsck.vfat -n` says beside its name and the count of files.
    fn complaints(path: &std::path::Path) -> Vec<String> {
        let checked = Command::new("/usr/sbin/fsck.vfat").arg("-n").arg(path).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        said.lines()
            .filter(|line| !line.starts_with("fsck.fat") && !line.contains("files,"))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn fsck_is_silent_after_folders_lost_clusters_and_a_volume_that_was_not_closed() {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(64 << 20).unwrap();
        let options = FormatVolumeOptions::new().fat_type(FatType::Fat32).bytes_per_cluster(512);
        let mut medium = image.as_file();
        fatfs::format_volume(medium, options).unwrap();
        medium.rewind().unwrap();
        let filesystem = FileSystem::new(image.as_file(), FsOptions::new()).unwrap();
        {
            let one = filesystem.root_dir().create_dir("one").unwrap();
            let deep = one.create_dir("two with a long name").unwrap();
            deep.create_file("a file.txt").unwrap().write_all(&[7; 5000]).unwrap();
        }
        filesystem.unmount().unwrap();
        let (fat_start, lost) = {
            let volume = Volume::open(&mut medium).unwrap();
            (volume.fat_start, volume.fat.iter().rposition(|entry| *entry == 0).unwrap() as u64)
        };
        medium.seek(SeekFrom::Start(fat_start + lost * 4)).unwrap();
        medium.write_all(&0x0fff_ffff_u32.to_le_bytes()).unwrap();
        medium.seek(SeekFrom::Start(65)).unwrap();
        medium.write_all(&[1]).unwrap();
        assert_ne!(complaints(image.path()), Vec::<String>::new(), "the volume is really damaged");
        mend(&mut medium).unwrap();
        assert_eq!(complaints(image.path()), Vec::<String>::new());
        let mut kept = Vec::new();
        medium.rewind().unwrap();
        let filesystem = FileSystem::new(image.as_file(), FsOptions::new()).unwrap();
        filesystem.root_dir().open_file("one/two with a long name/a file.txt").unwrap().read_to_end(&mut kept).unwrap();
        assert_eq!(kept, [7; 5000]);
    }
}
