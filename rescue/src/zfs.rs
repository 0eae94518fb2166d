//! ZFS on the target: pools and datasets made by `zpool` and `zfs`, their properties set at the end, and the pools exported, so that the restored
//! system takes them in without force. There is no udev here: names by partition GUID, which the restored system has too, and the nodes of volumes
//! are made by hand.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use layout::plan::{Device, Plan, Step};
use layout::zfs::{Dataset, Pool, Setting};

use crate::apply::driver;

/// Where the restored system's udev will show partitions by their GUIDs.
const BY_PARTUUID: &str = "/dev/disk/by-partuuid";
/// Where it will show volumes by their names.
const VOLUMES: &str = "/dev/zvol";
/// How much memory the cache of ZFS may take here, in bytes: everything else is there too.
const CACHE: &str = "134217728";
const CACHE_FILE: &str = "/sys/module/zfs/parameters/zfs_arc_max";
/// Making a pool on large slow disks may take this long.
const LIMIT: Duration = Duration::from_secs(1800);
/// How long the node of a new volume may take.
const NODE: Duration = Duration::from_secs(20);

/// Makes a pool with its own dataset. `zpool` mounts that for a moment, elsewhere than where files are restored.
pub fn make_pool(plan: &Plan, pool: &Pool, root: &Dataset, devices: &[Device]) -> io::Result<()> {
    driver("zfs");
    // An older module has another name for it; then the cache shrinks by itself when memory runs out.
    let _ = fs::write(CACHE_FILE, CACHE);
    let names: Vec<String> = devices.iter().map(|device| lasting_name(plan, device)).collect::<io::Result<_>>()?;
    run("zpool", pool.zpool_create(root, &names))?;
    run("zfs", ["unmount", "-a"].map(str::to_owned).to_vec())
}

/// Makes a dataset; a volume's node is shown by its name.
pub fn make_dataset(dataset: &Dataset) -> io::Result<()> {
    let before = volume_nodes();
    run("zfs", dataset.zfs_create())?;
    if dataset.volume.is_none() {
        return Ok(());
    }
    let link = inside(Path::new(VOLUMES), &dataset.name)?;
    let end = Instant::now() + NODE;
    loop {
        if let Some(node) = volume_nodes().difference(&before).next() {
            return show(&link, &Path::new("/dev").join(node));
        }
        if Instant::now() >= end {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no node for the volume {} came", dataset.name),
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sets what would have been in the way before.
pub fn finish_pool(pool: &str, bootfs: Option<&str>, settings: &[Setting]) -> io::Result<()> {
    settings.iter().try_for_each(|setting| run("zfs", setting.zfs_set()))?;
    match bootfs {
        Some(bootfs) => run("zpool", vec!["set".to_owned(), format!("bootfs={bootfs}"), pool.to_owned()]),
        None => Ok(()),
    }
}

/// Exports every pool that the plan makes. All are tried; the first failure is told.
pub fn export(plan: &Plan) -> io::Result<()> {
    pools(plan).map(|pool| run("zpool", ["export", &pool.name].map(str::to_owned).to_vec())).fold(Ok(()), Result::and)
}

/// The pools that a plan makes.
pub fn pools(plan: &Plan) -> impl Iterator<Item = &Pool> {
    plan.before.iter().chain(&plan.after).filter_map(|step| match step {
        Step::MakePool { pool, .. } => Some(pool),
        _ => None,
    })
}

/// Runs one of the two programs.
pub fn run(program: &str, args: Vec<String>) -> io::Result<()> {
    let found = exec::find(program).unwrap_or_else(|| program.into());
    // Names of devices come from a service that is not here, and waiting for it takes seconds.
    let command = exec::Command::new(found).args(args).env("ZFS_VDEV_DEVID_OPT_OUT", "1").limit(LIMIT);
    command.run().map(drop).map_err(io::Error::other)
}

/// A name of a device that means the same on the restored system, whatever order it finds its disks in.
fn lasting_name(plan: &Plan, device: &Device) -> io::Result<String> {
    let guid = match device {
        Device::Partition { disk, number } => {
            plan.disks.iter().find(|planned| planned.target.path == *disk).and_then(|planned| {
                let partition = planned.table.partitions.iter().find(|partition| partition.entry.number == *number)?;
                Some(match &planned.dos {
                    Some(dos) => dos.part_uuid(*number),
                    None => partition.entry.guid.as_str().to_lowercase(),
                })
            })
        }
        Device::Disk { .. } | Device::Made { .. } => None,
    };
    let Some(guid) = guid else { return Ok(device.path()) };
    let link = inside(Path::new(BY_PARTUUID), &guid)?;
    show(&link, Path::new(&device.path()))?;
    Ok(link.display().to_string())
}

/// Makes `link` lead to `node`, whatever it led to before.
fn show(link: &Path, node: &Path) -> io::Result<()> {
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(node, link)
}

/// A name below `folder`; what would lead out of it is refused.
fn inside(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let normal = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !normal {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is no name of a partition or a volume"),
        ));
    }
    Ok(folder.join(name))
}

/// Kernel names of the volumes that are there.
fn volume_nodes() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.strip_prefix("zd").is_some_and(|rest| rest.parse::<u32>().is_ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_again_and_stays_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let link = inside(folder.path(), "rpool/data/vm-1").unwrap();
        show(&link, Path::new("/dev/zd0")).unwrap();
        show(&link, Path::new("/dev/zd16")).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("/dev/zd16"));
        assert!(inside(folder.path(), "../zd0").is_err() && inside(folder.path(), "/dev/zd0").is_err());
    }
}
