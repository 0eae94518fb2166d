//! `lifeboat init`: a vault in a folder, the host's signing key, a recovery identity.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use serde::Serialize;
use vault::{InitOptions, Vault};

use crate::cli::Init;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::{identity, medium};

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    signer: String,
    fingerprint: String,
    recipients: Vec<String>,
    identity_is_new: bool,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds something (30), consent is missing (31), or writing fails.
pub fn run(context: &Context, args: &Init) -> anyhow::Result<Exit> {
    consent(args.yes, &format!("make a vault in {}?", args.vault.display()))?;
    let store = medium::new_folder(&args.vault)?;
    let host = context.config.host_name()?;
    let key = context.state.host_key_or_new(&host)?;
    let (recipients, is_new) = identity::recipients_or_new(&args.identity)?;
    let mut options = InitOptions::new(recipients.clone());
    (options.segment_size, options.block_size) = (args.segment_size, args.block_size);
    let report = Report {
        schema: 1,
        signer: key.public().to_string(),
        fingerprint: key.public().fingerprint(),
        recipients: recipients.iter().map(ToString::to_string).collect(),
        identity_is_new: is_new,
        vault: Vault::init(store, &options)?.id().to_string(),
    };
    context.print(&report, || {
        format!(
            "vault      {}\nsigned by  {}\nopened by  {}",
            report.vault,
            report.fingerprint,
            report.recipients.join(", ")
        )
    })?;
    if is_new {
        eprintln!("{}", identity::notice(&args.identity));
    }
    Ok(Exit::Done)
}

/// Asks on the terminal; without one, or with another answer than `yes`, consent is missing.
///
/// # Errors
/// Exit 31.
pub fn consent(given: bool, question: &str) -> anyhow::Result<()> {
    if given {
        return Ok(());
    }
    let missing = || refusal(Exit::Approval, format!("not done: {question} needs --yes, or `yes` typed on a terminal"));
    if !std::io::stdin().is_terminal() {
        return Err(missing());
    }
    eprint!("{question} Type yes to go on: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(missing()) }
}
