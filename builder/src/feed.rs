//! Files of a snapshot that are none of the host's: what commands write, and volumes read block by block. Where they lie, and what a failure
//! says to whom.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use exec::{ExecError, Flow};
use vault::EntryPath;

use crate::capture::blocks;
use crate::cli;
use crate::config::{Config, Limit, Line, OnFailure, apart};
use crate::exit::{Exit, refusal};
use crate::interrupt::Flag;

/// Where the streams of a host lie, so that a restore puts them there.
const FOLDER: &str = "var/lib/lifeboat/streams";

/// One of them.
pub struct Feed {
    /// Where it lies in the snapshot.
    pub path: EntryPath,
    /// Without it there is to be no snapshot.
    pub needed: bool,
    from: Origin,
}

enum Origin {
    Command(exec::Command),
    Device(PathBuf),
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            Origin::Command(_) => write!(f, "what a command writes as {}", self.path),
            Origin::Device(device) => write!(f, "the blocks of {} as {}", device.display(), self.path),
        }
    }
}

impl Feed {
    /// A volume of the host.
    #[must_use]
    pub fn volume(read: &blocks::Read) -> Option<Self> {
        let path = EntryPath::new(read.file.as_bytes())?;
        Some(Self { path, needed: false, from: Origin::Device(read.device.clone()) })
    }

    /// Starts the command, which ends with `stop`, or opens the device.
    ///
    /// # Errors
    /// When it cannot be started or opened.
    pub fn open(&self, stop: Option<&Flag>) -> io::Result<Box<dyn Read>> {
        match &self.from {
            Origin::Command(command) => {
                let flow = command.clone().flow(stop.cloned());
                Ok(Box::new(Reported(flow.map_err(|error| brief(&error))?)))
            }
            Origin::Device(path) => Ok(Box::new(File::open(path)?)),
        }
    }
}

/// All streams of a run: those of the configuration, where a tree or the host is captured, and those of the command line.
///
/// # Errors
/// When the command line has not one name for each command, or a name that is none (exit 2).
pub fn feeds(config: &Config, args: &cli::Backup) -> anyhow::Result<Vec<Feed>> {
    let usage = |message: String| refusal(Exit::Usage, format!("{message}; nothing was done"));
    let mut feeds = if args.streams_only() || args.no_hooks {
        Vec::new()
    } else {
        configured(config, args.source.is_none()).map_err(usage)?
    };
    if args.stdin_from.len() != args.name.len() {
        let (commands, names) = (args.stdin_from.len(), args.name.len());
        return Err(usage(format!(
            "--stdin-from is given {commands} times and --name {names} times; each command has a name"
        )));
    }
    for (line, name) in args.stdin_from.iter().zip(&args.name) {
        let path = EntryPath::new(name.as_bytes()).filter(|path| !path.is_root());
        let path = path.ok_or_else(|| usage(format!("--name {name:?} is no relative path, such as dumps/app.sql")))?;
        let line = Line::Shell(line.clone());
        if let Some(fault) = line.fault() {
            return Err(usage(format!("the command for {name} {fault}")));
        }
        let limit = args.stdin_limit.map(Limit).unwrap_or_default();
        feeds.push(feed(path, name, &line, limit, args.streams_only()));
    }
    apart(feeds.iter().map(|feed| feed.path.clone()).collect()).map_err(usage)?;
    Ok(feeds)
}

/// Those of the configuration, in a snapshot of the host or of a tree.
///
/// # Errors
/// When a name is no path, which the configuration has refused before.
pub fn configured(config: &Config, host: bool) -> Result<Vec<Feed>, String> {
    let one = |stream: &crate::config::Stream| {
        let path = stream.path()?;
        let path = match host {
            true => EntryPath::new([FOLDER.as_bytes(), path.as_bytes()].join(&b'/')).ok_or("a path is too long")?,
            false => path,
        };
        Ok(feed(path, &stream.name, &stream.command, stream.limit, stream.on == OnFailure::Fail))
    };
    config.stream.iter().map(one).collect()
}

fn feed(path: EntryPath, name: &str, line: &Line, limit: Limit<7200>, needed: bool) -> Feed {
    let command = line.command(&format!("stream {name}")).limit(limit.0).env("LIFEBOAT_PHASE", "stream");
    Feed { path, needed, from: Origin::Command(command) }
}

/// A flow whose error says on standard error what the command said, and to the engine only how it ended: a manifest lies in clear.
struct Reported(Flow);

impl Read for Reported {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref::<ExecError>()) {
            Some(inner) => brief(inner),
            None => error,
        })
    }
}

fn brief(error: &ExecError) -> io::Error {
    eprintln!("warning: {error}");
    io::Error::other(format!("its command {}", error.failure.without_words()))
}
