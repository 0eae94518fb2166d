//! A small change of a tree, and taking it back.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;

use crate::random::Random;
use crate::text::Text;
use crate::tree::walk::walk;

const SEED: u64 = 0x6368_616e_6765;
/// One file of so many is changed.
const ONE_OF: u64 = 100;

/// What was changed.
#[derive(Debug, Default)]
pub struct Change {
    /// Files that were written to.
    pub files: u64,
    /// Bytes that a tool must store again: the whole of a changed file, of an image the blocks that were overwritten.
    pub bytes: u64,
    undo: Vec<Undo>,
}

/// What a file was like.
#[derive(Debug)]
struct Undo {
    path: PathBuf,
    length: u64,
    modified: SystemTime,
    /// Offsets with what was there.
    parts: Vec<(u64, Vec<u8>)>,
}

impl Change {
    /// Changes one regular file of a hundred as an editor does: sixteen bytes in its middle, one line at its end.
    /// Files with several names are left alone: each would count several times.
    pub(super) fn one_percent(folder: &Path, round: u32) -> anyhow::Result<Self> {
        let mut random = Random::new(SEED, u64::from(round));
        let first = random.below(ONE_OF);
        let (mut seen, mut chosen) = (0, Vec::new());
        walk(folder, &mut |path, metadata| {
            if metadata.is_file() && metadata.nlink() == 1 {
                seen += 1;
                if seen % ONE_OF == first {
                    chosen.push(path.to_owned());
                }
            }
            Ok(())
        })?;
        let mut change = Self::default();
        let text = Text::new();
        for path in chosen {
            change.edit(&path, &mut random, &text).with_context(|| format!("changing {}", path.display()))?;
        }
        Ok(change)
    }

    fn edit(&mut self, path: &Path, random: &mut Random, text: &Text) -> anyhow::Result<()> {
        let file = open(path)?;
        let length = file.metadata()?.len();
        let mut line = Vec::new();
        text.fill(random, &mut line, 64);
        let middle = length / 2;
        let mut old = vec![0; 16.min(length - middle) as usize];
        file.read_exact_at(&mut old, middle)?;
        let undo = Undo {
            path: path.to_owned(),
            length,
            modified: file.metadata()?.modified()?,
            parts: vec![(middle, old.clone())],
        };
        self.undo.push(undo);
        file.write_all_at(&line[..old.len()], middle)?;
        file.write_all_at(&line, length)?;
        self.files += 1;
        self.bytes += length + line.len() as u64;
        Ok(())
    }

    /// Overwrites parts of one file.
    pub(super) fn overwrite(path: &Path, writes: impl Iterator<Item = (u64, Vec<u8>)>) -> anyhow::Result<Self> {
        let file = open(path)?;
        let metadata = file.metadata()?;
        let mut undo =
            Undo { path: path.to_owned(), length: metadata.len(), modified: metadata.modified()?, parts: Vec::new() };
        let mut bytes = 0;
        for (offset, content) in writes {
            let mut old = vec![0; content.len()];
            file.read_exact_at(&mut old, offset)?;
            file.write_all_at(&content, offset)?;
            bytes += content.len() as u64;
            undo.parts.push((offset, old));
        }
        Ok(Self { files: 1, bytes, undo: vec![undo] })
    }

    /// Makes every file what it was, its time of change included.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn undo(self) -> anyhow::Result<()> {
        for undo in self.undo {
            let restore = || {
                let file = open(&undo.path)?;
                for (offset, old) in &undo.parts {
                    file.write_all_at(old, *offset)?;
                }
                file.set_len(undo.length)?;
                file.set_modified(undo.modified)
            };
            restore().with_context(|| format!("taking back the change of {}", undo.path.display()))?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).open(path)
}
