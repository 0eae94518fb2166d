//! Progress on a terminal; silent where standard error is none.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Counts what it passes on, so that a run that is stopped can say how far it came.
pub struct Counted<P> {
    inner: P,
    bytes: AtomicU64,
    entries: AtomicU64,
}

impl<P> Counted<P> {
    /// Counts from zero.
    pub fn new(inner: P) -> Self {
        Self { inner, bytes: AtomicU64::new(0), entries: AtomicU64::new(0) }
    }

    /// Bytes of content, and entries.
    pub fn so_far(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.entries.load(Ordering::Relaxed))
    }

    /// What it passes on to.
    pub fn into_inner(self) -> P {
        self.inner
    }
}

impl<P: vault::Progress> vault::Progress for Counted<P> {
    fn expect(&self, bytes: u64, entries: u64) {
        self.inner.expect(bytes, entries);
    }

    fn advance(&self, bytes: u64, entries: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.inner.advance(bytes, entries);
    }
}
