//! lzop's container: one or more members, each a header and then blocks that are packed by LZO1X on their own.
//!
//! Numbers are big-endian.
//!
//! ```text
//! header   0 magic   9 version u16   11 of the library u16   13 needed u16   15 method u8   16 level u8   17 flags u32
//!          21 mode u32   25 time u32, u32   33 name: length u8, bytes   then a sum u32 over all of it but the magic
//! block    length u32, packed length u32, sums u32 as the flags say, the packed bytes; a length of 0 ends the member
//! sums     of the content: Adler-32, CRC-32; of what is packed: Adler-32, CRC-32, where it is packed at all
//! ```
//!
//! A block whose two lengths are equal is stored as it is. Every sum that a member has is held against its bytes. A block of more than
//! [`LARGEST`] is refused before there is memory for it; lzop's own have 256 KiB.

use std::io::{self, BufRead, Read};

/// The first bytes of a member.
pub(super) const MAGIC: &[u8; 9] = b"\x89LZO\0\r\n\x1a\n";
/// Bytes of a member's beginning that [`has_content_sum`] looks at.
pub(super) const TELLING: usize = 21;
/// Bytes of a block, of either side.
const LARGEST: u32 = 8 << 20;
/// The oldest form of the header that is read, of 1997, and the newest.
const VERSIONS: std::ops::RangeInclusive<u16> = 0x0940..=0x1040;
/// LZO1X-1, LZO1X-1(15) and LZO1X-999, which are unpacked alike.
const METHODS: std::ops::RangeInclusive<u8> = 1..=3;

/// What a member's flags say.
#[derive(Clone, Copy, Debug)]
struct Flags(u32);

impl Flags {
    const ADLER_CONTENT: u32 = 1;
    const ADLER_PACKED: u32 = 1 << 1;
    const EXTRA: u32 = 1 << 6;
    const CRC_CONTENT: u32 = 1 << 8;
    const CRC_PACKED: u32 = 1 << 9;
    const MULTIPART: u32 = 1 << 10;
    const FILTER: u32 = 1 << 11;
    const CRC_HEADER: u32 = 1 << 12;
    /// Bits that have no meaning.
    const FREE: u32 = 0x000f_c000;

    fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// What lzop writes for its rare options, and what it never writes.
    fn check(self) -> io::Result<()> {
        let unread = [
            (Self::EXTRA, "a further field"),
            (Self::MULTIPART, "several parts"),
            (Self::FILTER, "a filter"),
            (Self::FREE, "flags that have no meaning"),
        ];
        match unread.iter().find(|(bit, _)| self.has(*bit)) {
            None => Ok(()),
            Some((_, what)) => Err(damaged(format!("its header has {what}, which is not read"))),
        }
    }
}

/// Whether the member that begins with these bytes has a sum over its content.
pub(super) fn has_content_sum(first: &[u8]) -> bool {
    let flags = first.get(17..TELLING).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    Flags(flags).has(Flags::ADLER_CONTENT | Flags::CRC_CONTENT)
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Unpacks what it reads.
pub(super) struct Lzop<R> {
    inner: R,
    /// Of the member that is open.
    flags: Option<Flags>,
    /// Blocks that were begun.
    blocks: u64,
    packed: Vec<u8>,
    block: Vec<u8>,
    /// So much of the block was given out.
    given: usize,
}

impl<R: BufRead> Lzop<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, flags: None, blocks: 0, packed: Vec::new(), block: Vec::new(), given: 0 }
    }

    /// Unpacks the next block; whether there is one.
    fn next(&mut self) -> io::Result<bool> {
        self.block.clear();
        self.given = 0;
        loop {
            let Some(flags) = self.flags else {
                // Nothing may come after a member, or another one.
                if self.blocks > 0 && self.inner.fill_buf()?.is_empty() {
                    return Ok(false);
                }
                self.flags = Some(header(&mut self.inner)?);
                continue;
            };
            self.blocks += 1;
            let place = |what: &str| damaged(format!("its block {} {what}", self.blocks));
            let length = u32_of(&mut self.inner)?;
            if length == 0 {
                self.flags = None;
                continue;
            }
            let packed = u32_of(&mut self.inner)?;
            if length > LARGEST || packed > length || packed == 0 {
                return Err(place(&format!(
                    "has {length} bytes in {packed}; no more than {LARGEST}, in no more, are possible"
                )));
            }
            let mut sums = Sums::default();
            sums.content.take(&mut self.inner, flags, Flags::ADLER_CONTENT, Flags::CRC_CONTENT)?;
            if packed < length {
                sums.packed.take(&mut self.inner, flags, Flags::ADLER_PACKED, Flags::CRC_PACKED)?;
            }
            self.packed.clear();
            self.inner.by_ref().take(packed.into()).read_to_end(&mut self.packed)?;
            if self.packed.len() < packed as usize {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !sums.packed.hold(&self.packed) {
                return Err(place("does not match the sum of what is packed"));
            }
            if packed == length {
                std::mem::swap(&mut self.packed, &mut self.block);
            } else {
                self.block.resize(length as usize, 0);
                match lzokay::decompress::decompress(&self.packed, &mut self.block) {
                    Ok(found) if found == length as usize => {}
                    _ => return Err(place(&format!("does not unpack to its {length} bytes"))),
                }
            }
            if !sums.content.hold(&self.block) {
                return Err(place("does not match the sum of its content"));
            }
            return Ok(true);
        }
    }
}

impl<R: BufRead> Read for Lzop<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.given == self.block.len() && !self.next()? {
            return Ok(0);
        }
        let count = buffer.len().min(self.block.len() - self.given);
        buffer[..count].copy_from_slice(&self.block[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// The sums of a block.
#[derive(Default)]
struct Sums {
    content: Pair,
    packed: Pair,
}

/// Two sums over the same bytes, where they are there.
#[derive(Default)]
struct Pair {
    adler: Option<u32>,
    crc: Option<u32>,
}

impl Pair {
    fn take(&mut self, read: &mut impl Read, flags: Flags, adler: u32, crc: u32) -> io::Result<()> {
        self.adler = flags.has(adler).then(|| u32_of(read)).transpose()?;
        self.crc = flags.has(crc).then(|| u32_of(read)).transpose()?;
        Ok(())
    }

    fn hold(&self, bytes: &[u8]) -> bool {
        self.adler.is_none_or(|sum| sum == adler2::adler32_slice(bytes))
            && self.crc.is_none_or(|sum| sum == crc32fast::hash(bytes))
    }
}

/// Reads a member's header.
fn header(read: &mut impl Read) -> io::Result<Flags> {
    let mut magic = [0; MAGIC.len()];
    read.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(damaged("what follows its end is no further member"));
    }
    let mut bytes = vec![0; 25];
    read.read_exact(&mut bytes)?;
    let [version, needed] = [0, 4].map(|at| u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let method = bytes[6];
    let flags = Flags(u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]));
    if !VERSIONS.contains(&version) || needed > *VERSIONS.end() {
        return Err(damaged(format!("its header is of version {version:#06x}, which is not read")));
    }
    flags.check()?;
    let name = usize::from(bytes[24]);
    bytes.resize(25 + name, 0);
    read.read_exact(&mut bytes[25..])?;
    let sum = u32_of(read)?;
    let found = if flags.has(Flags::CRC_HEADER) { crc32fast::hash(&bytes) } else { adler2::adler32_slice(&bytes) };
    if sum != found {
        return Err(damaged("its header does not match its sum"));
    }
    if !METHODS.contains(&method) {
        return Err(damaged(format!("it is packed by method {method}, which is not read")));
    }
    Ok(flags)
}

fn u32_of(read: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    read.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
