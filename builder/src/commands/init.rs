//! `lifeboat init`: a vault in an empty place, the host's signing key, a recovery identity.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use serde::Serialize;
use vault::InitOptions;

use crate::cli::Init;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::identity::Recovered;
use crate::{audit, description};

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
    consent(args.yes, &format!("make a vault in {}?", args.vault))?;
    let store = args.vault.new_store(context)?;
    let host = context.config.host_name()?;
    let key = context.state.host_key_or_new(&host)?;
    let recovered = Recovered::gather(&args.recovery, None)?;
    let mut options = InitOptions::new(Vec::new());
    (options.segment_size, options.block_size) = (args.segment_size, args.block_size);
    let vault = description::init(&context.state, store, &key, &recovered, &options)?.named(args.vault.name());
    let opened_by = recovered.recipients();
    let detail = format!("opened by {}", opened_by.join(" "));
    audit::append(&context.state, &vault, &host, &key, "init", &detail, Exit::Done)?;
    let report = Report {
        schema: 1,
        signer: key.public().to_string(),
        fingerprint: key.public().fingerprint(),
        recipients: opened_by,
        identity_is_new: recovered.new_file.is_some(),
        vault: vault.id().to_owned(),
    };
    context.print(&report, || {
        format!(
            "vault      {}\nsigned by  {}\nopened by  {}",
            report.vault,
            report.fingerprint,
            report.recipients.join(", ")
        )
    })?;
    eprint!("{}", recovered.notice());
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
