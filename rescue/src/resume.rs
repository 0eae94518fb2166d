//! Taking up a restore that was cut after its filesystems were made: they must still be what was made, nothing on the disks may boot, and
//! they are mounted again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

use layout::ext::Ext;
use layout::gpt::ESP;
use layout::plan::{DiskPlan, EDGE, Plan, Step};
use layout::xfs::Xfs;

use crate::apply::Applier;
use crate::stop::{Code, DiskState, OrStop, Result};
use crate::table;

/// Boot code at the beginning of a disk; the protective MBR's one partition follows it.
const BOOT_CODE: u64 = 440;
const AGAIN: &str = "Check the disk and its cables, then start the stick again.";

/// Whether the disks still hold what the restore made on them.
///
/// # Errors
/// What is not as it was made, for people.
pub fn check_made(plan: &Plan) -> Result<(), String> {
    for disk in &plan.disks {
        let path = &disk.target.path;
        let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
        table::check(&mut &file, &disk.table).map_err(|error| format!("the partition table of {path}: {error}"))?;
    }
    for step in &plan.before {
        let (device, wanted) = match step {
            Step::MakeExt { device, ext, .. } => (device.path(), &ext.uuid),
            Step::MakeXfs { device, xfs, .. } => (device.path(), &xfs.uuid),
            _ => continue,
        };
        let found = uuid_on(&device).map_err(|error| format!("{device}: {error}"))?;
        if !found.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(wanted)) {
            return Err(format!("{device} does not hold the filesystem {wanted} that was made on it"));
        }
    }
    Ok(())
}

fn uuid_on(device: &str) -> io::Result<Option<String>> {
    let mut start = vec![0; 4096];
    File::open(device)?.read_exact(&mut start)?;
    let ext = Ext::parse(&start[1024..2048]).ok().map(|ext| ext.uuid);
    Ok(ext.or_else(|| Xfs::parse(&start).map(|xfs| xfs.uuid)))
}

/// Takes up the restore: boot code and ESPs are cleared, so that the disks boot only when all is done; then the filesystems are mounted.
///
/// # Errors
/// When a disk cannot be written, or a filesystem cannot be mounted.
pub fn take_up(plan: &Plan, applier: &mut Applier<'_>) -> Result<()> {
    for disk in &plan.disks {
        disarm(disk).or_stop(Code::Io, format!("clearing the boot code of {}", disk.target.path), AGAIN)?;
    }
    DiskState::Unbootable.set();
    let mut mounts = plan.before.iter().filter(|step| matches!(step, Step::Mount { .. }));
    mounts.try_for_each(|step| applier.step(step))
}

fn disarm(disk: &DiskPlan) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(&disk.target.path)?;
    let boot = disk.table.partitions.iter();
    let boot = boot.filter(|part| [ESP, layout::gpt::BIOS_BOOT].contains(&part.entry.type_guid.as_str()));
    let starts = boot.map(|part| (disk.table.start_of(part).0, EDGE.0.min(disk.table.size_of(part).0)));
    for (start, length) in std::iter::once((0, BOOT_CODE)).chain(starts) {
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&vec![0; length as usize])?;
    }
    file.sync_all()
}
