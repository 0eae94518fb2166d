//! One million files of 0 to 8 kB in 2,000 folders, half of them below 1.5 kB.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use crate::random::Random;
use crate::text::Text;

const SEED: u64 = 0x0073_6d61_6c6c;
const FOLDERS: u64 = 2_000;
const FILES_IN_EACH: u64 = 500;
/// Largest size in bytes.
const LARGEST: u64 = 8_192;
/// The oldest file, seconds since 1970, and how long after it the newest is: nothing looks as if it was just written.
const OLDEST: u64 = 1_500_000_000;
const YEARS: u64 = 200_000_000;

/// Makes the tree at `path`.
///
/// # Errors
/// When the disk is full.
pub fn make(path: &Path, scale: f64) -> anyhow::Result<()> {
    let text = Text::new();
    let folders = ((FOLDERS as f64 * scale).round() as u64).max(1);
    let mut content = Vec::new();
    for folder in 0..folders {
        let place = path.join(format!("group-{:02}/folder-{folder:04}", folder / 40));
        std::fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
        for file in 0..FILES_IN_EACH {
            let mut random = Random::new(SEED, folder * FILES_IN_EACH + file);
            let time = OLDEST + random.below(YEARS);
            content.clear();
            let length = length(&mut random);
            text.fill(&mut random, &mut content, length);
            write(&place.join(format!("record-{file:03}.txt")), &content, time)?;
        }
    }
    Ok(())
}

/// A square of two even chances: as in a mail store or a source tree small files prevail.
fn length(random: &mut Random) -> usize {
    (random.below(LARGEST + 1) * random.below(LARGEST + 1) / LARGEST) as usize
}

fn write(path: &Path, content: &[u8], time: u64) -> anyhow::Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(content)?;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(time))
    };
    write().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tally;

    #[test]
    fn the_tree_is_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        make(&one, 0.001).unwrap();
        make(&two, 0.001).unwrap();
        let tally = Tally::of(&one).unwrap();
        assert_eq!(tally, Tally::of(&two).unwrap());
        assert_eq!(tally.files, 1_000);
        exec::Command::new("diff").arg("-r").args([&one, &two]).run().unwrap();
    }

    #[test]
    fn sizes_are_from_nothing_to_8_kb() {
        let mut random = Random::new(SEED, 1);
        let lengths: Vec<usize> = (0..100_000).map(|_| length(&mut random)).collect();
        assert_eq!(lengths.iter().min(), Some(&0));
        assert!((8_000..=8_192).contains(lengths.iter().max().unwrap()));
    }
}
