//! Machines in which the disk that is meant cannot be told, or must not be written to: no bit of any disk changes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::ensure;
use qemu_tests::bare::Bare;
use qemu_tests::capture::STICK_SERIAL;
use qemu_tests::rescue::{Verdict, follow, nobody, silence};
use qemu_tests::sample::Sample;
use qemu_tests::scenario::{SAME_SIZE, SECOND, Scenario, say};
use vm::{Bus, Disk, Trouble};

/// Serial number for which an order lies on the stick.
const ORDERED: &str = "LBREFUSED";

/// A disk of a topology: its bus, serial number, size, what is wrong with it, what lies on it.
struct Part(Bus, &'static str, u64, Option<Trouble>, &'static [u8], u64);

/// What the rescue must do.
enum Does {
    /// Ask, and power off when nobody answers.
    Asks,
    /// Refuse with 30.
    Refuses,
}

struct Topology(&'static str, Vec<Part>, Does);

fn disk(bus: Bus, serial: &'static str) -> Part {
    Part(bus, serial, SAME_SIZE, None, b"somebody's only copy", 0)
}

fn holding(bus: Bus, serial: &'static str, what: &'static [u8], at: u64) -> Part {
    Part(bus, serial, SAME_SIZE, None, what, at)
}

fn topologies() -> Vec<Topology> {
    vec![
        Topology(
            "two disks with the ordered serial number",
            vec![disk(Bus::Sata, ORDERED), disk(Bus::Virtio, ORDERED)],
            Does::Asks,
        ),
        Topology(
            "the ordered disk is too small",
            vec![Part(Bus::Sata, ORDERED, 64 << 20, None, b"small", 0)],
            Does::Refuses,
        ),
        Topology(
            "the ordered disk is read-only",
            vec![Part(Bus::Scsi, ORDERED, SAME_SIZE, Some(Trouble::WriteProtected), b"locked", 0)],
            Does::Asks,
        ),
        Topology(
            "the ordered disk is not there, and two alike are",
            vec![disk(Bus::Sata, "OTHER1"), disk(Bus::Sata, "OTHER2")],
            Does::Asks,
        ),
        Topology("another disk of the same size only", vec![disk(Bus::Nvme, "OTHER")], Does::Asks),
        Topology(
            "two members of a foreign array",
            vec![
                holding(Bus::Sata, "MD1", &[0xfc, 0x4e, 0x2b, 0xa9], 4096),
                holding(Bus::Sata, "MD2", &[0xfc, 0x4e, 0x2b, 0xa9], 4096),
            ],
            Does::Asks,
        ),
        Topology(
            "a foreign volume group on disks without a name of their own",
            vec![holding(Bus::Virtio, "", b"LABELONE", 512), holding(Bus::Virtio, "", b"LABELONE", 512)],
            Does::Asks,
        ),
        Topology("one disk over two paths", vec![disk(Bus::Scsi, "PATH"), disk(Bus::Scsi, "PATH")], Does::Asks),
        Topology("only USB disks", vec![disk(Bus::Usb, "USB1")], Does::Asks),
        Topology("no disk but the stick", vec![], Does::Asks),
    ]
}

#[test]
fn no_bit_of_any_disk_changes_while_nobody_says_which_one_is_meant() -> anyhow::Result<()> {
    let scenario = Scenario::begin("wrong-disk")?;
    let stick = &scenario.captured.stick;
    let bare = Bare::of(stick, &scenario.folder, scenario.accel)?;
    for (number, Topology(name, parts, does)) in topologies().into_iter().enumerate() {
        let mut images: Vec<(PathBuf, String)> = Vec::new();
        // The stick comes first: it is /dev/sda wherever the bus allows it.
        let mut disks = vec![
            Disk::new(stick, Bus::Usb, STICK_SERIAL).snapshot(),
            Disk::new(&scenario.captured.key, Bus::Usb, "LBKEY").snapshot(),
        ];
        for (index, Part(bus, serial, size, trouble, what, at)) in parts.into_iter().enumerate() {
            let image = scenario.folder.join(format!("{number}-{index}.img"));
            vm::blank(&image, size)?;
            File::options().write(true).open(&image)?.write_all_at(what, at)?;
            let disk = Disk::new(&image, bus, serial);
            disks.push(trouble.map_or(disk.clone(), |trouble| disk.with(trouble)));
            images.push((image.clone(), vm::sha256(&image)?));
        }
        let mut running = bare.machine(&format!("wrong-disk-{number}"), 3, &disks)?.start()?;
        let outcome = follow(&mut running, silence, |_| ())?;
        say(&format!("    {name}: {:?}, {} s", outcome.verdict, outcome.ended.as_secs()));
        match does {
            Does::Asks => ensure!(
                outcome.count("question") > 0 && outcome.verdict == Verdict::Nothing,
                "{name}: {:?}",
                outcome.events
            ),
            Does::Refuses => ensure!(outcome.refusal()?.0 == 30, "{name}: {:?}", outcome.verdict),
        }
        ensure!(outcome.count("step") == 0, "{name}: the rescue took a step");
        for (image, before) in &images {
            ensure!(vm::sha256(image)? == *before, "{name}: {} has changed", image.display());
            std::fs::remove_file(image)?;
        }
    }
    scenario.held();
    Ok(())
}

#[test]
fn a_copy_of_the_stick_beside_it_is_refused() -> anyhow::Result<()> {
    let scenario = Scenario::begin("wrong-disk-copy")?;
    let copy = scenario.folder.join("copy.img");
    vm::copy_sparse(&scenario.captured.stick, &copy)?;
    let before = vm::sha256(&copy)?;
    let bare = Bare::of(&copy, &scenario.folder, scenario.accel)?;
    let disks =
        [Disk::new(&scenario.captured.stick, Bus::Usb, STICK_SERIAL).snapshot(), Disk::new(&copy, Bus::Sata, ORDERED)];
    let mut running = bare.machine("wrong-disk-copy", 3, &disks)?.start()?;
    let outcome = follow(&mut running, silence, |_| ())?;
    let (code, message) = outcome.refusal()?;
    ensure!(code == 30 && message.contains("same disk GUID"), "{code}: {message}");
    ensure!(vm::sha256(&copy)? == before, "the copy has changed");
    scenario.held();
    Ok(())
}

#[test]
fn a_restore_beside_other_systems_changes_no_bit_of_them() -> anyhow::Result<()> {
    let scenario = Scenario::begin("wrong-disk-beside")?;
    let patient = scenario.occupied(ORDERED)?;
    let bare = Bare::of(&scenario.captured.stick, &scenario.folder, scenario.accel)?;
    // The captured host's own disk, healthy, with the same identifiers; and somebody's data on a disk of the same size.
    let twin = scenario.folder.join("twin.img");
    vm::copy_sparse(&Sample::get()?.image, &twin)?;
    let other = scenario.folder.join("other.img");
    vm::blank(&other, SAME_SIZE)?;
    File::options().write(true).open(&other)?.write_all_at(b"somebody's only copy", 0)?;
    let before = [vm::sha256(&twin)?, vm::sha256(&other)?];
    let disks = [
        Disk::new(&scenario.captured.stick, Bus::Usb, STICK_SERIAL).snapshot(),
        Disk::new(&scenario.captured.key, Bus::Usb, "LBKEY").snapshot(),
        Disk::new(&twin, Bus::Sata, "LBTWIN"),
        Disk::new(&patient.disk, Bus::Sata, ORDERED),
        Disk::new(&other, Bus::Nvme, "LBOTHER"),
    ];
    let outcome = follow(&mut bare.machine("wrong-disk-beside", 5, &disks)?.start()?, nobody, |_| ())?;
    scenario.times(&outcome);
    outcome.report()?;
    ensure!([vm::sha256(&twin)?, vm::sha256(&other)?] == before, "a disk that the plan does not name has changed");
    scenario.prove(&patient, SECOND)?;
    scenario.held();
    Ok(())
}
