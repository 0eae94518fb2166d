//! What the stages talk to: lines for people, events for machines, questions. Knows nothing of disks or vaults.
//!
//! The stages never print. A full-screen front end takes this type's place with the same methods.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use layout::Bytes;
use serde_json::{Value, json};

use crate::console::{Console, Key, Outlet};
use crate::events::Events;
use crate::line::Line;

/// How often progress is shown.
const ROUND: Duration = Duration::from_secs(5);

/// The stages of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Wake,
    Trust,
    Unlock,
    Plan,
    Consent,
    Apply,
    Restore,
    Guests,
    Adapt,
    Prove,
}

/// What came back from a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A line, without its end.
    Line(String),
    /// Nobody typed before the deadline.
    Silence,
}

/// All that can be seen and typed.
pub struct Screen {
    console: Console,
    events: Arc<Events>,
    /// How long a question waits before silence is its answer.
    pub silence: Duration,
    /// The layout that was loaded.
    keyboard: OnceLock<String>,
}

impl Screen {
    /// Opens the consoles.
    pub fn open(silence: Duration) -> Self {
        Self { console: Console::open(), events: Arc::default(), silence, keyboard: OnceLock::new() }
    }

    /// Which keyboard questions are answered on.
    pub fn set_keyboard(&self, name: String) {
        // It is loaded once.
        let _ = self.keyboard.set(name);
    }

    /// Events and the journal.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// A new stage begins.
    pub fn stage(&self, stage: Stage) {
        self.say(&format!("\n== {stage:?}"));
    }

    /// A line for people.
    pub fn say(&self, text: &str) {
        self.console.outlet().lines(text);
        self.events.note(text);
    }

    /// An event for machines; `fields` is an object.
    pub fn event(&self, name: &str, fields: Value) {
        self.events.send(&named(name, fields));
    }

    /// Makes sure that everything said has reached the consoles and the stick.
    pub fn flush(&self) {
        self.events.flush();
        self.console.outlet().flush();
    }

    /// Progress over `what`, shown every few seconds.
    pub fn meter(&self, what: &'static str) -> Meter {
        Meter {
            what,
            outlet: Arc::clone(self.console.outlet()),
            events: Arc::clone(&self.events),
            expected: AtomicU64::new(0),
            done: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            shown: Mutex::new(Instant::now()),
        }
    }

    /// Asks for a line. `s` opens a shell and asks again. `secret` lines are not shown. Every key typed starts the
    /// deadline again; without one the answer is silence.
    pub fn ask(&self, what: &str, prompt: &str, secret: bool) -> Answer {
        self.event("question", json!({ "what": what }));
        if secret {
            let keyboard = self.keyboard.get().map_or("us", String::as_str);
            self.say(&format!("The keyboard is taken for {keyboard:?}. Tab shows what is typed, and hides it again."));
        }
        loop {
            self.console.outlet().write(prompt);
            match self.edit(secret) {
                Some((line, key)) if line == "s" => self.shell(key),
                Some((line, _)) => return Answer::Line(line),
                None => {
                    self.console.outlet().write("\n");
                    return Answer::Silence;
                }
            }
        }
    }

    fn edit(&self, secret: bool) -> Option<(String, Key)> {
        let outlet = self.console.outlet();
        let mut line = Line::new(secret);
        loop {
            let key = self.console.key(Instant::now() + self.silence)?;
            match line.key(key.byte) {
                Ok(shown) => outlet.write(&shown),
                Err(text) => {
                    outlet.write("\n");
                    return Some((text, key));
                }
            }
        }
    }

    /// Says `prompt` and waits for a single key: `s` opens a shell and waits again, Enter and the deadline end it. Keys typed
    /// before the prompt do not count: nobody has read it yet.
    pub fn wait_or_shell(&self, prompt: &str, wait: Duration) {
        self.console.forget_keys();
        self.say(prompt);
        while let Some(key) = self.console.key(Instant::now() + wait) {
            match key.byte {
                b's' => {
                    self.shell(key);
                    self.say("Back from the shell. Enter goes on, s is the shell.");
                }
                b'\r' | b'\n' => return,
                _ => {}
            }
        }
    }

    fn shell(&self, key: Key) {
        self.say("A shell. `exit` comes back here.");
        let result = self.console.lend(key, run_shell);
        if let Some(Err(error)) = result {
            self.say(&format!("No shell: {error}"));
        }
    }
}

fn named(name: &str, mut fields: Value) -> Value {
    if let Value::Object(map) = &mut fields {
        map.insert("event".to_owned(), json!(name));
    }
    fields
}

fn run_shell(terminal: &Path) -> Result<(), String> {
    let shells = ["/bin/bash", "/bin/dash", "/bin/sh"];
    let shell = shells.iter().find(|shell| Path::new(shell).exists()).ok_or("this stick carries none")?;
    exec::on_terminal(shell, &["-i"], terminal).map_err(|error| error.to_string())
}

/// Progress of one long operation. Any thread may advance it.
pub struct Meter {
    what: &'static str,
    outlet: Arc<Outlet>,
    events: Arc<Events>,
    expected: AtomicU64,
    done: AtomicU64,
    entries: AtomicU64,
    shown: Mutex<Instant>,
}

impl Meter {
    fn show(&self) {
        let (done, of) = (self.done.load(Ordering::Relaxed), self.expected.load(Ordering::Relaxed));
        let entries = self.entries.load(Ordering::Relaxed);
        let percent = (done * 100).checked_div(of).map_or(String::new(), |percent| format!(" ({percent} %)"));
        let count = if entries > 0 { format!(", {entries} entries") } else { String::new() };
        self.outlet.lines(&format!("  {}: {} of {}{percent}{count}", self.what, Bytes(done), Bytes(of)));
        self.events.send(&json!({"event": "progress", "what": self.what, "bytes": done, "of": of}));
    }
}

impl vault::Progress for Meter {
    fn expect(&self, bytes: u64, _entries: u64) {
        self.expected.store(bytes, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64, entries: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
        // A worker that finds the lock taken leaves the line to the one that has it.
        if let Ok(mut shown) = self.shown.try_lock()
            && shown.elapsed() >= ROUND
        {
            *shown = Instant::now();
            self.show();
        }
    }
}
