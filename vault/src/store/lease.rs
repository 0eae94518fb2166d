//! The lock of a store that has no locks: a small object that says who writes, and lapses unless it is renewed.
//!
//! Whoever finds it lapsed takes it over. That rests on clocks that agree within [`ALLOWANCE`] and, where the store can replace an
//! object only if it is still the one that was read, is exact; elsewhere two writers that begin in the same second may both get it.
//! Objects are never overwritten in either case, so the worst is a run that fails. Knows nothing of what is written under the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How long a lease holds after it was renewed.
const TERM: Duration = Duration::from_secs(120);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(30);
/// How far the clocks of two writers may differ.
const ALLOWANCE: Duration = Duration::from_secs(60);

/// Where a lease lies.
pub trait Board: Send + Sync + 'static {
    /// The lease and a mark of this very version of it; none when nobody has it.
    fn read(&self) -> Result<Option<(Vec<u8>, String)>>;
    /// Writes a lease where there is none, or instead of the version `replacing`. False when somebody else was faster.
    fn write(&self, lease: &[u8], replacing: Option<&str>) -> Result<bool>;
    /// Takes the lease away.
    fn remove(&self) -> Result<()>;
}

/// What the object holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// Drawn at random by each writer.
    writer: String,
    host: String,
    process: u32,
    /// Seconds since 1970, by the writer's clock.
    renewed: u64,
    /// Seconds that it holds from then on.
    holds: u64,
}

impl Note {
    fn mine() -> Result<Self> {
        let mut random = [0; 16];
        crate::seal::random(&mut random)?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let writer = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Note { writer, host, process: std::process::id(), renewed: now(), holds: TERM.as_secs() })
    }

    fn bytes(&self) -> Vec<u8> {
        // A struct of text and numbers always encodes; an empty lease would be taken for a damaged one, and refused.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn age(&self) -> u64 {
        now().saturating_sub(self.renewed)
    }

    fn lapsed(&self) -> bool {
        self.age() > self.holds + ALLOWANCE.as_secs()
    }

    /// For an error: who has it, since when, and when it can be taken over.
    fn holder(&self) -> Error {
        let (age, lapses) = (self.age(), self.holds + ALLOWANCE.as_secs());
        let object = format!(
            "lock, by process {} on {}, renewed {age} s ago; it lapses {lapses} s after its last renewal",
            self.process, self.host
        );
        Error::Locked { object }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A lease that is held, and renewed in the background until it is dropped.
#[derive(Debug)]
pub struct Lease {
    stop: Option<Sender<()>>,
    renewing: Option<std::thread::JoinHandle<()>>,
}

impl Lease {
    /// Takes the lease on `board`; `lost` is set should somebody take it away, and the store then writes nothing more.
    ///
    /// # Errors
    /// [`crate::Kind::Locked`] with its holder when somebody has it.
    pub fn take(board: Arc<dyn Board>, lost: Arc<AtomicBool>) -> Result<Self> {
        let note = Note::mine()?;
        let found = board.read()?;
        if let Some((bytes, _)) = &found {
            let other: Note = serde_json::from_slice(bytes).map_err(|_| {
                Error::corrupt("lock", "is no lease; if nobody writes to this vault, remove it and try again")
            })?;
            if !other.lapsed() {
                return Err(other.holder());
            }
        }
        let replacing = found.as_ref().map(|(_, mark)| mark.as_str());
        if !board.write(&note.bytes(), replacing)? || !is_mine(&*board, &note)? {
            return Err(holder_now(&*board));
        }
        lost.store(false, Ordering::SeqCst);
        let (stop, stopped) = channel();
        let renew = move || {
            let mut renewed = Instant::now();
            while stopped.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
                match renew(&*board, &note) {
                    Ok(true) => renewed = Instant::now(),
                    // Unreachable for a while is no loss yet: nobody else may take it before it has lapsed.
                    Err(_) if renewed.elapsed() + RENEWAL < TERM => {}
                    _ => lost.store(true, Ordering::SeqCst),
                }
            }
            if !lost.load(Ordering::SeqCst) && is_mine(&*board, &note).unwrap_or(false) {
                // What cannot be removed lapses.
                let _ = board.remove();
            }
        };
        let renewing = std::thread::Builder::new().name("lease".into()).spawn(renew);
        let renewing = renewing.map_err(|error| Error::io("renewing", "lock", error))?;
        Ok(Lease { stop: Some(stop), renewing: Some(renewing) })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(renewing) = self.renewing.take() {
            // A panic in there has been printed; the lease lapses.
            let _ = renewing.join();
        }
    }
}

fn current(board: &dyn Board) -> Result<Option<(Note, String)>> {
    let Some((bytes, mark)) = board.read()? else { return Ok(None) };
    Ok(serde_json::from_slice(&bytes).ok().map(|note| (note, mark)))
}

fn is_mine(board: &dyn Board, note: &Note) -> Result<bool> {
    Ok(current(board)?.is_some_and(|(found, _)| found.writer == note.writer))
}

fn renew(board: &dyn Board, note: &Note) -> Result<bool> {
    match current(board)? {
        Some((found, mark)) if found.writer == note.writer => {
            board.write(&Note { renewed: now(), ..note.clone() }.bytes(), Some(&mark))
        }
        _ => Ok(false),
    }
}

fn holder_now(board: &dyn Board) -> Error {
    match current(board) {
        Ok(Some((note, _))) => note.holder(),
        Ok(None) => Error::Locked { object: "lock, by somebody who let go of it just now; try again".into() },
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::Kind;

    #[derive(Default)]
    struct Paper(Mutex<Option<Vec<u8>>>);

    impl Paper {
        fn note(&self) -> Option<Note> {
            Some(serde_json::from_slice(self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?).unwrap())
        }
    }

    impl Board for Paper {
        fn read(&self) -> Result<Option<(Vec<u8>, String)>> {
            let bytes = self.0.lock().unwrap().clone();
            Ok(bytes.map(|bytes| (bytes.clone(), crate::Digest::sha256(&bytes).to_string())))
        }
        fn write(&self, lease: &[u8], replacing: Option<&str>) -> Result<bool> {
            let mut paper = self.0.lock().unwrap();
            let mark = paper.as_ref().map(|bytes| crate::Digest::sha256(bytes).to_string());
            let fits = mark.as_deref() == replacing;
            if fits {
                *paper = Some(lease.to_vec());
            }
            Ok(fits)
        }
        fn remove(&self) -> Result<()> {
            *self.0.lock().unwrap() = None;
            Ok(())
        }
    }

    #[test]
    fn a_second_writer_is_told_who_has_the_lease_until_it_is_let_go() {
        let board = Arc::new(Paper::default());
        let lease = Lease::take(board.clone(), Arc::default()).unwrap();
        let error = Lease::take(board.clone(), Arc::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Locked);
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(lease);
        assert_eq!(board.note(), None);
        drop(Lease::take(board, Arc::default()).unwrap());
    }

    #[test]
    fn a_lapsed_lease_is_taken_over_and_its_holder_learns_of_it() {
        let board = Arc::new(Paper::default());
        let first = Note { renewed: now() - 200, ..Note::mine().unwrap() };
        board.write(&first.bytes(), None).unwrap();
        let lease = Lease::take(board.clone(), Arc::default()).unwrap();
        assert_ne!(board.note().unwrap().writer, first.writer);
        assert!(!renew(&*board, &first).unwrap());
        drop(lease);
        let fresh = Note { renewed: now() - 150, ..first };
        board.write(&fresh.bytes(), None).unwrap();
        assert_eq!(Lease::take(board.clone(), Arc::default()).unwrap_err().kind(), Kind::Locked);
    }

    #[test]
    fn what_is_no_lease_is_not_taken_over() {
        let board = Arc::new(Paper::default());
        board.write(b"something", None).unwrap();
        assert_eq!(Lease::take(board, Arc::default()).unwrap_err().kind(), Kind::Corrupt);
    }
}
