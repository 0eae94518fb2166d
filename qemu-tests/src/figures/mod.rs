//! What `machines` measures, and how it is told. Every figure stands beside the one it is measured against, from the same run.

pub mod restoring;
pub mod waking;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::capture::Source;
use crate::sample::Sample;
use crate::{place, tamper};

/// Between these lines of a document the figures stand, and nothing else.
const BEGIN: &str = "<!-- written by `machines --markdown`: begin -->";
const END: &str = "<!-- machines: end -->";
/// Kernel and initramfs of one slot may take this much of the ESP.
const SLOT_LIMIT: f64 = 40e6;
/// Memory of the machine that the rescue must do with, in MiB.
pub const SMALL_MACHINE: u32 = 512;
/// Fills the sample up to a host of 1.25 GB.
const FILLING: &str = "head -c 500000000 /dev/urandom >/home/filling && sync";

/// One comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// Its unit.
    pub unit: String,
    /// Lifeboat's median, and every single measurement.
    pub own: Vec<f64>,
    /// What it is compared with.
    pub against: String,
    /// That one's measurements; one number for a limit.
    pub other: Vec<f64>,
    /// How many times the other the own may be; none for a figure that is only shown.
    pub limit: Option<f64>,
}

/// All of them; the file's format is version 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    schema: u32,
    /// How machines ran.
    accel: String,
    figures: Vec<Figure>,
}

impl Figure {
    fn median(values: &[f64]) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The own median by the other's.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        Self::median(&self.own) / Self::median(&self.other)
    }

    fn verdict(&self) -> String {
        match self.limit {
            None => "–".to_owned(),
            Some(limit) if self.ratio() <= limit => "reached".to_owned(),
            Some(limit) => format!("missed by {:.0} %", (self.ratio() / limit - 1.0) * 100.0),
        }
    }

    fn row(&self) -> String {
        let shown = |values: &[f64]| format!("{:.1} {}", Self::median(values), self.unit);
        let limit = self.limit.map_or_else(|| "–".to_owned(), |limit| format!("{limit:.2}"));
        format!(
            "| {} | {} ({}) | {} | {} ({}) | {:.2} | {limit} | {} |",
            self.what,
            shown(&self.own),
            self.own.len(),
            self.against,
            shown(&self.other),
            self.other.len(),
            self.ratio(),
            self.verdict()
        )
    }
}

impl Figures {
    /// What an earlier run left.
    ///
    /// # Errors
    /// When there is nothing, or it is of another version.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let figures: Self = serde_json::from_str(&text)?;
        ensure!(figures.schema == 1, "{} is of version {}", file.display(), figures.schema);
        Ok(figures)
    }

    /// Keeps them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, serde_json::to_string_pretty(self)?).with_context(|| format!("writing {}", file.display()))
    }

    /// As a table; the same for the terminal and a document.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "Machines ran under {}. Medians, with the number of measurements.\n\n\
             | what | Lifeboat | against | | ratio | limit | |\n|---|--:|---|--:|--:|--:|--:|\n",
            self.accel
        );
        for figure in &self.figures {
            let _ = writeln!(text, "{}", figure.row());
        }
        text
    }

    /// Writes the table between its marks in a document.
    ///
    /// # Errors
    /// When the document has no marks, or cannot be written.
    pub fn into_document(self, document: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(document).with_context(|| format!("reading {}", document.display()))?;
        let (head, rest) = text.split_once(BEGIN).with_context(|| format!("{} has no {BEGIN}", document.display()))?;
        let (_, tail) = rest.split_once(END).with_context(|| format!("{} has no {END}", document.display()))?;
        let text = format!("{head}{BEGIN}\n\n{}\n{END}{tail}", self.table());
        std::fs::write(document, text).with_context(|| format!("writing {}", document.display()))
    }
}

/// Where the figures are kept.
///
/// # Errors
/// When the folder cannot be made.
pub fn file() -> anyhow::Result<PathBuf> {
    Ok(place::folder("bench")?.join("machines.json"))
}

/// Measures everything, `rounds` times what varies.
///
/// # Errors
/// When a machine fails.
pub fn measure(rounds: usize) -> anyhow::Result<Figures> {
    let _alone = place::hold("scenario")?;
    let sample = Sample::get()?;
    let folder = place::scratch("machines")?;
    eprintln!("machines: a host of 1.25 GB is captured");
    let mut source = Source::start(&sample, &folder, "machines-source")?;
    source.machine().output(FILLING, restoring::LIMIT)?;
    source.create(|_| ())?;
    source.order(restoring::TARGET, "latest")?;
    let captured = source.die(&folder)?;

    let kernel = tamper::read_esp(&captured.stick, "lifeboat/a/vmlinuz")?;
    let initrd = tamper::read_esp(&captured.stick, "lifeboat/a/initrd.img")?;
    let mut figures = vec![Figure {
        what: "kernel and initramfs of a slot (zstd -3, as tests make it)".into(),
        unit: "MB".into(),
        own: vec![(kernel.len() + initrd.len()) as f64 / 1e6],
        against: "limit".into(),
        other: vec![SLOT_LIMIT / 1e6],
        limit: Some(1.0),
    }];
    figures.extend(waking::measure(&sample, &captured, &folder, &kernel, &initrd, rounds)?);
    figures.extend(restoring::measure(&sample, &captured, &folder, rounds)?);
    Ok(Figures { schema: 1, accel: format!("{:?}", sample.accel), figures })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(own: &[f64], other: &[f64], limit: Option<f64>) -> Figure {
        Figure { what: "w".into(), unit: "s".into(), own: own.into(), against: "a".into(), other: other.into(), limit }
    }

    #[test]
    fn a_missed_limit_says_by_how_much() {
        assert_eq!(figure(&[1.0, 9.0, 1.2], &[1.0], Some(1.3)).verdict(), "reached");
        assert_eq!(figure(&[2.6], &[1.0, 1.0], Some(1.3)).verdict(), "missed by 100 %");
        assert_eq!(figure(&[2.0], &[1.0], None).verdict(), "–");
    }
}
