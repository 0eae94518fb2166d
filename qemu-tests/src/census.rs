//! The sample's own list of what it holds, taken from inside before the capture and after the restore.

use std::collections::BTreeSet;
use std::time::Duration;

use vm::Running;

/// The folders that are listed: data, settings and what the sample's own scripts are.
const FOLDERS: &str = "/home /root /etc /usr/local";
/// Hashing goes at 30 MB/s on an emulated processor.
const LIMIT: Duration = Duration::from_secs(240);
/// Differences that are named; the rest is counted.
const SHOWN: usize = 40;

/// Takes the list inside a running sample.
///
/// # Errors
/// When the guest does not answer, or the script fails.
pub fn take(running: &mut Running) -> anyhow::Result<String> {
    Ok(running.output(&format!("sh /usr/local/lib/sample/census.sh {FOLDERS}"), LIMIT)?)
}

/// What is in one list only, for people; empty when the lists say the same.
#[must_use]
pub fn differences(before: &str, after: &str) -> Vec<String> {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (before.lines().collect(), after.lines().collect());
    let gone = old.difference(&new).map(|line| format!("only before: {line}"));
    let come = new.difference(&old).map(|line| format!("only after: {line}"));
    let mut lines: Vec<String> = gone.chain(come).collect();
    if lines.len() > SHOWN {
        let more = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_named_on_both_sides() {
        assert_eq!(differences("a 1\nb 2\n", "b 2\na 1\n"), Vec::<String>::new());
        assert_eq!(differences("a 1\nb 2\n", "a 1\nb 3\n"), ["only before: b 2", "only after: b 3"]);
    }
}
