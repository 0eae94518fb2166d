//! Hosts of other storage layouts: one folder of `scripts/hosts` each. Their disks are made in a machine, from a Debian tree that is made
//! once; then the host runs, is captured live onto an emulated stick, and dies.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use assert_cmd::Command;
use sha2::{Digest, Sha256};
use vm::{Accel, Bus, Card, Disk, Firmware, Machine, Running};

use crate::capture::{Captured, STICK_SERIAL, STICK_SIZE, Source};
use crate::{census, place, sample};

const TREE_LIMIT: Duration = Duration::from_secs(1800);
const MAKE_LIMIT: Duration = Duration::from_secs(900);
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// What is asked of a host may have to wait for what it does itself.
const QUESTION_LIMIT: Duration = Duration::from_secs(300);
/// Serial number of the image that a host is made from.
const TREE_SERIAL: &str = "LBTREE";

/// A storage layout of `scripts/hosts`.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Its folder, which is also the host's name.
    pub name: &'static str,
    /// Serial number and bytes of each of its disks.
    pub disks: &'static [(&'static str, u64)],
    /// How its disks are attached while it lives.
    pub bus: Bus,
    /// It starts by UEFI, else by BIOS.
    pub uefi: bool,
    /// It has a TPM, whose memory is made where it is captured.
    pub tpm: bool,
    /// Its network card.
    pub card: Option<Card>,
    /// Orders that are put on the stick: what `lifeboat order` is told of disks, and of a cluster.
    pub orders: &'static [&'static str],
}

impl Layout {
    /// A host without a disk that starts by BIOS.
    pub const USUAL: Self =
        Self { name: "", disks: &[], bus: Bus::Virtio, uefi: false, tpm: false, card: None, orders: &[] };
}

/// A host's disks, as installed. Machines are given copies of them, or use them as snapshots.
#[derive(Clone, Debug)]
pub struct Host {
    layout: Layout,
    folder: PathBuf,
    accel: Accel,
    stamp: String,
    /// Its firmware starts signed loaders only.
    secure: bool,
}

impl Host {
    /// The host's disks under `target/vm-assets/hosts`, made now if they are not there.
    ///
    /// # Errors
    /// When a script fails, or the machine that makes them does.
    pub fn get(layout: Layout) -> anyhow::Result<Self> {
        let _alone = place::hold("hosts")?;
        let trees = place::folder("vm-assets")?.join("hosts");
        let tree = stamp("tree")?;
        if std::fs::read_to_string(trees.join("tree.stamp")).unwrap_or_default() != tree {
            script("tree.sh", &[trees.as_os_str()])?;
        }
        let accel = Accel::choose(&trees, &trees.join("vmlinuz"))?;
        let own = own_tree(layout.name, &trees, &tree)?;
        let disks: Vec<String> = layout.disks.iter().map(|(serial, size)| format!("{serial} {size}\n")).collect();
        let stamp = format!("{}{}", stamp(layout.name)?, disks.concat());
        let host = Self { layout, folder: trees.join(layout.name), accel, stamp, secure: false };
        let kept = host.folder.join("stamp");
        if std::fs::read_to_string(&kept).unwrap_or_default() != host.stamp {
            let _ = std::fs::remove_file(&kept);
            host.make(own.as_deref().unwrap_or(&trees))?;
            std::fs::write(&kept, &host.stamp).with_context(|| format!("writing {}", kept.display()))?;
        }
        Ok(host)
    }

    /// The host on a machine that enforces Secure Boot.
    #[must_use]
    pub fn secured(mut self) -> Self {
        self.secure = true;
        self
    }

    /// How machines run here.
    #[must_use]
    pub fn accel(&self) -> Accel {
        self.accel
    }

    /// The image of the disk with this serial number.
    #[must_use]
    pub fn image(&self, serial: &str) -> PathBuf {
        self.folder.join(format!("{serial}.img"))
    }

    fn make(&self, trees: &Path) -> anyhow::Result<()> {
        script("host.sh", &[self.layout.name.as_ref(), trees.as_os_str(), self.folder.as_os_str()])?;
        let tree = self.folder.join("tree.img");
        let name = format!("host-{}", self.layout.name);
        let mut machine = Machine::new(&name, place::logs()?, self.accel)
            .firmware(Firmware::Kernel {
                kernel: trees.join("vmlinuz"),
                initrd: trees.join("initrd.img"),
                command_line: "root=LABEL=lbtree ro console=ttyS0 quiet init=/usr/local/lib/hosts/lab.sh".to_owned(),
            })
            .disk(Disk::new(&tree, Bus::Virtio, TREE_SERIAL).snapshot());
        for (serial, size) in self.layout.disks {
            vm::blank(&self.image(serial), *size)?;
            machine = machine.disk(Disk::new(self.image(serial), Bus::Virtio, serial));
        }
        let mut running = machine.start()?;
        running.expect("host: made", MAKE_LIMIT)?;
        running.await_end(COMMAND_LIMIT)?;
        std::fs::remove_file(&tree).with_context(|| format!("removing {}", tree.display()))?;
        Ok(())
    }

    /// The host running by its own boot loader, its own disks as snapshots, and more disks beside them.
    ///
    /// # Errors
    /// When it does not come up with every service.
    pub fn start(&self, name: &str, folder: &Path, more: Vec<Disk>) -> anyhow::Result<Running> {
        let mut machine = Machine::new(name, place::logs()?, self.accel);
        if self.layout.uefi {
            let vars = folder.join("source.vars");
            let _ = std::fs::remove_file(&vars);
            machine =
                machine.firmware(if self.secure { Firmware::SecureBoot { vars } } else { Firmware::Uefi { vars } });
        }
        for (index, (serial, _)) in (0..).zip(self.layout.disks) {
            machine = machine.disk(Disk::new(self.image(serial), self.layout.bus, serial).snapshot().boot(index));
        }
        if self.layout.tpm {
            // A new one each time: one that lost its power too often refuses for a while.
            let state = folder.join("source.tpm");
            let _ = std::fs::remove_dir_all(&state);
            machine = machine.tpm(state);
        }
        if let Some(card) = self.layout.card {
            machine = machine.card(card);
        }
        let mut running = more.into_iter().fold(machine, Machine::disk).start()?;
        sample::await_up(&mut running)?;
        Ok(running)
    }

    /// The host, captured by one snapshot; made once and shared by all scenarios until a program changes. `question` is a
    /// command that is run in the host before; [`Captured::answer`] has what it said.
    ///
    /// # Errors
    /// When the capture fails, or warns.
    pub fn captured(&self, question: &str) -> anyhow::Result<Captured> {
        self.captured_as(self.layout.name, question, "true")
    }

    /// As [`captured`](Self::captured); `afterwards` is asked when the capture is over, and the answer is behind the other.
    ///
    /// # Errors
    /// As [`captured`](Self::captured).
    pub fn captured_amid(&self, question: &str, afterwards: &str) -> anyhow::Result<Captured> {
        self.captured_as(self.layout.name, question, afterwards)
    }

    /// As [`captured_amid`](Self::captured_amid), kept under a name of its own: of a host that the question changes.
    ///
    /// # Errors
    /// As [`captured`](Self::captured).
    pub fn captured_as(&self, name: &str, question: &str, afterwards: &str) -> anyhow::Result<Captured> {
        let folder = place::folder("vm-state")?.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let _alone = place::hold("capture")?;
        let stamp =
            format!("{}{}{question}{afterwards}{:?}{}", self.stamp, programs()?, self.layout.orders, self.secure);
        let kept = folder.join("stamp");
        if std::fs::read_to_string(&kept).is_ok_and(|kept| kept == stamp) {
            return Ok(Captured::at(&folder));
        }
        let _ = std::fs::remove_file(&kept);
        let mut source = self.source(&folder)?;
        let mut answer = source.machine().output(question, QUESTION_LIMIT)?;
        let list = census::take(source.machine())?;
        std::fs::write(folder.join("census-1"), list).context("writing the census")?;
        let took = source.create(|_| ())?;
        eprintln!("    stick and snapshot of {name} in {} s", took.as_secs());
        answer += &source.machine().output(afterwards, QUESTION_LIMIT)?;
        std::fs::write(folder.join("answer"), answer).context("writing what the host said")?;
        for order in self.layout.orders {
            source.order_as(order, "latest")?;
        }
        let captured = source.die(&folder)?;
        std::fs::write(&kept, &stamp).with_context(|| format!("writing {}", kept.display()))?;
        Ok(captured)
    }

    /// The running host with an empty stick plugged in.
    fn source(&self, folder: &Path) -> anyhow::Result<Source> {
        let stick = folder.join("stick.img");
        vm::blank(&stick, STICK_SIZE)?;
        let more = vec![Disk::new(&stick, Bus::Usb, STICK_SERIAL)];
        Ok(Source::running(self.equipped(&format!("capture-{}", self.layout.name), folder, more)?, stick))
    }

    /// The running host with the programs installed, as a package would have done it, and more disks beside its own. The programs come on a
    /// disc, which no capture counts as the host's own.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn equipped(&self, name: &str, folder: &Path, mut more: Vec<Disk>) -> anyhow::Result<Running> {
        let disc = folder.join("programs.tar");
        pack(&disc)?;
        more.push(Disk::new(&disc, Bus::Disc, "LBDISC"));
        let mut running = self.start(name, folder, more)?;
        running.output("modprobe sr_mod; udevadm settle; tar -xf /dev/sr0 -C / --no-same-owner", COMMAND_LIMIT)?;
        Ok(running)
    }
}

/// The tree of a layout that has a `tree.sh` of its own, for what the common one lacks; made now if it is not there.
fn own_tree(layout: &str, trees: &Path, common: &str) -> anyhow::Result<Option<PathBuf>> {
    let script_path = place::workspace().join("scripts/hosts").join(layout).join("tree.sh");
    let Ok(text) = std::fs::read_to_string(&script_path) else { return Ok(None) };
    let folder = trees.join(format!("{layout}-tree"));
    let (kept, stamp) = (folder.join("tree.stamp"), format!("{common}{text}"));
    if std::fs::read_to_string(&kept).unwrap_or_default() != stamp {
        let _ = std::fs::remove_file(&kept);
        script(&format!("{layout}/tree.sh"), &[trees.as_os_str(), folder.as_os_str()])?;
        std::fs::write(&kept, &stamp).with_context(|| format!("writing {}", kept.display()))?;
    }
    Ok(Some(folder))
}

/// The programs as an archive of the root folder, as long as a disc's sectors want it.
fn pack(archive: &Path) -> anyhow::Result<()> {
    let folder = archive.with_extension("tree");
    let _ = std::fs::remove_dir_all(&folder);
    for (program, place) in [("lifeboat", "usr/bin"), ("lifeboat-rescue", "usr/lib/lifeboat")] {
        let place = folder.join(place);
        std::fs::create_dir_all(&place)?;
        std::fs::copy(place::program(program)?, place.join(program))?;
    }
    // In blocks of 2 KiB, the sector of a disc.
    let made = Command::new("tar").args(["-b", "4", "-cf"]).arg(archive).arg("-C").arg(&folder).arg("usr").output()?;
    ensure!(made.status.success(), "tar: {}", String::from_utf8_lossy(&made.stderr));
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Digests of the programs that are tested.
fn programs() -> anyhow::Result<String> {
    let mut digests = String::new();
    for name in ["lifeboat", "lifeboat-rescue"] {
        let path = place::program(name)?;
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        digests.extend(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")));
    }
    Ok(digests)
}

fn stamp(what: &str) -> anyhow::Result<String> {
    script("stamp.sh", &[what.as_ref()])
}

/// Runs a script of `scripts/hosts` and gives what it prints.
fn script(name: &str, args: &[&std::ffi::OsStr]) -> anyhow::Result<String> {
    let path = place::workspace().join("scripts/hosts").join(name);
    let output = Command::new("sh").arg(&path).args(args).timeout(TREE_LIMIT).output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {}: {words}", path.display(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
