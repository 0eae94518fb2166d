//! Building and running one child.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::child::Child;
use crate::chroot;
use crate::error::{ExecError, Failure};

/// Lines of standard error that an error shows.
const TAIL_LINES: usize = 12;
/// A child that takes longer than this hangs; callers with slower work say so.
const DEFAULT_LIMIT: Duration = Duration::from_secs(300);

/// One child process, not yet started.
#[derive(Clone, Debug)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    root: Option<PathBuf>,
    pub(crate) limit: Duration,
    called: Option<String>,
}

/// What a child that ended with 0 wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Command {
    /// A child that runs `program`, looked up in `PATH` unless it holds a slash.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: vec![("LC_ALL".into(), "C".into())],
            stdin: Vec::new(),
            root: None,
            limit: DEFAULT_LIMIT,
            called: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the child's environment, beside those it inherits.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives the child these bytes as standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs the child inside `root`; `program` is then looked up there.
    #[must_use]
    pub fn chroot(mut self, root: impl AsRef<Path>) -> Self {
        self.root = Some(root.as_ref().to_owned());
        self
    }

    /// What errors call it in place of its command line, which may hold what is not for everybody.
    #[must_use]
    pub fn called(mut self, name: impl Into<String>) -> Self {
        self.called = Some(name.into());
        self
    }

    /// How long the child may take (default 5 minutes).
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the child to its end.
    ///
    /// # Errors
    /// When it cannot be started, ends with another status than 0, or takes longer than its limit.
    pub fn run(self) -> Result<Output, ExecError> {
        let command = self.to_string();
        self.start().map_err(|failure| ExecError { command, failure })
    }

    /// Runs the child and gives its standard output as text.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when the output is not UTF-8.
    pub fn read(self) -> Result<String, ExecError> {
        let command = self.to_string();
        let output = self.run()?;
        String::from_utf8(output.stdout).map_err(|_| ExecError { command, failure: Failure::NotUtf8 })
    }

    /// Starts the child and leaves it running; what it writes goes to the file `log`. Its limit does not count.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(self, log: &Path) -> Result<Child, ExecError> {
        let mut expression = duct::cmd(&self.program, &self.args);
        for (name, value) in &self.env {
            expression = expression.env(name, value);
        }
        Child::start(self.to_string(), &expression, log)
    }

    /// As the standard library has it, without input.
    pub(crate) fn plain(self) -> std::process::Command {
        let mut command = std::process::Command::new(self.program);
        command.args(self.args).envs(self.env).stdin(std::process::Stdio::null());
        command
    }

    fn start(self) -> Result<Output, Failure> {
        let mut expression =
            duct::cmd(&self.program, &self.args).stdin_bytes(self.stdin).stdout_capture().stderr_capture().unchecked();
        for (name, value) in &self.env {
            expression = expression.env(name, value);
        }
        if let Some(root) = self.root {
            let root = CString::new(root.as_os_str().as_bytes())
                .map_err(|error| Failure::Start(std::io::Error::new(std::io::ErrorKind::InvalidInput, error)))?;
            expression = expression.before_spawn(move |child| {
                chroot::enter(child, root.clone());
                Ok(())
            });
        }
        let handle = expression.start().map_err(Failure::Start)?;
        let ended = handle.wait_timeout(self.limit).map_err(Failure::Start)?;
        let Some(output) = ended else {
            // Best effort: the child is gone or the kernel will not let it go; the time-out is what is reported.
            let _ = handle.kill();
            return Err(Failure::Timeout(self.limit));
        };
        if output.status.success() {
            return Ok(Output { stdout: output.stdout.clone(), stderr: output.stderr.clone() });
        }
        Err(Failure::Status {
            status: output.status.to_string(),
            code: output.status.code(),
            stderr: tail(&output.stderr),
        })
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(name) = &self.called {
            return f.write_str(name);
        }
        if let Some(root) = &self.root {
            write!(f, "chroot {} ", root.display())?;
        }
        write!(f, "{}", self.program.to_string_lossy())?;
        for arg in &self.args {
            write!(f, " {}", arg.to_string_lossy())?;
        }
        Ok(())
    }
}

/// Where `program` lies: in `PATH`, then in the folders that hold an administrator's tools.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

pub(crate) fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_input_pass_through() {
        let output = Command::new("cat").stdin(*b"bytes\xff").run().unwrap();
        assert_eq!(output.stdout, b"bytes\xff");
    }

    #[test]
    fn a_failure_shows_command_status_and_the_end_of_stderr() {
        let error = Command::new("sh").args(["-c", "for i in $(seq 40); do echo line $i >&2; done; exit 3"]).run();
        let error = error.unwrap_err();
        assert_eq!(error.code(), Some(3));
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("line 40"), "{text}");
        assert!(!text.contains("line 28\n"), "{text}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let text = Command::new("no-such-program").run().unwrap_err().to_string();
        assert!(text.starts_with("`no-such-program` could not be started"), "{text}");
    }

    #[test]
    fn a_spawned_child_runs_beside_us_and_is_killed_with_its_handle() {
        let log = std::env::temp_dir().join(format!("lifeboat-exec-spawn-{}", std::process::id()));
        let child = Command::new("sh").args(["-c", "echo $$; exec sleep 60"]).spawn(&log).unwrap();
        assert_eq!(child.wait(Duration::from_millis(200)).unwrap(), None);
        let pid: i32 = std::fs::read_to_string(&log).unwrap().trim().parse().unwrap();
        drop(child);
        std::fs::remove_file(&log).unwrap();
        assert!(rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).unwrap()).is_err());
    }

    #[test]
    fn a_child_that_hangs_is_stopped() {
        let error = Command::new("sleep").arg("60").limit(Duration::from_millis(50)).run().unwrap_err();
        assert!(matches!(error.failure, Failure::Timeout(_)));
    }
}
