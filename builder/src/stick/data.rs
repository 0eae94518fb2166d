//! The data partition: an ext4 filesystem, made and filled in one go by `mke2fs` without mounting.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use exec::Command;

use super::guard::Target;
use super::table::Place;

/// One inode for this many bytes: a vault holds few, large files.
const BYTES_PER_INODE: &str = "262144";
/// A slow stick takes its time with the journal and what is put on it.
const LIMIT: Duration = Duration::from_secs(6 * 60 * 60);

/// Makes the filesystem at `place` with the content of `staging`.
///
/// # Errors
/// When `mke2fs` is missing or fails.
pub fn make(target: &Target, place: Place, staging: &Path) -> anyhow::Result<()> {
    let program = exec::find("mke2fs").context("mke2fs is missing: install e2fsprogs")?;
    let extended = format!("offset={},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0", place.start);
    Command::new(program)
        .args(["-q", "-F", "-t", "ext4", "-L", "LIFEBOAT", "-m", "0", "-i", BYTES_PER_INODE, "-E", &extended, "-d"])
        .arg(staging)
        .arg(&target.path)
        .arg(format!("{}k", place.len / 1024))
        .limit(LIMIT)
        .run()
        .with_context(|| format!("making the data partition of {}", target.name))?;
    Ok(())
}
