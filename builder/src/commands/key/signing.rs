//! `lifeboat key rotate`, `export` and `trust`: whose signatures count.

use crate::location::Location;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use manifest::{HostKey, Signer};
use serde::Serialize;

use crate::commands::{Context, init};
use crate::exit::{Exit, refusal};
use crate::state::read_signers;
use crate::writing::Writing;
use crate::{audit, description};

#[derive(Serialize)]
struct Rotated {
    schema: u32,
    old: String,
    new: String,
    accepted_until: String,
    recorded: bool,
}

/// Makes a new signing key. The line that says so in the audit log is the last one under the old key, so whoever trusts the old one can
/// follow; the vault's recipients are confirmed under the new one.
///
/// # Errors
/// When there is no key, the time is none (2), consent is missing (31), the vault is refused, or the state cannot be written.
pub fn rotate(context: &Context, until: Option<&str>, vault: Option<&Location>, yes: bool) -> anyhow::Result<Exit> {
    let host = context.config.host_name()?;
    let old = context.state.host_key()?;
    let named = until.map(time).transpose()?;
    init::consent(yes, "make a new signing key for this host?")?;
    let new = HostKey::generate(&format!("lifeboat@{host}"))?;
    let recorded = match Writing::open(context, vault, None) {
        Ok(writing) => {
            let lock = writing.vault.lock()?;
            description::check_for_writing(context, &writing.vault).context("the key was not changed")?;
            // What the old key signs after its end does not count, this line neither.
            let signer = if named.is_some_and(|until| until <= Timestamp::now()) { &new } else { &old };
            let detail = format!("the next key is {}", new.public());
            audit::append(&context.state, &writing.vault, &host, signer, "key rotate", &detail, Exit::Done)
                .context("the key was not changed")?;
            Some((writing, lock))
        }
        Err(error) if vault.is_none() => {
            // A host may well change its key with no vault at hand.
            eprintln!("note: the change is not in an audit log: {error:#}");
            None
        }
        Err(error) => return Err(error.context("the key was not changed")),
    };
    // To the second, and not before the line that was just written.
    let now = Timestamp::from_second(Timestamp::now().as_second() + 1)?;
    let until = named.unwrap_or(now);
    context.state.rotate(&host, &new, until)?;
    let report = Rotated {
        schema: 1,
        old: old.public().fingerprint(),
        new: new.public().fingerprint(),
        accepted_until: until.to_string(),
        recorded: recorded.is_some(),
    };
    if let Some((writing, lock)) = recorded {
        let holders = writing.vault.described().description.recipients.clone();
        description::change(&context.state, &writing.vault, &new, holders).context(
            "the key is changed, but the vault's recipients are not confirmed by it; run `lifeboat key confirm`",
        )?;
        drop(lock);
        writing.close()?;
    }
    context.print(&report, || {
        format!(
            "signing key  {}\nformer key   {}, accepted for what it signed until {}\n\
             sticks       the next backup onto a stick gives its rescue system the new key; until then that refuses what the new key signs\n\
             elsewhere    wherever this host's key is trusted, add the lines of `lifeboat key export`",
            report.new, report.old, report.accepted_until
        )
    })?;
    Ok(Exit::Done)
}

fn time(text: &str) -> anyhow::Result<Timestamp> {
    let day = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    text.parse::<Timestamp>().ok().or_else(day).ok_or_else(|| {
        refusal(
            Exit::Usage,
            format!("{text:?} is no time: 2026-11-21 or 2026-11-21T12:00:00Z is wanted; nothing was done"),
        )
    })
}

#[derive(Serialize)]
struct Keys<'a> {
    schema: u32,
    signers: &'a [Signer],
}

/// Prints this host's keys as others need them.
///
/// # Errors
/// When there is no key.
pub fn export(context: &Context) -> anyhow::Result<Exit> {
    let signers = context.state.exported(&context.config.host_name()?)?;
    print(context, &signers)
}

/// Trusts another host's keys.
///
/// # Errors
/// When the file cannot be read or used, or the state cannot be written.
pub fn trust(context: &Context, file: &std::path::Path) -> anyhow::Result<Exit> {
    let known = context.state.trusted()?;
    let mut signers = read_signers(file)?;
    signers.retain(|signer| !known.contains(signer));
    context.state.add_signers(&signers)?;
    print(context, &signers)
}

fn print(context: &Context, signers: &[Signer]) -> anyhow::Result<Exit> {
    context.print(&Keys { schema: 1, signers }, || signers.iter().map(|signer| format!("{signer}\n")).collect())?;
    Ok(Exit::Done)
}
