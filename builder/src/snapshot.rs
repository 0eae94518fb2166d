//! One run: what is captured goes into the vault, and the signed manifest over it comes last.
//!
//! The order matters: the vault is locked, the newest snapshot is verified and must be the one that this host knows, segments and
//! catalogue are written, then the manifest with its signature. A run that is cut before that leaves the vault as it was.

mod mounts;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use manifest::{
    BootFile, Consistency, FORMAT, Host, HostKey, HostName, Problem, Scope, Serial, Signer, Source, Verified, seal,
};
use vault::{Backup, Exclusion, Finished, Private, Stream, Vault};

use crate::capture::aside::Aside;
use crate::capture::still::{Outcome, Plan, Still};
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::feed::Feed;
use crate::hooks::Hooks;
use crate::progress::Bar;
use crate::reading::{Manifest, read_manifest, refuse_rollback};
use crate::state::{Newest, State};
use crate::{audit, description};

/// What one run captures.
pub struct Subject {
    /// The folder whose tree is the snapshot.
    pub root: PathBuf,
    /// Mount points below it that belong to the snapshot, absolute inside it.
    pub cross: Vec<PathBuf>,
    /// What is left out.
    pub exclude: Vec<Exclusion>,
    /// What is captured beside the tree: what commands write, and volumes block by block.
    pub streams: Vec<Feed>,
    /// The root, where there is no tree and the streams are all.
    pub nothing: Option<tempfile::TempDir>,
    /// Secrets of the machine that are sealed beside the tree.
    pub private: Vec<Private>,
    /// The machine, for a whole host.
    pub host: Option<Host>,
    /// What the capture of the machine found wanting.
    pub problems: Vec<Problem>,
    /// How it is stored.
    pub manner: Manner,
    /// How its filesystems are made to stand still, of a host.
    pub still: Option<Plan>,
    /// Mounts that the tree is read through.
    pub aside: Aside,
}

/// How a run stores, where not as usual.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// Everything afresh.
    pub full: bool,
    /// Blocks that a large file may have.
    pub most_blocks: Option<u64>,
}

/// Captures what `subject` gives into `vault`, once `hooks` have had their first turn; their last is the caller's. The stick's boot files, if any, are put under the same signature.
///
/// # Errors
/// When another run has the lock (11), the vault was rolled back (22), or the engine fails; the snapshots before stay as they are.
pub fn take(
    context: &Context,
    vault: &Vault,
    hooks: &Hooks<'_>,
    subject: impl FnOnce() -> anyhow::Result<Subject>,
    boot_files: Vec<BootFile>,
) -> anyhow::Result<Manifest> {
    let key = context.state.host_key()?;
    let host = context.config.host_name()?;
    let _lock = vault.lock()?;
    audit::recorded(context, vault, "backup", || {
        let manifest = store(context, vault, &host, &key, hooks, subject, boot_files)?;
        let (detail, exit) = (format!("snapshot {}", manifest.serial), exit_of(&manifest));
        Ok((manifest, detail, exit))
    })
}

fn store(
    context: &Context,
    vault: &Vault,
    host: &HostName,
    key: &HostKey,
    hooks: &Hooks<'_>,
    subject: impl FnOnce() -> anyhow::Result<Subject>,
    boot_files: Vec<BootFile>,
) -> anyhow::Result<Manifest> {
    let previous = newest(context, vault, host, key)?;
    let serial = Serial(previous.as_ref().map_or(1, |manifest| manifest.serial.0 + 1));
    let started = Timestamp::now();
    let problems = hooks.before()?;
    let mut subject = subject()?;
    subject.problems.splice(0..0, problems);
    let stands = || hooks.still();
    let still = subject.still.take().map(|plan| Still::new(plan, &stands));
    let mut finished = run_engine(context, vault, hooks, &subject, still.as_ref(), host, serial);
    while torn(&finished) && still.as_ref().is_some_and(Still::give_way) {
        eprintln!("lifeboat: a snapshot was full before all was read; what it is of is read again, live");
        finished = run_engine(context, vault, hooks, &subject, still.as_ref(), host, serial);
    }
    hooks.still();
    let finished = finished?;
    let outcome = still.as_ref().map(Still::close).unwrap_or_default();
    let sources = sources(&subject, &finished, still.as_ref(), &outcome);
    subject.problems.extend(mounts::problems(&subject, &finished, &outcome, &context.config.waive));
    subject.problems.extend(outcome.wrong.into_iter().map(|(object, what)| Problem { object, what }));
    let wrong = subject.aside.close();
    subject.problems.extend(wrong.into_iter().map(|what| Problem { object: "guests".to_owned(), what }));
    let manifest =
        describe(context, vault, subject, host, serial, started, previous.as_ref(), (finished, sources), boot_files)?;
    let (json, signature) = seal(&manifest, key)?;
    vault.put_manifest(host.as_str(), serial.0, &json, &signature)?;
    context.state.set_newest(vault.id(), host, &Newest { serial, digest: manifest::Digest::of(&json) })?;
    Ok(manifest)
}

/// The exit code that a finished run deserves.
pub fn exit_of(manifest: &Manifest) -> Exit {
    let host = manifest.host.as_ref();
    if host.is_some_and(|host| host.coverage.lacks_system()) {
        Exit::Failed
    } else if !manifest.problems.is_empty() || host.is_some_and(|host| host.coverage.uncovered().next().is_some()) {
        Exit::Warnings
    } else {
        Exit::Done
    }
}

/// Appends a line to the vault's audit log.
///
/// # Errors
/// When the log that is there does not verify, or the line cannot be written.
pub fn record(
    vault: &Vault,
    host: &HostName,
    key: &HostKey,
    operation: &str,
    detail: &str,
    exit: Exit,
) -> anyhow::Result<()> {
    audit::append(&State::here(), vault, host, key, operation, detail, exit)
        .context("the vault's audit log; the operation itself is done")
}

/// The newest snapshot of `host`, its signature checked, and not older than what this host knows.
///
/// # Errors
/// When it or the vault's description is refused (20), or the vault was rolled back (22).
pub fn newest(
    context: &Context,
    vault: &Vault,
    host: &HostName,
    key: &HostKey,
) -> anyhow::Result<Option<Verified<Manifest>>> {
    description::check_for_writing(context, vault)?;
    let serial = vault.serials(host.as_str())?.into_iter().max().map(Serial);
    let trusted = [vec![Signer::from(key.public())], context.state.trusted()?].concat();
    let newest = serial.map(|serial| read_manifest(vault, host, serial, &trusted)).transpose()?;
    let known = context.state.newest(vault.id(), host)?;
    refuse_rollback(known.as_ref(), newest.as_ref(), "the vault")?;
    if let Some((known, newest)) = known.zip(newest.as_ref()).filter(|(known, newest)| known.digest != *newest.digest())
    {
        refuse_backdated(&trusted, known.serial, newest)?;
    }
    Ok(newest)
}

/// A snapshot that this host does not remember making must be signed by a key that counts now: the thief of a retired key can give his
/// an earlier date, but not an earlier place in this host's memory.
fn refuse_backdated(trusted: &[Signer], known: Serial, newest: &Verified<Manifest>) -> anyhow::Result<()> {
    let now = Timestamp::now();
    if trusted.iter().any(|signer| signer.key == *newest.signer() && signer.counts_at(now)) {
        return Ok(());
    }
    let message = format!(
        "snapshot {} is newer than snapshot {known}, the newest that this host made, and is signed by {}, which signs no more: \
         somebody has that key and dated it back; nothing was written",
        newest.serial,
        newest.signer().fingerprint()
    );
    Err(refusal(Exit::Signature, message))
}

fn run_engine(
    context: &Context,
    vault: &Vault,
    hooks: &Hooks<'_>,
    subject: &Subject,
    still: Option<&Still<'_>>,
    host: &HostName,
    serial: Serial,
) -> anyhow::Result<Finished> {
    if !subject.root.is_dir() {
        return Err(refusal(
            Exit::Failed,
            format!("{} is no folder that can be read; nothing was stored", subject.root.display()),
        ));
    }
    let bar = Bar::new("capturing");
    let mut backup = Backup::new(subject.root.clone(), host.as_str(), serial.0);
    backup.cross.clone_from(&subject.cross);
    backup.cross.extend(still.map(Still::places_inside).unwrap_or_default());
    backup.exclude.clone_from(&subject.exclude);
    backup.full = subject.manner.full;
    backup.most_blocks = subject.manner.most_blocks.unwrap_or(backup.most_blocks);
    backup.private = &subject.private;
    let cache = context.state.cache(vault.id());
    // Streams alone have a memory of their own, so that the next capture of the tree still finds what it has stored.
    backup.cache = Some(if subject.nothing.is_some() { cache.join("streams") } else { cache });
    let open = |feed| Box::new(move || Feed::open(feed, hooks.stop())) as Box<dyn Fn() -> io::Result<Box<dyn Read>>>;
    let open: Vec<_> = subject.streams.iter().map(open).collect();
    let streams = subject.streams.iter().zip(&open);
    backup.streams =
        streams.map(|(feed, open)| Stream { path: feed.path.clone(), open, needed: feed.needed }).collect();
    backup.still = still.map(|still| still as &dyn vault::Still);
    backup.stop = hooks.stop().map(AsRef::as_ref);
    backup.progress = &bar;
    let finished = match vault.backup(&backup) {
        Err(error) if error.kind() == vault::Kind::Stopped => {
            let message =
                "interrupted by a signal; there is no new snapshot, and the next run takes up what was stored";
            return Err(refusal(Exit::Failed, message));
        }
        other => other.with_context(|| format!("capturing {}", subject.root.display()))?,
    };
    bar.finish();
    let needed =
        |problem: &&vault::Problem| subject.streams.iter().any(|feed| feed.needed && feed.path == problem.path);
    if let Some(problem) = finished.problems.iter().find(needed) {
        return Err(refusal(Exit::Failed, format!("{problem}; there is no new snapshot")));
    }
    if !finished.vanished.is_empty() {
        // Usual on a host that is in use: temporary files come and go.
        eprintln!("{} entries vanished before they were read; they are not in the snapshot", finished.vanished.len());
    }
    Ok(finished)
}

/// Whether a run failed because a snapshot did not hold.
fn torn(finished: &anyhow::Result<Finished>) -> bool {
    let is_torn = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<vault::Error>().is_some_and(|error| error.kind() == vault::Kind::Torn)
    };
    finished.as_ref().is_err_and(|error| error.chain().any(is_torn))
}

/// What was captured, by filesystem, and whether each stood still.
fn sources(subject: &Subject, finished: &Finished, still: Option<&Still<'_>>, outcome: &Outcome) -> Vec<Source> {
    let root = if subject.nothing.is_some() { "streams".into() } else { subject.root.to_string_lossy().into_owned() };
    let mut sources: BTreeMap<&str, Source> = BTreeMap::new();
    for share in &finished.shares {
        let path = Path::new("/").join(OsStr::from_bytes(share.path.as_bytes()));
        let place = still.map_or("/", |still| still.place_of(&path));
        let consistency = if outcome.still.contains(place) { Consistency::Snapshot } else { Consistency::Live };
        let path = if place == "/" { root.clone() } else { place.to_owned() };
        let source = sources.entry(place).or_insert(Source { path, entries: 0, bytes: 0, consistency });
        source.entries += share.entries;
        source.bytes += share.bytes;
    }
    sources.into_values().collect()
}

#[expect(clippy::too_many_arguments, reason = "a manifest is made of all of them, once")]
fn describe(
    context: &Context,
    vault: &Vault,
    subject: Subject,
    host_name: &HostName,
    serial: Serial,
    started: Timestamp,
    previous: Option<&Verified<Manifest>>,
    (finished, sources): (Finished, Vec<Source>),
    boot_files: Vec<BootFile>,
) -> anyhow::Result<Manifest> {
    let now = Timestamp::now();
    let days = i64::from(context.config.stale_after_days.unwrap_or(30));
    let mut problems = subject.problems;
    problems.extend(
        finished.problems.into_iter().map(|problem| Problem { object: problem.path.to_string(), what: problem.what }),
    );
    Ok(Manifest {
        format: FORMAT,
        vault: vault.id().parse()?,
        host_name: host_name.clone(),
        serial,
        previous: previous.map(|manifest| manifest.digest().clone()),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        finished: now,
        stale_after: Some(now.checked_add(SignedDuration::from_hours(24 * days))?),
        scope: if subject.host.is_some() { Scope::Host } else { Scope::Tree },
        sources,
        host: subject.host,
        problems,
        boot_files,
        contents: finished.contents,
        amended: Vec::new(),
    })
}
