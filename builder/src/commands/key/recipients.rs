//! `lifeboat key add-recipient` and `remove-recipient`: a new description of the vault, signed.

use serde::Serialize;
use vault::Holder;

use crate::cli::key::{Passphrase, Target};
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::identity::{self, Recovered};
use crate::writing::Writing;
use crate::{audit, description, identity::PASSPHRASE_NAME};

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    description: u64,
    added: Vec<String>,
    removed: Option<String>,
    recipients: Vec<String>,
}

/// Lets another key open the runs to come.
///
/// # Errors
/// When the recipient cannot be used (2), is there already (30), or the vault is refused or cannot be written.
pub fn add(
    context: &Context,
    recipient: Option<&str>,
    name: Option<&str>,
    passphrase: &Passphrase,
    target: &Target,
) -> anyhow::Result<Exit> {
    let mut added = Recovered::default();
    if let Some(text) = recipient {
        added.add_recipients(text)?;
    }
    if passphrase.wanted() {
        added.add_passphrase(passphrase, name.unwrap_or(PASSPHRASE_NAME))?;
    }
    if let (Some(name), [holder]) = (name, added.holders.as_mut_slice()) {
        name.clone_into(&mut holder.name);
    }
    identity::check_usable(&added.holders)?;
    let report = change(context, target, "key add-recipient", |vault| {
        let present = &vault.described().description.recipients;
        let named = name.is_some() || passphrase.wanted();
        for holder in added.holders.iter_mut().filter(|_| !named) {
            // The comment of a key file is a name only as long as nobody else has it.
            if present.iter().any(|other| other.name == holder.name) {
                holder.name.clear();
            }
        }
        for holder in &added.holders {
            let same = |other: &&Holder| {
                other.recipient == holder.recipient || (!holder.name.is_empty() && other.name == holder.name)
            };
            if let Some(other) = present.iter().find(same) {
                let message =
                    format!("{} ({:?}) can open it already; nothing was changed", other.recipient, other.name);
                return Err(refusal(Exit::Guard, message));
            }
        }
        if let Some((name, file)) = &added.sealed {
            vault.put_sealed_identity(name, file)?;
        }
        let holders = [present.as_slice(), &added.holders].concat();
        Ok((holders, added.holders.iter().map(|holder| holder.recipient.to_string()).collect(), None))
    })?;
    context.print(&report, || {
        format!(
            "runs from now on can be opened by {} recipients, {} among them\n\
             runs before stay closed to it: their keys were sealed to others. A snapshot needs the earlier runs that hold its unchanged files, too: \
             docs/KEYS.md says how to store everything again, `lifeboat key check` what it opens",
            report.recipients.len(),
            report.added.join(", ")
        )
    })?;
    Ok(Exit::Done)
}

/// Keeps a key from opening the runs to come.
///
/// # Errors
/// When there is no such recipient (2), it is the last one (30), or the vault is refused or cannot be written.
pub fn remove(context: &Context, recipient: &str, target: &Target) -> anyhow::Result<Exit> {
    let report = change(context, target, "key remove-recipient", |vault| {
        let present = &vault.described().description.recipients;
        let wanted = recipient.trim();
        let is_it = |holder: &Holder| {
            holder.name == wanted || holder.recipient.to_string() == wanted || {
                let parsed: vault::Result<vault::Recipient> = wanted.parse();
                parsed.is_ok_and(|parsed| parsed == holder.recipient)
            }
        };
        let (gone, rest): (Vec<Holder>, Vec<Holder>) = present.iter().cloned().partition(is_it);
        match gone.first() {
            Some(gone) => Ok((rest, Vec::new(), Some(gone.recipient.to_string()))),
            None => Err(refusal(
                Exit::Usage,
                format!("{wanted:?} is no recipient of this vault, nor the name of one; see `lifeboat key list`"),
            )),
        }
    })?;
    context.print(&report, || {
        format!(
            "runs from now on can be opened by {} recipients, {} no longer among them\n\
             runs before stay open to it: it could have copied their keys long ago",
            report.recipients.len(),
            report.removed.as_deref().unwrap_or_default()
        )
    })?;
    Ok(Exit::Done)
}

/// Signs the recipients again, as they are: for hosts that are new to the vault, once the key that signed them was retired.
///
/// # Errors
/// When the vault is refused or cannot be written.
pub fn confirm(context: &Context, target: &Target) -> anyhow::Result<Exit> {
    let report = change(context, target, "key confirm", |vault| {
        Ok((vault.described().description.recipients.clone(), Vec::new(), None))
    })?;
    context
        .print(&report, || format!("confirmed: runs from now on can be opened by {}", report.recipients.join(", ")))?;
    Ok(Exit::Done)
}

type Changed = (Vec<Holder>, Vec<String>, Option<String>);

/// Puts the recipients that `decide` gives into force, under the lock, and records it.
fn change(
    context: &Context,
    target: &Target,
    operation: &str,
    decide: impl FnOnce(&vault::Vault) -> anyhow::Result<Changed>,
) -> anyhow::Result<Report> {
    let key = context.state.host_key()?;
    let writing = Writing::open(context, target.vault.as_ref(), None)?;
    let lock = writing.vault.lock()?;
    let report = audit::recorded(context, &writing.vault, operation, || {
        description::check_for_writing(context, &writing.vault)?;
        let (holders, added, removed) = decide(&writing.vault)?;
        let vault = description::change(&context.state, &writing.vault, &key, holders)?;
        let number = vault.described().description.number;
        let report = Report {
            schema: 1,
            vault: vault.id().to_owned(),
            description: number,
            added,
            removed,
            recipients: vault.recipients().iter().map(ToString::to_string).collect(),
        };
        let what = report.added.iter().chain(&report.removed).map(|recipient| format!("{recipient}, "));
        let detail = format!("{}description {number}", what.collect::<String>());
        Ok((report, detail, Exit::Done))
    })?;
    drop(lock);
    writing.close()?;
    Ok(report)
}
