//! The audit log of a vault: one line for every operation, how it ended, in the log of the host that did it.
//!
//! [`append`] is the one place that writes a line; its caller holds the vault's lock. What reads a vault calls [`note`], which never fails: a
//! reader may have no key, no write access, or a copy before it whose log is the original's and stays as it is. Details name numbers
//! and kinds, never paths of files: the log lies in clear.
//!
//! This host remembers the head that it wrote in each place. A log in that place without it was cut.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use manifest::{AuditLog, Digest, HostKey, HostName, Signer};
use vault::Vault;

use crate::commands::Context;
use crate::exit::{Exit, exit_of, refusal};
use crate::state::State;

/// How long a reader waits for a run that is going on, before it leaves its line out.
const PATIENCE: Duration = Duration::from_secs(2);

/// Appends a line to a host's log. The caller holds the lock, or is alone with the vault.
///
/// # Errors
/// When the log that is there does not hold (20), was cut (22), or the line cannot be written.
pub fn append(
    state: &State,
    vault: &Vault,
    host: &HostName,
    key: &HostKey,
    operation: &str,
    detail: &str,
    exit: Exit,
) -> anyhow::Result<()> {
    let mut trusted = state.trusted()?;
    trusted.push(key.public().into());
    let log = read(vault, host, &trusted)?;
    refuse_cut(state, vault, host, &log)?;
    if !log.ended() {
        vault.audit_end_line(host.as_str())?;
    }
    let line = log.next(operation, detail, exit as u8, key)?;
    let line = line.trim_end();
    vault.audit_append(host.as_str(), line)?;
    remember(state, vault, host, &Digest::of(line.as_bytes()))
}

/// Runs `work` under the vault's lock, which the caller holds, and records how it ended: `Ok` by what it gives, `Err` by its exit code. An
/// error of `work` is not hidden by one of the log.
///
/// # Errors
/// Those of `work`; and of [`append`], when `work` was done.
pub fn recorded<T>(
    context: &Context,
    vault: &Vault,
    operation: &str,
    work: impl FnOnce() -> anyhow::Result<(T, String, Exit)>,
) -> anyhow::Result<T> {
    let (host, key) = (context.config.host_name()?, context.state.host_key()?);
    match work() {
        Ok((value, detail, exit)) => {
            append(&context.state, vault, &host, &key, operation, &detail, exit)
                .context("the vault's audit log; the operation itself is done")?;
            Ok(value)
        }
        Err(error) => {
            // The vault may be the very thing that is broken.
            if let Err(why) = append(&context.state, vault, &host, &key, operation, "failed", exit_of(&error)) {
                eprintln!("note: this failure is not in the audit log: {why:#}");
            }
            Err(error)
        }
    }
}

/// Records a reading operation, where this host keeps a log: in a vault that it writes to. Never fails; what hinders it is said.
pub fn note(context: &Context, vault: &Vault, operation: &str, detail: &str, exit: Exit) {
    let Ok(host) = context.config.host_name() else { return };
    let Ok(key) = context.state.host_key() else { return };
    let at_home = vault.place().and_then(|place| context.state.audit_head(vault.id(), &host, place).ok().flatten());
    if at_home.is_none() {
        return;
    }
    let write = || {
        let _lock = patiently(vault)?;
        append(&context.state, vault, &host, &key, operation, detail, exit)
    };
    match write() {
        Err(why) if !is_read_only(&why) => eprintln!("note: this is not in the audit log: {why:#}"),
        _ => {}
    }
}

/// A stick that is read without being mounted, a medium mounted read-only, a vault of somebody else: nothing to say of it.
fn is_read_only(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match error.downcast_ref::<vault::Error>() {
        Some(vault::Error::Invalid { .. }) => true,
        Some(vault::Error::Io { source, .. }) => matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem),
        _ => false,
    }
}

/// Records how a reading command ended, and hands its result on.
///
/// # Errors
/// Those of `result`.
pub fn noted(
    context: &Context,
    vault: &Vault,
    operation: &str,
    detail: &str,
    result: anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let exit = result.as_ref().map_or_else(exit_of, |exit| *exit);
    note(context, vault, operation, detail, exit);
    result
}

fn patiently(vault: &Vault) -> vault::Result<vault::Lock> {
    let began = Instant::now();
    loop {
        match vault.lock() {
            Err(error) if error.kind() == vault::Kind::Locked && began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => return other,
        }
    }
}

/// Reads a host's log and checks every line.
///
/// # Errors
/// When a line does not hold (20), naming it.
pub fn read(vault: &Vault, host: &HostName, trusted: &[Signer]) -> anyhow::Result<AuditLog> {
    let own: Vec<Signer> = trusted.iter().filter(|signer| signer.speaks_for(host)).cloned().collect();
    let text = vault.audit(host.as_str())?;
    AuditLog::verify(text, &own).with_context(|| format!("audit/{host}.log"))
}

/// Refuses a log without the line that this host wrote last in this place.
///
/// # Errors
/// Exit 22.
pub fn refuse_cut(state: &State, vault: &Vault, host: &HostName, log: &AuditLog) -> anyhow::Result<()> {
    let Some(place) = vault.place() else { return Ok(()) };
    match state.audit_head(vault.id(), host, place)? {
        Some(head) if !log.holds(&head) => Err(lacks(host, &head)),
        _ => Ok(()),
    }
}

/// Remembers the line that was written last.
///
/// # Errors
/// When the state cannot be written.
pub fn remember(state: &State, vault: &Vault, host: &HostName, head: &Digest) -> anyhow::Result<()> {
    vault.place().map_or(Ok(()), |place| state.set_audit_head(vault.id(), host, place, head))
}

/// The refusal of a log that lacks `head`.
pub fn lacks(host: &HostName, head: &Digest) -> anyhow::Error {
    refusal(
        Exit::RolledBack,
        format!(
            "audit/{host}.log lacks the line {head} that is known: its end was cut off, or it is an older copy; \
             `lifeboat audit accept` takes it as it is"
        ),
    )
}
