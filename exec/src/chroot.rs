//! Running a child inside another root, for the restored system's own tools.

#![expect(unsafe_code, reason = "`pre_exec` is unsafe: its closure runs between fork and exec")]

use std::ffi::CString;
use std::os::unix::process::CommandExt;

/// Makes `command` enter `root` before it starts its program.
pub(crate) fn enter(command: &mut std::process::Command, root: CString) {
    let closure = move || {
        rustix::process::chroot(root.as_c_str())?;
        rustix::process::chdir(c"/")?;
        Ok(())
    };
    // SAFETY: the closure makes two system calls on memory that was allocated before the fork; it neither
    // allocates nor takes a lock.
    unsafe {
        command.pre_exec(closure);
    }
}
