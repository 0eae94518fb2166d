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
    differences_but(before, after, |_| false)
}

/// As [`differences`], without the lines that may have changed.
#[must_use]
pub fn differences_but(before: &str, after: &str, may_change: impl Fn(&str) -> bool) -> Vec<String> {
    let kept = |list: &str| list.lines().filter(|line| !may_change(line)).map(without_index).collect();
    let (old, new): (BTreeSet<String>, BTreeSet<String>) = (kept(before), kept(after));
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

/// Whether ext4 has a folder indexed hangs on the order in which its names came. Nobody sets that.
fn without_index(line: &str) -> String {
    match line.strip_prefix("flags ").and_then(|rest| rest.split_once(' ')) {
        Some((flags, path)) => format!("flags {} {path}", flags.replace('I', "-")),
        None => line.to_owned(),
    }
}

/// The times of the machine's name: where an entry of systemd-boot has it, systemd writes it down at every start.
#[must_use]
pub fn is_machine_id(line: &str) -> bool {
    line.starts_with("meta f 444 ") && line.ends_with(" etc/machine-id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_named_on_both_sides() {
        assert_eq!(differences("a 1\nb 2\n", "b 2\na 1\n"), Vec::<String>::new());
        assert_eq!(differences("a 1\nb 2\n", "a 1\nb 3\n"), ["only before: b 2", "only after: b 3"]);
    }

    #[test]
    fn an_index_is_no_difference_and_a_flag_that_somebody_set_is_one() {
        assert_eq!(differences("flags --I--- Id", "flags ------ Id"), Vec::<String>::new());
        assert_eq!(differences("flags --I-i- Id", "flags ------ Id").len(), 2);
    }

    #[test]
    fn what_may_change_hides_nothing_else_however_much_it_is() {
        let noise: String = (0..100).map(|n| format!("log {n}\n")).collect();
        let found = differences_but("a 1\n", &format!("{noise}a 2\n"), |line| line.starts_with("log"));
        assert_eq!(found, ["only before: a 1", "only after: a 2"]);
    }
}
