//! The stick at work: booting it on a machine, following its events to their end, booting what it restored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use vm::{Bus, Card, Disk, Firmware, Machine, Running, VmError};

use crate::capture::STICK_SERIAL;
use crate::{census, place, sample};

/// Between two events of a rescue that works: making an initramfs anew is the longest, four minutes on an idle machine.
const EVENT_LIMIT: Duration = Duration::from_secs(900);
const END_LIMIT: Duration = Duration::from_secs(120);
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// The machine that is to be brought back.
#[derive(Clone, Debug)]
pub struct Patient {
    /// Name of the machine; its logs are called so.
    pub name: String,
    /// How machines run here.
    pub accel: vm::Accel,
    /// What starts it: [`Firmware::Bios`], [`Firmware::Uefi`] or [`Firmware::SecureBoot`].
    pub firmware: Firmware,
    /// The image of its disk.
    pub disk: PathBuf,
    /// How its disk is attached.
    pub bus: Bus,
    /// Serial number of its disk.
    pub serial: String,
    /// Its other disks: image and serial number of each, attached as the first one is.
    pub more: Vec<(PathBuf, String)>,
    /// The memory of its TPM, where it has one.
    pub tpm: Option<PathBuf>,
    /// Its network card.
    pub card: Option<Card>,
    /// Bytes of its disks' sectors, where they are not 512.
    pub sector: Option<u32>,
}

/// How the stick's work ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It restored; the report as the rescue sent it.
    Restored(Value),
    /// It refused before anything was written.
    Refused {
        /// Exit code of the command line contract.
        code: u64,
        /// Its words.
        message: String,
    },
    /// It failed on the way; the whole event.
    Failed(Value),
    /// It ended without having done anything.
    Nothing,
}

/// What a rescue did, and when. Times count from power-on.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// When it was ready to ask or to begin.
    pub ready: Option<Duration>,
    /// When it had consent.
    pub consent: Option<Duration>,
    /// When everything was restored and compared.
    pub restored: Option<Duration>,
    /// When the machine had switched off.
    pub ended: Duration,
    /// Every event, in order.
    pub events: Vec<Value>,
}

impl Outcome {
    /// The report of a restore without differences.
    ///
    /// # Errors
    /// When it ended in another way.
    pub fn report(&self) -> anyhow::Result<&Value> {
        match &self.verdict {
            Verdict::Restored(report) if report["verdict"] == "restored" => Ok(report),
            Verdict::Restored(report) => bail!("restored, and not as it was: {:#}", report["differences"]),
            other => bail!("the rescue ended otherwise: {other:?}"),
        }
    }

    /// The code and the words of a refusal.
    ///
    /// # Errors
    /// When it ended in another way.
    pub fn refusal(&self) -> anyhow::Result<(u64, &str)> {
        match &self.verdict {
            Verdict::Refused { code, message } => Ok((*code, message)),
            other => bail!("the rescue ended otherwise: {other:?}"),
        }
    }

    /// The first event of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn event(&self, name: &str) -> anyhow::Result<&Value> {
        self.events.iter().find(|event| event["event"] == name).with_context(|| format!("no event `{name}` came"))
    }

    /// How many events have this name.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.events.iter().filter(|event| event["event"] == name).count()
    }
}

impl Patient {
    /// A patient of this name with an empty disk of `size` bytes in `folder`.
    ///
    /// # Errors
    /// When the disk cannot be made.
    pub fn new(name: &str, accel: vm::Accel, folder: &Path, bus: Bus, serial: &str, size: u64) -> anyhow::Result<Self> {
        let disk = folder.join("disk.img");
        vm::blank(&disk, size)?;
        let (name, serial) = (name.to_owned(), serial.to_owned());
        let (more, tpm, card, sector) = (Vec::new(), None, None, None);
        Ok(Self { name, accel, firmware: Firmware::Bios, disk, bus, serial, more, tpm, card, sector })
    }

    /// Adds another empty disk, beside the first one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn and(mut self, serial: &str, size: u64) -> anyhow::Result<Self> {
        let image = self.disk.with_file_name(format!("{serial}.img"));
        vm::blank(&image, size)?;
        self.more.push((image, serial.to_owned()));
        Ok(self)
    }

    /// With a TPM that has never been used.
    #[must_use]
    pub fn with_tpm(mut self) -> Self {
        self.tpm = Some(self.disk.with_extension("tpm"));
        self
    }

    /// With a network card.
    #[must_use]
    pub fn with_card(mut self, card: Card) -> Self {
        self.card = Some(card);
        self
    }

    /// A machine with these disks.
    fn machine(&self, name: &str, disks: impl Iterator<Item = Disk>) -> anyhow::Result<Machine> {
        let machine = Machine::new(&format!("{}-{name}", self.name), place::logs()?, self.accel);
        let machine = disks.fold(machine.firmware(self.firmware.clone()), Machine::disk);
        let machine = self.card.into_iter().fold(machine, Machine::card);
        Ok(match &self.tpm {
            Some(state) => machine.tpm(state),
            None => machine,
        })
    }

    /// All its disks.
    fn disks(&self) -> impl Iterator<Item = Disk> {
        let first = std::iter::once((&self.disk, &self.serial));
        let disks = first.chain(self.more.iter().map(|(image, serial)| (image, serial)));
        disks.map(|(image, serial)| {
            let disk = Disk::new(image, self.bus, serial);
            self.sector.map_or(disk.clone(), |bytes| disk.sectors(bytes))
        })
    }

    /// Starts it from its own disks, with nothing else plugged in. What it writes is thrown away, so that the disks stay as the rescue
    /// left them.
    ///
    /// # Errors
    /// When it does not come up with every service, or with other filesystems than fstab names.
    pub fn boot(&self, name: &str) -> anyhow::Result<Running> {
        self.boot_beside(name, Vec::new())
    }

    /// As [`boot`](Self::boot), with more plugged in. What starts first is the firmware's affair.
    ///
    /// # Errors
    /// As [`boot`](Self::boot).
    pub fn boot_beside(&self, name: &str, more: Vec<Disk>) -> anyhow::Result<Running> {
        let mut running = self.machine(name, self.disks().map(Disk::snapshot).chain(more))?.start()?;
        sample::await_up(&mut running)?;
        running.output("findmnt --verify", COMMAND_LIMIT)?;
        Ok(running)
    }

    /// Starts by UEFI, with a variable store of its own.
    #[must_use]
    pub fn uefi(mut self) -> Self {
        self.firmware = Firmware::Uefi { vars: self.disk.with_extension("vars") };
        self
    }

    /// Starts by UEFI that enforces Secure Boot, with a variable store of its own.
    #[must_use]
    pub fn secure_boot(mut self) -> Self {
        self.firmware = Firmware::SecureBoot { vars: self.disk.with_extension("secure.vars") };
        self
    }

    /// Starts it from the stick; `key` is plugged in as well where there is one. What the rescue writes to the stick is
    /// thrown away.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn boot_stick(&self, stick: &Path, key: Option<&Path>) -> anyhow::Result<Running> {
        let mut plugged = plugged(stick, key);
        plugged[0] = plugged[0].clone().boot(0);
        Ok(self.machine("rescue", self.disks().chain(plugged))?.start()?)
    }

    /// As [`boot_stick`](Self::boot_stick), from a stick of the scenario's own, on which what the rescue writes stays: the next start goes on.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn boot_own_stick(&self, stick: &Path, key: Option<&Path>) -> anyhow::Result<Running> {
        let mut plugged = plugged(stick, key);
        plugged[0] = Disk::new(stick, Bus::Usb, STICK_SERIAL).boot(0);
        Ok(self.machine("rescue", self.disks().chain(plugged))?.start()?)
    }

    /// As [`boot_stick`](Self::boot_stick), where the firmware's own variables say that the stick comes first.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn boot_stick_by_variables(&self, stick: &Path, key: Option<&Path>) -> anyhow::Result<Running> {
        Ok(self.machine("rescue-again", self.disks().chain(plugged(stick, key)))?.start()?)
    }

    /// Starts it from its own disk, with nothing else plugged in. What it writes is thrown away, so that the disk stays
    /// as the rescue left it.
    ///
    /// # Errors
    /// When it does not come up with every service, without swap, or with other filesystems than fstab names.
    pub fn boot_disk(&self, name: &str) -> anyhow::Result<Running> {
        let mut running = self.boot(name)?;
        for place in ["/", "/home", "/boot/efi"] {
            running.output(
                &format!("findmnt --fstab --mountpoint {place} >/dev/null && findmnt {place}"),
                COMMAND_LIMIT,
            )?;
        }
        let swap = running.output("swapon --show=NAME --noheadings", COMMAND_LIMIT)?;
        let mut swap: Vec<&str> = swap.lines().map(str::trim).collect();
        swap.sort_by_key(|name| !name.starts_with("/dev/"));
        let whole = matches!(swap[..], [partition, "/var/swapfile"] if partition.starts_with("/dev/"));
        ensure!(whole, "the restored system swaps to {swap:?}, not to its partition and its file");
        Ok(running)
    }
}

/// The stick, and the key where there is one, as they are plugged in. What is written to them is thrown away.
#[must_use]
pub fn plugged(stick: &Path, key: Option<&Path>) -> Vec<Disk> {
    let sticks = std::iter::once((stick, STICK_SERIAL)).chain(key.map(|key| (key, "LBKEY")));
    sticks.map(|(image, serial)| Disk::new(image, Bus::Usb, serial).snapshot()).collect()
}

/// An answer for [`follow`]: there is an order and nobody there, so a question is a failure.
///
/// # Errors
/// Always.
pub fn nobody(what: &str) -> anyhow::Result<Option<String>> {
    bail!("the rescue asks for the {what}, though there is an order")
}

/// An answer for [`follow`]: silence.
///
/// # Errors
/// Never.
pub fn silence(_: &str) -> anyhow::Result<Option<String>> {
    Ok(None)
}

/// Follows a rescue to its end. `answer` gives what is typed at a question, nothing for silence; `tell` gets a line now
/// and then for people.
///
/// # Errors
/// When an event does not come in time, the guest is lost, `answer` fails, or the machine does not switch off.
pub fn follow(
    running: &mut Running,
    mut answer: impl FnMut(&str) -> anyhow::Result<Option<String>>,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome {
        verdict: Verdict::Nothing,
        ready: None,
        consent: None,
        restored: None,
        ended: Duration::ZERO,
        events: Vec::new(),
    };
    loop {
        let event = running.event(EVENT_LIMIT).context("following the rescue")?;
        let now = running.elapsed();
        let name = event["event"].as_str().unwrap_or_default().to_owned();
        tell(&sentence(&name, &event));
        match name.as_str() {
            "ready" => outcome.ready = outcome.ready.or(Some(now)),
            "consent" => outcome.consent = Some(now),
            "restored" => {
                outcome.restored = Some(now);
                outcome.verdict = Verdict::Restored(event["report"].clone());
            }
            "refused" => {
                let code = event["code"].as_u64().unwrap_or(0);
                let message = event["message"].as_str().unwrap_or_default().to_owned();
                outcome.verdict = Verdict::Refused { code, message };
            }
            "failed" => outcome.verdict = Verdict::Failed(event.clone()),
            "question" => {
                if let Some(line) = answer(event["what"].as_str().unwrap_or_default())? {
                    running.send(&format!("{line}\r"))?;
                }
            }
            _ => {}
        }
        let last = matches!(name.as_str(), "power-off" | "reboot" | "restored" | "refused" | "failed");
        outcome.events.push(event);
        if last {
            break;
        }
    }
    end(running)?;
    outcome.ended = running.elapsed();
    Ok(outcome)
}

/// Whoever stands at the machine has read it and presses Enter, until the machine is off.
fn end(running: &mut Running) -> anyhow::Result<()> {
    let presses = END_LIMIT.as_secs() / 2;
    for _ in 0..presses {
        match running.await_end(Duration::from_secs(2)) {
            Ok(()) => return Ok(()),
            // QEMU may end between the look and the key.
            Err(VmError::Late { .. }) => drop(running.send("\r")),
            Err(error) => return Err(error.into()),
        }
    }
    bail!("the rescue did not switch the machine off within {} s", END_LIMIT.as_secs());
}

fn sentence(name: &str, event: &Value) -> String {
    match name {
        "progress" => {
            let (done, of) = (event["bytes"].as_u64().unwrap_or(0), event["of"].as_u64().unwrap_or(0));
            let what = event["what"].as_str().unwrap_or("progress");
            format!("{what} {} of {} MB", done / 1_000_000, of / 1_000_000)
        }
        "step" => format!("step: {}", event["name"].as_str().unwrap_or_default()),
        "refused" | "failed" => format!("{name}: {}", event["message"].as_str().unwrap_or_default()),
        other => other.to_owned(),
    }
}

/// Compares what a restored system holds with the list that was taken before the capture.
///
/// # Errors
/// When something differs, with the differences.
pub fn same_census(running: &mut Running, before: &str) -> anyhow::Result<()> {
    let differences = census::differences(before, &census::take(running)?);
    ensure!(differences.is_empty(), "the restored system differs:\n{}", differences.join("\n"));
    Ok(())
}
