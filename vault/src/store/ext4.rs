//! A vault inside an ext4 filesystem that is not mounted: a stick's data partition, or its image. Read-only.
//!
//! `ext4-view` keeps shared state without locks, so one thread owns the filesystem and answers requests.

use std::fmt;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use ext4_view::{Ext4, Ext4Error, Ext4Read};

use super::{Lock, NewObject, Store, check_name};
use crate::error::{Error, Result};

/// Bytes fetched per request of a stream.
const CHUNK: usize = 1 << 20;

type Answer<T> = std::result::Result<T, Ext4Error>;

enum Request {
    Read { path: String, offset: u64, len: usize, answer: Sender<Answer<Vec<u8>>> },
    Size { path: String, answer: Sender<Answer<u64>> },
    List { path: String, answer: Sender<Answer<Vec<String>>> },
}

/// Objects below a folder of an ext4 filesystem.
pub struct Ext4Store {
    prefix: String,
    requests: Mutex<Sender<Request>>,
}

impl fmt::Debug for Ext4Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ext4Store({})", self.prefix)
    }
}

impl Ext4Store {
    /// Reads the filesystem through `reader` (offset 0 is the start of the filesystem); the vault is the folder `prefix`.
    pub fn open(reader: impl Ext4Read + Send + 'static, prefix: &str) -> Result<Self> {
        let (requests, inbox) = channel();
        let (opened, outcome) = channel();
        let serve = move || match Ext4::load(Box::new(reader)) {
            Ok(filesystem) => {
                // The other side is gone only if its thread ended; then the inbox is closed too.
                let _ = opened.send(Ok(()));
                Server { filesystem, current: None }.run(&inbox);
            }
            Err(why) => drop(opened.send(Err(why))),
        };
        let spawned = std::thread::Builder::new().name("ext4".into()).spawn(serve);
        spawned.map_err(|e| Error::io("reading", "ext4 filesystem", e))?;
        match outcome.recv() {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Err(wrap("ext4 filesystem", why)),
            Err(_) => return Err(stopped("ext4 filesystem")),
        }
        let prefix = format!("/{}", prefix.trim_matches('/'));
        Ok(Ext4Store { prefix: prefix.trim_end_matches('/').to_owned(), requests: Mutex::new(requests) })
    }

    fn path(&self, name: &str) -> Result<String> {
        check_name(name)?;
        Ok(format!("{}/{name}", self.prefix))
    }

    fn sender(&self) -> Sender<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn stopped(name: &str) -> Error {
    Error::io("reading", name, io::Error::other("the reader of the ext4 filesystem stopped"))
}

fn wrap(name: &str, why: Ext4Error) -> Error {
    match why {
        Ext4Error::NotFound => Error::NotFound { object: name.to_owned() },
        Ext4Error::Corrupt(_) => Error::corrupt(name, format!("the ext4 filesystem is damaged: {why}")),
        other => Error::io("reading", name, io::Error::other(other.to_string())),
    }
}

fn ask<T>(requests: &Sender<Request>, name: &str, request: impl FnOnce(Sender<Answer<T>>) -> Request) -> Result<T> {
    let (answer, outcome) = channel();
    requests.send(request(answer)).map_err(|_| stopped(name))?;
    outcome.recv().map_err(|_| stopped(name))?.map_err(|why| wrap(name, why))
}

struct Server {
    filesystem: Ext4,
    /// The file read last: streams ask for one chunk after the other.
    current: Option<(String, ext4_view::File)>,
}

impl Server {
    fn run(mut self, inbox: &Receiver<Request>) {
        // An answer that nobody waits for any more is no error.
        while let Ok(request) = inbox.recv() {
            match request {
                Request::Read { path, offset, len, answer } => drop(answer.send(self.read(path, offset, len))),
                Request::Size { path, answer } => {
                    drop(answer.send(self.filesystem.metadata(path.as_str()).map(|meta| meta.len())));
                }
                Request::List { path, answer } => {
                    let mut names = Vec::new();
                    drop(answer.send(self.list(&path, &mut names).map(|()| names)));
                }
            }
        }
    }

    fn read(&mut self, path: String, offset: u64, len: usize) -> Answer<Vec<u8>> {
        let mut file = match self.current.take() {
            Some((name, file)) if name == path => file,
            _ => self.filesystem.open(path.as_str())?,
        };
        file.seek_to(offset)?;
        let mut bytes = vec![0; len.min(CHUNK)];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_bytes(&mut bytes[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        self.current = Some((path, file));
        Ok(bytes)
    }

    fn list(&self, path: &str, names: &mut Vec<String>) -> Answer<()> {
        for entry in self.filesystem.read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().as_str().map(str::to_owned) else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let child = format!("{path}/{name}");
            if entry.file_type()?.is_dir() { self.list(&child, names)? } else { names.push(child) }
        }
        Ok(())
    }
}

/// An object as a stream of chunks.
struct Stream {
    requests: Sender<Request>,
    path: String,
    offset: u64,
    chunk: Vec<u8>,
    taken: usize,
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.chunk.len() {
            let (path, offset) = (self.path.clone(), self.offset);
            self.chunk = ask(&self.requests, &self.path, |answer| Request::Read { path, offset, len: CHUNK, answer })
                .map_err(io::Error::other)?;
            self.offset += self.chunk.len() as u64;
            self.taken = 0;
        }
        let n = out.len().min(self.chunk.len() - self.taken);
        out[..n].copy_from_slice(&self.chunk[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

fn read_only<T>(name: &str) -> Result<T> {
    Err(Error::invalid(name, "a vault in an ext4 image is read-only; mount it to write"))
}

impl Store for Ext4Store {
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let size = self.size(name)?;
        if size > limit {
            return Err(Error::corrupt(name, format!("{size} bytes, larger than the {limit} it may have")));
        }
        let mut bytes = Vec::new();
        self.open(name)?.take(limit).read_to_end(&mut bytes).map_err(|e| Error::io("reading", name, e))?;
        Ok(bytes)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        self.size(name)?;
        Ok(Box::new(Stream { requests: self.sender(), path: self.path(name)?, offset: 0, chunk: Vec::new(), taken: 0 }))
    }

    fn size(&self, name: &str) -> Result<u64> {
        let path = self.path(name)?;
        ask(&self.sender(), name, |answer| Request::Size { path, answer })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let path = self.path(prefix)?;
        let mut names = match ask(&self.sender(), prefix, |answer| Request::List { path, answer }) {
            Err(Error::NotFound { .. }) => return Ok(Vec::new()),
            other => other?,
        };
        for name in &mut names {
            name.drain(..=self.prefix.len());
        }
        names.sort();
        Ok(names)
    }

    fn create(&self) -> Result<Box<dyn NewObject>> {
        read_only("new object")
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        read_only(name)
    }

    fn append(&self, name: &str, _bytes: &[u8]) -> Result<()> {
        read_only(name)
    }

    /// Nothing can be written, so there is nothing to guard.
    fn lock(&self) -> Result<Lock> {
        Ok(Lock::needless())
    }
}
