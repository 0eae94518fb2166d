//! How a long operation tells its caller where it is. Knows no terminal.

/// Receives progress from any worker thread; every method does nothing unless implemented.
pub trait Progress: Sync {
    /// How much there is to do, once it is known (restore and verify know it at once, a backup does not).
    fn expect(&self, _bytes: u64, _entries: u64) {}
    /// More has been done: bytes of file content, and entries.
    fn advance(&self, _bytes: u64, _entries: u64) {}
}

/// No progress.
impl Progress for () {}
