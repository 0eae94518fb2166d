//! The whole way once, for people to watch: a workstation runs, is captured, dies, and comes back on another disk.
//!
//! Leaves `target/demo/report.json` and, at its end, a short table; exit 0 only when the restored machine is what was
//! captured, in every entry.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use qemu_tests::capture::{Captured, Source};
use qemu_tests::progress::Progress;
use qemu_tests::rescue::{Outcome, Patient, follow, nobody};
use qemu_tests::sample::Sample;
use qemu_tests::{census, lifeboat, place};
use serde::Serialize;
use serde_json::Value;
use vm::Bus;

/// Serial number of the new disk.
const NEW_DISK: &str = "LBREPLACEMENT";
/// Its size, in bytes: more than twice the old one.
const NEW_SIZE: u64 = 5 << 30;

/// What the run has shown; the file's format is version 1.
#[derive(Debug, Default, Serialize)]
struct Report {
    schema: u32,
    /// `restored`, or how far it came.
    verdict: String,
    firmware: &'static str,
    /// Regular files in the snapshot.
    files: u64,
    /// Bytes in them.
    source_bytes: u64,
    /// Bytes that the stick's image holds.
    stick_bytes: u64,
    /// Making the stick and the first snapshot, in the running workstation.
    capture_seconds: f64,
    /// From power-on of the replacement machine until the rescue could begin.
    rescue_ready_seconds: f64,
    /// From consent until everything was restored and compared.
    restore_seconds: f64,
    /// From power-on of the replacement machine until the restored workstation was up.
    recovery_seconds: f64,
    /// What is not as it was, for people.
    differences: Vec<String>,
}

fn main() -> ExitCode {
    let mut demo = match Demo::new() {
        Ok(demo) => demo,
        Err(error) => {
            eprintln!("demo: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let result = demo.run();
    if let Err(error) = &result {
        eprintln!("\ndemo: {error:#}");
        demo.report.differences.push(format!("{error:#}"));
    }
    if demo.report.differences.is_empty() {
        demo.report.verdict = "restored".to_owned();
    }
    let written = demo.write();
    if let Err(error) = &written {
        eprintln!("demo: {error:#}");
    }
    let good = demo.report.differences.is_empty() && written.is_ok();
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Demo {
    progress: Progress,
    folder: PathBuf,
    report: Report,
}

impl Demo {
    fn new() -> anyhow::Result<Self> {
        let folder = place::folder("demo")?;
        // A report that is left from an earlier run must not be taken for this one's.
        let _ = std::fs::remove_file(folder.join("report.json"));
        let report = Report { schema: 1, verdict: "failed".to_owned(), firmware: "uefi", ..Report::default() };
        Ok(Self { progress: Progress::default(), folder, report })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        self.progress.stage("sample workstation: Debian 12, GPT, ESP, swap, ext4 root and /home");
        let sample = Sample::get()?;
        if sample.accel == vm::Accel::Tcg {
            self.progress.stage("no usable KVM here: machines are emulated, ten to thirty times slower than real ones");
        }
        let (captured, before) = self.capture(&sample)?;
        let patient = Patient::new("demo", sample.accel, &self.folder, Bus::Sata, NEW_DISK, NEW_SIZE)?.uefi();
        let outcome = self.rescue(&patient, &captured)?;
        let restored = outcome.report()?;
        self.report.differences.extend(differences_of(restored, "rescue"));
        self.boot_and_compare(&patient, &captured, &before, outcome.ended)
    }

    /// Boots the workstation, captures it and lets it die.
    fn capture(&mut self, sample: &Sample) -> anyhow::Result<(Captured, String)> {
        self.progress.stage("the workstation boots (UEFI)");
        let mut source = Source::start(sample, &self.folder, "demo-source")?;
        self.progress.stage("the workstation is up; listing what it holds");
        let before = census::take(source.machine())?;
        self.progress.stage("in it: lifeboat create --backup, live, onto an empty USB stick");
        let progress = &mut self.progress;
        let seconds = source.create(|line| progress.passing(line))?;
        self.report.capture_seconds = rounded(seconds);
        self.progress.stage("in it: lifeboat order: consent to one unattended restore onto the replacement disk");
        source.order(NEW_DISK, "latest")?;
        let captured = source.die(&self.folder)?;
        self.progress.stage("the workstation is dead; its disk is gone");
        self.read_manifest(&captured)?;
        Ok((captured, before))
    }

    fn read_manifest(&mut self, captured: &Captured) -> anyhow::Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        let stick = std::fs::metadata(&captured.stick).context("reading the stick's size")?;
        self.report.stick_bytes = stick.blocks() * 512;
        let args = ["show", "--vault", &text(&captured.stick), "--signers", &text(&captured.signers), "--json"];
        let shown = lifeboat::done(&self.folder.join("state"), &args)?.json()?;
        let totals = shown.pointer("/contents/totals").context("`lifeboat show --json` names no totals")?;
        self.report.files = totals["files"].as_u64().unwrap_or(0);
        self.report.source_bytes = totals["bytes"].as_u64().unwrap_or(0);
        Ok(())
    }

    fn rescue(&mut self, patient: &Patient, captured: &Captured) -> anyhow::Result<Outcome> {
        self.progress.stage("a replacement machine with an empty, larger disk boots the stick (UEFI)");
        let mut running = patient.boot_stick(&captured.stick, Some(&captured.key))?;
        let progress = &mut self.progress;
        let outcome = follow(&mut running, nobody, |line| {
            if ["ready", "plan", "consent", "restored"].contains(&line) {
                progress.stage(&format!("rescue: {line}"));
            } else {
                progress.passing(&format!("rescue: {line}"));
            }
        })?;
        self.report.rescue_ready_seconds = outcome.ready.map(rounded).unwrap_or_default();
        let restore = outcome.restored.zip(outcome.consent).map(|(end, begin)| end.saturating_sub(begin));
        self.report.restore_seconds = restore.map(rounded).unwrap_or_default();
        Ok(outcome)
    }

    /// Boots the restored disk, and compares it while it boots: what the machine writes is kept off the image.
    fn boot_and_compare(
        &mut self,
        patient: &Patient,
        captured: &Captured,
        before: &str,
        rescue: Duration,
    ) -> anyhow::Result<()> {
        self.progress.stage("the restored disk boots alone; lifeboat attest compares it from outside meanwhile");
        let state = self.folder.join("state");
        let (disk, captured) = (patient.disk.clone(), captured.clone());
        let attest = std::thread::spawn(move || attest(&state, &disk, &captured));
        let begun = Instant::now();
        let mut running = patient.boot_disk("restored")?;
        self.report.recovery_seconds = rounded(rescue + begun.elapsed());
        self.progress
            .stage("the restored workstation is up, every service, filesystem and swap; comparing from inside");
        let after = census::take(&mut running)?;
        self.report.differences.extend(census::differences(before, &after));
        running.quit()?;
        let attested = attest.join().map_err(|_| anyhow::anyhow!("lifeboat attest: the thread panicked"))??;
        self.report.differences.extend(attested);
        Ok(())
    }

    fn write(&self) -> anyhow::Result<()> {
        let path = self.folder.join("report.json");
        let mut json = serde_json::to_string_pretty(&self.report)?;
        json.push('\n');
        std::fs::write(&path, json).with_context(|| format!("writing {}", path.display()))?;
        println!("{}\n{}", self.table(), path.display());
        Ok(())
    }

    fn table(&self) -> String {
        let report = &self.report;
        let mut table = String::new();
        let mut row = |name: &str, value: String| {
            // Writing to a string does not fail.
            let _ = writeln!(table, "  {name:<44} {value:>14}");
        };
        row("verdict", report.verdict.clone());
        row("firmware", report.firmware.to_owned());
        row("files", report.files.to_string());
        row("their content", format!("{} MB", report.source_bytes / 1_000_000));
        row("the stick holds", format!("{} MB", report.stick_bytes / 1_000_000));
        row("stick made and host captured", format!("{:.0} s", report.capture_seconds));
        row("power-on to rescue ready", format!("{:.0} s", report.rescue_ready_seconds));
        row("consent to restored and compared", format!("{:.0} s", report.restore_seconds));
        row("power-on to the workstation being up again", format!("{:.0} s", report.recovery_seconds));
        row("differences", report.differences.len().to_string());
        row("the whole run", format!("{} s", self.progress.elapsed().as_secs()));
        for difference in report.differences.iter().take(20) {
            let _ = writeln!(table, "  {difference}");
        }
        table
    }
}

/// `lifeboat attest`: the differences it finds.
fn attest(state: &Path, disk: &Path, captured: &Captured) -> anyhow::Result<Vec<String>> {
    let (disk, stick) = (text(disk), text(&captured.stick));
    let (identity, signers) = (text(&captured.identity), text(&captured.signers));
    let args = ["attest", &disk, "--vault", &stick, "--identity", &identity, "--signers", &signers, "--json"];
    let ended = lifeboat::run(state, &args)?;
    let found = differences_of(&ended.json()?, "attest");
    if found.is_empty() && ended.code != Some(0) {
        anyhow::bail!("lifeboat attest ended with {:?}: {}", ended.code, ended.stderr);
    }
    Ok(found)
}

fn differences_of(report: &Value, by: &str) -> Vec<String> {
    let lists = [&report["differences"], &report["problems"]];
    let entries = lists.into_iter().filter_map(Value::as_array).flatten();
    entries.map(|entry| format!("{by}: {entry}")).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Seconds with one decimal place.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
