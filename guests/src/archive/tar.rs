//! A container's archive: every member's header against its sum, every length, and the end mark.
//!
//! Written by GNU tar with ACLs and attributes, so in pax form, with sparse files in either form; older ones in GNU's own. A header says how
//! many bytes follow: one that is damaged makes all that comes after it unreadable, so the walk stops there.

use std::io::Read;

use tar::{EntryType, Header};

use super::Report;
use super::input::{Input, Stop};

const BLOCK: usize = 512;
/// A pax record or a long name is read whole; a longer one is refused.
const LONGEST: u64 = 1 << 20;
/// In a sparse header of GNU's, and in the blocks that follow it: another such block follows.
const MORE_AT: (usize, usize) = (482, 504);

/// A tar begins here: a header whose sum holds.
pub(super) fn begins(first: &[u8]) -> bool {
    <&[u8; BLOCK]>::try_from(first).is_ok_and(|block| block.iter().any(|byte| *byte != 0) && sum_holds(block))
}

/// The sum counts its own field as blanks.
fn sum_holds(block: &[u8; BLOCK]) -> bool {
    let field = 148..156;
    let counted = block.iter().enumerate().map(|(at, byte)| if field.contains(&at) { b' ' } else { *byte });
    let sum: u32 = counted.map(u32::from).sum();
    header(block).cksum().is_ok_and(|said| said == sum)
}

fn header(block: &[u8; BLOCK]) -> &Header {
    Header::from_byte_slice(block)
}

/// Reads all members.
pub(super) fn walk<R: Read>(input: &mut Input<R>, report: &mut Report) -> Result<(), Stop> {
    let mut walk = Walk { input, report, size: None, name: None };
    while walk.member()? {}
    Ok(())
}

struct Walk<'a, R> {
    input: &'a mut Input<R>,
    report: &'a mut Report,
    /// What the records before a member say of it.
    size: Option<u64>,
    name: Option<String>,
}

impl<R: Read> Walk<'_, R> {
    fn fault(&mut self, at: u64, what: impl Into<String>) {
        self.report.faults.add(format!("byte {at} of the content"), what);
    }

    /// One member; whether another may follow.
    fn member(&mut self) -> Result<bool, Stop> {
        let at = self.input.at();
        let mut block = [0; BLOCK];
        match self.input.fill(&mut block)? {
            BLOCK => {}
            0 => {
                self.fault(at, "the archive ends without its end mark: it is cut off");
                return Ok(false);
            }
            _ => {
                self.fault(at, "the archive is cut off in a header");
                return Ok(false);
            }
        }
        if block == [0; BLOCK] {
            self.end(at)?;
            return Ok(false);
        }
        if !sum_holds(&block) {
            self.fault(at, "a header does not match its sum: what follows it cannot be read");
            return Ok(false);
        }
        self.content(at, &block)
    }

    /// What belongs to a header.
    fn content(&mut self, at: u64, block: &[u8; BLOCK]) -> Result<bool, Stop> {
        let header = header(block);
        let Ok(own) = header.entry_size() else {
            self.fault(at, "a header's size is no number");
            return Ok(false);
        };
        let kind = header.entry_type();
        match kind {
            EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink => self.record(at, kind, own),
            EntryType::XGlobalHeader => self.data(at, own),
            _ => {
                let size = self.size.take().unwrap_or(own);
                let name = self.name.take().unwrap_or_else(|| String::from_utf8_lossy(&header.path_bytes()).into());
                self.named(name.trim_start_matches("./"));
                self.report.members += 1;
                let sparse = kind == EntryType::GNUSparse && block[MORE_AT.0] != 0;
                if sparse && !self.sparse(at)? {
                    return Ok(false);
                }
                let has_data = !matches!(
                    kind,
                    EntryType::Link
                        | EntryType::Symlink
                        | EntryType::Char
                        | EntryType::Block
                        | EntryType::Directory
                        | EntryType::Fifo
                );
                if has_data { self.data(at, size) } else { Ok(true) }
            }
        }
    }

    /// Where the platform keeps a container's configuration in its archive.
    fn named(&mut self, name: &str) {
        if name.starts_with("etc/vzdump/") && name.len() > "etc/vzdump/".len() {
            self.report.configs.push(name.to_owned());
        }
    }

    /// Further blocks of a map of holes.
    fn sparse(&mut self, at: u64) -> Result<bool, Stop> {
        let mut block = [0; BLOCK];
        loop {
            if self.input.fill(&mut block)? < BLOCK {
                self.fault(at, "the archive is cut off in a map of holes");
                return Ok(false);
            }
            if block[MORE_AT.1] == 0 {
                return Ok(true);
            }
        }
    }

    fn data(&mut self, at: u64, size: u64) -> Result<bool, Stop> {
        let padded = size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX);
        let read = self.input.skip(padded)?;
        if read < padded {
            self.fault(at, format!("the archive is cut off in a member: {read} of {padded} bytes are there"));
        }
        Ok(read == padded)
    }

    /// A record before a member that says more of it.
    fn record(&mut self, at: u64, kind: EntryType, size: u64) -> Result<bool, Stop> {
        if size > LONGEST {
            self.fault(at, format!("a record about a member has {size} bytes; more than {LONGEST} is refused"));
            return Ok(false);
        }
        let length = usize::try_from(size).unwrap_or(0);
        let mut bytes = vec![0; length.next_multiple_of(BLOCK)];
        if self.input.fill(&mut bytes)? < bytes.len() {
            self.fault(at, "the archive is cut off in a record about a member");
            return Ok(false);
        }
        bytes.truncate(length);
        match kind {
            EntryType::XHeader => match pax(&bytes) {
                Some((size, name)) => (self.size, self.name) = (size, name.or(self.name.take())),
                None => self.fault(at, "a pax record is not of the form \"length key=value\""),
            },
            EntryType::GNULongName => self.name = Some(text(&bytes)),
            _ => {}
        }
        Ok(true)
    }

    /// After the first block of zeroes: a second one, and nothing but zeroes.
    fn end(&mut self, at: u64) -> Result<(), Stop> {
        let mut buffer = [0; 16 << 10];
        let mut length = 0;
        loop {
            let read = self.input.fill(&mut buffer)?;
            length += read;
            if buffer[..read].iter().any(|byte| *byte != 0) {
                self.fault(at, "something follows the end mark");
                return Ok(());
            }
            if read < buffer.len() {
                break;
            }
        }
        if length < BLOCK {
            self.fault(at, "the end mark is cut off");
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

/// Size and name of the member that follows, where the record gives them; none where it breaks the form.
fn pax(mut bytes: &[u8]) -> Option<(Option<u64>, Option<String>)> {
    let (mut size, mut name) = (None, None);
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
        let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let value = &record[equals + 1..];
        match &record[..equals] {
            b"size" => size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
            b"path" => name = Some(text(value)),
            _ => {}
        }
        bytes = &bytes[length..];
    }
    Some((size, name))
}

#[cfg(test)]
mod tests {
    use super::super::{Form, verify};
    use super::*;

    /// Members with a long name, a pax record, a link and a folder.
    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let add = |builder: &mut tar::Builder<Vec<u8>>, name: &str, data: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, data).unwrap();
        };
        add(&mut builder, "./etc/vzdump/pct.conf", b"arch: amd64\n");
        add(&mut builder, "long/".repeat(40).as_str(), b"");
        builder.append_pax_extensions([("SCHILY.xattr.user.a", &b"1"[..])]).unwrap();
        add(&mut builder, "var/data", &[7; 3000]);
        let mut link = Header::new_gnu();
        link.set_entry_type(EntryType::Symlink);
        link.set_size(0);
        builder.append_link(&mut link, "link", "var/data").unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_sound_archive_has_all_its_members_and_its_configuration() {
        let report = verify(&sample()[..]).unwrap();
        assert!(report.sound(), "{report:?}");
        assert_eq!((report.form, report.members), (Form::Tar, 4));
        assert_eq!(report.configs, ["etc/vzdump/pct.conf"]);
        assert_eq!(report.bytes, sample().len() as u64);
    }

    #[test]
    fn every_cut_is_found() {
        let good = sample();
        for cut in (0..good.len() - BLOCK).step_by(100) {
            let report = verify(&good[..cut]).unwrap();
            assert!(!report.sound(), "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_header_is_found_with_its_place() {
        let good = sample();
        for at in [1024, 1024 + 124, 1024 + 150] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let report = verify(&bad[..]).unwrap();
            let fault = report.faults.iter().next().unwrap();
            assert_eq!(fault.object, "byte 1024 of the content", "{at}");
        }
        let report = verify(&[good, b"more".to_vec()].concat()[..]).unwrap();
        assert!(report.summary().contains("follows the end mark"), "{report:?}");
    }

    #[test]
    fn records_that_break_their_form_are_refused() {
        assert_eq!(pax(b"11 size=12\n"), Some((Some(12), None)));
        assert_eq!(pax(b"10 path=a\n11 size=12\n"), Some((Some(12), Some("a".to_owned()))));
        for bad in [&b"x"[..], b"0 a=b\n", b"99 size=12\n", b"11 size=x2\n", b"7 size\n\n", b"11 size=12x"] {
            assert_eq!(pax(bad), None, "{}", bad.escape_ascii());
        }
    }
}
