//! A vault in object storage: the same names below a prefix. Blocking on the outside; inside, a small runtime that the store owns.
//!
//! A new object is collected in memory and put under its name in one request that the server refuses when the name exists, so
//! nothing is ever seen by half, and nothing is overwritten. The lock is a [`Lease`]. The audit log, which grows, is read and put
//! back on the condition that it is still the one that was read. A server that ignores conditions is found out when the lock is taken; there,
//! a look before each write does what it can.

mod errors;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Attribute, AttributeValue, Attributes, GetOptions, ObjectStoreExt as _};
use object_store::{PutMode, PutOptions, PutPayload, UpdateVersion};
use tokio::runtime::Runtime;

use self::errors::wrap;
use super::lease::{Board, Lease};
use super::{Lock, NewObject, Store, check_name};
use crate::error::{Error, Result};

/// Pieces that an object is collected in.
const PIECE: usize = 1 << 20;
/// One request takes no more, on any server.
const LARGEST: u64 = 5 << 30;
/// How often a write is tried whose answer did not come.
const ATTEMPTS: u32 = 6;
/// The metadata by which a writer knows its own object again.
const WRITER: &str = "lifeboat-writer";

/// Objects below a prefix of a bucket.
#[derive(Debug, Clone)]
pub struct BucketStore {
    bucket: Arc<dyn object_store::ObjectStore>,
    /// The same, with a retention for each object that is put.
    retaining: Option<Arc<dyn object_store::ObjectStore>>,
    prefix: String,
    runtime: Arc<Runtime>,
    /// Somebody took the lease away: nothing more is written.
    lost: Arc<AtomicBool>,
    /// The server takes no notice of conditions.
    careless: Arc<AtomicBool>,
    /// The bucket keeps versions of what is removed, as what was read from it shows.
    versioned: Arc<AtomicBool>,
    /// The server checks each object against the SHA-256 that it is sent with.
    proven: bool,
}

impl BucketStore {
    /// A vault below `prefix` (which may be empty) of any storage that `object_store` knows.
    pub fn new(bucket: Arc<dyn object_store::ObjectStore>, prefix: &str) -> Result<Self> {
        let prefix = prefix.trim_matches('/').to_owned();
        // The thread drives connections; the work itself is done on the threads that ask.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = Arc::new(runtime.map_err(|error| Error::io("starting", "object storage", error))?);
        let [lost, careless, versioned] = std::array::from_fn(|_| Arc::default());
        Ok(BucketStore { bucket, retaining: None, prefix, runtime, lost, careless, versioned, proven: false })
    }

    /// The same, of a server that checks each object against the SHA-256 that it is sent with.
    pub(super) fn proven(self) -> Self {
        BucketStore { proven: true, ..self }
    }

    /// Objects that are written once are put through `bucket`, which retains them.
    pub(super) fn retaining(self, bucket: Arc<dyn object_store::ObjectStore>) -> Self {
        BucketStore { retaining: Some(bucket), ..self }
    }

    /// What an object is put through. The log grows, and the lock and notes go: retained, each of their versions would stay.
    fn bucket_for(&self, name: &str) -> &dyn object_store::ObjectStore {
        let passing = ["lock", "erasing", "audit", "unused"].contains(&name.split('/').next().unwrap_or(name));
        self.retaining.as_deref().filter(|_| !passing).unwrap_or(self.bucket.as_ref())
    }

    fn path(&self, name: &str) -> Result<Path> {
        check_name(name)?;
        Path::parse(format!("{}/{name}", self.prefix)).map_err(|error| Error::invalid(name, error.to_string()))
    }

    fn wait<T>(
        &self,
        doing: &'static str,
        name: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        self.runtime.block_on(work).map_err(|error| wrap(doing, name, error))
    }

    /// The whole object and its ETag; none when it is not there.
    fn fetch(&self, name: &str, limit: u64) -> Result<Option<(Vec<u8>, Option<String>)>> {
        let path = self.path(name)?;
        let fetched = self.wait("reading", name, async {
            let answer = self.bucket.get(&path).await?;
            let (size, mark) = (answer.meta.size, answer.meta.e_tag.clone());
            // Without versions there is none, or one that is called so.
            if answer.meta.version.as_ref().is_some_and(|version| version != "null") {
                self.versioned.store(true, Ordering::Relaxed);
            }
            Ok((if size > limit { Err(size) } else { Ok(answer.bytes().await?) }, mark))
        });
        match fetched {
            Ok((Ok(bytes), mark)) => Ok(Some((bytes.to_vec(), mark))),
            Ok((Err(size), _)) => {
                Err(Error::corrupt(name, format!("{size} bytes, larger than the {limit} it may have")))
            }
            Err(Error::NotFound { object }) if object == name => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts an object; false when the condition does not hold. Tried again when no answer came: what an earlier try has put there is
    /// known by the writer's mark.
    fn put(&self, name: &str, payload: &PutPayload, mode: &PutMode) -> Result<bool> {
        let path = self.path(name)?;
        let mode = self.possible(name, mode)?;
        let Some(mode) = mode else { return Ok(false) };
        let mut random = [0; 16];
        crate::seal::random(&mut random)?;
        let mark: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut attempt = 0;
        loop {
            let mut attributes = Attributes::new();
            attributes.insert(Attribute::Metadata(WRITER.into()), AttributeValue::from(mark.clone()));
            let options = PutOptions { mode: mode.clone(), attributes, ..PutOptions::default() };
            let outcome = self.runtime.block_on(self.bucket_for(name).put_opts(&path, payload.clone(), options));
            attempt += 1;
            match outcome {
                Ok(_) => return Ok(true),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    return Ok(attempt > 1 && self.is_mine(&path, &mark));
                }
                Err(object_store::Error::Generic { .. }) if attempt < ATTEMPTS => {
                    std::thread::sleep(Duration::from_millis(100 << attempt));
                }
                Err(error) => return Err(wrap("writing", name, error)),
            }
        }
    }

    /// The mode that the server takes: conditions are looked at here where it ignores them. None when the condition does not hold.
    fn possible(&self, name: &str, mode: &PutMode) -> Result<Option<PutMode>> {
        if !self.careless.load(Ordering::Relaxed) {
            return Ok(Some(mode.clone()));
        }
        let path = self.path(name)?;
        let found = match self.wait("reading", name, self.bucket.head(&path)) {
            Ok(meta) => Some(meta.e_tag),
            Err(Error::NotFound { object }) if object == name => None,
            Err(error) => return Err(error),
        };
        let holds = match mode {
            PutMode::Create => found.is_none(),
            PutMode::Update(version) => found.as_ref() == Some(&version.e_tag),
            PutMode::Overwrite => true,
        };
        Ok(holds.then_some(PutMode::Overwrite))
    }

    fn is_mine(&self, path: &Path, mark: &str) -> bool {
        let head = GetOptions { head: true, ..GetOptions::default() };
        let found = self.runtime.block_on(self.bucket.get_opts(path, head));
        let wanted = Attribute::Metadata(WRITER.into());
        found.is_ok_and(|found| found.attributes.get(&wanted).is_some_and(|value| value.as_ref() == mark))
    }

    /// Refuses to write once somebody else has taken over.
    fn check_lease(&self) -> Result<()> {
        if !self.lost.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Error::Locked {
            object: "lock: it could not be renewed in time, and another writer may have it; nothing more is written"
                .into(),
        })
    }

    fn replace(&self, name: &str, bytes: Vec<u8>, replacing: Option<&str>) -> Result<bool> {
        let version = |mark: &str| UpdateVersion { e_tag: Some(mark.to_owned()), version: None };
        let payload = PutPayload::from(bytes);
        let Some(mark) = replacing else { return self.put(name, &payload, &PutMode::Create) };
        if self.put(name, &payload, &PutMode::Update(version(mark)))? {
            return Ok(true);
        }
        // Ceph's gateway (16) compares the condition with the ETag as it keeps it: without the quotes that it gave it with. The condition
        // means the same either way.
        let bare = mark.trim_matches('"');
        Ok(bare != mark && self.put(name, &payload, &PutMode::Update(version(bare)))?)
    }
}

impl Store for BucketStore {
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let found = self.fetch(name, limit)?;
        found.map(|(bytes, _)| bytes).ok_or_else(|| Error::NotFound { object: name.to_owned() })
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        let path = self.path(name)?;
        // A body that breaks off is asked for again from where it broke, on the condition that the object is the same.
        let stream = self.wait("opening", name, self.bucket.get(&path))?.into_stream();
        Ok(Box::new(Body { runtime: self.runtime.clone(), stream, piece: Default::default(), name: name.to_owned() }))
    }

    fn size(&self, name: &str) -> Result<u64> {
        let path = self.path(name)?;
        Ok(self.wait("reading", name, self.bucket.head(&path))?.size)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.list_sizes(prefix)?.into_iter().map(|(name, _)| name).collect())
    }

    fn list_sizes(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        let path = self.path(prefix)?;
        let found: Vec<_> = self.wait("listing", prefix, self.bucket.list(Some(&path)).try_collect())?;
        let below = if self.prefix.is_empty() { 0 } else { self.prefix.len() + 1 };
        let name = |meta: &object_store::ObjectMeta| meta.location.as_ref().get(below..).map(str::to_owned);
        let mut names: Vec<_> = found.iter().filter_map(|meta| Some((name(meta)?, meta.size))).collect();
        names.sort();
        Ok(names)
    }

    fn create(&self) -> Result<Box<dyn NewObject>> {
        self.check_lease()?;
        Ok(Box::new(Collected { store: self.clone(), pieces: Vec::new(), piece: Vec::new(), size: 0 }))
    }

    /// An object that was put is durable.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn proves_writes(&self) -> bool {
        self.proven
    }

    fn keeps_removed(&self) -> bool {
        self.versioned.load(Ordering::Relaxed)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.check_lease()?;
        // Servers call it a success when there was nothing.
        self.size(name)?;
        let path = self.path(name)?;
        self.wait("removing", name, self.bucket.delete(&path))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.check_lease()?;
        for _ in 0..ATTEMPTS {
            let (mut log, mark) = self.fetch(name, LARGEST)?.unwrap_or_default();
            log.extend_from_slice(bytes);
            if self.replace(name, log, mark.as_deref())? {
                return Ok(());
            }
        }
        Err(Error::Locked { object: format!("{name}: somebody else keeps appending to it") })
    }

    fn lock(&self) -> Result<Lock> {
        let lease = Lease::take(Arc::new(self.clone()), self.lost.clone())?;
        // A server that knows conditions refuses a second lease.
        let (held, _) = self.fetch("lock", 4096)?.ok_or_else(|| Error::NotFound { object: "lock".into() })?;
        let path = self.path("lock")?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let again = self.runtime.block_on(self.bucket.put_opts(&path, held.into(), options));
        let refused = matches!(again, Err(object_store::Error::AlreadyExists { .. }));
        self.careless.store(!refused, Ordering::Relaxed);
        Ok(Lock::held(lease))
    }
}

impl Board for BucketStore {
    fn read(&self) -> Result<Option<(Vec<u8>, String)>> {
        Ok(self.fetch("lock", 4096)?.map(|(bytes, mark)| (bytes, mark.unwrap_or_default())))
    }

    fn write(&self, lease: &[u8], replacing: Option<&str>) -> Result<bool> {
        self.replace("lock", lease.to_vec(), replacing)
    }

    fn remove(&self) -> Result<()> {
        let path = self.path("lock")?;
        self.wait("removing", "lock", self.bucket.delete(&path))
    }
}

/// An object as it comes.
struct Body {
    runtime: Arc<Runtime>,
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    piece: Bytes,
    name: String,
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(piece) => self.piece = piece.map_err(|e| io::Error::other(wrap("reading", &self.name, e)))?,
            }
        }
        let n = out.len().min(self.piece.len());
        out[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}

/// An object that is being written: in memory until it is complete.
struct Collected {
    store: BucketStore,
    pieces: Vec<Vec<u8>>,
    piece: Vec<u8>,
    size: u64,
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.capacity() == 0 {
            self.piece.reserve_exact(PIECE);
        }
        let n = bytes.len().min(PIECE - self.piece.len());
        self.size += n as u64;
        if self.size > LARGEST {
            return Err(io::Error::other("larger than the 5 GiB that object storage takes in one request"));
        }
        self.piece.extend_from_slice(&bytes[..n]);
        if self.piece.len() == PIECE {
            self.pieces.push(std::mem::take(&mut self.piece));
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewObject for Collected {
    fn commit(mut self: Box<Self>, name: &str) -> Result<()> {
        self.store.check_lease()?;
        self.pieces.push(std::mem::take(&mut self.piece));
        let payload: PutPayload = std::mem::take(&mut self.pieces).into_iter().map(Bytes::from).collect();
        if self.store.put(name, &payload, &PutMode::Create)? {
            return Ok(());
        }
        Err(Error::invalid(name, "exists already; objects of a vault are written once"))
    }
}
