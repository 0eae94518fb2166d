//! A child that runs beside us: a machine, not a command.

#![expect(unsafe_code, reason = "`pre_exec` is unsafe: its closure runs between fork and exec")]

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::error::{ExecError, Failure};

/// How long a killed child may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A running child in a process group of its own. It is killed when this value is dropped, and by the kernel when the
/// thread that started it ends, however that comes about.
#[derive(Debug)]
pub struct Child {
    command: String,
    handle: duct::Handle,
}

impl Child {
    /// Starts `expression`; what it writes goes to the file `log`.
    pub(crate) fn start(command: String, expression: &duct::Expression, log: &Path) -> Result<Self, ExecError> {
        let start = || {
            let output = File::create(log)?;
            let expression = expression.stdin_null().stderr_to_stdout().stdout_file(output).unchecked();
            expression
                .before_spawn(|child| {
                    bind_to_parent(child);
                    Ok(())
                })
                .start()
        };
        match start() {
            Ok(handle) => Ok(Self { command, handle }),
            Err(error) => Err(ExecError { command, failure: Failure::Start(error) }),
        }
    }

    /// Its exit code, or -1 for a signal, once it has ended.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn ended(&self) -> Result<Option<i32>, ExecError> {
        self.wait(Duration::ZERO)
    }

    /// Waits for its end, no longer than `limit`; gives its exit code, or -1 for a signal.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn wait(&self, limit: Duration) -> Result<Option<i32>, ExecError> {
        match self.handle.wait_timeout(limit) {
            Ok(output) => Ok(output.map(|output| output.status.code().unwrap_or(-1))),
            Err(error) => Err(ExecError { command: self.command.clone(), failure: Failure::Start(error) }),
        }
    }

    /// Kills it and every process of its group, and waits until it is gone.
    pub fn kill(&self) {
        if matches!(self.ended(), Ok(Some(_))) {
            return;
        }
        for pid in self.handle.pids() {
            if let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // Fails only when the group is gone already.
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
        }
        let _ = self.handle.kill();
        // A killed process that the kernel holds in a device's queue may take a moment; nobody can do more about it.
        let _ = self.wait(KILL_LIMIT);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn bind_to_parent(command: &mut std::process::Command) {
    command.process_group(0);
    let closure = || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    // SAFETY: the closure makes one system call; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(closure);
    }
}
