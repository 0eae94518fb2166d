//! A mount table of this run's own: what a capture mounts, takes off or lays over a file is seen by nobody else, and ends with the run however
//! it ends.

use std::sync::OnceLock;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Whether this process has one.
static OWN: OnceLock<bool> = OnceLock::new();

/// Gives this process a mount table of its own. To be called before there are threads, and before anything is mounted. Where the right to do so
/// is missing, the process goes on with the system's.
pub fn enter() {
    OWN.get_or_init(|| {
        #[expect(
            unsafe_code,
            reason = "rustix has no safe call for it, because other flags would divide threads' files"
        )]
        // SAFETY: Nothing but the mount table and the working folder is taken apart, and there is no other thread yet.
        let apart = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
        // What is mounted on the system still comes here; what is mounted here goes nowhere.
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        apart.is_ok() && mount_change("/", flags).is_ok()
    });
}

/// Whether mounts of this process are its own.
pub(super) fn is_own() -> bool {
    OWN.get().copied().unwrap_or(false)
}
