//! The machine's side of what happens: one JSON object per line, to the virtio-serial port of a drill and to the stick's journal.
//!
//! Until the stick may be written, the journal is kept in memory.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The port's name.
const PORT: &str = "org.lifeboat.events";
/// Lines that wait for a reader before more are left out.
const WAITING: usize = 4096;
/// How long the last event may take to reach its reader.
const FLUSH: Duration = Duration::from_secs(3);

/// Where events go. Any thread may send.
#[derive(Default)]
pub struct Events {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    port: Option<Port>,
    /// Events from before the port was found.
    early: Vec<String>,
    journal: Journal,
}

struct Port {
    lines: SyncSender<(String, Option<SyncSender<()>>)>,
}

enum Journal {
    Memory(String),
    Stick(File),
}

impl Default for Journal {
    fn default() -> Self {
        Self::Memory(String::new())
    }
}

impl Events {
    /// Opens the port, where this machine has it. To be called once drivers are loaded.
    pub fn find_port(&self) {
        self.with(|inner| {
            if inner.port.is_none() {
                inner.port = Port::open();
            }
            if let Some(port) = &inner.port {
                inner.early.drain(..).for_each(|line| port.send(line));
            }
        });
    }

    /// Sends an event.
    pub fn send(&self, event: &Value) {
        let line = format!("{event}\n");
        self.with(|inner| {
            match &inner.port {
                Some(port) => port.send(line.clone()),
                None => inner.early.push(line.clone()),
            }
            // A full stick must not stop a restore; the consoles have the same lines.
            inner.journal.append(&line);
        });
    }

    /// Keeps a line for people in the journal.
    pub fn note(&self, text: &str) {
        self.with(|inner| text.lines().for_each(|line| inner.journal.append(&format!("# {line}\n"))));
    }

    /// From now on the journal is `path` on the stick; what was kept in memory goes first.
    pub fn journal_to(&self, path: &Path) -> std::io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        self.with(|inner| {
            if let Journal::Memory(text) = &inner.journal {
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
            }
            inner.journal = Journal::Stick(file);
            Ok(())
        })
    }

    /// Closes the journal, so that the stick can be unmounted; later lines are kept in memory.
    pub fn close_journal(&self) {
        self.with(|inner| {
            inner.journal.sync();
            inner.journal = Journal::default();
        });
    }

    /// Puts the journal on the medium.
    pub fn sync(&self) {
        self.with(|inner| inner.journal.sync());
    }

    /// Waits until the port has taken what was sent.
    pub fn flush(&self) {
        self.sync();
        let Some(lines) = self.with(|inner| inner.port.as_ref().map(|port| port.lines.clone())) else { return };
        let (done, ready) = sync_channel(1);
        if lines.try_send((String::new(), Some(done))).is_ok() {
            let _ = ready.recv_timeout(FLUSH);
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        // A panic elsewhere must still be reported.
        work(&mut self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Journal {
    fn append(&mut self, line: &str) {
        match self {
            Self::Memory(text) => text.push_str(line),
            Self::Stick(file) => drop(file.write_all(line.as_bytes())),
        }
    }

    fn sync(&self) {
        if let Self::Stick(file) = self {
            let _ = file.sync_data();
        }
    }
}

impl Port {
    fn open() -> Option<Self> {
        let end = Instant::now() + Duration::from_millis(500);
        loop {
            for entry in fs::read_dir("/sys/class/virtio-ports").ok()?.flatten() {
                let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
                if name.trim() == PORT {
                    let file =
                        OpenOptions::new().write(true).custom_flags(0).open(Path::new("/dev").join(entry.file_name()));
                    return Some(Self::start(file.ok()?));
                }
            }
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start(file: File) -> Self {
        let (lines, queue) = sync_channel(WAITING);
        std::thread::spawn(move || write_events(file, &queue));
        Self { lines }
    }

    fn send(&self, line: String) {
        // Nobody reads: the event is in the journal.
        let _ = self.lines.try_send((line, None));
    }
}

fn write_events(mut file: File, queue: &Receiver<(String, Option<SyncSender<()>>)>) {
    for (line, done) in queue {
        let _ = file.write_all(line.as_bytes());
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}
