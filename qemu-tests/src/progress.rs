//! Telling a person where a long run is: a line for each stage, and from time to time what the machine says.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where nobody watches, a line this often is enough to see that it lives.
const EVERY: Duration = Duration::from_secs(15);

/// The clock of one run.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    told: Instant,
    terminal: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { started: Instant::now(), told: Instant::now(), terminal: std::io::stderr().is_terminal() }
    }
}

impl Progress {
    /// A stage begins.
    pub fn stage(&mut self, text: &str) {
        self.told = Instant::now();
        self.write(&format!("{}\n", self.line(text)));
    }

    /// Something that is soon overtaken: a line that is written over, or one line in a while.
    pub fn passing(&mut self, text: &str) {
        if self.terminal {
            let line: String = self.line(text).chars().take(100).collect();
            self.write(&format!("{line}\r"));
        } else if self.told.elapsed() >= EVERY {
            self.stage(&format!("  … {text}"));
        }
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn line(&self, text: &str) -> String {
        let seconds = self.started.elapsed().as_secs();
        format!("[{:2}:{:02}] {text}", seconds / 60, seconds % 60)
    }

    fn write(&self, line: &str) {
        let erase = if self.terminal { "\x1b[K" } else { "" };
        // A closed standard error is no reason to stop.
        let _ = std::io::stderr().write_all(format!("{erase}{line}").as_bytes());
    }
}
