//! Every console of the machine at once: what is written goes to all, what is typed comes from any.
//!
//! Each console has a thread that writes and one that reads, so that a serial line with nobody behind it, or a slow one,
//! never holds up a restore: what such a console cannot take is left out there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{self, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex};

/// Pieces of text that wait for a slow console before more is left out.
const WAITING: usize = 4096;
/// How long the last lines may take to reach the consoles.
const FLUSH: Duration = Duration::from_secs(3);
/// Columns that fit every console.
const WIDTH: usize = 79;

/// A byte typed on a console.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Index of the console.
    pub console: usize,
    /// The byte.
    pub byte: u8,
}

/// All consoles, read and written.
pub struct Console {
    outlet: Arc<Outlet>,
    keys: Receiver<Key>,
    /// While a shell has a console, nobody else reads from it.
    paused: Arc<AtomicBool>,
}

/// A console's file. A shell that ends hangs its terminal up, after which the file is dead and another takes its place.
type Shared = Arc<Mutex<Arc<File>>>;

fn current(shared: &Shared) -> Arc<File> {
    Arc::clone(&shared.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The writing half: any thread may have it.
pub struct Outlet {
    terminals: Vec<Terminal>,
}

struct Terminal {
    path: PathBuf,
    file: Shared,
    lines: SyncSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

impl Console {
    /// Opens every console of this machine.
    pub fn open() -> Self {
        let (sender, keys) = channel();
        let paused = Arc::new(AtomicBool::new(false));
        let mut terminals = Vec::new();
        for path in paths() {
            if let Ok(terminal) = Terminal::open(path, terminals.len(), &sender, &paused) {
                terminals.push(terminal);
            }
        }
        Self { outlet: Arc::new(Outlet { terminals }), keys, paused }
    }

    /// The writing half.
    pub fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// The next byte typed anywhere; none when `end` comes first.
    pub fn key(&self, end: Instant) -> Option<Key> {
        match self.keys.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(key) => Some(key),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // No console can be read: waiting is all that is left of the deadline.
                std::thread::sleep(end.saturating_duration_since(Instant::now()));
                None
            }
        }
    }

    /// Forgets what was typed before it was asked for.
    pub fn forget_keys(&self) {
        while self.keys.try_recv().is_ok() {}
    }

    /// Gives the console that `key` was typed on to `work`, in its ordinary line mode, with nobody else reading.
    pub fn lend<T>(&self, key: Key, work: impl FnOnce(&Path) -> T) -> Option<T> {
        let terminal = self.outlet.terminals.get(key.console)?;
        self.outlet.flush();
        self.paused.store(true, Ordering::SeqCst);
        // Readers notice within one round of their poll.
        std::thread::sleep(Duration::from_millis(250));
        if let Ok(mut mode) = termios::tcgetattr(&*current(&terminal.file)) {
            mode.local_modes |= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHOE | LocalModes::ISIG;
            let _ = termios::tcsetattr(&*current(&terminal.file), OptionalActions::Now, &mode);
        }
        let result = work(&terminal.path);
        // The end of a session hangs up its terminal: the old file would only fail from now on.
        if let Ok(file) = open(&terminal.path) {
            *terminal.file.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(file);
        }
        self.paused.store(false, Ordering::SeqCst);
        self.forget_keys();
        Some(result)
    }
}

impl Outlet {
    /// Writes `text` and a line break to every console, in parts that each console's width can hold.
    pub fn lines(&self, text: &str) {
        for line in text.lines() {
            for part in wrap(line, WIDTH) {
                self.write(&format!("{part}\n"));
            }
        }
    }

    /// Writes `text` as it is.
    pub fn write(&self, text: &str) {
        for terminal in &self.terminals {
            terminal.waiting.fetch_add(1, Ordering::SeqCst);
            if terminal.lines.try_send(text.as_bytes().to_vec()).is_err() {
                terminal.waiting.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// Waits until the consoles have taken what was written, or until they had time enough.
    pub fn flush(&self) {
        let end = Instant::now() + FLUSH;
        while Instant::now() < end && self.terminals.iter().any(|one| one.waiting.load(Ordering::SeqCst) > 0) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Breaks a line at spaces so that no part is wider than `width`; parts after the first are indented as the line is, and two
/// columns more.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let indent = line.len() - line.trim_start().len();
    let mut words = line.split(' ');
    let mut parts = Vec::new();
    let mut part = words.next().unwrap_or_default().to_owned();
    for word in words {
        if !part.trim().is_empty() && part.chars().count() + 1 + word.chars().count() > width {
            parts.push(std::mem::replace(&mut part, " ".repeat(indent + 2)));
        } else {
            part.push(' ');
        }
        part.push_str(word);
    }
    parts.push(part);
    parts
}

impl Terminal {
    fn open(path: PathBuf, index: usize, keys: &Sender<Key>, paused: &Arc<AtomicBool>) -> io::Result<Self> {
        let file: Shared = Arc::new(Mutex::new(Arc::new(open(&path)?)));
        let (lines, queue) = sync_channel(WAITING);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (output, done) = (Arc::clone(&file), Arc::clone(&waiting));
        std::thread::spawn(move || write_lines(&output, &queue, &done));
        let (input, keys, paused) = (Arc::clone(&file), keys.clone(), Arc::clone(paused));
        std::thread::spawn(move || read_keys(&input, index, &keys, &paused));
        Ok(Self { path, file, lines, waiting })
    }
}

/// Opens a console. Without O_NONBLOCK a serial line may wait for its carrier.
fn open(path: &Path) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    prepare(&file)?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::empty())?;
    Ok(file)
}

/// Byte by byte, without echo: lines are edited here, because a secret must not appear on any console.
fn prepare(file: &File) -> io::Result<()> {
    let mut mode = termios::tcgetattr(file)?;
    mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
    mode.input_modes.insert(InputModes::ICRNL);
    mode.input_modes.remove(InputModes::IXON);
    mode.output_modes.insert(OutputModes::OPOST | OutputModes::ONLCR);
    mode.special_codes[SpecialCodeIndex::VMIN] = 1;
    mode.special_codes[SpecialCodeIndex::VTIME] = 0;
    termios::tcsetattr(file, OptionalActions::Now, &mode)?;
    Ok(())
}

fn write_lines(file: &Shared, lines: &Receiver<Vec<u8>>, waiting: &AtomicUsize) {
    for text in lines {
        // A console that fails is no reason to stop: there are others, and the journal.
        let _ = (&*current(file)).write_all(&text);
        waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

fn read_keys(file: &Shared, console: usize, keys: &Sender<Key>, paused: &AtomicBool) {
    let round = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    loop {
        if paused.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        }
        let open = current(file);
        let ready = poll(&mut [PollFd::from_borrowed_fd(open.as_fd(), PollFlags::IN)], Some(&round));
        if !matches!(ready, Ok(1..)) || paused.load(Ordering::SeqCst) {
            continue;
        }
        let mut byte = [0];
        match (&*open).read(&mut byte) {
            Ok(1) => {
                if keys.send(Key { console, byte: byte[0] }).is_err() {
                    return;
                }
            }
            // A line that hung up reads as its end for ever.
            _ => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}

/// The consoles to open: the screen, the kernel's own consoles, and the first serial line where there is one.
fn paths() -> Vec<PathBuf> {
    let mut paths = Vec::new();
    // /dev/tty0 is whichever is in front; reading needs a real one.
    let screen = Path::new("/dev/tty1");
    if screen.exists() && Path::new("/dev/tty0").exists() {
        paths.push(screen.to_owned());
    }
    for name in parse_consoles(&fs::read_to_string("/proc/consoles").unwrap_or_default()).chain(["ttyS0"]) {
        let path = Path::new("/dev").join(name);
        if path.exists() && !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// Serial (and other non-screen) consoles of `/proc/consoles`.
fn parse_consoles(text: &str) -> impl Iterator<Item = &str> {
    let names = text.lines().filter_map(|line| line.split_ascii_whitespace().next());
    names.filter(|name| !name.strip_prefix("tty").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_at_spaces_and_short_ones_stay_as_they_are() {
        assert_eq!(wrap("short", 10), ["short"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("    a  table", 20), ["    a  table"]);
        assert_eq!(wrap("  one two three four", 10), ["  one two", "    three", "    four"]);
        assert_eq!(wrap("unbreakable-word", 5), ["unbreakable-word"]);
    }

    #[test]
    fn the_screen_is_opened_by_its_own_name_and_serial_lines_by_theirs() {
        let text = "tty0                 -WU (EC  p  )    4:1\nttyS0                -W- (E   p a)    4:64\nhvc0 -W- (E p) 229:0\n";
        assert_eq!(parse_consoles(text).collect::<Vec<_>>(), ["ttyS0", "hvc0"]);
    }
}
