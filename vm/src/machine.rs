//! What a machine is made of, before it runs.

use std::path::PathBuf;

use crate::Accel;

/// How a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// `virtio-blk`: /dev/vdX.
    Virtio,
    /// A disk on an AHCI controller: /dev/sdX.
    Sata,
    /// An NVMe namespace: /dev/nvmeXn1.
    Nvme,
    /// A disk on a `virtio-scsi` controller: /dev/sdX.
    Scsi,
    /// A USB stick: /dev/sdX, removable.
    Usb,
    /// A disc in an optical drive, read-only: /dev/srX.
    Disc,
}

/// One disk of a machine: a raw image file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    pub(crate) image: PathBuf,
    pub(crate) bus: Bus,
    pub(crate) serial: String,
    pub(crate) snapshot: bool,
    pub(crate) boot: Option<u32>,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) sector: Option<u32>,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A switch on it makes it read-only.
    WriteProtected,
    /// No more than so many bytes each second.
    Slow(u64),
    /// Reading this sector of 512 bytes fails.
    BadToRead(u64),
    /// Writing this sector of 512 bytes fails.
    BadToWrite(u64),
}

impl Disk {
    /// A disk that shows the raw file `image` to the guest, with this serial number (20 characters at most).
    pub fn new(image: impl Into<PathBuf>, bus: Bus, serial: &str) -> Self {
        Self {
            image: image.into(),
            bus,
            serial: serial.to_owned(),
            snapshot: false,
            boot: None,
            trouble: None,
            sector: None,
        }
    }

    /// What the guest writes is thrown away at the end; the file stays as it is.
    #[must_use]
    pub fn snapshot(mut self) -> Self {
        self.snapshot = true;
        self
    }

    /// Something is wrong with it.
    #[must_use]
    pub fn with(mut self, trouble: Trouble) -> Self {
        self.trouble = Some(trouble);
        self
    }

    /// Its sectors have so many bytes, logical and physical ones: 4096 is the other size that disks have. Not on [`Bus::Sata`].
    #[must_use]
    pub fn sectors(mut self, bytes: u32) -> Self {
        self.sector = Some(bytes);
        self
    }

    /// Its place in the order in which the firmware tries disks, 0 first. Without one UEFI firmware goes by its own
    /// boot entries.
    #[must_use]
    pub fn boot(mut self, index: u32) -> Self {
        self.boot = Some(index);
        self
    }
}

/// What starts the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF. Boot entries live in the file `vars`, which is made from the firmware's own when it does not exist: give
    /// the same file to the next machine to keep them, a new name to forget them.
    Uefi {
        /// The variable store.
        vars: PathBuf,
    },
    /// OVMF that enforces Secure Boot with Microsoft's keys, which sign the distributions' shims. `vars` as above.
    SecureBoot {
        /// The variable store.
        vars: PathBuf,
    },
    /// A kernel and its initramfs, given from outside.
    Kernel {
        /// The kernel's file.
        kernel: PathBuf,
        /// The initramfs' file.
        initrd: PathBuf,
        /// The kernel's command line.
        command_line: String,
    },
}

/// A network card.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// QEMU's name for the model.
    pub model: &'static str,
    /// Its hardware address.
    pub mac: &'static str,
}

/// A machine, not yet running.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(crate) name: String,
    pub(crate) logs: PathBuf,
    pub(crate) accel: Accel,
    pub(crate) firmware: Firmware,
    pub(crate) memory_mib: u32,
    pub(crate) processors: u32,
    pub(crate) disks: Vec<Disk>,
    pub(crate) screen: bool,
    pub(crate) tpm: Option<PathBuf>,
    pub(crate) cards: Vec<Card>,
}

impl Machine {
    /// A machine with two processors and 1 GiB of memory that starts by BIOS. Its logs go to the folder `logs`, in
    /// files named after it.
    pub fn new(name: &str, logs: impl Into<PathBuf>, accel: Accel) -> Self {
        Self {
            name: name.to_owned(),
            logs: logs.into(),
            accel,
            firmware: Firmware::Bios,
            memory_mib: 1024,
            processors: 2,
            disks: Vec::new(),
            screen: false,
            tpm: None,
            cards: Vec::new(),
        }
    }

    /// With a network card of this model (`virtio-net-pci`, `e1000e`) and hardware address, on a wire that leads nowhere.
    #[must_use]
    pub fn card(mut self, card: Card) -> Self {
        self.cards.push(card);
        self
    }

    /// Gives it a TPM 2.0, whose memory is the folder `state`: the same folder is the same TPM, an empty one a new one.
    #[must_use]
    pub fn tpm(mut self, state: impl Into<PathBuf>) -> Self {
        self.tpm = Some(state.into());
        self
    }

    /// Sets what starts it.
    #[must_use]
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// Sets its memory, in MiB.
    #[must_use]
    pub fn memory(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Adds a disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Gives it a VGA screen, for pictures of it. Without one BIOS text goes to the serial console.
    #[must_use]
    pub fn screen(mut self) -> Self {
        self.screen = true;
        self
    }

    /// The file that its serial console is written to.
    #[must_use]
    pub fn console_log(&self) -> PathBuf {
        self.logs.join(format!("{}.serial.log", self.name))
    }

    /// The file that QEMU's own words are written to.
    pub(crate) fn qemu_log(&self) -> PathBuf {
        self.logs.join(format!("{}.qemu.log", self.name))
    }

    /// The file that its TPM's own words are written to.
    pub(crate) fn tpm_log(&self) -> PathBuf {
        self.logs.join(format!("{}.tpm.log", self.name))
    }

    /// The file that its events are written to.
    pub(crate) fn event_log(&self) -> PathBuf {
        self.logs.join(format!("{}.events.jsonl", self.name))
    }
}
