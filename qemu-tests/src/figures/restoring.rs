//! Restoring in a machine: the rescue with little memory, and `lifeboat extract` in turn with `zstd -dc | tar -x` of the same tree
//! in the same guest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use assert_cmd::Command;
use vm::{Bus, Disk, Firmware, Machine, Running};

use super::{Figure, SMALL_MACHINE};
use crate::capture::{Captured, STICK_SERIAL};
use crate::rescue::{follow, nobody};
use crate::sample::{self, Sample};
use crate::{lifeboat, place};

/// Serial number of the disk that is restored onto.
pub const TARGET: &str = "LBMACHINES";
/// The longest that anything may take in an emulated guest.
pub const LIMIT: Duration = Duration::from_secs(900);
const TARGET_SIZE: u64 = 4 << 30;
const ARCHIVE_SIZE: &str = "1400M";

pub(super) fn measure(
    sample: &Sample,
    captured: &Captured,
    folder: &Path,
    rounds: usize,
) -> anyhow::Result<Vec<Figure>> {
    let rescue = rescued(sample, captured, folder)?;
    let archive = archive(captured, folder)?;
    let mut running = guest(sample, captured, folder, &archive)?;
    let (mut own, mut tar) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        eprintln!("machines: restoring in a guest, round {round}");
        tar.push(timed(
            &mut running,
            "zstd -dc /mnt/archive/tree.tar.zst | tar --xattrs --xattrs-include='*' --acls -xpf - -C /mnt/target",
        )?);
        own.push(timed(
            &mut running,
            "lifeboat extract latest --vault /mnt/stick/vault --identity /run/identity.txt --signers /run/signers --to /mnt/target",
        )?);
    }
    running.quit()?;
    let figure = |what: &str, own: &[f64], limit| Figure {
        what: what.into(),
        unit: "s".into(),
        own: own.to_vec(),
        against: "`zstd -dc | tar -x` in the guest, synced".into(),
        other: tar.clone(),
        limit,
    };
    Ok(vec![
        figure("`lifeboat extract` in the same guest: verified, restored, synced", &own, Some(1.2)),
        figure("the rescue's restore of the tree, in a machine with 512 MiB", &[rescue], Some(1.2)),
        Figure {
            what: "memory of a machine in which the rescue restores 1.25 GB".into(),
            unit: "MiB".into(),
            own: vec![f64::from(SMALL_MACHINE)],
            against: "limit".into(),
            other: vec![512.0],
            limit: Some(1.0),
        },
    ])
}

/// The rescue in a small machine; gives how long restoring the tree took.
fn rescued(sample: &Sample, captured: &Captured, folder: &Path) -> anyhow::Result<f64> {
    eprintln!("machines: the rescue in a machine with {SMALL_MACHINE} MiB");
    let disk = folder.join("disk.img");
    vm::blank(&disk, TARGET_SIZE)?;
    let mut running = Machine::new("machines-small", place::logs()?, sample.accel)
        .memory(SMALL_MACHINE)
        .disk(Disk::new(&disk, Bus::Virtio, TARGET))
        .disk(Disk::new(&captured.stick, Bus::Usb, STICK_SERIAL).snapshot().boot(0))
        .disk(Disk::new(&captured.key, Bus::Usb, "LBKEY").snapshot())
        .start()?;
    let outcome = follow(&mut running, nobody, |_| ())?;
    let seconds = &outcome.report()?["seconds"];
    let at = |name: &str| {
        let found = seconds.as_array().and_then(|all| all.iter().find(|entry| entry[0] == name)?[1].as_f64());
        found.with_context(|| format!("the report has no time for `{name}`: {seconds}"))
    };
    Ok(at("restore")? - at("apply")?)
}

/// The same tree as a compressed archive, in an ext4 image.
fn archive(captured: &Captured, folder: &Path) -> anyhow::Result<PathBuf> {
    let tree = folder.join("tree");
    let text = |path: &Path| path.display().to_string();
    let (stick, identity, signers) = (text(&captured.stick), text(&captured.identity), text(&captured.signers));
    let to = text(&tree);
    let args = ["extract", "latest", "--vault", &stick, "--identity", &identity, "--signers", &signers, "--to", &to];
    lifeboat::done(&folder.join("state"), &args)?;
    let inner = folder.join("archive");
    std::fs::create_dir_all(&inner)?;
    let image = folder.join("archive.img");
    // What has been made immutable could not be removed.
    let script = "tar --xattrs --xattrs-include='*' --acls -C \"$1\" -c . | zstd -q -3 -T0 >\"$2/tree.tar.zst\"
                  mke2fs -q -t ext4 -d \"$2\" \"$3\" \"$4\"
                  chattr -R -f -i -a \"$1\" || true";
    let output = Command::new("sh")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-ec", script, "sh", &to, &text(&inner), &text(&image), ARCHIVE_SIZE])
        .output()?;
    ensure!(output.status.success(), "archiving the tree: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_dir_all(&tree).context("removing the tree")?;
    Ok(image)
}

/// The sample workstation with the stick, the archive and an empty disk; the first two in the same way, as sticks.
fn guest(sample: &Sample, captured: &Captured, folder: &Path, archive: &Path) -> anyhow::Result<Running> {
    let target = folder.join("target.img");
    vm::blank(&target, TARGET_SIZE)?;
    let vars = folder.join("guest.vars");
    let mut running = Machine::new("machines-guest", place::logs()?, sample.accel)
        .firmware(Firmware::Uefi { vars })
        .disk(Disk::new(folder.join("source.img"), Bus::Virtio, sample::DISK_SERIAL).snapshot().boot(0))
        .disk(Disk::new(&captured.stick, Bus::Usb, STICK_SERIAL).snapshot())
        .disk(Disk::new(archive, Bus::Usb, "LBARCHIVE").snapshot())
        .disk(Disk::new(&target, Bus::Virtio, TARGET).snapshot())
        .start()?;
    sample::await_up(&mut running)?;
    let identity = std::fs::read_to_string(&captured.identity)?;
    let signers = std::fs::read_to_string(&captured.signers)?;
    let prepare = format!(
        "set -e; mkdir -p /mnt/stick /mnt/archive /mnt/target
mount -o ro /dev/disk/by-label/LIFEBOAT /mnt/stick
mount -o ro $(readlink -e /dev/disk/by-id/usb-*LBARCHIVE*:0) /mnt/archive
cat >/run/identity.txt <<'END'\n{identity}END
cat >/run/signers <<'END'\n{signers}END
chmod 600 /run/identity.txt"
    );
    running.output(&prepare, LIMIT)?;
    Ok(running)
}

/// How long `command` and a sync take, onto a fresh filesystem, with nothing in the page cache; in seconds.
fn timed(running: &mut Running, command: &str) -> anyhow::Result<f64> {
    let device = format!("/dev/disk/by-id/virtio-{TARGET}");
    let script = format!(
        "set -e; ! mountpoint -q /mnt/target || umount /mnt/target
mke2fs -q -F -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 {device} && mount {device} /mnt/target
sync; echo 3 >/proc/sys/vm/drop_caches
begun=$(cut -d' ' -f1 /proc/uptime)
{command} >/run/timed.log 2>&1 || {{ tail -n 5 /run/timed.log; exit 1; }}
sync -f /mnt/target
echo seconds $begun $(cut -d' ' -f1 /proc/uptime)"
    );
    let output = running.output(&script, LIMIT)?;
    let line = output.lines().rev().find_map(|line| line.trim().strip_prefix("seconds "));
    let (begun, ended) = line.and_then(|line| line.split_once(' ')).with_context(|| format!("no times: {output}"))?;
    Ok(ended.trim().parse::<f64>()? - begun.trim().parse::<f64>()?)
}
