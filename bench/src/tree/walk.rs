//! A folder from top to bottom, siblings by name.

use std::fs::{File, Metadata};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::SeekFrom;

/// Calls `visit` with every entry below `folder`, a folder before what is in it; links are not followed.
///
/// # Errors
/// When a folder cannot be read, and those of `visit`.
pub fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &Metadata) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    for path in paths {
        let metadata = path.symlink_metadata().with_context(|| format!("looking at {}", path.display()))?;
        visit(&path, &metadata)?;
        if metadata.is_dir() {
            walk(&path, visit)?;
        }
    }
    Ok(())
}

/// Where a file holds data: starts and ends, without its holes.
///
/// # Errors
/// When the kernel does not say.
pub fn stretches(file: &File) -> anyhow::Result<Vec<(u64, u64)>> {
    let (mut found, mut end) = (Vec::new(), 0);
    loop {
        let start = match rustix::fs::seek(file, SeekFrom::Data(end)) {
            // No data from here to the end.
            Err(rustix::io::Errno::NXIO) => return Ok(found),
            start => start?,
        };
        end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
        found.push((start, end));
    }
}

/// Reads what a file holds, without its holes, and forgets it.
///
/// # Errors
/// When it cannot be read.
pub fn read_data(path: &Path, buffer: &mut [u8]) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    for (mut at, end) in stretches(&file)? {
        while at < end {
            let want = (end - at).min(buffer.len() as u64) as usize;
            match file.read_at(&mut buffer[..want], at)? {
                0 => break,
                got => at += got as u64,
            }
        }
    }
    Ok(())
}
