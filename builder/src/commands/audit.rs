//! `lifeboat audit`: the log of what was done to a vault.

use manifest::{AuditLine, AuditLog, Digest};
use serde::Serialize;

use crate::audit;
use crate::cli::{Audit, Reading};
use crate::commands::{Context, init};
use crate::exit::{Exit, refusal};
use crate::reading::Opened;
use crate::writing::Writing;

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    vault: String,
    host: String,
    lines: usize,
    head: Digest,
    /// A write was cut at the end; the next line will account for it.
    cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    operations: Option<&'a [AuditLine]>,
}

impl<'a> Report<'a> {
    fn of(opened: &Opened, log: &'a AuditLog) -> Self {
        Self {
            schema: 1,
            vault: opened.vault.id().to_owned(),
            host: opened.host.to_string(),
            lines: log.lines().len(),
            head: log.head(),
            cut: log.cut().is_some(),
            operations: None,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When the vault cannot be read, the log does not hold (20), or lines are missing at its end (22).
pub fn run(context: &Context, args: &Audit) -> anyhow::Result<Exit> {
    match args {
        Audit::Verify { reading, head } => verify(context, reading, head.as_deref()),
        Audit::Show(reading) => show(context, reading),
        Audit::Head(reading) => head(context, reading),
        Audit::Accept { target, yes } => {
            init::consent(*yes, "take the audit log as it is, without the lines that are missing?")?;
            let writing = Writing::open(context, target.vault.as_ref(), None)?;
            accept(context, &writing)?;
            writing.close()?;
            Ok(Exit::Done)
        }
    }
}

fn open(context: &Context, reading: &Reading) -> anyhow::Result<(Opened, AuditLog)> {
    let opened = Opened::open(context, reading)?;
    let log = audit::read(&opened.vault, &opened.host, opened.trusted())?;
    Ok((opened, log))
}

fn verify(context: &Context, reading: &Reading, head: Option<&str>) -> anyhow::Result<Exit> {
    let wanted = head.map(str::parse::<Digest>).transpose();
    let wanted = wanted.map_err(|error| refusal(Exit::Usage, format!("--head: {error}")))?;
    let (opened, log) = open(context, reading)?;
    audit::refuse_cut(&context.state, &opened.vault, &opened.host, &log)?;
    if let Some(head) = wanted.filter(|head| !log.holds(head)) {
        return Err(audit::lacks(&opened.host, &head));
    }
    let report = Report::of(&opened, &log);
    context.print(&report, || {
        let cut = if report.cut { "; a write was cut after it" } else { "" };
        format!("{} lines of {}, signatures and chain hold; head {}{cut}", report.lines, report.host, report.head)
    })?;
    Ok(Exit::Done)
}

fn show(context: &Context, reading: &Reading) -> anyhow::Result<Exit> {
    let (opened, log) = open(context, reading)?;
    let report = Report { operations: Some(log.lines()), ..Report::of(&opened, &log) };
    context.print(&report, || log.lines().iter().map(text).collect())?;
    Ok(Exit::Done)
}

fn text(line: &AuditLine) -> String {
    let time = line.time.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("{:>6}  {time}  {:>3}  {:<22}  {}\n", line.number, line.exit, line.operation, line.detail)
}

fn head(context: &Context, reading: &Reading) -> anyhow::Result<Exit> {
    let (opened, log) = open(context, reading)?;
    let report = Report::of(&opened, &log);
    context.print(&report, || report.head.to_string())?;
    Ok(Exit::Done)
}

fn accept(context: &Context, writing: &Writing) -> anyhow::Result<()> {
    let vault = &writing.vault;
    let (host, key) = (context.config.host_name()?, context.state.host_key()?);
    let _lock = vault.lock()?;
    let log = audit::read(vault, &host, &context.state.trusted()?)?;
    audit::remember(&context.state, vault, &host, &log.head())?;
    let detail = format!("the log is taken as it is, with {} lines before this one", log.lines().len());
    audit::append(&context.state, vault, &host, &key, "audit accept", &detail, Exit::Done)
}
