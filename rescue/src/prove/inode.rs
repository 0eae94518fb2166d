//! One inode's metadata, held against its entry.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use vault::{Entry, EntryKind};

/// Device and inode number.
///
/// # Errors
/// When there is nothing at `path`.
pub fn number(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// What of the metadata differs; none where nothing does. Access and change times are not compared.
///
/// # Errors
/// When there is nothing at `path`, or it cannot be read.
pub fn compare(path: &Path, entry: &Entry) -> io::Result<Option<String>> {
    let found = fs::symlink_metadata(path)?;
    if kind(&found) != entry.kind {
        return Ok(Some("is of another type".to_owned()));
    }
    let mut wrong = Vec::new();
    let mut check = |name: &str, found: String, wanted: String| {
        if found != wanted {
            wrong.push(format!("{name} is {found}, was {wanted}"));
        }
    };
    if entry.kind != EntryKind::Symlink {
        check("mode", format!("{:o}", found.mode() & 0o7777), format!("{:o}", entry.mode));
    }
    check("owner", format!("{}:{}", found.uid(), found.gid()), format!("{}:{}", entry.uid, entry.gid));
    check(
        "mtime",
        format!("{}.{:09}", found.mtime(), found.mtime_nsec()),
        format!("{}.{:09}", entry.mtime.sec, entry.mtime.nsec),
    );
    match entry.kind {
        EntryKind::File => check("size", found.size().to_string(), entry.size.to_string()),
        EntryKind::Symlink => {
            let target = fs::read_link(path)?;
            check(
                "target",
                vault::escape(target.as_os_str().as_bytes()),
                vault::escape(entry.link.as_deref().unwrap_or_default()),
            );
        }
        EntryKind::CharDevice | EntryKind::BlockDevice => {
            let device = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
            check("device", format!("{device:?}"), format!("{:?}", entry.rdev.unwrap_or_default()));
        }
        _ => {}
    }
    check_xattrs(path, entry, &mut check)?;
    if matches!(entry.kind, EntryKind::File | EntryKind::Directory) {
        check_flags(path, entry, &mut check);
    }
    Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
}

fn kind(found: &Metadata) -> EntryKind {
    let kind = found.file_type();
    match () {
        () if kind.is_dir() => EntryKind::Directory,
        () if kind.is_symlink() => EntryKind::Symlink,
        () if kind.is_char_device() => EntryKind::CharDevice,
        () if kind.is_block_device() => EntryKind::BlockDevice,
        () if kind.is_fifo() => EntryKind::Fifo,
        () if kind.is_socket() => EntryKind::Socket,
        () => EntryKind::File,
    }
}

fn check_xattrs(path: &Path, entry: &Entry, check: &mut impl FnMut(&str, String, String)) -> io::Result<()> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        // vfat has none.
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    for name in names.filter(|name| !vault::is_acl_alias(name)) {
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    if found != entry.xattrs {
        let list = |pairs: &[(Vec<u8>, Vec<u8>)]| {
            let names: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{}({})", vault::escape(name), value.len())).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        check("extended attributes", format!("{} here", list(&found)), list(&entry.xattrs));
    }
    Ok(())
}

/// Flags that the snapshot has must be there; others (a filesystem's own, such as extents) may be.
fn check_flags(path: &Path, entry: &Entry, check: &mut impl FnMut(&str, String, String)) {
    let flags = File::open(path).ok().and_then(|file| rustix::fs::ioctl_getflags(&file).ok());
    let found = flags.map_or(0, |flags| flags.bits()) & entry.flags;
    check("inode flags", format!("{found:#x}"), format!("{:#x}", entry.flags));
}
