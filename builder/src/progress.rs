//! Progress on a terminal; silent where standard error is none.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line that shows what is being done and how far it is.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar for work whose size is not known yet.
    pub fn new(what: &'static str) -> Self {
        let bar = ProgressBar::no_length().with_message(what);
        if !std::io::stderr().is_terminal() || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{spinner} {msg}  {bytes} at {binary_bytes_per_sec}  {elapsed}");
        // A template that does not parse leaves indicatif's own style, which shows the same figures.
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Takes the line off the terminal.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

impl vault::Progress for Bar {
    fn expect(&self, bytes: u64, _entries: u64) {
        self.bar.set_length(bytes);
    }

    fn advance(&self, bytes: u64, _entries: u64) {
        self.bar.inc(bytes);
    }
}
