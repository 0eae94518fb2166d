//! A disk image or block device and its partitions, without mounting.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use layout::disk::Table;
use layout::dos::DosTable;
use layout::gpt::{GptTable, Partition};

use super::window::Window;
use crate::capture::table;

/// An open image.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    table: Option<GptTable>,
    dos: Option<DosTable>,
    parts: Vec<Part>,
}

/// A partition of an image; or the whole image, where a filesystem fills it.
#[derive(Debug)]
pub struct Part {
    /// What the table says of it; `None` for the whole image.
    pub entry: Option<Partition>,
    window: Window,
}

impl Image {
    /// Opens a raw image file or a block device for reading and reads its partition table. An image without a table is
    /// one part.
    ///
    /// # Errors
    /// When it cannot be read, or its table is damaged.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<Self> {
            let mut file = File::open(path)?;
            let size = file.seek(SeekFrom::End(0))?;
            let sectors = sector_sizes(&file)?;
            let whole = Window::new(Arc::new(file), 0, size);
            Self::with_table(path, whole, &sectors)
        };
        read().with_context(|| format!("opening {}", path.display()))
    }

    fn with_table(path: &Path, whole: Window, sectors: &[u32]) -> anyhow::Result<Self> {
        let mut failure = None;
        for &sector in sectors {
            let found = match table::read(&mut whole.clone(), sector) {
                Ok(found) => found,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            let bytes = u64::from(sector);
            match found.table {
                Table::Gpt(_) | Table::Dos(_) => {
                    let parts = found.partitions.into_iter().map(|entry| {
                        let window =
                            whole.part(entry.first_lba.saturating_mul(bytes), entry.sectors.saturating_mul(bytes));
                        Part { entry: Some(entry), window }
                    });
                    let (table, dos) = match found.table {
                        Table::Gpt(table) => (Some(table), None),
                        Table::Dos(table) => (None, Some(table)),
                        _ => (None, None),
                    };
                    return Ok(Self { path: path.to_owned(), table, dos, parts: parts.collect() });
                }
                Table::Mbr | Table::None => {}
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let parts = vec![Part { entry: None, window: whole }];
        Ok(Self { path: path.to_owned(), table: None, dos: None, parts })
    }

    /// Its DOS table; `None` where it has another or none.
    #[must_use]
    pub fn dos(&self) -> Option<&DosTable> {
        self.dos.as_ref()
    }

    /// Its GPT; `None` where it has another table or none.
    #[must_use]
    pub fn table(&self) -> Option<&GptTable> {
        self.table.as_ref()
    }

    /// Its partitions in the order of their numbers.
    #[must_use]
    pub fn partitions(&self) -> &[Part] {
        &self.parts
    }

    /// The partition of this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn partition(&self, number: u32) -> anyhow::Result<&Part> {
        let fits = |part: &&Part| part.entry.as_ref().is_some_and(|entry| entry.number == number);
        self.parts.iter().find(fits).with_context(|| format!("{} has no partition {number}", self.path.display()))
    }
}

impl Part {
    /// A reader of its bytes.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window.clone()
    }
}

/// A device knows its sectors; of a file both sizes are tried.
fn sector_sizes(file: &File) -> anyhow::Result<Vec<u32>> {
    if file.metadata()?.file_type().is_block_device() {
        return Ok(vec![rustix::fs::ioctl_blksszget(file)?]);
    }
    Ok(vec![512, 4096])
}
