//! A report for people: one table for each work on each tree, then the targets. The same text serves the terminal and
//! the document, so that no figure is ever typed by hand.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::figures::{Figures, Median};
use crate::grid::Grid;
use crate::report::{Report, Work};
use crate::tool::Tool;
use crate::tree::Tree;

/// Between these lines of a document the program writes, and nobody else.
const BEGIN: &str = "<!-- written by `bench --markdown`: begin -->";
const END: &str = "<!-- end -->";

/// The two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Terminal,
    Markdown,
}

impl Form {
    fn heading(self, text: &str) -> String {
        match self {
            Self::Terminal => format!("\n{text}\n\n"),
            Self::Markdown => format!("\n### {text}\n\n"),
        }
    }

    fn grid(self, grid: &Grid) -> String {
        match self {
            Self::Terminal => grid.text(),
            Self::Markdown => grid.markdown(),
        }
    }
}

/// The whole report.
pub fn render(report: &Report, form: Form) -> String {
    let mut text = preamble(report);
    let figures = Figures::of(&report.measurements);
    for (tree, tally) in &report.trees {
        let held =
            if tally.data < tally.bytes / 2 { format!(" holding {}", bytes(tally.data as f64)) } else { String::new() };
        let size = bytes(tally.bytes as f64);
        for work in Work::ALL {
            let medians = figures.tools(*tree, work);
            if !medians.is_empty() {
                let heading =
                    format!("{}, {}: {} files, {size}{held}", tree.title(), title(work, *tree), number(tally.files));
                let _ = write!(text, "{}{}", form.heading(&heading), form.grid(&measured(&medians)));
            }
        }
    }
    let _ = write!(text, "{}{}", form.heading("Targets"), form.grid(&targets(report)));
    for tree in report.not_side_by_side() {
        let _ = writeln!(
            text,
            "\nNot side by side: on the tree `{}` a tool and Lifeboat were measured in different runs.",
            tree.name()
        );
    }
    for failure in &report.failures {
        let _ =
            writeln!(text, "\nFailed on the tree `{}`: {}: {}", failure.tree.name(), failure.tool.name(), failure.what);
    }
    text
}

fn preamble(report: &Report) -> String {
    let mut text = format!("{}.\n", report.machine);
    let rounds = report.measurements.iter().map(|one| one.round).max().unwrap_or(0);
    let days: std::collections::BTreeSet<&str> =
        report.measurements.iter().filter_map(|one| one.run.get(..10)).collect();
    let days: Vec<&str> = days.into_iter().collect();
    let cache = if report.cold { "page cache emptied before each command" } else { "sources in the page cache" };
    let _ = writeln!(text, "Measured on {}; up to {rounds} rounds; {cache}.", days.join(", "));
    if report.scale < 1.0 {
        let _ = writeln!(
            text,
            "Trees at {} of their size: for trying the program, not for judging the tools.",
            report.scale
        );
    }
    let versions: Vec<String> =
        report.tools.iter().map(|(tool, version)| format!("{}: {version}", tool.name())).collect();
    let _ = writeln!(text, "{}.", versions.join("; "));
    text
}

fn title(work: Work, tree: Tree) -> &'static str {
    match work {
        Work::First => "first backup",
        Work::Unchanged => "nothing changed",
        Work::Changed => tree.change(),
        Work::Restore => "restore",
    }
}

fn measured(medians: &[&Median]) -> Grid {
    let header = [
        "tool",
        "wall s",
        "least–most",
        "CPU s",
        "cores",
        "memory MB",
        "written MB",
        "repository MB",
        "of Lifeboat's wall",
    ];
    let mut grid = Grid::new(1, &header);
    for one in medians {
        let (least, most) = one.wall_spread;
        let flag = if one.tool == Tool::Lifeboat && one.memory > 256e6 { " (!)" } else { "" };
        grid.row(vec![
            one.tool.name().to_owned(),
            format!("{:.2}", one.wall),
            format!("{least:.2}–{most:.2} ({})", one.rounds),
            format!("{:.2}", one.cpu),
            format!("{:.1}", one.cpu / one.wall.max(1e-3)),
            format!("{:.0}{flag}", one.memory / 1e6),
            if one.work == Work::Restore { "–".to_owned() } else { format!("{:.1}", one.written / 1e6) },
            format!("{:.1}", one.repository / 1e6),
            one.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        ]);
    }
    grid
}

fn targets(report: &Report) -> Grid {
    let mut grid = Grid::new(2, &["work", "what", "Lifeboat", "against", "ratio", "limit", ""]);
    for one in &report.verdicts {
        let unit = |value: f64| if one.what.starts_with("time") { format!("{value:.2} s") } else { bytes(value) };
        grid.row(vec![
            format!("{}, {}", one.tree.name(), title(one.work, one.tree)),
            one.what.clone(),
            unit(one.ours),
            unit(one.theirs),
            format!("{:.2}", one.ratio),
            format!("{:.2}", one.limit),
            one.word(),
        ]);
    }
    grid
}

fn bytes(value: f64) -> String {
    if value >= 1e9 { format!("{:.2} GB", value / 1e9) } else { format!("{:.1} MB", value / 1e6) }
}

/// 1234567 as 1,234,567.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes the report between the two marks of a document.
///
/// # Errors
/// When the document cannot be read or written, or has no marks.
pub fn update(document: &Path, report: &Report) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(document).with_context(|| format!("reading {}", document.display()))?;
    let renewed = replace(&text, &render(report, Form::Markdown));
    let renewed = renewed.with_context(|| format!("{} has no lines `{BEGIN}` and `{END}`", document.display()))?;
    std::fs::write(document, renewed).with_context(|| format!("writing {}", document.display()))
}

fn replace(document: &str, section: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{section}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::report::tests::measurement;
    use crate::tree::Tally;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let document = format!("# Figures\n\n{BEGIN}\nold\n{END}\n\nrest\n");
        let once = replace(&document, "new\n").unwrap();
        assert_eq!(once, format!("# Figures\n\n{BEGIN}\n\nnew\n\n{END}\n\nrest\n"));
        assert_eq!(replace(&once, "new\n").unwrap(), once);
        assert!(replace("no marks", "new").is_none());
    }

    #[test]
    fn a_report_shows_medians_and_targets() {
        let mut report = Report::new(1.0, false, Machine::default());
        report
            .trees
            .insert(Tree::Root, Tally { files: 20_000, bytes: 1_000_000_000, data: 1_000_000_000, ..Tally::default() });
        let of = |tool, round, wall| measurement(Tree::Root, Work::First, tool, round, wall);
        report.measurements = vec![of(Tool::Lifeboat, 1, 4.0), of(Tool::Lifeboat, 2, 5.0), of(Tool::TarZstd, 1, 4.0)];
        let folder = tempfile::tempdir().unwrap();
        report.write(&folder.path().join("report.json")).unwrap();
        let text = render(&report, Form::Markdown);
        assert!(text.contains("### Debian root, first backup: 20,000 files, 1.00 GB\n"), "{text}");
        assert!(text.contains("| lifeboat | 4.50 | 4.00–5.00 (2) | 4.50 | 1.0 | 100 | 0.0 | 0.0 | 1.00 |\n"), "{text}");
        assert!(
            text.contains(
                "| root, first backup | time, against tar-zstd | 4.50 s | 4.00 s | 1.12 | 1.00 | missed by 12 % |"
            ),
            "{text}"
        );
    }
}
