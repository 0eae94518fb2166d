//! The sample workstation: a Debian on GPT with BIOS boot partition, ESP, swap, ext4 root and ext4 /home, which boots
//! under BIOS and under UEFI. Its disk is made by `scripts/sample/disk.sh` and finished by its own first boot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use assert_cmd::Command;
use vm::{Accel, Bus, Disk, Firmware, Machine, Running};

use crate::place;

/// Serial number of the sample's own disk.
pub const DISK_SERIAL: &str = "LBSOURCE01";
/// An emulated Debian is up within half a minute on an idle machine.
pub const BOOT_LIMIT: Duration = Duration::from_secs(300);
const BUILD_LIMIT: Duration = Duration::from_secs(1200);
const FINISH_LIMIT: Duration = Duration::from_secs(600);
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// The sample's disk, as installed.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The image file. Machines are given it as a snapshot, or a copy of it.
    pub image: PathBuf,
    /// What `disk.sh` says of it, one `NAME=VALUE` a line.
    pub facts: String,
    /// How machines run here; found out with the sample's kernel.
    pub accel: Accel,
}

impl Sample {
    /// The disk under `target/vm-assets`, made now if it is not there.
    ///
    /// # Errors
    /// When debootstrap fails, or the first boot does.
    pub fn get() -> anyhow::Result<Self> {
        let _alone = place::hold("sample")?;
        let folder = place::folder("vm-assets")?.join("sample");
        let raw = folder.join("raw.env");
        if !raw.exists() {
            let script = place::workspace().join("scripts/sample/disk.sh");
            let output = Command::new("sh").arg(&script).arg(&folder).timeout(BUILD_LIMIT).output()?;
            let words = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{} {}: {words}", script.display(), output.status);
        }
        let facts = std::fs::read_to_string(&raw).with_context(|| format!("reading {}", raw.display()))?;
        let accel = Accel::choose(&folder, &folder.join("vmlinuz"))?;
        let sample = Self { image: folder.join("sample.img"), facts, accel };
        let stamp = folder.join("sample.env");
        if std::fs::read_to_string(&stamp).unwrap_or_default() != sample.facts {
            sample.finish(&folder)?;
            std::fs::write(&stamp, &sample.facts).with_context(|| format!("writing {}", stamp.display()))?;
        }
        Ok(sample)
    }

    /// Boots the raw disk once into `finish.sh`, which installs the boot loader.
    fn finish(&self, folder: &Path) -> anyhow::Result<()> {
        vm::copy_sparse(&folder.join("raw.img"), &self.image)?;
        let command_line =
            format!("root={} ro console=ttyS0 quiet init=/usr/local/lib/sample/finish.sh", self.fact("root")?);
        let firmware =
            Firmware::Kernel { kernel: folder.join("vmlinuz"), initrd: folder.join("initrd.img"), command_line };
        let machine = Machine::new("sample-finish", place::logs()?, self.accel).firmware(firmware).disk(Disk::new(
            &self.image,
            Bus::Virtio,
            DISK_SERIAL,
        ));
        let mut running = machine.start()?;
        running.expect("sample: finished", FINISH_LIMIT)?;
        running.await_end(COMMAND_LIMIT)?;
        Ok(())
    }

    /// One of the facts of `disk.sh`.
    ///
    /// # Errors
    /// When it did not state it.
    pub fn fact(&self, name: &str) -> anyhow::Result<&str> {
        let value = self.facts.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.with_context(|| format!("scripts/sample/disk.sh states no `{name}`"))
    }

    /// A copy of the disk on which `lifeboat` and its rescue program are installed, as a package would have done it.
    ///
    /// # Errors
    /// When the programs are not built, or debugfs fails.
    pub fn with_programs(&self, copy: &Path) -> anyhow::Result<()> {
        vm::copy_sparse(&self.image, copy)?;
        let lifeboat = place::program("lifeboat")?;
        let rescue = place::program("lifeboat-rescue")?;
        let commands = format!(
            "mkdir /usr/lib/lifeboat\nwrite {} /usr/lib/lifeboat/lifeboat-rescue\nwrite {} /usr/bin/lifeboat\n\
             sif /usr/lib/lifeboat/lifeboat-rescue mode 0100755\nsif /usr/bin/lifeboat mode 0100755\n",
            rescue.display(),
            lifeboat.display()
        );
        let place = format!("{}?offset={}", copy.display(), self.fact("root_offset")?);
        let debugfs = Command::new("/sbin/debugfs")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(["-w", "-f", "-"])
            .arg(&place)
            .write_stdin(commands)
            .timeout(COMMAND_LIMIT)
            .output()?;
        ensure!(debugfs.status.success(), "debugfs {place}: {}", String::from_utf8_lossy(&debugfs.stderr));
        Ok(())
    }
}

/// Waits until a sample workstation is up, and every service of it with it.
///
/// # Errors
/// When it does not come up, or units have failed.
pub fn await_up(running: &mut Running) -> anyhow::Result<()> {
    running.await_agent(BOOT_LIMIT)?;
    let state = running.run("systemctl is-system-running --wait", BOOT_LIMIT)?.text();
    let failed = running.output("systemctl list-units --failed --plain --no-legend", COMMAND_LIMIT)?;
    ensure!(state.trim() == "running", "the system is {}: {}", state.trim(), failed.trim());
    Ok(())
}
