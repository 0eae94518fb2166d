//! A vault wherever `rclone` reaches: SFTP servers, cloud drives. One call of the program for each step; it brings its own credentials,
//! retries and checksums.
//!
//! A new object is uploaded under `tmp/` and moved to its name, for many remotes show a file while it is still being written. Few
//! remotes can refuse to replace a file, so the look before the move and the lease are what keeps two writers apart: that is weaker than
//! a folder's lock, and docs/COPIES.md says so.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use exec::{Command, ExecError, Failure};
use tempfile::NamedTempFile;
use vault::{Board, Digest, Error, Lease, Lock, NewObject, Result, Store};

use crate::config::Rclone;
use crate::exit::{Exit, refusal};
use crate::location::Remote;

/// A segment over a thin line may take long; rclone itself gives up on lines that are dead.
const LIMIT: Duration = Duration::from_secs(6 * 3600);
/// Where objects lie on their way; `/tmp` may be memory.
const SPOOL: &str = "/var/tmp";
/// What to do where it is not installed.
const NO_PROGRAM: &str =
    "there is no program `rclone`; install it (apt install rclone) and set the remote up with `rclone config`";
/// Rclone's exit codes for what is not there.
const MISSING: [i32; 2] = [3, 4];

/// Objects below a folder of a remote.
#[derive(Clone, Debug)]
pub struct RcloneStore {
    program: PathBuf,
    config: Option<PathBuf>,
    /// `REMOTE:PATH`, as rclone wants it.
    root: String,
    /// Somebody took the lease away: nothing more is written.
    lost: Arc<AtomicBool>,
}

impl RcloneStore {
    /// A store on `remote`; nothing is asked of it yet.
    ///
    /// # Errors
    /// Exit 2 when there is no program of that name.
    pub fn new(remote: &Remote, config: Option<Rclone>) -> anyhow::Result<Self> {
        let config = config.unwrap_or_default();
        let program = match config.program {
            Some(program) if program.is_file() => program,
            Some(program) => {
                let message =
                    format!("there is no program {}, which the configuration names as rclone", program.display());
                return Err(refusal(Exit::Usage, message));
            }
            None => exec::find("rclone").ok_or_else(|| refusal(Exit::Usage, NO_PROGRAM))?,
        };
        let root =
            if remote.remote.is_empty() { remote.path.clone() } else { format!("{}:{}", remote.remote, remote.path) };
        Ok(Self { program, config: config.config, root, lost: Arc::default() })
    }

    fn command(&self, verb: &str) -> Command {
        // Rclone's library for S3 fails where this variable is set, which is ours; rclone has RCLONE_CA_CERT.
        let mut command = Command::new(&self.program).args([verb, "--log-level", "ERROR"]).env("AWS_CA_BUNDLE", "");
        if let Some(config) = &self.config {
            command = command.arg("--config").arg(config);
        }
        command.limit(LIMIT)
    }

    fn place(&self, name: &str) -> Result<String> {
        let sound = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !name.split('/').all(sound) {
            return Err(Error::Invalid { object: name.into(), what: "no name of an object in a vault".into() });
        }
        let between = if self.root.is_empty() || self.root.ends_with([':', '/']) { "" } else { "/" };
        Ok(format!("{}{between}{name}", self.root))
    }

    /// A call for one object by way of its folder: only so is a file that is not there an empty answer on every remote, and only so are
    /// earlier versions found.
    fn picking(&self, verb: &str, name: &str) -> Result<Command> {
        self.place(name)?;
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let place = if folder.is_empty() { self.root.clone() } else { self.place(folder)? };
        Ok(self.command(verb).arg("--include").arg(format!("/{file}")).arg(place))
    }

    fn size_if_there(&self, name: &str) -> Result<Option<u64>> {
        match self.picking("lsf", name)?.args(["--files-only", "--format", "s"]).read() {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => {
                let size = text.trim().parse().map_err(|_| wrap("reading", name, &"rclone gave no size"));
                size.map(Some)
            }
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(failed("reading", name, error)),
        }
    }

    fn check_lease(&self) -> Result<()> {
        if !self.lost.load(Ordering::SeqCst) {
            return Ok(());
        }
        let object = "lock: it could not be renewed in time, and another writer may have it; nothing more is written";
        Err(Error::Locked { object: object.into() })
    }

    /// Uploads a file and gives it its name, in place of what has it.
    fn put(&self, file: &Path, name: &str) -> Result<()> {
        let way = format!("tmp/{}", random_name()?);
        let upload = self.command("copyto").arg(file).arg(self.place(&way)?).run();
        upload.map_err(|error| failed("writing", name, error))?;
        let moved = self.command("moveto").arg(self.place(&way)?).arg(self.place(name)?).run();
        moved.map_err(|error| failed("writing", name, error))?;
        Ok(())
    }

    fn put_bytes(&self, bytes: &[u8], name: &str) -> Result<()> {
        let mut file = spool().map_err(|error| io_error("writing", name, error))?;
        file.write_all(bytes).map_err(|error| io_error("writing", name, error))?;
        self.put(file.path(), name)
    }

    /// The whole object, which has `size` bytes.
    fn fetch(&self, name: &str, size: u64) -> Result<Vec<u8>> {
        let output = self.picking("cat", name)?.run();
        let bytes = output.map_err(|error| failed("reading", name, error))?.stdout;
        if bytes.len() as u64 == size {
            return Ok(bytes);
        }
        Err(wrap("reading", name, &format!("rclone gave {} bytes instead of {size}", bytes.len())))
    }

    fn fetch_if_there(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.size_if_there(name)?.map(|size| self.fetch(name, size)).transpose()
    }
}

fn spool() -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix("lifeboat-rclone-").tempfile_in(spool_folder())
}

fn spool_folder() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| SPOOL.into(), PathBuf::from)
}

fn random_name() -> Result<String> {
    let mut random = [0; 8];
    let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|error| io_error("writing", "tmp", error.into()))?;
    Ok(format!("{:016x}", u64::from_le_bytes(random)))
}

fn missing(error: &ExecError) -> bool {
    error.code().is_some_and(|code| MISSING.contains(&code))
}

fn io_error(doing: &'static str, name: &str, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace { object: name.into() },
        _ => Error::Io { doing, object: name.into(), source },
    }
}

fn wrap(doing: &'static str, name: &str, what: &dyn std::fmt::Display) -> Error {
    Error::Io { doing, object: name.into(), source: io::Error::other(what.to_string()) }
}

/// A failed call, with the end of what rclone said.
fn failed(doing: &'static str, name: &str, error: ExecError) -> Error {
    if missing(&error) {
        return Error::NotFound { object: name.into() };
    }
    match error.failure {
        Failure::Start(source) => Error::Io { doing, object: name.into(), source },
        _ => wrap(doing, name, &error),
    }
}

impl Store for RcloneStore {
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let size = self.size(name)?;
        if size > limit {
            return Err(Error::Corrupt {
                object: name.into(),
                what: format!("{size} bytes, larger than the {limit} it may have"),
            });
        }
        self.fetch(name, size)
    }

    /// Downloads the object to a file that is gone with the stream.
    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        self.size(name)?;
        let folder = tempfile::Builder::new().prefix("lifeboat-rclone-").tempdir_in(spool_folder());
        let folder = folder.map_err(|error| io_error("reading", name, error))?;
        let got = self.picking("copy", name)?.arg(folder.path()).run();
        got.map_err(|error| failed("reading", name, error))?;
        let file = name.rsplit_once('/').map_or(name, |(_, file)| file);
        let opened = File::open(folder.path().join(file)).map_err(|error| io_error("reading", name, error))?;
        Ok(Box::new(opened))
    }

    fn size(&self, name: &str) -> Result<u64> {
        self.size_if_there(name)?.ok_or_else(|| Error::NotFound { object: name.into() })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.list_sizes(prefix)?.into_iter().map(|(name, _)| name).collect())
    }

    fn list_sizes(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        let command = self.command("lsf").args(["--recursive", "--files-only", "--format", "sp", "--separator", " "]);
        let text = match command.arg(self.place(prefix)?).read() {
            Err(error) if missing(&error) => return Ok(Vec::new()),
            other => other.map_err(|error| failed("listing", prefix, error))?,
        };
        let row = |line: &str| {
            let (size, path) = line.split_once(' ')?;
            Some((format!("{prefix}/{path}"), size.parse().ok()?))
        };
        let mut names: Vec<_> = text.lines().filter_map(row).collect();
        names.sort();
        Ok(names)
    }

    fn create(&self) -> Result<Box<dyn NewObject>> {
        self.check_lease()?;
        let file = spool().map_err(|error| io_error("making", "a new object", error))?;
        Ok(Box::new(Spooled { store: self.clone(), file }))
    }

    /// A remote keeps what it has taken; none of them can be asked for more.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.check_lease()?;
        self.size(name)?;
        let removed = self.command("deletefile").arg(self.place(name)?).run();
        removed.map(drop).map_err(|error| failed("removing", name, error))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.check_lease()?;
        let mut log = self.fetch_if_there(name)?.unwrap_or_default();
        log.extend_from_slice(bytes);
        self.put_bytes(&log, name)
    }

    fn lock(&self) -> Result<Lock> {
        let lease = Lease::take(Arc::new(self.clone()), self.lost.clone())?;
        // What a cut run left half uploaded.
        match self.command("purge").arg(self.place("tmp")?).run() {
            Err(error) if !missing(&error) => Err(failed("emptying", "tmp", error)),
            _ => Ok(Lock::held(lease)),
        }
    }
}

impl Board for RcloneStore {
    fn read(&self) -> Result<Option<(Vec<u8>, String)>> {
        let lease = self.fetch_if_there("lock")?;
        Ok(lease.map(|bytes| (bytes.clone(), Digest::sha256(&bytes).to_string())))
    }

    fn write(&self, lease: &[u8], replacing: Option<&str>) -> Result<bool> {
        let found = Board::read(self)?;
        if found.as_ref().map(|(_, mark)| mark.as_str()) != replacing {
            return Ok(false);
        }
        self.put_bytes(lease, "lock")?;
        Ok(true)
    }

    fn remove(&self) -> Result<()> {
        let removed = self.command("deletefile").arg(self.place("lock")?).run();
        removed.map(drop).map_err(|error| failed("removing", "lock", error))
    }
}

/// An object that is being written: in a file until it is complete.
struct Spooled {
    store: RcloneStore,
    file: NamedTempFile,
}

impl Write for Spooled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewObject for Spooled {
    fn commit(self: Box<Self>, name: &str) -> Result<()> {
        self.store.check_lease()?;
        if self.store.size_if_there(name)?.is_some() {
            let what = "exists already; objects of a vault are written once";
            return Err(Error::Invalid { object: name.into(), what: what.into() });
        }
        self.store.put(self.file.path(), name)
    }
}

#[cfg(test)]
#[path = "../../../vault/tests/contract/mod.rs"]
mod contract;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault").to_str().unwrap().to_owned();
        let remote = Remote { remote: String::new(), path };
        contract::holds(&|| Arc::new(RcloneStore::new(&remote, None).unwrap()));
    }
}
