//! A stick in the hands of somebody who means harm, or of a dying flash cell: its files, and bits of them turned over
//! where they lie on the medium.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, ensure};
use assert_cmd::Command;
use ext4_view::{Ext4, Ext4Read};
use fatfs::{FileSystem, FsOptions};
use gpt::GptConfig;

/// The ESP's partition number.
const ESP: u32 = 2;
/// The data partition's number.
const DATA: u32 = 3;
/// Files begin on a sector.
const SECTOR: usize = 512;

/// Reads one file of the data partition.
///
/// # Errors
/// When the stick or the file cannot be read.
pub fn read_data(stick: &Path, path: &str) -> anyhow::Result<Vec<u8>> {
    let volume = data(stick)?;
    volume.read(path).with_context(|| format!("reading {path} of {}", stick.display()))
}

/// The files in a folder of the data partition and below, sorted.
///
/// # Errors
/// When the stick or the folder cannot be read.
pub fn list_data(stick: &Path, folder: &str) -> anyhow::Result<Vec<String>> {
    let volume = data(stick)?;
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in volume.read_dir(folder.as_str()).with_context(|| format!("listing {folder}"))? {
            let entry = entry?;
            let name = entry.file_name().as_str()?.to_owned();
            let path = format!("{folder}/{name}");
            match entry.file_type()?.is_dir() {
                true if name != "." && name != ".." => open.push(path),
                true => {}
                false => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads one file of the ESP.
///
/// # Errors
/// When the stick or the file cannot be read.
pub fn read_esp(stick: &Path, path: &str) -> anyhow::Result<Vec<u8>> {
    let volume = FileSystem::new(slice(stick, ESP)?, FsOptions::new().update_accessed_date(false))?;
    let mut bytes = Vec::new();
    let mut file =
        volume.root_dir().open_file(path).with_context(|| format!("opening {path} of {}", stick.display()))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file of the ESP, or adds it.
///
/// # Errors
/// When the stick cannot be written, or mtools is missing.
pub fn replace_esp(stick: &Path, path: &str, content: &[u8]) -> anyhow::Result<()> {
    let image = format!("{}@@{}", stick.display(), slice(stick, ESP)?.start);
    let target = format!("::{path}");
    let copied = Command::new("mcopy")
        .env("MTOOLS_SKIP_CHECK", "1")
        .args(["-o", "-i", &image, "-", &target])
        .write_stdin(content)
        .output()?;
    ensure!(copied.status.success(), "mcopy {path}: {}", String::from_utf8_lossy(&copied.stderr));
    ensure!(read_esp(stick, path)? == content, "{path} of {} reads back as something else", stick.display());
    Ok(())
}

/// Turns over one bit of a file on the medium, `at` bytes behind the file's beginning. The file is found by its
/// content, so the filesystem notices nothing.
///
/// # Errors
/// When the content is not on the medium, or cannot be changed.
pub fn flip(stick: &Path, content: &[u8], at: usize) -> anyhow::Result<()> {
    let block = at - at % SECTOR;
    let sought = content.get(block..content.len().min(block + SECTOR)).unwrap_or_default();
    ensure!(at < content.len() && !sought.is_empty(), "byte {at} is behind the end of the file");
    let file = OpenOptions::new().read(true).write(true).open(stick)?;
    for place in sectors_with(&file, sought)? {
        let mut byte = [0];
        let place = place + (at - block) as u64;
        file.read_exact_at(&mut byte, place)?;
        file.write_all_at(&[byte[0] ^ 1], place)?;
    }
    Ok(())
}

/// The number of a sector of 512 bytes of the stick in which a file with this content begins.
///
/// # Errors
/// When the content is not on the medium.
pub fn sector_of(stick: &Path, content: &[u8]) -> anyhow::Result<u64> {
    let places = sectors_with(&File::open(stick)?, &content[..content.len().min(SECTOR)])?;
    places.first().map(|place| place / SECTOR as u64).context("the content is nowhere")
}

/// Fills the data partition but for about `left` bytes.
///
/// # Errors
/// When the filesystem cannot be changed.
pub fn fill(stick: &Path, left: u64) -> anyhow::Result<()> {
    let place = slice(stick, DATA)?.start;
    let image = format!("{}?offset={place}", stick.display());
    let debugfs = |commands: &str| -> anyhow::Result<String> {
        let output = Command::new("/sbin/debugfs").args(["-w", "-f", "-", &image]).write_stdin(commands).output()?;
        ensure!(output.status.success(), "debugfs: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let told = debugfs("stats -h\n")?;
    let number = |name: &str| -> anyhow::Result<u64> {
        let line =
            told.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} {told}"))?;
        Ok(line.trim().parse()?)
    };
    let blocks = number("Free blocks:")?.saturating_sub(left / number("Block size:")?);
    debugfs(&format!("write /dev/null filler\nfallocate filler 0 {}\n", blocks.saturating_sub(1)))?;
    Ok(())
}

/// First bytes of the sectors that begin so; at least one.
fn sectors_with(file: &File, sought: &[u8]) -> anyhow::Result<Vec<u64>> {
    let mut buffer = vec![0; 1 << 20];
    let (mut place, mut found) = (0, Vec::new());
    loop {
        let count = file.read_at(&mut buffer, place)?;
        if count == 0 {
            break;
        }
        let sectors = buffer[..count].chunks(SECTOR).enumerate();
        found
            .extend(sectors.filter(|(_, sector)| sector.starts_with(sought)).map(|(n, _)| place + (n * SECTOR) as u64));
        place += count as u64;
    }
    ensure!(!found.is_empty(), "the content was not found on the stick");
    Ok(found)
}

fn data(stick: &Path) -> anyhow::Result<Ext4> {
    Ext4::load(Box::new(slice(stick, DATA)?)).with_context(|| format!("opening the data of {}", stick.display()))
}

fn slice(stick: &Path, partition: u32) -> anyhow::Result<Slice> {
    let disk = GptConfig::new().writable(false).open(stick).with_context(|| format!("opening {}", stick.display()))?;
    let entry = disk.partitions().get(&partition).with_context(|| format!("no partition {partition}"))?;
    let block = *disk.logical_block_size();
    let (start, length) = (entry.bytes_start(block)?, entry.bytes_len(block)?);
    Ok(Slice::new(File::open(stick)?, start, length))
}

/// A partition of an image file, to be read.
pub(crate) struct Slice {
    file: File,
    start: u64,
    length: u64,
    place: u64,
}

impl Slice {
    /// `length` bytes from `start`.
    pub(crate) fn new(file: File, start: u64, length: u64) -> Self {
        Self { file, start, length, place: 0 }
    }
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.place)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..wanted], self.start + self.place)?;
        self.place += count as u64;
        Ok(count)
    }
}

impl Seek for Slice {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.place.checked_add_signed(offset),
        };
        self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}

/// `fatfs` asks for it; nothing is written.
impl Write for Slice {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ext4Read for Slice {
    fn read(&mut self, start: u64, buffer: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {
        Ok(self.file.read_exact_at(buffer, self.start + start)?)
    }
}
