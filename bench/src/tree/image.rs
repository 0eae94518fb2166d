//! The guest image: 2 GB of a Debian root's files, aligned as a filesystem would, in runs over 20 GB of holes.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use crate::random::Random;
use crate::text::Text;
use crate::tree::change::Change;
use crate::tree::walk::walk;

const SEED: u64 = 0x0067_7565_7374;
const SIZE: u64 = 20 << 30;
const DATA: u64 = 2 << 30;
/// Data comes in runs of 1 to `LONGEST` of these.
const GRAIN: u64 = 64 << 10;
const LONGEST: u64 = 256;
/// A filesystem's block, and what is written at once.
const BLOCK: u64 = 4096;
const WRITES: u64 = 1_000;
/// When the image was last written, seconds since 1970.
const TIME: u64 = 1_700_000_000;

/// A stretch of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    offset: u64,
    length: u64,
}

/// Makes the folder `path` with the image in it from the files of `root`.
///
/// # Errors
/// When a file cannot be read, or the disk is full.
pub fn make(path: &Path, root: &Path, scale: f64) -> anyhow::Result<()> {
    std::fs::create_dir_all(path)?;
    let place = path.join("guest.img");
    let image = File::create(&place).with_context(|| format!("making {}", place.display()))?;
    let (size, data) = sizes(scale);
    image.set_len(size)?;
    let mut content = Content::of(root)?;
    for run in layout(size, data) {
        content.fill(run.length)?;
        image.write_all_at(&content.take(run.length), run.offset)?;
    }
    image.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(TIME))?;
    Ok(())
}

/// Overwrites 1,000 blocks of 4 KiB, evenly spread over what holds data, as a guest's database does.
///
/// # Errors
/// When the image cannot be written.
pub fn scattered_writes(path: &Path, scale: f64, round: u32) -> anyhow::Result<Change> {
    let (size, data) = sizes(scale);
    let runs = layout(size, data);
    let blocks = data / BLOCK;
    let writes = ((WRITES as f64 * scale) as u64).max(1);
    let mut random = Random::new(SEED, u64::from(round) << 32);
    let mut places: Vec<u64> = (0..writes).map(|_| place(&runs, random.below(blocks) * BLOCK)).collect();
    places.sort_unstable();
    places.dedup();
    let text = Text::new();
    let contents = places.into_iter().map(|offset| {
        let mut block = Vec::new();
        text.fill(&mut random, &mut block, BLOCK as usize);
        (offset, block)
    });
    Change::overwrite(&path.join("guest.img"), contents)
}

fn sizes(scale: f64) -> (u64, u64) {
    let scaled = |bytes: u64| ((bytes as f64 * scale) as u64).div_ceil(GRAIN) * GRAIN;
    (scaled(SIZE), scaled(DATA))
}

/// Runs that hold `data` bytes in all and lie in order within `size`, with gaps of half to one and a half their share.
fn layout(size: u64, data: u64) -> Vec<Run> {
    let mut random = Random::new(SEED, 0);
    let mut runs = Vec::new();
    let (mut offset, mut left) = (0, data);
    while left > 0 {
        let length = ((1 + random.below(LONGEST)) * GRAIN).min(left);
        runs.push(Run { offset, length });
        left -= length;
        let share = length / GRAIN * (size - data) / data;
        let gap = (share / 2 + random.below(share + 1)) * GRAIN;
        offset = (offset + length + gap).min(size - left);
    }
    runs
}

/// Where the byte at `position` of the data lies in the image.
fn place(runs: &[Run], mut position: u64) -> u64 {
    for run in runs {
        if position < run.length {
            return run.offset + position;
        }
        position -= run.length;
    }
    unreachable!("positions are below the sum of the runs")
}

/// What the runs are filled with: every file of a tree, each from a block's start, then text.
struct Content {
    files: std::vec::IntoIter<PathBuf>,
    text: Text,
    random: Random,
    ready: Vec<u8>,
}

impl Content {
    fn of(root: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        walk(root, &mut |path, metadata| {
            if metadata.is_file() {
                files.push(path.to_owned());
            }
            Ok(())
        })?;
        Ok(Self { files: files.into_iter(), text: Text::new(), random: Random::new(SEED, 1), ready: Vec::new() })
    }

    /// Makes at least `length` bytes ready.
    fn fill(&mut self, length: u64) -> anyhow::Result<()> {
        while (self.ready.len() as u64) < length {
            let Some(path) = self.files.next() else {
                self.text.fill(&mut self.random, &mut self.ready, length as usize);
                break;
            };
            File::open(&path)?.read_to_end(&mut self.ready).with_context(|| format!("reading {}", path.display()))?;
            self.ready.resize(self.ready.len().next_multiple_of(BLOCK as usize), 0);
        }
        Ok(())
    }

    fn take(&mut self, length: u64) -> Vec<u8> {
        let rest = self.ready.split_off(length as usize);
        std::mem::replace(&mut self.ready, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tally;

    #[test]
    fn runs_hold_the_data_in_order_and_spread_over_the_whole_image() {
        let runs = layout(SIZE, DATA);
        assert_eq!(runs.iter().map(|run| run.length).sum::<u64>(), DATA);
        assert!(runs.windows(2).all(|pair| pair[0].offset + pair[0].length <= pair[1].offset));
        let last = runs.last().unwrap();
        assert!(last.offset + last.length <= SIZE && last.offset > SIZE / 2, "{last:?}");
        assert_eq!(place(&runs, runs[0].length), runs[1].offset);
    }

    #[test]
    fn an_image_is_sparse_the_same_every_time_and_writes_are_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("file"), vec![b'x'; 10_000]).unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let scale = 0.001;
        make(&one, &root, scale).unwrap();
        make(&two, &root, scale).unwrap();
        let compare = || exec::Command::new("cmp").args([one.join("guest.img"), two.join("guest.img")]).run();
        compare().unwrap();
        let tally = Tally::of(&one).unwrap();
        assert!(tally.data < tally.bytes / 4, "{tally:?}");
        let change = scattered_writes(&one, scale, 1).unwrap();
        assert_eq!(change.bytes, BLOCK);
        assert_eq!(Tally::of(&one).unwrap().data, tally.data, "writes go where data is");
        compare().unwrap_err();
        change.undo().unwrap();
        compare().unwrap();
    }
}
