//! Doing what a plan says: the vault's own files, then snapshot by snapshot its objects and its manifest, then the audit logs.

use vault::{Part, Progress, Store};

use anyhow::Context as _;

use super::Plan;
use crate::audit;
use crate::exit::{Exit, refusal};
use crate::reading::Opened;

/// The vault's first description; with it the vault is there, so what is in [`BEFORE`] goes first.
const FIRST: &str = "vault.json";
/// Folder of recovery identities.
const BEFORE: &str = "identities";
/// Folder of the descriptions that followed the first.
const AFTER: &str = "recipients";

/// Descriptions, identities and logs are refused above this size.
const SMALL: u64 = 256 << 20;

/// What a copy did.
#[derive(Debug, Default)]
pub struct Done {
    /// Objects that were carried.
    pub objects: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Objects that were read back and hashed.
    pub read_back: usize,
    /// Audit logs that were not brought up to date, each with the reason.
    pub audit: Vec<String>,
}

/// Carries everything. Cut at any point, the target holds whole snapshots, and the next copy goes on.
///
/// # Errors
/// When an object is not as signed (21), or reading or writing fails; the snapshots that were complete stay.
pub fn apply(plan: &mut Plan, from: &Opened, jobs: usize, all: bool, bar: &dyn Progress) -> anyhow::Result<Done> {
    let mut done = Done::default();
    copy_files(from.vault.store().as_ref(), plan.store.as_ref())?;
    let mut checked = std::collections::HashSet::new();
    for snapshot in &plan.snapshots {
        if all {
            let present: Vec<Part> =
                snapshot.plan.present.iter().filter(|part| !checked.contains(&part.name)).cloned().collect();
            plan.target.check(&present, jobs, bar)?;
            done.read_back += present.len();
            checked.extend(present.into_iter().map(|part| part.name));
        }
        // What an earlier snapshot brought along, or what reading back found to be damaged, is known now.
        let carry = plan.target.plan(&snapshot.manifest.contents);
        plan.target.carry(&from.vault, &carry, jobs, bar)?;
        done.objects += carry.missing.len() + carry.damaged.len();
        done.bytes += carry.bytes();
        let carried: Vec<Part> = carry.missing.into_iter().chain(carry.damaged).collect();
        if all || !plan.store.proves_writes() {
            let faults = plan.target.check(&carried, jobs, bar)?;
            if let Some(fault) = faults.first() {
                let message =
                    format!("{fault}: read back after it was copied; the medium does not keep what is written to it");
                return Err(refusal(Exit::Corrupt, message));
            }
            done.read_back += carried.len();
        }
        checked.extend(carried.into_iter().map(|part| part.name));
        if !snapshot.present {
            plan.target.put_signed(&snapshot.object, &snapshot.json, &snapshot.signature)?;
        }
        for old in &snapshot.amends {
            // The signature last: a manifest is never without.
            plan.store.remove(old)?;
            plan.store.remove(&format!("{old}.sig"))?;
        }
    }
    for (host, ..) in &plan.newest {
        done.audit.extend(copy_audit(&from.for_host(host.clone()), plan.store.as_ref())?);
    }
    Ok(done)
}

/// Brings the vault's own files along that are not there: they are written once, so what is there must be the same.
///
/// # Errors
/// Exit 22 when a description differs.
fn copy_files(from: &dyn Store, to: &dyn Store) -> anyhow::Result<()> {
    for name in files(from)? {
        let bytes = match from.read(&name, SMALL) {
            // Not every vault is signed.
            Err(vault::Error::NotFound { .. }) if name.ends_with(".sig") => continue,
            other => other?,
        };
        match to.read(&name, SMALL) {
            Err(vault::Error::NotFound { .. }) => to.write_new(&name, &bytes)?,
            Ok(there) if there == bytes => {}
            // A signature that a cut left alone, of a description that has come to be another since.
            Ok(_) if name.strip_suffix(".sig").is_some_and(|signed| to.size(signed).is_err()) => {
                to.remove(&name)?;
                to.write_new(&name, &bytes)?;
            }
            Ok(_) => {
                let message =
                    format!("{name} differs between the two vaults: they tell two stories; nothing was copied");
                return Err(refusal(Exit::RolledBack, message));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The vault's own files in the order in which they are safe to write: a signature before what it signs, later descriptions after earlier ones.
fn files(from: &dyn Store) -> anyhow::Result<Vec<String>> {
    let mut later = from.list(AFTER)?;
    let number = |name: &str| -> u64 {
        let file = name.rsplit_once('/').map_or(name, |(_, file)| file);
        file.split_once('.').and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
    };
    later.sort_by_key(|name| (number(name), !name.ends_with(".sig")));
    let first = [format!("{FIRST}.sig"), FIRST.to_owned()];
    Ok(from.list(BEFORE)?.into_iter().chain(first).chain(later).collect())
}

/// Appends the lines of the host's audit log that the target does not have. A log with lines of its own is left, and said so.
///
/// # Errors
/// When a log cannot be read, or the target's not written.
pub fn copy_audit(from: &Opened, to: &dyn Store) -> anyhow::Result<Option<String>> {
    let name = format!("audit/{}.log", from.host);
    let here = from.vault.audit(from.host.as_str())?;
    let there = match to.read(&name, SMALL) {
        Err(vault::Error::NotFound { .. }) => Vec::new(),
        other => other?,
    };
    let Some(rest) = here.strip_prefix(&there[..]) else {
        let newer = there.starts_with(&here);
        return Ok((!newer).then(|| format!("{name} has lines of its own at the target, and was left as it is")));
    };
    if rest.is_empty() {
        return Ok(None);
    }
    if let Err(error) = audit::read(&from.vault, &from.host, from.trusted()) {
        return Ok(Some(format!("{name} was not copied: {error:#}")));
    }
    to.append(&name, rest).context("appending to the audit log; the snapshots are copied")?;
    Ok(None)
}
