//! A child that is somebody else's command, in a process group of its own: it may start children, take long, and write much.
//!
//! It has a limit and a flag that stops it early; either ends the whole group. Of standard error the end is kept, of standard output
//! nothing, unless it is read as it comes: then its end shows only once the child has ended with 0, so that what a failed
//! child wrote is never taken for all of it.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal};

use crate::command::{Command, tail};
use crate::error::{ExecError, Failure};

/// How often limit and flag are looked at.
const TURN: Duration = Duration::from_millis(50);
/// Bytes of standard error that are kept.
const KEPT: usize = 16 << 10;
/// How long the end of standard error is waited for, once the child has ended: a daemon that it left behind may hold it open for ever.
const PATIENCE: Duration = Duration::from_millis(500);

/// A running child with its group.
#[derive(Debug)]
pub struct Group {
    command: String,
    child: Child,
    ended: bool,
    words: Words,
    limit: Duration,
    deadline: Instant,
    stop: Option<Arc<AtomicBool>>,
    /// Time between asking it to end and ending it.
    grace: Duration,
}

/// What a child writes to standard output, as it comes. Dropped before its end, it ends the child.
#[derive(Debug)]
pub struct Flow {
    output: ChildStdout,
    group: Group,
}

impl Command {
    /// Starts it in a process group of its own, with standard output discarded. `stop` ends it early.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn group(self, stop: Option<Arc<AtomicBool>>) -> Result<Group, ExecError> {
        self.begin(Stdio::null(), stop)
    }

    /// Starts it likewise, to read what it writes.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn flow(self, stop: Option<Arc<AtomicBool>>) -> Result<Flow, ExecError> {
        let mut group = self.begin(Stdio::piped(), stop)?;
        match group.child.stdout.take() {
            Some(output) => Ok(Flow { output, group }),
            None => Err(group.failed(Failure::Start(io::ErrorKind::BrokenPipe.into()))),
        }
    }

    fn begin(self, output: Stdio, stop: Option<Arc<AtomicBool>>) -> Result<Group, ExecError> {
        let command = self.to_string();
        let limit = self.limit;
        let mut child = self.plain().stdout(output).stderr(Stdio::piped()).process_group(0).spawn();
        let words = child.as_mut().ok().and_then(|child| child.stderr.take()).map(Words::of).unwrap_or_default();
        match child {
            Ok(child) => Ok(Group {
                command,
                child,
                ended: false,
                words,
                limit,
                deadline: Instant::now() + limit,
                stop,
                grace: Duration::ZERO,
            }),
            Err(error) => Err(ExecError { command, failure: Failure::Start(error) }),
        }
    }
}

impl Group {
    /// Waits for its end.
    ///
    /// # Errors
    /// When it ends with another status than 0, takes longer than its limit, or is stopped.
    pub fn wait(mut self) -> Result<(), ExecError> {
        self.finish().map_err(|failure| self.failed(failure))
    }

    fn finish(&mut self) -> Result<(), Failure> {
        loop {
            if let Some(status) = self.child.try_wait().map_err(Failure::Start)? {
                self.ended = true;
                return match status.success() {
                    true => Ok(()),
                    false => Err(Failure::Status {
                        status: status.to_string(),
                        code: status.code(),
                        stderr: tail(&self.words.last()),
                    }),
                };
            }
            self.check()?;
            std::thread::sleep(TURN.min(Duration::from_millis(10)));
        }
    }

    /// Ends the group when its time is over or it is to stop.
    fn check(&mut self) -> Result<(), Failure> {
        let failure = if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            Failure::Stopped
        } else if Instant::now() >= self.deadline {
            Failure::Timeout(self.limit)
        } else {
            return Ok(());
        };
        self.ask_to_end();
        self.kill();
        Err(failure)
    }

    /// A child that has something to put right when it is stopped is asked first, and given so long before it is killed.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    fn ask_to_end(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let (Some(group), false) = (group, self.ended || self.grace.is_zero()) else { return };
        let _ = rustix::process::kill_process_group(group, Signal::TERM);
        let until = Instant::now() + self.grace;
        while !self.ended && Instant::now() < until {
            self.ended = !matches!(self.child.try_wait(), Ok(None));
            std::thread::sleep(TURN);
        }
    }

    /// Kills every process of the group. The child has not been waited for, so its number is nobody else's.
    fn kill(&mut self) {
        if self.ended {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // Fails only when the group is gone already.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        // One that the kernel holds in a device's queue ends when it is let go; nobody can do more about it.
        let until = Instant::now() + PATIENCE;
        while !self.ended && Instant::now() < until {
            self.ended = !matches!(self.child.try_wait(), Ok(None));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn failed(&self, failure: Failure) -> ExecError {
        ExecError { command: self.command.clone(), failure }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Read for Flow {
    /// The error, when the child fails, is an [`ExecError`] inside; `Ok(0)` means that it ended with 0.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let turn = Timespec { tv_sec: 0, tv_nsec: TURN.subsec_nanos().into() };
        loop {
            self.group.check().map_err(|failure| io::Error::other(self.group.failed(failure)))?;
            let mut ready = [PollFd::from_borrowed_fd(self.output.as_fd(), PollFlags::IN)];
            match poll(&mut ready, Some(&turn)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            match self.output.read(buffer) {
                Ok(0) if self.group.ended => return Ok(0),
                Ok(0) => self.group.finish().map_err(|failure| io::Error::other(self.group.failed(failure)))?,
                other => return other,
            }
        }
    }
}

/// The end of what a child writes to standard error.
#[derive(Debug, Default)]
struct Words {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Words {
    fn of(mut errors: impl Read + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&kept);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = errors.read(&mut buffer) {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..n]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
        });
        Self { kept, reader: Some(reader) }
    }

    /// What there is, once the child has ended.
    fn last(&mut self) -> Vec<u8> {
        let until = Instant::now() + PATIENCE;
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        Command::new("sh").args(["-c", script]).called("the command")
    }

    #[test]
    fn a_flow_ends_only_when_its_command_ended_well() {
        let mut text = String::new();
        sh("echo one; echo two").flow(None).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
        let mut text = String::new();
        let error = sh("echo one; echo why >&2; exit 4").flow(None).unwrap().read_to_string(&mut text).unwrap_err();
        assert_eq!(error.to_string(), "`the command` ended with exit status: 4: why");
        let error = sh("echo one; exec >&-; kill -9 $$").flow(None).unwrap().read_to_string(&mut text).unwrap_err();
        assert!(error.to_string().contains("signal: 9"), "{error}");
    }

    #[test]
    fn a_limit_ends_what_the_child_started_too() {
        let began = Instant::now();
        let mut words = Vec::new();
        // The grandchild holds the output open after the child is gone.
        let flow = sh("sleep 50 & echo $!; exit 0").limit(Duration::from_millis(300)).flow(None);
        let error = flow.unwrap().read_to_end(&mut words).unwrap_err();
        assert!(error.to_string().contains("was stopped after"), "{error}");
        let status = format!("/proc/{}/status", String::from_utf8(words).unwrap().trim());
        // One that nobody has waited for is as dead.
        let gone = || std::fs::read_to_string(&status).map_or(true, |status| status.contains("State:\tZ"));
        assert!((0..100).any(|_| gone() || (std::thread::sleep(Duration::from_millis(10)), false).1));
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_group_is_stopped_by_the_flag_and_leaves_a_daemon_alone_when_it_ends_well() {
        let stop = Arc::new(AtomicBool::new(false));
        let group = sh("sleep 50").group(Some(Arc::clone(&stop))).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(group.wait().unwrap_err().failure, Failure::Stopped));
        sh("sleep 1 & exit 0").group(None).unwrap().wait().unwrap();
    }

    #[test]
    fn much_on_standard_error_neither_blocks_nor_is_kept() {
        let error = sh("i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1")
            .group(None)
            .unwrap()
            .wait();
        let text = error.unwrap_err().to_string();
        assert!(text.ends_with("line 19999") && text.len() < 1000, "{text}");
    }
}
