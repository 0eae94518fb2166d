//! A child that has a terminal to itself: a shell for the person at the machine.

#![expect(unsafe_code, reason = "`pre_exec` is unsafe: its closure runs between fork and exec")]

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{ExecError, Failure};

/// Runs `program` in a session of its own with `terminal` as its controlling terminal, and waits for its end, however
/// long that takes. How it ended does not matter.
///
/// # Errors
/// [`ExecError`] when the terminal cannot be opened or the program cannot be started.
pub fn on_terminal(program: &str, args: &[&str], terminal: &Path) -> Result<(), ExecError> {
    let failed = |error| ExecError { command: program.to_owned(), failure: Failure::Start(error) };
    let input = OpenOptions::new().read(true).write(true).open(terminal).map_err(failed)?;
    let output = input.try_clone().map_err(failed)?;
    let errors = input.try_clone().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::from(errors));
    command.env("TERM", "linux").env("HOME", "/").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
    let closure = || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        Ok(())
    };
    // SAFETY: the closure makes two system calls; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(closure);
    }
    command.status().map_err(failed)?;
    Ok(())
}
