//! The sample workstation being captured live, from inside, onto an emulated USB stick.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vm::{Bus, Disk, Firmware, Machine, Running};

use crate::sample::{self, Sample};
use crate::{census, place};

/// Serial number of the stick.
pub const STICK_SERIAL: &str = "LBSTICK01";
/// Size of the stick, in bytes; the file is sparse.
pub const STICK_SIZE: u64 = 3 << 30;
/// Where the recovery identity is made: in memory, where no capture finds it.
const IDENTITY: &str = "/run/lifeboat-identity.txt";
const CAPTURE_LIMIT: Duration = Duration::from_secs(900);
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// A sample workstation that runs, with an empty stick plugged in.
#[derive(Debug)]
pub struct Source {
    running: Running,
    /// The stick's image.
    pub stick: PathBuf,
}

impl Source {
    /// Starts it by UEFI; its disk and its stick are files in `folder`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(sample: &Sample, folder: &Path, name: &str) -> anyhow::Result<Self> {
        let disk = folder.join("source.img");
        let stick = folder.join("stick.img");
        sample.with_programs(&disk)?;
        vm::blank(&stick, STICK_SIZE)?;
        let vars = folder.join("source.vars");
        let _ = std::fs::remove_file(&vars);
        let mut running = Machine::new(name, place::logs()?, sample.accel)
            .firmware(Firmware::Uefi { vars })
            .disk(Disk::new(&disk, Bus::Virtio, sample::DISK_SERIAL).boot(0))
            .disk(Disk::new(&stick, Bus::Usb, STICK_SERIAL))
            .start()?;
        sample::await_up(&mut running)?;
        Ok(Self { running, stick })
    }

    /// A host that runs already, with the empty `stick` plugged in.
    #[must_use]
    pub fn running(running: Running, stick: PathBuf) -> Self {
        Self { running, stick }
    }

    /// The machine.
    pub fn machine(&mut self) -> &mut Running {
        &mut self.running
    }

    /// `lifeboat create` with the first snapshot; gives how long it took.
    ///
    /// # Errors
    /// When it fails, or warns.
    pub fn create(&mut self, watch: impl FnMut(&str)) -> anyhow::Result<Duration> {
        self.create_with("", watch)
    }

    /// As [`create`](Self::create), with more arguments.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(&mut self, arguments: &str, watch: impl FnMut(&str)) -> anyhow::Result<Duration> {
        let command = format!(
            "lifeboat create {} --yes --serial {STICK_SERIAL} --identity {IDENTITY} --compress zstd --backup {arguments}",
            self.device()?
        );
        self.lifeboat(&command, watch)
    }

    /// `lifeboat backup`: one more snapshot; gives how long it took.
    ///
    /// # Errors
    /// When it fails, or warns.
    pub fn backup(&mut self, watch: impl FnMut(&str)) -> anyhow::Result<Duration> {
        let command = format!("lifeboat backup --stick {}", self.device()?);
        self.lifeboat(&command, watch)
    }

    /// `lifeboat order` for one disk: `snapshot` may be restored onto it on any machine, once.
    ///
    /// # Errors
    /// When it fails.
    pub fn order(&mut self, target: &str, snapshot: &str) -> anyhow::Result<()> {
        self.order_as(&format!("--disk {target}={}", sample::DISK_SERIAL), snapshot)
    }

    /// As [`order`](Self::order), with these arguments: `--disk TARGET=RECORDED` for each disk, and others.
    ///
    /// # Errors
    /// When it fails.
    pub fn order_as(&mut self, arguments: &str, snapshot: &str) -> anyhow::Result<()> {
        let stick = self.device()?;
        let command =
            format!("lifeboat order --stick {stick} --machine any {arguments} --snapshot {snapshot} --then power-off");
        self.lifeboat(&command, |_| ())?;
        Ok(())
    }

    /// The stick's device in the guest.
    fn device(&mut self) -> anyhow::Result<String> {
        let find = format!("readlink -e /dev/disk/by-id/usb-*{STICK_SERIAL}*:0");
        Ok(self.running.output(&find, COMMAND_LIMIT)?.trim().to_owned())
    }

    fn lifeboat(&mut self, command: &str, watch: impl FnMut(&str)) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let answer = self.running.run_watched(command, CAPTURE_LIMIT, watch)?;
        ensure!(answer.status == 0, "in the sample, `{command}` ended with {}:\n{}", answer.status, answer.text());
        Ok(begun.elapsed())
    }

    /// The machine dies: the plug is pulled. Leaves what has to lie elsewhere than on the stick: the recovery identity
    /// and the host's public key, in files of `folder`.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn die(mut self, folder: &Path) -> anyhow::Result<Captured> {
        let identity = self.running.output(&format!("cat {IDENTITY}"), COMMAND_LIMIT)?;
        let signer = self.running.output("cat /var/lib/lifeboat/host_ed25519.pub", COMMAND_LIMIT)?;
        self.running.output("sync", COMMAND_LIMIT)?;
        self.running.quit()?;
        let captured = Captured::at(folder);
        write(&captured.identity, &identity)?;
        write(&captured.signers, &signer)?;
        vm::fat_medium(&captured.key, &[("lifeboat-identity.txt", identity.as_bytes())])?;
        Ok(captured)
    }
}

/// What is left of a captured sample.
#[derive(Clone, Debug)]
pub struct Captured {
    folder: PathBuf,
    /// The stick's image.
    pub stick: PathBuf,
    /// The recovery identity, an age identity file.
    pub identity: PathBuf,
    /// A medium with the recovery identity on it.
    pub key: PathBuf,
    /// The public key whose signatures count, as an allowed signers file.
    pub signers: PathBuf,
}

impl Captured {
    pub(crate) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            stick: folder.join("stick.img"),
            identity: folder.join("lifeboat-identity.txt"),
            key: folder.join("key.img"),
            signers: folder.join("signers"),
        }
    }

    /// What the host said to the question of [`Host::captured`](crate::host::Host::captured).
    ///
    /// # Errors
    /// When it was asked nothing.
    pub fn answer(&self) -> anyhow::Result<String> {
        let path = self.folder.join("answer");
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// The sample's own list of what it held when the snapshot with this number was taken.
    ///
    /// # Errors
    /// When there is no such snapshot.
    pub fn census(&self, snapshot: u64) -> anyhow::Result<String> {
        let path = self.folder.join(format!("census-{snapshot}"));
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}

/// A disk for a scenario: its serial number, and the snapshot that an order on the stick allows onto it.
#[derive(Clone, Copy, Debug)]
pub struct Ordered {
    /// Serial number of the target disk.
    pub target: &'static str,
    /// What the order says: `latest` or a number.
    pub snapshot: &'static str,
}

/// The orders on the captured stick. A disk with another serial number has none.
pub const ORDERS: [Ordered; 6] = [
    Ordered { target: "LBUEFI", snapshot: "latest" },
    Ordered { target: "LBBIOS", snapshot: "latest" },
    Ordered { target: "LBLARGER", snapshot: "latest" },
    Ordered { target: "LBFIRST", snapshot: "1" },
    Ordered { target: "LBREFUSED", snapshot: "latest" },
    Ordered { target: "LBCUT", snapshot: "latest" },
];

/// What the kept state was made from.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    sample: String,
    programs: Vec<String>,
}

/// The sample, captured twice, with changes between; made once and shared by all scenarios until a program changes.
///
/// # Errors
/// When the capture fails.
pub fn captured() -> anyhow::Result<Captured> {
    kept("vm-state", capture)
}

/// What `capture` of the sample leaves in this folder under `target/`, made once and kept until the sample or a program changes.
///
/// # Errors
/// When the capture fails.
pub fn kept(
    folder: &str,
    capture: impl FnOnce(&Sample, &Path) -> anyhow::Result<Captured>,
) -> anyhow::Result<Captured> {
    let folder = place::folder(folder)?;
    let _alone = place::hold("capture")?;
    let sample = Sample::get()?;
    let mut programs = Vec::new();
    for name in ["lifeboat", "lifeboat-rescue"] {
        let path = place::program(name)?;
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        programs.push(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect());
    }
    let stamp = serde_json::to_string(&Stamp { sample: sample.facts.clone(), programs })?;
    let stamp_file = folder.join("stamp.json");
    if std::fs::read_to_string(&stamp_file).is_ok_and(|kept| kept == stamp) {
        return Ok(Captured::at(&folder));
    }
    let _ = std::fs::remove_file(&stamp_file);
    let captured = capture(&sample, &folder)?;
    write(&stamp_file, &stamp)?;
    Ok(captured)
}

fn capture(sample: &Sample, folder: &Path) -> anyhow::Result<Captured> {
    let mut source = Source::start(sample, folder, "capture")?;
    eprintln!("    the sample is up; first snapshot");
    write(&folder.join("census-1"), &census::take(source.machine())?)?;
    let first = source.create(|_| ())?;
    eprintln!("    stick and first snapshot in {} s", first.as_secs());
    source.machine().output(CHANGES, COMMAND_LIMIT)?;
    write(&folder.join("census-2"), &census::take(source.machine())?)?;
    let second = source.backup(|_| ())?;
    eprintln!("    second snapshot in {} s", second.as_secs());
    for order in ORDERS {
        source.order(order.target, order.snapshot)?;
    }
    source.die(folder)
}

/// What happens between the two snapshots: something new, changed, renamed, removed, and changed in metadata only.
const CHANGES: &str = "set -e; cd /home/ada
echo 'new since the first snapshot' >new.txt
echo '201,customer 201,1' >>shop/customers.csv
dd if=/dev/urandom of=shop/orders.db bs=64k seek=10 count=1 conv=notrunc status=none
mv zoo/xattr.txt zoo/renamed.txt
setfattr -n user.comment -v 'another' zoo/renamed.txt
rm zoo/empty
chmod 600 zoo/setuid
rm -r zoo/deep
mkdir folder-of-the-second
ln new.txt folder-of-the-second/hard-link
dd if=/bin/bash of=zoo/sparse bs=1000 seek=90000 count=100 conv=notrunc status=none
sync";

pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if text.is_empty() {
        bail!("nothing to write to {}", path.display());
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
