//! The guard before the first write: the targets are still the disks that were planned for and nobody uses them; every other block device,
//! partitions, arrays and volumes included, is read-only in the kernel, and the kernel says so when it is asked again.

use std::fs;
use std::path::{Path, PathBuf};

use layout::plan::Plan;
use serde_json::json;

use crate::screen::{Screen, Stage};
use crate::stick::Stick;
use crate::stop::{Code, OrStop, Result, Stop};
use crate::{disks, kernel, modules};

/// Devices that hold nothing of the machine: memory, loops, optical media, floppies, network devices without a server.
const NOTHING: [&str; 6] = ["ram", "zram", "loop", "sr", "fd", "nbd"];

/// Makes every block device that the plan does not name read-only in the kernel, and checks that the named ones are still the same.
///
/// # Errors
/// 30 when a target is not the disk that was planned for or is in use, or a device cannot be protected.
pub fn guard(screen: &Screen, stick: &Stick, plan: &Plan) -> Result<()> {
    screen.stage(Stage::Apply);
    modules::enough();
    check_targets(stick, plan)?;
    let writable = writable(stick, plan);
    let mut protected = Vec::new();
    for name in block_devices() {
        let path = Path::new("/dev").join(&name);
        if !writable.contains(&path) {
            protect(&path)?;
            protected.push(path.display().to_string());
        }
    }
    let list = if protected.is_empty() { "nothing else".to_owned() } else { protected.join(", ") };
    screen.say(&format!("Read-only in the kernel now: {list}. Writable: the targets, and the stick's data partition."));
    screen.event("guard", json!({"read_only": protected, "writable": writable}));
    Ok(())
}

fn check_targets(stick: &Stick, plan: &Plan) -> Result<()> {
    let advice = "Leave the disks attached as they are and start again.";
    let present = disks::present(&stick.disk);
    for disk in &plan.disks {
        let target = &disk.target;
        let name = target.path.trim_start_matches("/dev/");
        let users = disks::holders(name);
        if !users.is_empty() {
            let message = format!("{target} is in use by {}", users.join(", "));
            return Err(Stop::new(Code::Guard, message, "Stop what uses it (s is a shell), or start again."));
        }
        let same = present.iter().find(|found| found.path == target.path).is_some_and(|found| {
            found.size == target.size
                && found.disk.serial == target.disk.serial
                && found.disk.wwn == target.disk.wwn
                && found.barred.is_none()
        });
        if !same {
            let message = format!("{} is no longer the disk that the plan was made for ({target})", target.path);
            return Err(Stop::new(Code::Guard, message, advice));
        }
    }
    Ok(())
}

/// The targets with their partitions, and what the journal needs of the stick. A whole disk that is read-only makes its partitions so,
/// which is why the stick's own node is among them; nothing is written through it.
fn writable(stick: &Stick, plan: &Plan) -> Vec<PathBuf> {
    let mut paths = vec![Path::new("/dev").join(&stick.disk), stick.data_device().to_owned()];
    for disk in &plan.disks {
        paths.push(PathBuf::from(&disk.target.path));
        paths.extend(disks::partitions(disk.target.path.trim_start_matches("/dev/")).into_iter().map(|part| part.path));
    }
    paths
}

/// Kernel names of all block devices with a medium: partitions first, so that their disk's flag does not hide theirs.
fn block_devices() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let number = |name: &str, file: &str| {
        kernel::sysfs(Path::new("/sys/class/block").join(name).join(file)).and_then(|text| text.parse::<u64>().ok())
    };
    let is_nothing = |name: &str| {
        NOTHING.iter().any(|prefix| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
        })
    };
    names.retain(|name| !is_nothing(name) && !disks::is_hidden(name) && number(name, "size").unwrap_or(0) > 0);
    names.sort_by_key(|name| (number(name, "partition").is_none(), name.clone()));
    names
}

fn protect(path: &Path) -> Result<()> {
    let doing = || format!("making {} read-only", path.display());
    let advice = "Detach that disk and start again.";
    kernel::set_read_only(path, true).or_stop(Code::Guard, doing(), advice)?;
    if kernel::is_read_only(path).or_stop(Code::Guard, doing(), advice)? {
        return Ok(());
    }
    Err(Stop::new(Code::Guard, format!("{}: the kernel keeps it writable", doing()), advice))
}
