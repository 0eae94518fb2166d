//! `lifeboat key list`.

use serde::Serialize;
use vault::{Holder, RecipientKind};

use crate::cli::Reading;
use crate::commands::Context;
use crate::exit::{Exit, exit_of};
use crate::identity;
use crate::reading::Opened;

#[derive(Serialize)]
struct Report {
    schema: u32,
    /// Fingerprint of this host's signing key.
    signing: Option<String>,
    signers: Vec<Trusted>,
    vault: Option<VaultReport>,
}

#[derive(Serialize)]
struct Trusted {
    fingerprint: String,
    principals: String,
    namespaces: Option<String>,
    valid_after: Option<String>,
    valid_before: Option<String>,
}

#[derive(Serialize)]
struct VaultReport {
    id: String,
    /// Number of the description in force.
    description: u64,
    recipients: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    recipient: String,
    kind: String,
    name: String,
    since: String,
}

impl Row {
    fn of(holder: &Holder, sealed: &[String]) -> Self {
        let by_passphrase = sealed.iter().any(|name| *name == format!("identities/{}.age", holder.name));
        let kind = holder.recipient.kind();
        Self {
            recipient: holder.recipient.to_string(),
            kind: if by_passphrase && kind == RecipientKind::X25519 { "passphrase".into() } else { kind.to_string() },
            name: holder.name.clone(),
            since: holder.since.clone(),
        }
    }
}

/// Runs the command. Without a vault at hand it shows the host's keys alone.
///
/// # Errors
/// When a key file or the vault cannot be read, or the vault's description is refused.
pub fn run(context: &Context, reading: &Reading) -> anyhow::Result<Exit> {
    let signing = context.state.host_key().ok().map(|key| key.public().fingerprint());
    let vault = match Opened::open(context, reading) {
        Ok(opened) => Some(vault_report(&opened)?),
        Err(error) if reading.vault.is_none() && exit_of(&error) == Exit::NoVault => {
            eprintln!("no vault: {error:#}");
            None
        }
        Err(error) => return Err(error),
    };
    let signers = context.state.trusted()?.into_iter().map(|signer| Trusted {
        fingerprint: signer.key.fingerprint(),
        principals: signer.principals,
        namespaces: signer.namespaces,
        valid_after: signer.valid_after.map(|time| time.to_string()),
        valid_before: signer.valid_before.map(|time| time.to_string()),
    });
    let report = Report { schema: 1, signing, signers: signers.collect(), vault };
    context.print(&report, || text(&report))?;
    Ok(Exit::Done)
}

fn vault_report(opened: &Opened) -> anyhow::Result<VaultReport> {
    let sealed: Vec<String> = opened.vault.sealed_identities()?.into_iter().map(|(name, _)| name).collect();
    let description = &opened.vault.described().description;
    Ok(VaultReport {
        id: opened.vault.id().to_owned(),
        description: description.number,
        recipients: description.recipients.iter().map(|holder| Row::of(holder, &sealed)).collect(),
    })
}

fn text(report: &Report) -> String {
    let mut text = format!("signing key   {}\n", report.signing.as_deref().unwrap_or("none"));
    for signer in &report.signers {
        let after = signer.valid_after.as_ref().map(|time| format!(" from {time}"));
        let before = signer.valid_before.as_ref().map(|time| format!(" until {time}"));
        let period: String = after.into_iter().chain(before).collect();
        text += &format!("accepted      {} for {}{period}\n", signer.fingerprint, signer.principals);
    }
    let Some(vault) = &report.vault else { return text };
    text += &format!("vault         {}, description {}\n", vault.id, vault.description);
    for row in &vault.recipients {
        let name = if row.name.is_empty() { "-" } else { &row.name };
        let since = row.since.get(..10).unwrap_or("-");
        text += &format!("opened by     {:<12} {name:<16} since {since}  {}\n", row.kind, row.recipient);
    }
    if vault.recipients.iter().all(|row| row.kind.starts_with("plugin")) {
        text += identity::NO_RESCUE;
    }
    text
}
