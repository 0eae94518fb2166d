//! Puts right what `fatfs` 0.3 leaves behind: a long-name slot before `.` and `..`, and no count of free clusters.
//!
//! Firmware reads the volume either way; `fsck.vfat` complains, and an admin who sees that will not trust the stick. The format is
//! Microsoft's FAT specification, FAT32 only.

use std::io::{self, Read, Seek, SeekFrom, Write};

const ENTRY: usize = 32;
const LONG_NAME: u8 = 0x0f;
const DIRECTORY: u8 = 0x10;
const DELETED: u8 = 0xe5;
const END_OF_CHAIN: u32 = 0x0fff_fff8;

struct Folder {
    first: u32,
    /// 0 is the root, which has no dots; the `..` of depth 1 points to cluster 0, whatever the root's cluster is.
    depth: u32,
}

struct Volume<'a, T> {
    medium: &'a mut T,
    fat_start: u64,
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
    let mut seen = 0;
    while let Some(folder) = open.pop() {
        seen += 1;
        if seen > volume.clusters {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "folders lead in a circle"));
        }
        let inner = volume.mend_folder(&folder)?;
        open.extend(inner.into_iter().map(|first| Folder { first, depth: folder.depth + 1 }));
    }
    volume.write_free_count()
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
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no FAT32 volume"));
        }
        let data_sector = reserved + fats * fat_sectors;
        let clusters = u32::try_from(sectors.saturating_sub(data_sector) / cluster)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "too many clusters"))?;
        let mut volume = Self {
            medium,
            fat_start: reserved * sector,
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
            let next = next.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a damaged cluster chain"))?;
            chain.push(at);
            at = *next;
        }
        Ok(chain)
    }

    /// Mends one folder and gives the first clusters of the folders in it.
    fn mend_folder(&mut self, folder: &Folder) -> io::Result<Vec<u32>> {
        let chain = self.chain(folder.first)?;
        let mut folders = Vec::new();
        for (index, cluster) in chain.into_iter().enumerate() {
            let mut bytes = vec![0; usize::try_from(self.cluster_size).unwrap_or(0)];
            let place = self.data_start + u64::from(cluster - 2) * self.cluster_size;
            self.medium.seek(SeekFrom::Start(place))?;
            self.medium.read_exact(&mut bytes)?;
            if index == 0 && folder.depth > 0 && straighten(&mut bytes, folder.depth == 1) {
                self.medium.seek(SeekFrom::Start(place))?;
                self.medium.write_all(&bytes)?;
            }
            folders.extend(subfolders(&bytes));
        }
        Ok(folders)
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

fn subfolders(folder: &[u8]) -> Vec<u32> {
    folder
        .chunks_exact(ENTRY)
        .take_while(|entry| entry[0] != 0)
        .filter(|entry| entry[0] != DELETED && entry[0] != b'.' && entry[11] != LONG_NAME && entry[11] & DIRECTORY != 0)
        .map(|entry| u32::from_le_bytes([entry[26], entry[27], entry[20], entry[21]]))
        .collect()
}
