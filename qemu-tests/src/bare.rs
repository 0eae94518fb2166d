//! A stick's own kernel and initramfs started from outside, without firmware and boot menu: the quickest way into the rescue, for scenarios
//! that start it many times.

use std::path::{Path, PathBuf};

use vm::{Accel, Disk, Firmware, Machine};

use crate::{place, tamper};

/// The boot files of a stick.
#[derive(Clone, Debug)]
pub struct Bare {
    kernel: PathBuf,
    initrd: PathBuf,
    accel: Accel,
}

impl Bare {
    /// Takes the boot files out of the stick's slot A into `folder`.
    ///
    /// # Errors
    /// When the stick cannot be read.
    pub fn of(stick: &Path, folder: &Path, accel: Accel) -> anyhow::Result<Self> {
        let (kernel, initrd) = (folder.join("vmlinuz"), folder.join("initrd.img"));
        for (name, copy) in [("vmlinuz", &kernel), ("initrd.img", &initrd)] {
            std::fs::write(copy, tamper::read_esp(stick, &format!("lifeboat/a/{name}"))?)?;
        }
        Ok(Self { kernel, initrd, accel })
    }

    /// A machine that starts them with these disks, and waits `silence` seconds for an answer.
    ///
    /// # Errors
    /// When there is no folder for its logs.
    pub fn machine(&self, name: &str, silence: u32, disks: &[Disk]) -> anyhow::Result<Machine> {
        let command_line = format!("lifeboat.slot=a lifeboat.silence={silence} quiet console=ttyS0,115200");
        let firmware = Firmware::Kernel { kernel: self.kernel.clone(), initrd: self.initrd.clone(), command_line };
        let machine = Machine::new(name, place::logs()?, self.accel).firmware(firmware);
        Ok(disks.iter().cloned().fold(machine, Machine::disk))
    }
}
