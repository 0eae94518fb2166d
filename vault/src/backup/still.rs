//! What makes a tree stand still while it is read. How, is the caller's: snapshots of its storage, usually. This asks for it when the streams are
//! stored, so that what they say is no younger than the tree, and asks again whether it held when everything is read.

use std::path::PathBuf;

/// Something that makes the tree of a [`Backup`](super::Backup) stand still.
pub trait Still {
    /// The streams are stored, and nothing of the tree was looked at. Gives the folder that is read in the place of the root: the same tree, with
    /// the same mount points below it.
    ///
    /// # Errors
    /// Why there is nothing to read; then the run fails.
    fn begin(&self) -> Result<PathBuf, String>;

    /// Everything is read.
    ///
    /// # Errors
    /// What did not stand still. What was read is then worth nothing: the run fails with [`Error::Torn`](crate::Error::Torn), and the next one
    /// relies on nothing of it.
    fn held(&self) -> Result<(), String>;
}
