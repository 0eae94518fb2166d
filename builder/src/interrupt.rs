//! Signals that ask for an early end. The first is taken note of, so that what was begun is put back in order; a second ends the program
//! at once, as it would without this.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Becomes true with the first signal.
pub type Flag = Arc<AtomicBool>;

/// Takes note of signals from here on.
///
/// # Errors
/// When the kernel does not allow it.
pub fn watch() -> anyhow::Result<Flag> {
    let stop = Flag::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The order counts: the flag is looked at before it is set.
        let second = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop));
        second.and_then(|_| flag::register(signal, Arc::clone(&stop))).context("taking note of signals")?;
    }
    Ok(stop)
}
