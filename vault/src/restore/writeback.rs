//! Keeps the disk busy while a restore goes on: the kernel alone would begin to write when gigabytes have gathered, and the sync
//! at the end would have it all to do. Knows nothing of what is restored.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::tree::Tree;
use crate::error::Result;

/// Bytes of content between two syncs: many enough that each has work for the disk's whole queue.
const STEP: u64 = 128 << 20;
/// How often the sum is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Syncs the tree each time that `bytes` has grown by a step, until the other end of `over` is dropped. An error here is the
/// restore's: the kernel tells of it once.
pub(super) fn keep_up(tree: &Tree, bytes: &AtomicU64, over: &Receiver<()>) -> Result<()> {
    let mut synced = 0;
    while let Err(RecvTimeoutError::Timeout) = over.recv_timeout(LOOK) {
        let now = bytes.load(Ordering::Relaxed);
        if now >= synced + STEP {
            tree.sync()?;
            synced = now;
        }
    }
    Ok(())
}
