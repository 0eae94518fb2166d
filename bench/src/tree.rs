//! The trees that are backed up: made once, the same every time, kept for later runs.
//!
//! A tree is a folder `NAME` and, once it is complete, a file `NAME.ready` beside it with its tally. A tree that is
//! being changed has no such file, so a run that was cut makes it again.

mod change;
mod image;
mod remove;
mod root;
mod small;
mod tally;
mod walk;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use change::Change;
pub use remove::remove;
pub use tally::Tally;

/// Which tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tree {
    /// A Debian system, unpacked from its packages
    Root,
    /// One million files of 0 to 8 kB
    Small,
    /// A sparse guest image of 20 GB that holds 2 GB
    Image,
}

impl Tree {
    /// Its name in reports and as a folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Small => "small",
            Self::Image => "image",
        }
    }

    /// What it is, for a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Root => "Debian root",
            Self::Small => "Small files of 0 to 8 kB",
            Self::Image => "Sparse guest image",
        }
    }

    /// What is changed in it between two backups.
    pub fn change(self) -> &'static str {
        match self {
            Self::Root | Self::Small => "1 % of files changed",
            Self::Image => "1,000 scattered 4 KiB writes",
        }
    }

    /// Free bytes that a round needs at most at the full size, the tree included: every repository and every restored tree at once.
    pub fn space(self) -> u64 {
        match self {
            Self::Root => 25 << 30,
            Self::Small => 45 << 30,
            // Some peers restore the holes as blocks of zeroes.
            Self::Image => 40 << 30,
        }
    }

    /// Whether it is so few files that a restored one may be removed at once.
    pub fn has_few_files(self) -> bool {
        self == Self::Image
    }
}

/// Where the trees are, and how large.
#[derive(Clone, Debug)]
pub struct Trees {
    /// The folder that holds them.
    pub folder: PathBuf,
    /// Share of the full number of files and bytes; 1 is what the figures are for.
    pub scale: f64,
}

impl Trees {
    /// The folder of `tree`.
    pub fn path(&self, tree: Tree) -> PathBuf {
        self.folder.join(tree.name())
    }

    fn ready(&self, tree: Tree) -> PathBuf {
        self.folder.join(format!("{}.ready", tree.name()))
    }

    /// Makes `tree` unless it is there, and says what is in it.
    ///
    /// # Errors
    /// When a package cannot be had or the disk is full.
    pub fn make(&self, tree: Tree) -> anyhow::Result<Tally> {
        let path = self.path(tree);
        if let Ok(text) = std::fs::read_to_string(self.ready(tree)) {
            return serde_json::from_str(&text).with_context(|| format!("{}", self.ready(tree).display()));
        }
        if tree == Tree::Image {
            self.make(Tree::Root)?;
        }
        eprintln!("bench: making the tree {}", path.display());
        remove(&path)?;
        std::fs::create_dir_all(&self.folder)?;
        match tree {
            Tree::Root => root::make(&path, self.scale)?,
            Tree::Small => small::make(&path, self.scale)?,
            Tree::Image => image::make(&path, &self.path(Tree::Root), self.scale)?,
        }
        let tally = Tally::of(&path)?;
        self.mark(tree, &tally)?;
        Ok(tally)
    }

    fn mark(&self, tree: Tree, tally: &Tally) -> anyhow::Result<()> {
        std::fs::write(self.ready(tree), serde_json::to_vec(tally)?)?;
        Ok(())
    }

    /// Changes a small part of `tree`, another one in each round.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn change(&self, tree: Tree, round: u32) -> anyhow::Result<Change> {
        remove(&self.ready(tree))?;
        match tree {
            Tree::Root | Tree::Small => Change::one_percent(&self.path(tree), round),
            Tree::Image => image::scattered_writes(&self.path(tree), self.scale, round),
        }
    }

    /// Takes a change back, so that the next round and the next run find the tree as it was.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn restore(&self, tree: Tree, change: Change, tally: &Tally) -> anyhow::Result<()> {
        change.undo()?;
        self.mark(tree, tally)
    }
}

/// Reads every file once, so that all tools find the source in the page cache.
///
/// # Errors
/// When a file cannot be read.
pub fn warm(folder: &Path) -> anyhow::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    walk::walk(folder, &mut |path, metadata| {
        // A sparse file is read by its blocks only: holes are in nobody's cache.
        if metadata.is_file() { walk::read_data(path, &mut buffer) } else { Ok(()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_made_once_and_a_change_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let trees = Trees { folder: folder.path().to_owned(), scale: 0.0002 };
        let made = trees.make(Tree::Small).unwrap();
        let change = trees.change(Tree::Small, 1).unwrap();
        assert_eq!(change.files, made.files / 100);
        assert_ne!(Tally::of(&trees.path(Tree::Small)).unwrap(), made);
        assert!(!trees.ready(Tree::Small).exists(), "a cut run must not leave a changed tree that counts as ready");
        trees.restore(Tree::Small, change, &made).unwrap();
        assert_eq!(Tally::of(&trees.path(Tree::Small)).unwrap(), made);
        assert_eq!(trees.make(Tree::Small).unwrap(), made);
    }
}
