//! What scenarios have in common: begin with the captured stick, end with a restored machine or an untouched disk.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use vm::{Accel, Bus};

use crate::capture::{Captured, captured};
use crate::rescue::{Outcome, Patient, Verdict, follow, nobody, same_census};
use crate::{lifeboat, place};

/// Size of a disk as large as the sample's own.
pub const SAME_SIZE: u64 = 2_217_738_240;
/// The number of the second snapshot.
pub const SECOND: u64 = 2;

/// One scenario: its folder and what it begins with.
#[derive(Debug)]
pub struct Scenario {
    /// Its name, which its machines and folders carry.
    pub name: &'static str,
    /// Where it makes its files.
    pub folder: PathBuf,
    /// The captured stick.
    pub captured: Captured,
    /// How machines run here.
    pub accel: Accel,
    begun: Instant,
    /// One scenario at a time, whoever started it: they share processors, logs and folders.
    _alone: File,
}

impl Scenario {
    /// Makes ready what `name` begins with.
    ///
    /// # Errors
    /// When the capture fails.
    pub fn begin(name: &'static str) -> anyhow::Result<Self> {
        Self::begin_with(name, captured)
    }

    /// As [`begin`](Self::begin), with a stick that was captured in another way.
    ///
    /// # Errors
    /// When the capture fails.
    pub fn begin_with(name: &'static str, captured: impl FnOnce() -> anyhow::Result<Captured>) -> anyhow::Result<Self> {
        let alone = place::hold("scenario")?;
        say(&format!("scenario {name}"));
        let captured = captured()?;
        let accel = crate::sample::Sample::get()?.accel;
        Ok(Self { name, folder: place::scratch(name)?, captured, accel, begun: Instant::now(), _alone: alone })
    }

    /// A machine with an empty disk.
    ///
    /// # Errors
    /// When the disk cannot be made.
    pub fn patient(&self, bus: Bus, serial: &str, size: u64) -> anyhow::Result<Patient> {
        Patient::new(self.name, self.accel, &self.folder, bus, serial, size)
    }

    /// Boots the stick on a patient, with the key plugged in, and follows it. There is an order, and nobody there.
    ///
    /// # Errors
    /// When the rescue does not come to an end.
    pub fn rescue(&self, patient: &Patient) -> anyhow::Result<Outcome> {
        let mut running = patient.boot_stick(&self.captured.stick, Some(&self.captured.key))?;
        let outcome = follow(&mut running, nobody, |_| ())?;
        self.times(&outcome);
        Ok(outcome)
    }

    /// Prints when a rescue was where.
    pub fn times(&self, outcome: &Outcome) {
        let at = |time: Option<std::time::Duration>| time.map_or("-".to_owned(), |time| time.as_secs().to_string());
        say(&format!(
            "    ready {} s, consent {} s, restored {} s, off {} s",
            at(outcome.ready),
            at(outcome.consent),
            at(outcome.restored),
            outcome.ended.as_secs()
        ));
    }

    /// The restored disk is what the snapshot says, seen from outside; then the machine boots from it alone, and what
    /// it holds is what the sample's own list says.
    ///
    /// # Errors
    /// When anything differs.
    pub fn prove(&self, patient: &Patient, snapshot: u64) -> anyhow::Result<()> {
        self.attest(&patient.disk, snapshot)?;
        let mut running = patient.boot_disk("restored")?;
        say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
        same_census(&mut running, &self.captured.census(snapshot)?)?;
        Ok(running.quit()?)
    }

    fn attest(&self, disk: &Path, snapshot: u64) -> anyhow::Result<()> {
        let text = |path: &Path| path.display().to_string();
        let (disk, stick) = (text(disk), text(&self.captured.stick));
        let (identity, signers) = (text(&self.captured.identity), text(&self.captured.signers));
        let snapshot = snapshot.to_string();
        let args = [
            "attest",
            &disk,
            "--vault",
            &stick,
            "--identity",
            &identity,
            "--signers",
            &signers,
            "--snapshot",
            &snapshot,
        ];
        lifeboat::done(&self.folder.join("state"), &[&args[..], &["--json"]].concat())?;
        Ok(())
    }

    /// Says that the scenario holds, and how long it took.
    pub fn held(self) {
        say(&format!("scenario {} holds, {} s", self.name, self.begun.elapsed().as_secs()));
    }

    /// A stick of the scenario's own, to be tampered with.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn own_stick(&mut self) -> anyhow::Result<()> {
        let copy = self.folder.join("stick.img");
        vm::copy_sparse(&self.captured.stick, &copy)?;
        self.captured.stick = copy;
        Ok(())
    }

    /// A machine whose disk holds somebody's data, for which there is an order; the stick must refuse with `code`, and
    /// the disk be the same to the last bit.
    ///
    /// # Errors
    /// When the stick does anything else.
    pub fn refuses(&self, code: u64) -> anyhow::Result<()> {
        let patient = self.occupied("LBREFUSED")?;
        let before = vm::sha256(&patient.disk)?;
        let outcome = self.rescue(&patient)?;
        let (found, message) = outcome.refusal()?;
        say(&format!("    refused with {found}: {message}"));
        ensure!(found == code, "refused with {found} instead of {code}: {message}");
        self.untouched(&patient, &before, &outcome)
    }

    /// A machine whose disk holds somebody's data.
    ///
    /// # Errors
    /// When the disk cannot be made.
    pub fn occupied(&self, serial: &str) -> anyhow::Result<Patient> {
        let patient = self.patient(Bus::Sata, serial, SAME_SIZE)?;
        let disk = std::fs::OpenOptions::new().write(true).open(&patient.disk)?;
        for place in [0, 1 << 20, SAME_SIZE / 2, SAME_SIZE - (1 << 20)] {
            let data = b"somebody's only copy\n".repeat(40_000);
            disk.write_all_at(&data, place).context("filling the disk")?;
        }
        Ok(patient)
    }

    /// Nothing was consented to and no bit of the disk has changed.
    ///
    /// # Errors
    /// When that is not so.
    pub fn untouched(&self, patient: &Patient, before: &str, outcome: &Outcome) -> anyhow::Result<()> {
        ensure!(outcome.count("step") == 0, "the rescue took a step: {:?}", outcome.events);
        ensure!(!matches!(outcome.verdict, Verdict::Restored(_) | Verdict::Failed(_)), "{:?}", outcome.verdict);
        ensure!(vm::sha256(&patient.disk)? == before, "the disk has changed");
        Ok(())
    }
}

/// A line for people, past the capture of the test harness, so that a long run shows where it is.
pub fn say(line: &str) {
    // A closed standard error is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}
