//! This host's storage: what of it a backup covers, and what in it would not mean the same on another machine.

use std::path::Path;

use super::Finding;
use crate::capture::Captured;
use crate::commands::Context;
use crate::commands::backup::uncovered;

const AREA: &str = "coverage";

/// The host below `root`.
pub fn captured(context: &Context, root: &Path) -> anyhow::Result<Captured> {
    crate::commands::layout::captured(context, root)
}

/// What its capture says.
pub fn look(captured: Result<&Captured, &anyhow::Error>) -> Vec<Finding> {
    let host = match captured {
        Ok(captured) => &captured.host,
        Err(error) => {
            return vec![Finding::warning(AREA, format!("{error:#}"), "a backup of this host fails until then")];
        }
    };
    let waive = "lost with this host; if that is meant, waive it by name in the configuration";
    let mut findings: Vec<Finding> =
        uncovered(host).map(|item| Finding::warning(AREA, format!("not covered: {item}"), waive)).collect();
    if findings.is_empty() {
        findings.push(Finding::good(AREA, "everything on this host's disks is covered"));
    }
    let unused = host.coverage.unused_waivers.iter().map(|waiver| {
        Finding::warning(
            AREA,
            format!("the waiver {waiver:?} names nothing on this host"),
            "mend or remove it in the configuration",
        )
    });
    findings.extend(unused);
    findings.extend(host.gaps.iter().map(|gap| Finding::warning("host", format!("{}: {}", gap.what, gap.why), "")));
    findings
}
