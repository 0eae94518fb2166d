//! The pools that are imported, by `zpool`, `zfs` and `zdb`.

use std::collections::BTreeMap;
use std::path::Path;

use exec::Command;
use layout::lsblk::BlockDevice;
use layout::zfs::report::{self, POOL_PROPERTIES, PROPERTIES, Report, SNAPSHOTS, STATUS};
use manifest::host::Gap;

use super::known;
use crate::capture::gap;
use crate::capture::source::Source;
use crate::capture::still::zfs::without_ours;

/// Where udev shows volumes by their names.
const VOLUMES: &str = "/dev/zvol";

/// The word of ZFS on this host; empty where its module is not loaded.
pub(super) fn report(source: &Source, devices: &[BlockDevice], gaps: &mut Vec<Gap>) -> Report {
    if !source.exists("/sys/module/zfs") {
        return Report::default();
    }
    let mut report = read().unwrap_or_else(|error| {
        gaps.push(gap("ZFS", format!("{error:#}; its pools cannot be brought back")));
        Report::default()
    });
    for found in &mut report.pools {
        for device in &mut found.devices {
            if let Some(path) = known(device, devices) {
                *device = path;
            }
        }
        // The pool's own property is for vdevs to come.
        if let Some(ashift) = found.devices.first().and_then(|device| label(device)) {
            found.pool.ashift = ashift;
        }
    }
    report.volumes = volumes(&report);
    report
}

fn ask(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let found = exec::find(program).unwrap_or_else(|| program.into());
    Ok(Command::new(found).args(args.iter().copied()).read()?)
}

fn read() -> anyhow::Result<Report> {
    let pools = ask("zpool", &POOL_PROPERTIES)?;
    if pools.trim().is_empty() {
        return Ok(Report::default());
    }
    let (status, properties) = (ask("zpool", &STATUS)?, ask("zfs", &PROPERTIES)?);
    Ok(report::parse(&pools, &status, &properties, &without_ours(&ask("zfs", &SNAPSHOTS)?)))
}

/// The sector shift in a device's label.
fn label(device: &str) -> Option<u32> {
    report::ashift(&ask("zdb", &["-l", device]).ok()?)
}

/// Volumes by the kernel's names of their devices. One without a device is left out.
fn volumes(report: &Report) -> BTreeMap<String, String> {
    let volumes = report.datasets.iter().filter(|dataset| dataset.volume.is_some());
    let shown = volumes.filter_map(|dataset| {
        let real = std::fs::canonicalize(Path::new(VOLUMES).join(&dataset.name)).ok()?;
        Some((real.file_name()?.to_str()?.to_owned(), dataset.name.clone()))
    });
    shown.collect()
}
