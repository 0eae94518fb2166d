//! Folders that a test program keeps until it ends: what lies in a `static` is never dropped.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Has a folder removed when this process has ended, however it ends.
pub fn until_the_end(folder: &Path) {
    let mut watcher = Command::new("sh");
    watcher.args(["-c", "read -r _; rm -rf \"$1\"", "sh"]).arg(folder).process_group(0);
    let watcher = watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // What it reads from ends with this process.
    std::mem::forget(watcher);
}
