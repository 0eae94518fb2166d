//! What comes out of a guest: the console's rolling text, events, the agent's lines. One lock and one condition for
//! all of them, because whoever waits for one thing must wake for trouble on another.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

/// Bytes of the console that are kept for matching; the log file has all of them.
const ROLLING: usize = 256 * 1024;

/// Words on the console that no guest comes back from by itself.
const LOST: [&str; 5] = ["grub>", "grub rescue>", "Kernel panic", "Access Denied", "emergency mode"];

/// What has come out and was not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Console text from the last match on.
    pub(crate) console: Vec<u8>,
    /// Events, oldest first.
    pub(crate) events: VecDeque<Value>,
    /// The agent's lines without their newline, oldest first.
    pub(crate) agent: VecDeque<Vec<u8>>,
    /// The first sign that the guest is lost.
    pub(crate) lost: Option<String>,
    /// Console text in which signs are still sought.
    unsearched: Vec<u8>,
    /// Signs that this machine may show.
    pub(crate) allowed: Vec<String>,
    /// The newest line on the console, for people who wait.
    pub(crate) newest: String,
}

impl Pending {
    fn console_bytes(&mut self, bytes: &[u8]) {
        self.console.extend_from_slice(bytes);
        let excess = self.console.len().saturating_sub(ROLLING);
        self.console.drain(..excess);
        self.unsearched.extend_from_slice(bytes);
        for sign in LOST {
            let allowed = self.allowed.iter().any(|allowed| allowed == sign);
            if !allowed && self.lost.is_none() && find(&self.unsearched, sign.as_bytes()).is_some() {
                self.lost = Some(sign.to_owned());
            }
        }
        // A sign may arrive in two pieces: as much stays as one piece of the longest may have.
        let kept = LOST.iter().map(|sign| sign.len() - 1).max().unwrap_or(0);
        let searched = self.unsearched.len().saturating_sub(kept);
        self.unsearched.drain(..searched);
        if let Some(line) = last_line(&self.console) {
            self.newest = line;
        }
    }
}

/// The pending things behind their lock.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pending: Mutex<Pending>,
    news: Condvar,
}

impl Wire {
    /// The pending things, locked.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Pending> {
        // A reader that panicked has at worst left a line out; the waiter's deadline still holds.
        self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits for news, no longer than `limit`.
    pub(crate) fn wait<'a>(&self, pending: MutexGuard<'a, Pending>, limit: Duration) -> MutexGuard<'a, Pending> {
        match self.news.wait_timeout(pending, limit) {
            Ok((pending, _)) => pending,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    /// Reads the console until QEMU closes it.
    pub(crate) fn read_console(self: &Arc<Self>, mut stream: UnixStream) {
        let wire = Arc::clone(self);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                wire.lock().console_bytes(&buffer[..count]);
                wire.news.notify_all();
            }
            wire.news.notify_all();
        });
    }

    /// Reads events until QEMU closes their port, and keeps them in the file `log`.
    pub(crate) fn read_events(self: &Arc<Self>, stream: UnixStream, log: &Path) -> std::io::Result<()> {
        let mut log = std::fs::File::create(log)?;
        self.read_lines(stream, move |pending, line| {
            // The log is for people; a full disk must not end the machine.
            let _ = log.write_all(line).and_then(|()| log.write_all(b"\n"));
            if let Ok(event) = serde_json::from_slice(line) {
                pending.events.push_back(event);
            }
        });
        Ok(())
    }

    /// Reads the agent's lines until QEMU closes its port.
    pub(crate) fn read_agent(self: &Arc<Self>, stream: UnixStream) {
        self.read_lines(stream, |pending, line| pending.agent.push_back(line.to_vec()));
    }

    fn read_lines(
        self: &Arc<Self>,
        mut stream: UnixStream,
        mut take: impl FnMut(&mut Pending, &[u8]) + Send + 'static,
    ) {
        let wire = Arc::clone(self);
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            let mut line = Vec::new();
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let mut pending = wire.lock();
                for &byte in &buffer[..count] {
                    if byte == b'\n' {
                        take(&mut pending, &line);
                        line.clear();
                    } else {
                        line.push(byte);
                    }
                }
                drop(pending);
                wire.news.notify_all();
            }
        });
    }
}

/// Where `needle` begins in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn last_line(console: &[u8]) -> Option<String> {
    let tail = &console[console.len().saturating_sub(2048)..];
    let text = plain(tail);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// Console bytes as text: without terminal sequences and other control bytes.
pub(crate) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // CSI: parameters up to a letter; other sequences are two characters.
            if characters.next() == Some('[') {
                while characters.next().is_some_and(|next| !('@'..='~').contains(&next)) {}
            }
        } else if character == '\n' || !character.is_control() {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_two_pieces_is_seen() {
        let mut pending = Pending::default();
        pending.console_bytes(b"booting\r\ngru");
        assert_eq!(pending.lost, None);
        pending.console_bytes(b"b> ");
        assert_eq!(pending.lost.as_deref(), Some("grub>"));
    }

    #[test]
    fn an_allowed_sign_is_passed_over() {
        let mut pending = Pending { allowed: vec!["Access Denied".to_owned()], ..Pending::default() };
        pending.console_bytes(b"Access Denied\r\n");
        assert_eq!(pending.lost, None);
    }

    #[test]
    fn the_buffer_rolls_and_keeps_the_newest() {
        let mut pending = Pending::default();
        for number in 0..40_000 {
            pending.console_bytes(format!("line {number}\r\n").as_bytes());
        }
        assert!(pending.console.len() <= ROLLING);
        assert_eq!(pending.newest, "line 39999");
    }

    #[test]
    fn terminal_sequences_are_not_text() {
        assert_eq!(plain(b"\x1b[2J\x1b[01;01Hlogin: \x1b[0m\r\n"), "login: \n");
    }
}
