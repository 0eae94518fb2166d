//! The vault: can it be reached, and what does its newest snapshot say.

use jiff::Timestamp;

use super::Finding;
use crate::cli::Reading;
use crate::commands::Context;
use crate::reading::Opened;

const AREA: &str = "vault";

/// Looks at the vault that is named, configured, or on the stick.
pub fn look(context: &Context, reading: &Reading) -> Vec<Finding> {
    let newest = Opened::open(context, reading).and_then(|opened| {
        let manifest = opened.choose("latest")?;
        Ok((opened.place().to_string(), opened.unless_rolled_back(context, "latest", manifest)?))
    });
    let (place, manifest) = match newest {
        Ok(found) => found,
        Err(error) => {
            return vec![Finding::warning(AREA, format!("{error:#}"), "until then there is nothing to restore from")];
        }
    };
    let days = Timestamp::now().duration_since(manifest.finished).as_hours() / 24;
    let what = format!("{place}: snapshot {} of {}, {days} days old", manifest.serial, manifest.host_name);
    let stale = manifest.stale_after.is_some_and(|date| date < Timestamp::now());
    let mut findings = vec![match stale {
        true => Finding::warning(AREA, what + ", which is stale", "run `lifeboat backup`"),
        false => Finding::good(AREA, what),
    }];
    if manifest.host.is_none() {
        let what = "the newest snapshot is of a tree of files: nothing in it says how to make the disks";
        findings.push(Finding::warning(AREA, what, "back up the whole host: `lifeboat backup` without --source"));
    }
    if !manifest.problems.is_empty() {
        let what = format!("{} objects in the newest snapshot are not as they should be", manifest.problems.len());
        findings.push(Finding::note(AREA, what + "; `lifeboat show` names them"));
    }
    findings
}
