//! Where a vault's objects lie. An object is written once under a temporary name and appears whole, or not at all.
//! Stores know names and bytes, nothing of what they mean.

#[cfg(feature = "object-store")]
mod bucket;
mod ext4;
mod folder;
mod lease;
#[cfg(feature = "object-store")]
mod s3;

use std::fmt::Debug;
use std::io::{Read, Write};

#[cfg(feature = "object-store")]
pub use bucket::BucketStore;
pub use ext4::Ext4Store;
pub use folder::FolderStore;
pub use lease::{Board, Lease};
#[cfg(feature = "object-store")]
pub use s3::S3;

use crate::error::{Error, Result};

/// A place that holds objects by name. Names are relative, `/` between components of `[A-Za-z0-9._-]`.
pub trait Store: Send + Sync + Debug {
    /// The whole object; [`crate::Kind::Corrupt`] when it is larger than `limit` bytes.
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>>;
    /// The object as a stream.
    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>>;
    /// Says that an object will be read soon. Does nothing where nothing can be fetched ahead.
    fn expect(&self, _name: &str) {}
    /// Size in bytes.
    fn size(&self, name: &str) -> Result<u64>;
    /// Names of all objects below the folder `prefix`, sorted; empty when there is no such folder.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;
    /// The same with each object's size in bytes.
    fn list_sizes(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        self.list(prefix)?.into_iter().map(|name| Ok((name.clone(), self.size(&name)?))).collect()
    }
    /// Begins a new object that gets its name when it is complete.
    fn create(&self) -> Result<Box<dyn NewObject>>;
    /// Makes every object committed so far durable under its name.
    fn sync(&self) -> Result<()>;
    /// Removes an object.
    fn remove(&self, name: &str) -> Result<()>;
    /// Removes objects in any order, durably on return. What is gone already is passed over.
    fn remove_all(&self, names: &[&str]) -> Result<()> {
        names.iter().try_for_each(|name| match self.remove(name) {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        })
    }
    /// Appends to an object, creating it, and makes it durable. For the audit log only.
    fn append(&self, name: &str, bytes: &[u8]) -> Result<()>;
    /// Takes the exclusive lock; held until the value is dropped, or its process ends in any way.
    fn lock(&self) -> Result<Lock>;

    /// Whether the other side itself compares the SHA-256 of what it stores, so that reading it back would show nothing new.
    fn proves_writes(&self) -> bool {
        false
    }

    /// Whether what is removed stays behind as a version, whose space is not free: as far as is known from what was read.
    fn keeps_removed(&self) -> bool {
        false
    }

    /// Writes a whole new object durably. Refuses a name that exists.
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut object = self.create()?;
        object.write_all(bytes).map_err(|source| Error::io("writing", name, source))?;
        object.commit(name)?;
        self.sync()
    }
}

/// An object that is being written. Dropped without [`NewObject::commit`] it leaves nothing behind.
pub trait NewObject: Write + Send {
    /// Makes the content durable and gives it its name, which is durable after [`Store::sync`]. Refuses a name that exists.
    fn commit(self: Box<Self>, name: &str) -> Result<()>;
}

/// The exclusive lock of a vault.
#[must_use]
pub struct Lock(#[expect(dead_code, reason = "held for its Drop, which lets go of the lock")] Option<Box<dyn Send>>);

impl Lock {
    /// A lock that is let go when `guard` is dropped.
    pub fn held(guard: impl Send + 'static) -> Self {
        Lock(Some(Box::new(guard)))
    }

    /// The lock of a store that nobody can write to.
    pub fn needless() -> Self {
        Lock(None)
    }
}

impl Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lock")
    }
}

/// Refuses names that could mean anything outside the vault.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let sound = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if name.split('/').all(sound) { Ok(()) } else { Err(Error::invalid(name, "no name of an object in a vault")) }
}
