//! What would hinder a restore, found before the disaster. Looks, and changes nothing but one thing: snapshots that a killed run has left are removed.
//!
//! One file for each thing that a restore needs: what a stick is made from ([`parts`]), Secure Boot ([`secure_boot`]), this host's
//! storage ([`host`]), the stick that was made ([`made`]), the vault ([`kept`]), the keys ([`keys`]) and what runs have left ([`snapshots`]). Each gives findings; the
//! worst of them is the verdict.

mod host;
mod kept;
mod keys;
mod made;
mod parts;
mod secure_boot;
mod snapshots;

use serde::Serialize;

use crate::cli::Doctor;
use crate::commands::Context;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing; nothing needs to be done.
    Note,
    /// It would hinder a restore.
    Warning,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `tools`, `stick`, `vault`.
    pub area: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it; empty where nothing needs to be done.
    pub remedy: String,
}

impl Finding {
    fn good(area: &'static str, what: impl Into<String>) -> Self {
        Self { area, level: Level::Good, what: what.into(), remedy: String::new() }
    }

    fn note(area: &'static str, what: impl Into<String>) -> Self {
        Self { area, level: Level::Note, what: what.into(), remedy: String::new() }
    }

    fn warning(area: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { area, level: Level::Warning, what: what.into(), remedy: remedy.into() }
    }
}

/// Looks at everything. Never fails: what cannot be looked at is a finding.
pub fn examine(context: &Context, args: &Doctor) -> Vec<Finding> {
    let mut findings = snapshots::look();
    let captured = host::captured(context, &args.live.root);
    let layout = captured.as_ref().ok().map(|captured| &captured.host.layout);
    findings.extend(parts::look(&args.live.root, args.rescue.as_deref(), layout));
    findings.extend(secure_boot::look(&args.live.root));
    findings.extend(host::look(captured.as_ref()));
    findings.extend(made::look(context, args));
    findings.extend(kept::look(context, &args.reading));
    findings.extend(keys::look(context));
    findings
}
