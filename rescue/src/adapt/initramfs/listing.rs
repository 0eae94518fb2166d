//! Which kernel modules an initramfs holds, read from its list of files. Nothing is unpacked.
//!
//! An image is one or more newc cpio archives, the last of them compressed as a rule; before it may lie plain ones with microcode or
//! modules (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};

const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";
/// No path is longer; a length above it is damage.
const LONGEST_NAME: u64 = 4096;

/// The names of all modules in the image, with `_` for `-`.
///
/// # Errors
/// When it is cut, or compressed in a way that is not known here.
pub fn modules(image: impl Read) -> io::Result<BTreeSet<String>> {
    let mut image = BufReader::with_capacity(1 << 16, image);
    let mut names = BTreeSet::new();
    loop {
        skip_zeroes(&mut image)?;
        let start = image.fill_buf()?;
        match start {
            [] => return Ok(names),
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => archive(&mut image, &mut names)?,
            // What is compressed comes last.
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                return archives(zstd::stream::read::Decoder::with_buffer(image)?, names);
            }
            [0x1f, 0x8b, ..] => return archives(flate2::bufread::MultiGzDecoder::new(image), names),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => {
                return archives(xz2::bufread::XzDecoder::new_multi_decoder(image), names);
            }
            _ => return Err(io::Error::other("it is compressed in a way that is not known here")),
        }
    }
}

fn archives(plain: impl Read, mut names: BTreeSet<String>) -> io::Result<BTreeSet<String>> {
    let mut plain = BufReader::with_capacity(1 << 16, plain);
    loop {
        skip_zeroes(&mut plain)?;
        if plain.fill_buf()?.is_empty() {
            return Ok(names);
        }
        archive(&mut plain, &mut names)?;
    }
}

/// One archive, up to and with its trailer.
fn archive(input: &mut impl BufRead, names: &mut BTreeSet<String>) -> io::Result<()> {
    loop {
        let mut header = [0; HEADER];
        input.read_exact(&mut header)?;
        let (size, length) = (field(&header, 6)?, field(&header, 11)?);
        if !header.starts_with(b"07070") || length > LONGEST_NAME {
            return Err(io::Error::other("its list of files is damaged"));
        }
        // Header and name together, and the content, end on multiples of four.
        let mut name = vec![0; (HEADER as u64 + length).next_multiple_of(4) as usize - HEADER];
        input.read_exact(&mut name)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == TRAILER {
            return Ok(());
        }
        names.extend(module_name(&String::from_utf8_lossy(name)));
        let content = size.next_multiple_of(4);
        if io::copy(&mut input.take(content), &mut io::sink())? < content {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A field of eight hexadecimal digits.
fn field(header: &[u8; HEADER], number: usize) -> io::Result<u64> {
    let digits = std::str::from_utf8(&header[6 + 8 * number..14 + 8 * number]).ok();
    let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    value.ok_or_else(|| io::Error::other("its list of files is damaged"))
}

fn skip_zeroes(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
        let all = zeroes == bytes.len();
        input.consume(zeroes);
        if !all || zeroes == 0 {
            return Ok(());
        }
    }
}

/// `usr/lib/modules/6.1/kernel/fs/ext4/ext4.ko.xz` is `ext4`; none where the path is no module's.
pub fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, ending) = file.split_once(".ko")?;
    matches!(ending, "" | ".xz" | ".zst" | ".gz").then(|| name.replace('-', "_"))
}
