//! Compression of an archive, and what became of each group.

use std::fmt;
use std::io::Write;

use xz2::stream::{Check, MtStreamBuilder};
use xz2::write::XzEncoder;

use crate::archive::Archive;
use crate::error::Error;
use crate::tree::Group;

/// What an image may weigh, compressed: small machines and slow firmware must still load it.
pub const BUDGET: u64 = 64 << 20;
/// Compressed apart from each other, so that two threads have something to do; a block costs a little size.
const XZ_BLOCK: u64 = 12 << 20;
/// Measured on 58 MB (346 modules and the tools), CPU seconds and MB: preset 0 2.6 and 13.3, preset 2 8.7 and 12.3, preset 6 31 and 11.1;
/// zstd level 3 0.3 and 15.7, level 15 11 and 13.5. A small dictionary also unpacks in little memory.
const XZ_PRESET: u32 = 1;
const ZSTD_LEVEL: i32 = 3;

/// How the image is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Smallest.
    Xz,
    /// Fastest to make.
    Zstd,
}

impl Compression {
    /// The kernel's build option without which it cannot unpack such an image.
    #[must_use]
    pub fn kernel_option(self) -> &'static str {
        match self {
            Self::Xz => "CONFIG_RD_XZ",
            Self::Zstd => "CONFIG_RD_ZSTD",
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// The size of a group before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSize {
    /// Which group.
    pub group: Group,
    /// Bytes in the archive.
    pub raw: u64,
    /// Bytes in the image.
    pub compressed: u64,
}

/// A compressed archive.
#[derive(Clone, Debug)]
pub struct Image {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// Sizes by group.
    pub groups: Vec<GroupSize>,
}

impl Archive {
    /// Compresses with up to `threads` threads; the bytes do not depend on how many.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when the image is larger than [`BUDGET`], and when the compressor fails.
    pub fn compress(&self, compression: Compression, threads: u32) -> Result<Image, Error> {
        let image = self.encode(compression, threads).map_err(Error::Compress)?;
        image.within(BUDGET)
    }

    fn encode(&self, compression: Compression, threads: u32) -> std::io::Result<Image> {
        match compression {
            Compression::Xz => {
                // The kernel's decoder knows CRC32 only (Documentation/staging/xz.rst).
                let stream = MtStreamBuilder::new()
                    .threads(threads.max(1))
                    .block_size(XZ_BLOCK)
                    .preset(XZ_PRESET)
                    .check(Check::Crc32)
                    .encoder()?;
                let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
                let groups = feed(self, &mut encoder, |encoder| encoder.get_ref().len())?;
                Ok(Image { bytes: encoder.finish()?, groups })
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                encoder.multithread(threads.max(1))?;
                let groups = feed(self, &mut encoder, |encoder| encoder.get_ref().len())?;
                Ok(Image { bytes: encoder.finish()?, groups })
            }
        }
    }
}

/// Writes the parts, each flushed, so that the growth of the output is the part's size.
fn feed<W: Write>(
    archive: &Archive,
    encoder: &mut W,
    written: impl Fn(&W) -> usize,
) -> std::io::Result<Vec<GroupSize>> {
    let mut groups = Vec::new();
    for (group, bytes) in archive.parts() {
        let before = written(encoder);
        encoder.write_all(bytes)?;
        encoder.flush()?;
        let compressed = (written(encoder) - before) as u64;
        groups.push(GroupSize { group: *group, raw: bytes.len() as u64, compressed });
    }
    Ok(groups)
}

impl Image {
    fn within(self, budget: u64) -> Result<Self, Error> {
        let bytes = self.bytes.len() as u64;
        if bytes > budget {
            return Err(Error::OverBudget { bytes, budget, table: self.to_string() });
        }
        Ok(self)
    }

    /// Bytes before compression.
    #[must_use]
    pub fn raw(&self) -> u64 {
        self.groups.iter().map(|size| size.raw).sum()
    }
}

impl fmt::Display for Image {
    /// A table in kB, one group a line and the sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<10} {:>10} {:>12}", "", "raw kB", "in image kB")?;
        for size in &self.groups {
            writeln!(f, "{:<10} {:>10} {:>12}", size.group.name(), kilo(size.raw), kilo(size.compressed))?;
        }
        write!(f, "{:<10} {:>10} {:>12}", "initramfs", kilo(self.raw()), kilo(self.bytes.len() as u64))
    }
}

fn kilo(bytes: u64) -> u64 {
    bytes.div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::Path;

    use super::*;
    use crate::tree::Tree;

    fn sample() -> Archive {
        let mut tree = Tree::new();
        let text: Vec<u8> = (0..200_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        tree.file(Path::new("/init"), 0o755, text.clone(), Group::Rescue).unwrap();
        tree.file(Path::new("/lib/a"), 0o644, text[..50_000].to_vec(), Group::Libraries).unwrap();
        tree.archive()
    }

    #[test]
    fn both_give_the_archive_back_and_the_groups_add_up() {
        let archive = sample();
        for compression in [Compression::Xz, Compression::Zstd] {
            let image = archive.compress(compression, 2).unwrap();
            let mut plain = Vec::new();
            match compression {
                Compression::Xz => xz2::read::XzDecoder::new(&image.bytes[..]).read_to_end(&mut plain).unwrap(),
                Compression::Zstd => {
                    zstd::Decoder::new(&image.bytes[..]).unwrap().single_frame().read_to_end(&mut plain).unwrap()
                }
            };
            assert_eq!(plain, archive.bytes());
            assert_eq!(image.raw(), plain.len() as u64);
            let sum: u64 = image.groups.iter().map(|size| size.compressed).sum();
            let rest = image.bytes.len() as u64 - sum;
            assert!(rest < 200, "{compression:?}: header and index take {rest}");
        }
    }

    #[test]
    fn the_number_of_threads_does_not_show() {
        let archive = sample();
        let one = archive.compress(Compression::Xz, 1).unwrap();
        assert_eq!(one.bytes, archive.compress(Compression::Xz, 4).unwrap().bytes);
        // Stream flags, second byte: the check. 1 is CRC32.
        assert_eq!(one.bytes[7], 1);
    }

    #[test]
    fn an_image_over_the_budget_is_an_error_that_shows_where_the_bytes_are() {
        let image = sample().compress(Compression::Zstd, 1).unwrap();
        let error = image.within(1000).unwrap_err().to_string();
        assert!(error.contains("1000") && error.contains("rescue"), "{error}");
    }
}
