//! Doors for the fuzz targets into what is private: plain catalogues, tar headers, age files. Only with the feature `fuzzing`.

use crate::catalogue::Lines;
use crate::entry::Entry;
use crate::error::Result;
use crate::identity::Identities;
use crate::member;

/// The first line of a catalogue, newline included.
pub type Header = Vec<u8>;

/// The entries of a plain catalogue up to the first fault, and its first line; `None` where that is refused.
pub fn catalogue(plain: &[u8]) -> Option<(Header, Vec<Entry>)> {
    let lines = Lines::new(plain, "catalogue").ok()?;
    let header = lines.header.line();
    Some((header, lines.map_while(Result::ok).collect()))
}

/// The tar headers of an entry with so many bytes of data.
pub fn headers(entry: &Entry, data: u64) -> Vec<u8> {
    member::headers(entry, data)
}

/// Opens an age file.
pub fn open_age(identities: &Identities, sealed: &[u8]) -> Result<Vec<u8>> {
    identities.open("age file", sealed)
}
