//! `lifeboat key`: who can open a vault, and whose signatures count.

mod check;
mod list;
mod recipients;
mod signing;

use std::path::Path;

use serde::Serialize;
use vault::Identities;

use crate::cli::Key;
use crate::cli::key::{Identity, Passphrase};
use crate::commands::Context;
use crate::exit::Exit;
use crate::{identity, passphrase};

/// Runs the command.
///
/// # Errors
/// When a key or the vault cannot be read or written, or is refused.
pub fn run(context: &Context, args: &Key) -> anyhow::Result<Exit> {
    match args {
        Key::List(reading) => list::run(context, reading),
        Key::AddRecipient { recipient, name, passphrase, target } => {
            recipients::add(context, recipient.as_deref(), name.as_deref(), passphrase, target)
        }
        Key::RemoveRecipient { recipient, target } => recipients::remove(context, recipient, target),
        Key::Confirm(target) => recipients::confirm(context, target),
        Key::Rotate { accept_until, vault, yes } => {
            signing::rotate(context, accept_until.as_deref(), vault.as_ref(), *yes)
        }
        Key::Export => signing::export(context),
        Key::Trust { file } => signing::trust(context, file),
        Key::Identity(Identity::New { file, passphrase }) => new_identity(context, file, passphrase),
        Key::Check { reading, identity } => check::run(context, reading, identity),
    }
}

#[derive(Serialize)]
struct NewIdentity {
    schema: u32,
    file: String,
    recipient: String,
    passphrase: bool,
}

fn new_identity(context: &Context, file: &Path, from: &Passphrase) -> anyhow::Result<Exit> {
    let passphrase = from.wanted().then(|| passphrase::new(from)).transpose()?;
    let identities = Identities::generate();
    let bytes = match &passphrase {
        Some(passphrase) => identities.to_passphrase_file(passphrase)?,
        None => identities.to_file_text().into_bytes(),
    };
    identity::write_new(file, &bytes)?;
    let recipients: Vec<String> = identities.recipients().iter().map(ToString::to_string).collect();
    let report = NewIdentity {
        schema: 1,
        file: file.display().to_string(),
        recipient: recipients.join(" "),
        passphrase: passphrase.is_some(),
    };
    context.print(&report, || report.recipient.clone())?;
    eprintln!("The identity is in {}. Keep it apart from the stick; its recipient is printed above.", file.display());
    Ok(Exit::Done)
}
