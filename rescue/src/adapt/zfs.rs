//! ZFS: the file by which the restored system takes in its pools names those that are gone. It is written anew while the new ones are here.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use layout::plan::Plan;

use super::Adaptation;
use crate::apply::TARGET;
use crate::report::put_back;
use crate::zfs;

/// Where the kernel writes it for the time being.
const NEW: &str = "/run/zpool.cache";
const CACHE: &str = "/etc/zfs/zpool.cache";
/// The kernel writes it a moment after it was asked.
const LIMIT: Duration = Duration::from_secs(20);

/// Writes it, where the host had one.
pub fn renew_cache(plan: &Plan, done: &mut Adaptation) {
    let path = Path::new(TARGET).join(CACHE.trim_start_matches('/'));
    if zfs::pools(plan).next().is_none() || !path.is_file() {
        return;
    }
    match renew(plan, &path) {
        Ok(()) => done.place(CACHE, "the pools are new ones"),
        Err(error) => done.not_adapted.push(format!(
            "{CACHE} still names the pools that are gone ({error}): after the start run zpool set cachefile={CACHE} POOL for each pool"
        )),
    }
}

fn renew(plan: &Plan, path: &Path) -> io::Result<()> {
    for pool in zfs::pools(plan) {
        zfs::run("zpool", vec!["set".to_owned(), format!("cachefile={NEW}"), pool.name.clone()])?;
    }
    let end = Instant::now() + LIMIT;
    let whole =
        |bytes: &[u8]| zfs::pools(plan).all(|pool| bytes.windows(pool.name.len()).any(|at| at == pool.name.as_bytes()));
    let bytes = loop {
        match fs::read(NEW) {
            Ok(bytes) if whole(&bytes) => break bytes,
            _ if Instant::now() < end => std::thread::sleep(Duration::from_millis(100)),
            Ok(_) => return Err(io::Error::other("the kernel wrote it without a pool")),
            Err(error) => return Err(error),
        }
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    let times = fs::symlink_metadata(folder)?;
    fs::write(path, bytes)?;
    put_back(folder, &times)
}
