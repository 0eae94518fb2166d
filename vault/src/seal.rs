//! Sealing: zstd frames of at most 8 MiB, then AES-256 in counter mode under the run's key, then SHA-256 over the result.
//!
//! The IV is the segment's number in the high 64 bits, big-endian, and zero in the low ones, which count blocks of 16
//! bytes. A number is used once in a run: 0 is the catalogue, segments count from 1, those that hold hard links from 2^32.
//! Nothing here authenticates: the SHA-256 is in the signed manifest, and is checked in full before anything is opened.

use std::io::{self, Read, Write};

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use sha2::Digest as _;

use crate::contents::{Digest, RunId, RunRef};
use crate::error::{Error, Result};
use crate::identity::{Identities, Recipient, seal_to};
use crate::store::{NewObject, Store};

/// Number of the catalogue in its run.
pub(crate) const CATALOGUE: u64 = 0;
/// First number of segments with hard links: they follow every other segment of their run in stream order.
pub(crate) const LINKS: u64 = 1 << 32;
/// A key file is small, whatever the number of recipients.
const KEY_LIMIT: u64 = 1 << 20;
/// Sealed bytes are encrypted, hashed and written in pieces of this size.
const CHUNK: usize = 256 << 10;
/// Largest window of a frame that is opened, as a power of two: twice what a frame of ours holds.
const WINDOW_LOG: u32 = 24;
/// Bytes that are set aside for an object before it is read.
const AT_ONCE: u64 = 128 << 20;
/// Plain bytes per zstd frame.
const FRAME: usize = 8 << 20;

/// Fills a buffer from the kernel's random source.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|why| Error::io("reading", "the random source", io::Error::other(why.to_string())))
}

/// Overwrites secret bytes. `black_box` keeps the compiler from leaving the write out.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

/// The key of one run.
pub(crate) struct RunKey([u8; 32]);

impl Drop for RunKey {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl std::fmt::Debug for RunKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RunKey")
    }
}

impl RunKey {
    pub(crate) fn generate() -> Result<Self> {
        let mut key = RunKey([0; 32]);
        random(&mut key.0)?;
        Ok(key)
    }

    /// The key file: 64 hexadecimal digits and a newline, sealed by age, so that `openssl enc -K` takes it as it is.
    pub(crate) fn store(&self, run: &RunId, recipients: &[Recipient], store: &dyn Store) -> Result<RunRef> {
        let mut text: Vec<u8> = self.0.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect();
        text.push(b'\n');
        let sealed = seal_to(recipients, &text);
        wipe(&mut text);
        let sealed = sealed?;
        store.write_new(&run.key_name(), &sealed)?;
        Ok(RunRef { id: run.clone(), key_sha256: Digest::sha256(&sealed), key_size: sealed.len() as u64 })
    }

    /// Opens the key file that `run` names, after checking its digest.
    pub(crate) fn open(run: &RunRef, store: &dyn Store, identities: &Identities) -> Result<Self> {
        let name = run.id.key_name();
        let sealed = store.read(&name, KEY_LIMIT).map_err(Error::listed)?;
        if sealed.len() as u64 != run.key_size || Digest::sha256(&sealed) != run.key_sha256 {
            return Err(Error::corrupt(name, "differs from the signed digest"));
        }
        let mut text = identities.open(&name, &sealed)?;
        let key = std::str::from_utf8(&text).ok().and_then(|t| Digest::parse(t.trim_end_matches('\n')));
        wipe(&mut text);
        key.map(|digest| RunKey(digest.0)).ok_or_else(|| Error::corrupt(name, "holds no 256-bit key"))
    }

    fn cipher(&self, number: u64) -> Ctr128BE<Aes256> {
        Ctr128BE::new(&self.0.into(), &(u128::from(number) << 64).to_be_bytes().into())
    }
}

/// A sealed object that is being written: takes the plain stream.
///
/// Frames are compressed at one go from one buffer. As a stream through its own window, zstd would look for matches across two
/// separate buffers nearly all the time, which is a quarter slower (measured: `doubleFast_extDict` was 56 % of a backup).
pub(crate) struct SealWriter {
    press: Press,
    encrypt: Encrypt,
    /// Plain bytes taken.
    pub(crate) opened: u64,
}

/// Compressor and buffers of a writer, 20 MiB of memory that the next one takes over instead of asking for it anew.
pub(crate) struct Press {
    compressor: zstd::bulk::Compressor<'static>,
    frame: Vec<u8>,
    compressed: Vec<u8>,
}

impl Press {
    fn new(level: i32) -> Result<Self> {
        let compressor = zstd::bulk::Compressor::new(level);
        let compressor = compressor.map_err(|e| Error::invalid("compression level", e.to_string()))?;
        Ok(Press { compressor, frame: Vec::new(), compressed: Vec::new() })
    }
}

/// A finished sealed object that has no name yet.
pub(crate) struct Sealed {
    pub(crate) object: Box<dyn NewObject>,
    pub(crate) sha256: Digest,
    pub(crate) size: u64,
    pub(crate) opened: u64,
}

impl SealWriter {
    pub(crate) fn new(store: &dyn Store, key: &RunKey, number: u64, level: i32) -> Result<Self> {
        SealWriter::with(Press::new(level)?, store, key, number)
    }

    /// A writer with what an earlier one, of the same level, left.
    pub(crate) fn with(press: Press, store: &dyn Store, key: &RunKey, number: u64) -> Result<Self> {
        let encrypt = Encrypt {
            object: store.create()?,
            cipher: key.cipher(number),
            sha256: sha2::Sha256::new(),
            buffer: Vec::with_capacity(CHUNK),
            size: 0,
        };
        Ok(SealWriter { press, encrypt, opened: 0 })
    }

    fn end_frame(&mut self) -> io::Result<()> {
        let Press { compressor, frame, compressed } = &mut self.press;
        compressed.clear();
        compressed.reserve(zstd::zstd_safe::compress_bound(frame.len()));
        compressor.compress_to_buffer(&frame[..], compressed)?;
        frame.clear();
        self.encrypt.write_all(compressed)
    }

    pub(crate) fn finish(self) -> io::Result<Sealed> {
        self.finish_and_keep().map(|(sealed, _)| sealed)
    }

    /// Finishes the object, and hands back what the next writer can use.
    pub(crate) fn finish_and_keep(mut self) -> io::Result<(Sealed, Press)> {
        if !self.press.frame.is_empty() || self.opened == 0 {
            self.end_frame()?;
        }
        self.encrypt.pass_on()?;
        let Encrypt { object, sha256, size, .. } = self.encrypt;
        let sealed = Sealed { object, sha256: Digest(sha256.finalize().into()), size, opened: self.opened };
        Ok((sealed, self.press))
    }
}

impl Write for SealWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.press.frame.len() == FRAME {
            self.end_frame()?;
        }
        let n = bytes.len().min(FRAME - self.press.frame.len());
        self.press.frame.extend_from_slice(&bytes[..n]);
        self.opened += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encrypts, hashes and writes what the compressor gives.
struct Encrypt {
    object: Box<dyn NewObject>,
    cipher: Ctr128BE<Aes256>,
    sha256: sha2::Sha256,
    buffer: Vec<u8>,
    size: u64,
}

impl Encrypt {
    fn pass_on(&mut self) -> io::Result<()> {
        self.cipher.apply_keystream(&mut self.buffer);
        self.sha256.update(&self.buffer);
        self.object.write_all(&self.buffer)?;
        self.size += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for Encrypt {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..n]);
        if self.buffer.len() == CHUNK {
            self.pass_on()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a sealed object whole and compares it with what the manifest signs. The bytes are kept, so that what is opened
/// later is what was hashed, whatever the medium answers the second time.
pub(crate) fn read_checked(store: &dyn Store, name: &str, size: u64, sha256: &Digest) -> Result<Vec<u8>> {
    let mut input = store.open(name).map_err(Error::listed)?;
    // Memory at once for what a segment usually is; a size that is not true costs nothing but address space.
    let mut bytes = Vec::with_capacity(size.min(AT_ONCE) as usize);
    let mut hasher = sha2::Sha256::new();
    loop {
        // In pieces, so that each is hashed while the processor still has it at hand.
        let (before, left) = (bytes.len(), size.saturating_add(1) - bytes.len() as u64);
        let piece = input.by_ref().take(left.min(CHUNK as u64)).read_to_end(&mut bytes);
        if piece.map_err(|e| Error::io("reading", name, e))? == 0 {
            break;
        }
        hasher.update(&bytes[before..]);
    }
    if bytes.len() as u64 != size {
        let found = bytes.len();
        let longer = found as u64 > size;
        let what =
            if longer { format!("longer than {size} bytes") } else { format!("{found} bytes instead of {size}") };
        return Err(Error::corrupt(name, what));
    }
    if Digest(hasher.finalize().into()) != *sha256 {
        return Err(Error::corrupt(name, "its SHA-256 differs from the signed one"));
    }
    Ok(bytes)
}

/// The plain stream of sealed bytes that were checked; ends after `opened` bytes at the latest.
pub(crate) fn open_sealed<R: Read>(sealed: R, key: &RunKey, number: u64, opened: u64) -> Result<impl Read + use<R>> {
    let decrypt = Decrypt { sealed, cipher: key.cipher(number) };
    let buffered = io::BufReader::with_capacity(CHUNK, decrypt);
    let decoder = zstd::stream::read::Decoder::with_buffer(buffered);
    let mut decoder = decoder.map_err(|e| Error::io("opening", "zstd frame", e))?;
    decoder.window_log_max(WINDOW_LOG).map_err(|e| Error::io("opening", "zstd frame", e))?;
    Ok(decoder.take(opened))
}

struct Decrypt<R> {
    sealed: R,
    cipher: Ctr128BE<Aes256>,
}

impl<R: Read> Read for Decrypt<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.sealed.read(out)?;
        self.cipher.apply_keystream(&mut out[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::FolderStore;

    fn seal(store: &FolderStore, key: &RunKey, number: u64, plain: &[u8], name: &str) -> Sealed {
        let mut writer = SealWriter::new(store, key, number, 3).unwrap();
        writer.write_all(plain).unwrap();
        let mut sealed = writer.finish().unwrap();
        let object = std::mem::replace(&mut sealed.object, store.create().unwrap());
        object.commit(name).unwrap();
        sealed
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_number_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        let key = RunKey::generate().unwrap();
        let plain: Vec<u8> = (0..3_000_000u32).flat_map(|n| n.wrapping_mul(2654435761).to_le_bytes()).collect();
        let sealed = seal(&store, &key, 7, &plain, "x");
        let bytes = read_checked(&store, "x", sealed.size, &sealed.sha256).unwrap();
        let mut opened = Vec::new();
        open_sealed(&bytes[..], &key, 7, sealed.opened).unwrap().read_to_end(&mut opened).unwrap();
        assert!(opened == plain);
        for (key, number) in [(&key, 8), (&RunKey::generate().unwrap(), 7)] {
            let mut opened = Vec::new();
            assert!(open_sealed(&bytes[..], key, number, sealed.opened).unwrap().read_to_end(&mut opened).is_err());
        }
    }

    #[test]
    fn an_object_that_opens_to_more_than_the_list_says_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        let key = RunKey::generate().unwrap();
        let sealed = seal(&store, &key, 1, &vec![0; 50 << 20], "bomb");
        let bytes = read_checked(&store, "bomb", sealed.size, &sealed.sha256).unwrap();
        assert!(bytes.len() < 10_000);
        let mut opened = Vec::new();
        open_sealed(&bytes[..], &key, 1, 1000).unwrap().read_to_end(&mut opened).unwrap();
        assert_eq!(opened.len(), 1000);
    }

    #[test]
    fn a_changed_or_shortened_object_is_refused_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        let sealed = seal(&store, &RunKey::generate().unwrap(), 1, b"hello", "x");
        let path = folder.path().join("x");
        let good = std::fs::read(&path).unwrap();
        for bad in [good[1..].to_vec(), [&good[..], b"x"].concat(), good.iter().map(|b| b ^ 1).collect()] {
            std::fs::write(&path, bad).unwrap();
            let error = read_checked(&store, "x", sealed.size, &sealed.sha256).unwrap_err();
            assert_eq!(error.kind(), crate::Kind::Corrupt);
        }
    }
}
