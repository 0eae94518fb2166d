//! `lifeboat doctor`: what would hinder a restore, told before the disaster.

use serde::Serialize;

use crate::cli::Doctor;
use crate::commands::Context;
use crate::doctor::{self, Finding, Level};
use crate::exit::Exit;

/// What the command prints as JSON.
#[derive(Serialize)]
struct Report {
    schema: u32,
    verdict: &'static str,
    findings: Vec<Finding>,
}

/// Runs the command.
///
/// # Errors
/// When the report cannot be printed.
pub fn run(context: &Context, args: &Doctor) -> anyhow::Result<Exit> {
    let findings = doctor::examine(context, args);
    let ready = findings.iter().all(|finding| finding.level < Level::Warning);
    let verdict = if ready { "ready" } else { "warnings" };
    let report = Report { schema: 1, verdict, findings };
    context.print(&report, || text(&report))?;
    Ok(if ready { Exit::Done } else { Exit::Warnings })
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let word = match finding.level {
            Level::Good => "ok",
            Level::Note => "note",
            Level::Warning => "WARNING",
        };
        text += &format!("{word:<8} {:<12} {}\n", finding.area, finding.what);
        if !finding.remedy.is_empty() {
            text += &format!("{:<21} -> {}\n", "", finding.remedy);
        }
    }
    let warnings = report.findings.iter().filter(|finding| finding.level == Level::Warning).count();
    text += &match warnings {
        0 => "nothing here hinders a restore\n".to_owned(),
        1 => "1 thing would hinder a restore\n".to_owned(),
        more => format!("{more} things would hinder a restore\n"),
    };
    text
}
