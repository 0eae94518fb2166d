//! What an ELF file asks the dynamic linker for.

use elf::ElfBytes;
use elf::abi::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, PT_INTERP, PT_LOAD};
use elf::endian::AnyEndian;

/// The first bytes of every ELF file.
const MAGIC: &[u8] = b"\x7fELF";

/// The parts of an ELF file that decide which other files it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Word size and processor: a library serves only a program of the same kind.
    pub kind: (u8, u16),
    /// The dynamic linker; none in a library or a static program.
    pub interpreter: Option<String>,
    /// Libraries by name.
    pub needed: Vec<String>,
    /// Folders searched for this object and, unless they have a `run_path`, for what it loads.
    pub rpath: Vec<String>,
    /// Folders searched for this object's own libraries.
    pub run_path: Vec<String>,
}

/// Whether `content` is an ELF file at all.
pub fn is_elf(content: &[u8]) -> bool {
    content.starts_with(MAGIC)
}

/// Reads the headers; the error says what is wrong.
pub fn parse(content: &[u8]) -> Result<Object, String> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(content).map_err(|error| error.to_string())?;
    let kind = (content.get(4).copied().unwrap_or_default(), file.ehdr.e_machine);
    let segments: Vec<_> = file.segments().map(|table| table.iter().collect()).unwrap_or_default();
    let interpreter = segments.iter().find(|segment| segment.p_type == PT_INTERP);
    let interpreter = interpreter.map(|segment| text_at(content, segment.p_offset, segment.p_filesz)).transpose()?;
    let entries: Vec<_> =
        file.dynamic().map_err(|error| error.to_string())?.map(|table| table.iter().collect()).unwrap_or_default();
    let value = |tag| entries.iter().find(|entry| entry.d_tag == tag).map(elf::dynamic::Dyn::d_val);

    // The string table is given by address: the loaded segment around it says where it lies in the file. (Section headers may be
    // stripped, and the linker does not read them either.)
    let strings = match value(DT_STRTAB) {
        None => None,
        Some(address) => {
            let inside = |segment: &&elf::segment::ProgramHeader| {
                segment.p_type == PT_LOAD
                    && (segment.p_vaddr..segment.p_vaddr.saturating_add(segment.p_filesz)).contains(&address)
            };
            let segment = segments.iter().find(inside).ok_or("its string table lies outside of what is loaded")?;
            Some((segment.p_offset + (address - segment.p_vaddr), value(DT_STRSZ).unwrap_or_default()))
        }
    };
    let texts = |tag| -> Result<Vec<String>, String> {
        let Some((start, size)) = strings else { return Ok(Vec::new()) };
        let values = entries.iter().filter(|entry| entry.d_tag == tag).map(elf::dynamic::Dyn::d_val);
        values.map(|offset| text_at(content, start.saturating_add(offset), size.saturating_sub(offset))).collect()
    };
    let folders = |tag| -> Result<Vec<String>, String> {
        Ok(texts(tag)?
            .iter()
            .flat_map(|list| list.split(':'))
            .filter(|folder| !folder.is_empty())
            .map(str::to_owned)
            .collect())
    };
    Ok(Object {
        kind,
        interpreter,
        needed: texts(DT_NEEDED)?,
        rpath: folders(DT_RPATH)?,
        run_path: folders(DT_RUNPATH)?,
    })
}

/// A zero-terminated text in at most `size` bytes from `start`.
fn text_at(content: &[u8], start: u64, size: u64) -> Result<String, String> {
    let outside = || "a text in it lies outside of the file".to_owned();
    let start = usize::try_from(start).map_err(|_| outside())?;
    let size = usize::try_from(size).map_err(|_| outside())?;
    let rest = content.get(start..).ok_or_else(outside)?;
    let rest = &rest[..size.min(rest.len())];
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    String::from_utf8(rest[..end].to_vec()).map_err(|_| "a text in it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_an_error_and_no_panic() {
        let program = std::fs::read("/bin/sh").unwrap();
        let object = parse(&program).unwrap();
        assert!(object.interpreter.unwrap().contains("ld-linux") || !object.needed.is_empty());
        for length in [0, 4, 20, 64, 100, 500, 1000] {
            // Any answer will do but a crash: most are errors, a few read as objects that need nothing.
            let _ = parse(&program[..length]);
        }
        assert!(parse(b"#!/bin/sh\n").is_err());
        assert!(!is_elf(b"#!/bin/sh\n") && is_elf(&program));
    }
}
