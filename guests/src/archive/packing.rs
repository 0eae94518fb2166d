//! How an archive is compressed, told by its first bytes and not by its name.

use std::fmt;
use std::io::{BufReader, Cursor, Read};

use serde::Serialize;

use super::{Error, lzop};

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// Not at all.
    None,
    /// Zstandard.
    Zstd,
    /// gzip.
    Gzip,
    /// lzop.
    Lzo,
    /// bzip2.
    Bzip2,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Packing::None => "nothing",
            Packing::Zstd => "zstd",
            Packing::Gzip => "gzip",
            Packing::Lzo => "lzop",
            Packing::Bzip2 => "bzip2",
        })
    }
}

impl Packing {
    /// Whose first bytes these are.
    #[must_use]
    pub fn of(first: &[u8]) -> Self {
        let zstd_skippable = first.len() >= 4 && (0x50..=0x5f).contains(&first[0]) && first[1..4] == [0x2a, 0x4d, 0x18];
        match first {
            _ if first.starts_with(&ZSTD) || zstd_skippable => Packing::Zstd,
            _ if first.starts_with(&[0x1f, 0x8b]) => Packing::Gzip,
            _ if first.starts_with(lzop::MAGIC) => Packing::Lzo,
            _ if first.starts_with(b"BZh") => Packing::Bzip2,
            _ => Packing::None,
        }
    }
}

/// Bytes that tell the compression, and whether it has a sum.
const FIRST: u64 = lzop::TELLING as u64;
/// First bytes of a frame of Zstandard.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Flag in the byte that follows them: the frame ends with a sum over its content.
const CONTENT_SUM: u8 = 1 << 2;

/// A decompressed stream.
pub(crate) struct Opened<'a> {
    pub(crate) read: Box<dyn Read + 'a>,
    pub(crate) packing: Packing,
    /// The first frame has a sum over its content; `zstd` and `lzop` write all of them alike.
    pub(crate) content_sum: bool,
}

/// Looks at the first bytes, and decompresses from there on.
pub(crate) fn open<'a>(mut read: impl Read + 'a) -> Result<Opened<'a>, Error> {
    let mut first = Vec::new();
    read.by_ref().take(FIRST).read_to_end(&mut first).map_err(Error::Read)?;
    let packing = Packing::of(&first);
    let read = Cursor::new(first.clone()).chain(BufReader::with_capacity(1 << 16, read));
    let opened = |read, content_sum| Ok(Opened { read, packing, content_sum });
    match packing {
        Packing::None => opened(Box::new(read), false),
        Packing::Gzip => opened(Box::new(flate2::bufread::MultiGzDecoder::new(read)), true),
        Packing::Zstd => {
            let sum = first.starts_with(&ZSTD) && first.get(4).is_some_and(|flags| flags & CONTENT_SUM != 0);
            let decoder = zstd::stream::read::Decoder::with_buffer(read).map_err(Error::Read)?;
            opened(Box::new(decoder), sum)
        }
        Packing::Lzo => opened(Box::new(lzop::Lzop::new(read)), lzop::has_content_sum(&first)),
        Packing::Bzip2 => opened(Box::new(bzip2::bufread::MultiBzDecoder::new(read)), true),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: &[u8]) -> (Packing, bool, Vec<u8>) {
        let mut opened = open(bytes).unwrap();
        let mut out = Vec::new();
        opened.read.read_to_end(&mut out).unwrap();
        (opened.packing, opened.content_sum, out)
    }

    #[test]
    fn each_compression_is_told_by_its_first_bytes() {
        let plain = b"some content".repeat(1000);
        assert_eq!(read(&plain), (Packing::None, false, plain.clone()));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        assert_eq!(read(&gzip.finish().unwrap()), (Packing::Gzip, true, plain.clone()));
        for sum in [false, true] {
            let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            zstd.include_checksum(sum).unwrap();
            zstd.write_all(&plain).unwrap();
            assert_eq!(read(&zstd.finish().unwrap()), (Packing::Zstd, sum, plain.clone()));
        }
    }

    #[test]
    fn what_lzop_and_bzip2_wrote_is_read() {
        let plain = include_bytes!("../../fixtures/vma/small.vma").to_vec();
        let lzo = include_bytes!("../../fixtures/packing/small-3.vma.lzo");
        assert_eq!(read(lzo), (Packing::Lzo, true, plain.clone()));
        let without = include_bytes!("../../fixtures/packing/small-nosum.vma.lzo");
        assert_eq!(read(without), (Packing::Lzo, false, plain.clone()));
        let bzip2 = include_bytes!("../../fixtures/packing/small.vma.bz2");
        assert_eq!(read(bzip2), (Packing::Bzip2, true, plain));
    }
}
