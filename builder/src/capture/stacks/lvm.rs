//! LVM's three reports.

use exec::Command;
use layout::lsblk::BlockDevice;
use layout::lvm::report::{self, LV_COLUMNS, PV_COLUMNS, Report, VG_COLUMNS};
use manifest::host::Gap;

use super::known;
use crate::capture::gap;
use crate::capture::still::names;

/// LVM's word on this host; empty where no device belongs to LVM.
pub(super) fn report(devices: &[BlockDevice], gaps: &mut Vec<Gap>) -> Report {
    let belongs = |device: &BlockDevice| device.kind == "lvm" || device.fstype.as_deref() == Some("LVM2_member");
    if !devices.iter().any(belongs) {
        return Report::default();
    }
    let mut report = read().unwrap_or_else(|error| {
        gaps.push(gap("LVM", format!("{error:#}; its volumes cannot be brought back")));
        Report::default()
    });
    report.logical.retain(|(volume, _)| !names::is_ours(&volume.name));
    for found in &mut report.volumes {
        if let Some(path) = known(&found.device, devices) {
            found.device = path;
        }
    }
    report
}

fn read() -> anyhow::Result<Report> {
    let ask = |table: &str, columns: &str| {
        let program = exec::find("lvm").unwrap_or_else(|| "lvm".into());
        let words = [table, "--all", "--reportformat", "json", "--units", "b", "--nosuffix", "--options", columns];
        // vgs has no volumes that are hidden from it.
        let words = words.into_iter().filter(|word| table != "vgs" || *word != "--all");
        Command::new(program).args(words).env("LVM_SUPPRESS_FD_WARNINGS", "1").read()
    };
    Ok(report::parse(&ask("pvs", PV_COLUMNS)?, &ask("vgs", VG_COLUMNS)?, &ask("lvs", LV_COLUMNS)?)?)
}
