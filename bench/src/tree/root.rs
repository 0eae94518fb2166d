//! The Debian root, by `scripts/bench/root.sh`.

use std::path::Path;
use std::time::Duration;

use exec::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/bench/root.sh");
/// Packages are downloaded once and kept.
const LIMIT: Duration = Duration::from_secs(3600);
/// Below this scale Debian's minimal base alone, some 90 packages, is the tree.
const BASE_ONLY: f64 = 0.5;

/// Makes the tree at `path`.
///
/// # Errors
/// When the packages cannot be had or the disk is full.
pub fn make(path: &Path, scale: f64) -> anyhow::Result<()> {
    let list = (scale < BASE_ONLY).then_some("/dev/null");
    Command::new("sh").arg(SCRIPT).arg(path).args(list).limit(LIMIT).run()?;
    Ok(())
}
