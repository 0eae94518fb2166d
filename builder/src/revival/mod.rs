//! Brings the guests of a restored hypervisor back from their archives, at its first start.
//!
//! 1. [`order`] checks the list that the rescue left, and puts the guests in their order.
//! 2. [`folder`] is locked: one run at a time.
//! 3. A platform is waited for ([`platform::Reviver::ready`]); one that does not come is tried again later, and nothing of it is touched.
//! 4. Each guest is brought back by its platform ([`platform::Reviver::revive`]), in steps that its [`record`] names: a run that was
//!    cut goes on from there. A guest that fails keeps none of the others from coming back.
//! 5. When every guest is decided, a mark keeps the unit from running again.
//!
//! Guests that came back as files of the host are looked at before that, by a run of its own ([`check`]).
//!
//! This module knows no platform. What a guest's archive must be like is [`archive`]'s to know; each platform has a file of its own.

pub mod archive;
pub mod check;
mod engine;
pub mod folder;
mod hold;
pub mod journal;
pub mod order;
pub mod platform;
mod proxmox;
pub mod record;
pub mod standing;

use std::path::PathBuf;
use std::time::Duration;

use manifest::Digest;
use manifest::host::{Guest, OfflineGuest, Platform, Revival};

use self::folder::{Folder, Locked};
use self::journal::Journal;
use self::platform::{Ended, Reviver};
use self::record::{Phase, Record};

/// What a run is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Root of the host.
    pub root: PathBuf,
    /// Only these guests, by identifier; none: all.
    pub only: Vec<String>,
    /// Also those that are back, or whose disks are there.
    pub again: bool,
    /// How long a platform is waited for.
    pub wait: Duration,
}

impl Asked {
    fn means(&self, guest: &Guest) -> bool {
        self.only.is_empty() || self.only.contains(&guest.id)
    }

    /// Whether a guest that stands as its record says is to be worked on.
    fn works_on(&self, record: &Record) -> bool {
        match record.phase {
            Phase::Restored => self.again,
            // Decided: only somebody who names it wants it again.
            phase if phase.is_decided() => self.vouches(),
            _ => true,
        }
    }

    /// Whoever names guests has seen to them: what their capture noted counts no more, and what failed is tried again.
    fn vouches(&self) -> bool {
        !self.only.is_empty()
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Summary {
    /// The snapshot that was restored.
    pub snapshot: u64,
    /// The guests that were meant, as they stand now.
    pub guests: Vec<Record>,
    /// Platforms that did not come, and why.
    pub later: Vec<String>,
}

/// What the steps of a guest need of the run.
#[derive(Debug)]
pub struct Run {
    /// The folder, locked.
    pub locked: Locked,
    /// The log.
    pub journal: Journal,
    /// Also what is there.
    pub again: bool,
    /// Guests that the rescue was to bring back itself, and what became of each.
    pub offline: Vec<OfflineGuest>,
}

impl Run {
    /// What became of a guest that the rescue was to bring back itself.
    pub fn offline(&self, guest: &Guest) -> Option<&OfflineGuest> {
        self.offline.iter().find(|offline| offline.id == guest.id)
    }

    /// A guest enters a phase: first in its record, then in the log.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn enter(&self, record: &mut Record, phase: Phase, text: impl Into<String>) -> anyhow::Result<()> {
        record.enter(phase, text);
        self.locked.keep(record)?;
        self.journal.guest(record, &record.detail);
        Ok(())
    }
}

/// Brings them back.
///
/// # Errors
/// When there is no list (10) or it is damaged (21), another run has the lock (11), a guest that is named runs (30), or what became of a
/// guest cannot be written down. A guest that does not come back is no error.
pub fn run(asked: &Asked) -> anyhow::Result<Summary> {
    let Begun { revival, digest, locked, journal } = begin(asked)?;
    let offline = locked.folder.offline(&digest).unwrap_or_else(|why| {
        journal.say(&format!(
            "{why}; what the rescue says of guests is not known, and disks that are there are left alone"
        ));
        Vec::new()
    });
    let run = Run { locked, journal, again: asked.again, offline };
    let mut later = Vec::new();
    let worked = revival.platforms.iter().try_for_each(|platform| {
        later.extend(platform_back(&run, asked, platform, &digest)?);
        anyhow::Ok(())
    });
    // A run that ends with an error leaves the unit as it found it where nothing is half done.
    let finished = finish(&run, asked, &revival, &digest, later);
    worked.and(finished)
}

/// What every run begins with: the list, found sound, and the lock.
struct Begun {
    revival: Revival,
    digest: Digest,
    locked: Locked,
    journal: Journal,
}

fn begin(asked: &Asked) -> anyhow::Result<Begun> {
    let folder = Folder::at(&asked.root);
    let (revival, digest) = folder.revival()?;
    order::check(&revival)?;
    order::check_named(&revival, &asked.only)?;
    let locked = folder.lock()?;
    let journal = Journal::open(&locked.folder.log());
    Ok(Begun { revival, digest, locked, journal })
}

/// Brings one platform's guests back; why it has to be later.
fn platform_back(run: &Run, asked: &Asked, platform: &Platform, digest: &Digest) -> anyhow::Result<Option<String>> {
    let Some(reviver) = platform::reviver(platform, &asked.root) else { return Ok(None) };
    let work = work(run, asked, platform, digest)?;
    if work.is_empty() {
        return Ok(None);
    }
    run.journal.say(&format!("{} of {} are to come back; waiting for it", count(work.len()), platform.kind));
    if let Err(why) = reviver.ready(asked.wait) {
        let text = format!("{} is not ready: {why}; no guest was touched", platform.kind);
        run.journal.say(&text);
        return Ok(Some(text));
    }
    // A run that is cut from here on is taken up at the next start.
    run.locked.set_done(digest, false)?;
    for (guest, mut record) in work {
        if asked.again && matches!(record.phase, Phase::Restored | Phase::Skipped) {
            record = Record::waiting(digest, platform, guest);
        }
        guest_back(run, reviver.as_ref(), guest, &mut record, asked.vouches())?;
    }
    Ok(None)
}

/// The guests of a platform that are to be worked on, in their order.
fn work<'a>(
    run: &Run,
    asked: &Asked,
    platform: &'a Platform,
    digest: &Digest,
) -> anyhow::Result<Vec<(&'a Guest, Record)>> {
    let mut work = Vec::new();
    for guest in order::guests(platform).into_iter().filter(|guest| asked.means(guest)) {
        let record = run.locked.folder.record(digest, platform, guest)?;
        if asked.works_on(&record) {
            work.push((guest, record));
        } else {
            run.journal.guest(&record, &standing::left(&record));
        }
    }
    Ok(work)
}

fn guest_back(
    run: &Run,
    reviver: &dyn Reviver,
    guest: &Guest,
    record: &mut Record,
    vouched: bool,
) -> anyhow::Result<()> {
    let ended = match (&guest.archive, reviver.as_files(guest, vouched)) {
        (Some(archive), _) => reviver.revive(run, guest, archive, record)?,
        (None, Some(ended)) => ended,
        (None, None) => {
            return run.enter(
                record,
                Phase::NoArchive,
                "no backup of it was known when the host was captured; nothing was changed",
            );
        }
    };
    match ended {
        Ended::Restored(text) => {
            record.kept_aside = false;
            run.enter(record, Phase::Restored, text)
        }
        Ended::Skipped(text) => run.enter(record, Phase::Skipped, text),
        Ended::Failed(text) => {
            let again = format!("{text}; try again by `lifeboat guests restore --only {}`", guest.id);
            run.enter(record, Phase::Failed, again)
        }
    }
}

fn finish(run: &Run, asked: &Asked, revival: &Revival, digest: &Digest, later: Vec<String>) -> anyhow::Result<Summary> {
    let mut guests = standing::records(&run.locked.folder, revival, digest)?;
    let done = guests.iter().all(|record| record.phase.is_decided());
    if done {
        run.locked.set_done(digest, true)?;
    }
    let all = guests.len();
    let well = guests.iter().filter(|record| record.phase.is_well()).count();
    let end = if done { "" } else { "; the others are not decided yet" };
    run.journal.say(&format!("{well} of {} are back or were left alone by rule{end}", count(all)));
    guests.retain(|record| asked.only.is_empty() || asked.only.contains(&record.id));
    Ok(Summary { snapshot: revival.snapshot, guests, later })
}

fn count(guests: usize) -> String {
    if guests == 1 { "1 guest".to_owned() } else { format!("{guests} guests") }
}
