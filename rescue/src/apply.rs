//! Apply: the plan's steps, one by one. What was there is saved first; which steps are done, the journal knows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use layout::Bytes;
use layout::dos::DosTable;
use layout::lvm::LogicalVolume;
use layout::plan::{Device, DiskPlan, EDGE, Plan, Step};
use layout::solve::NewTable;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::json;

use crate::containers::{self, Containers};
use crate::offline::Volumes;
use crate::screen::Screen;
use crate::stick::Stick;
use crate::stop::{Code, DiskState, OrStop, Result, Stop};
use crate::{btrfs, disks, dos, kernel, saved, table, zfs};

/// Where the restored system is mounted.
pub const TARGET: &str = "/target";
/// Making a filesystem on a large slow disk may take this long.
const MAKE_LIMIT: Duration = Duration::from_secs(3600);
/// How long the kernel may take to show the nodes of new partitions.
const NODES: Duration = Duration::from_secs(20);

const AGAIN: &str =
    "Check the disk and its cables, then start the stick again: it goes on with the restore, or begins it anew.";

/// Does the steps in order.
pub struct Applier<'a> {
    screen: &'a Screen,
    stick: &'a Stick,
    plan: &'a Plan,
    containers: &'a Containers,
    /// Name that this restore's files in the reports folder begin with.
    pub stamp: String,
    /// Mount points, in the order of mounting.
    mounted: Vec<PathBuf>,
}

impl<'a> Applier<'a> {
    /// For one restore.
    pub fn new(screen: &'a Screen, stick: &'a Stick, plan: &'a Plan, containers: &'a Containers) -> Self {
        Self { screen, stick, plan, containers, stamp: String::new(), mounted: Vec::new() }
    }

    /// Does one step.
    ///
    /// # Errors
    /// With the step and what went wrong.
    pub fn step(&mut self, step: &Step) -> Result<()> {
        self.screen.say(&format!("  {step}"));
        self.screen.event("step", json!({"name": step.to_string(), "uptime": kernel::uptime()}));
        self.screen.events().sync();
        match step {
            Step::Save { disk, regions } => {
                let target = &self.planned(disk)?.target;
                saved::save(target, regions, &saved::folder(self.stick, &self.stamp, target))
            }
            Step::Clear { disk, starts, ends, whole } => {
                DiskState::Unbootable.set();
                clear(disk, starts, ends, whole).or_stop(Code::Io, format!("clearing {disk}"), AGAIN)
            }
            Step::WriteGpt { disk, table } => self.write_table(disk, table, None),
            Step::WriteDos { disk, table, dos } => self.write_table(disk, table, Some(dos)),
            Step::MakeExt { device, ext, old, new } => {
                let path = device.path();
                run("mke2fs", ext.mke2fs(&path, *old, *new))?;
                run("tune2fs", ext.tune2fs(&path, *old, *new))
            }
            Step::MakeXfs { device, xfs, old, new, logical_sector } => {
                run("mkfs.xfs", xfs.mkfs_xfs(&device.path(), *old, *new, *logical_sector))
            }
            Step::MakeBtrfs { devices, btrfs } => {
                let devices: Vec<String> = devices.iter().map(Device::path).collect();
                run("mkfs.btrfs", btrfs.mkfs_btrfs(&devices))?;
                let doing = format!("making the subvolumes of btrfs {}", btrfs.uuid);
                btrfs::make_subvolumes(btrfs, &devices).or_stop(Code::Io, doing, AGAIN)
            }
            Step::MakeArray { array, members } => {
                driver("md_mod");
                let members: Vec<Option<String>> =
                    members.iter().map(|member| member.as_ref().map(Device::path)).collect();
                run("mdadm", array.create(&members))
            }
            Step::MakeLuks { device, luks } => self.containers.make(&device.path(), luks),
            Step::MakePv { device, volume } => {
                driver("dm_mod");
                self.lvm(volume.pvcreate(&device.path()))
            }
            Step::MakeVg { group, devices } => {
                let devices: Vec<String> = devices.iter().map(Device::path).collect();
                self.lvm(group.vgcreate(&devices))
            }
            Step::MakeLv { volume, size, extent } => self.lvm(volume.lvcreate(*size, *extent)),
            Step::MakePool { pool, root, devices } => zfs::make_pool(self.plan, pool, root, devices).or_stop(
                Code::Io,
                format!("making the ZFS pool {}", pool.name),
                AGAIN,
            ),
            Step::MakeDataset { dataset } => {
                zfs::make_dataset(dataset).or_stop(Code::Io, format!("making {}", dataset.name), AGAIN)
            }
            Step::FinishPool { pool, bootfs, settings } => zfs::finish_pool(pool, bootfs.as_deref(), settings).or_stop(
                Code::Io,
                format!("setting properties on the pool {pool}"),
                "The files are restored. Start the restored system, and set them there by hand.",
            ),
            Step::MakeVfat { device, vfat, logical_sector } => {
                run("mkfs.fat", vfat.mkfs_vfat(&device.path(), *logical_sector))
            }
            Step::MakeSwap { device, swap } => run("mkswap", swap.mkswap(&device.path())),
            Step::Mount { device, path, fstype, options, subvolume } => {
                self.mount(device, path, fstype, options, subvolume.as_deref())
            }
            Step::Lock { device, subvolumes } => {
                let doing = format!("making subvolumes of {} read-only", device.path());
                btrfs::lock(&btrfs::companions(self.plan, device), subvolumes).or_stop(Code::Io, doing, AGAIN)
            }
        }
    }

    /// Runs LVM on the physical volumes of this plan alone: a group of the same name on another disk is neither seen nor touched. There is
    /// no udev here, so LVM makes the nodes itself.
    fn lvm(&self, args: Vec<String>) -> Result<()> {
        let own = self.plan.before.iter().filter_map(|step| match step {
            Step::MakePv { device, .. } => Some(format!("\"a|^{}$|\"", device.path())),
            _ => None,
        });
        let filter: Vec<String> = own.chain(["\"r|.*|\"".to_owned()]).collect();
        let config = format!(
            "activation {{ udev_sync=0 udev_rules=0 }} backup {{ backup=0 archive=0 }} global {{ use_lvmpolld=0 }} \
             devices {{ obtain_device_list_from_udev=0 external_device_info_source=\"none\" use_devicesfile=0 filter=[{}] }}",
            filter.join(",")
        );
        let program = exec::find("lvm").unwrap_or_else(|| "lvm".into());
        let command = exec::Command::new(program).args(args).args(["--config", &config]).env("DM_DISABLE_UDEV", "1");
        let ran = command.limit(MAKE_LIMIT).run();
        ran.map(drop).map_err(|error| Stop::new(Code::Io, error.to_string(), AGAIN))
    }

    fn planned(&self, disk: &str) -> Result<&DiskPlan> {
        let found = self.plan.disks.iter().find(|one| one.target.path == disk);
        found.ok_or_else(|| Stop::new(Code::Guard, format!("{disk} is not in the plan"), "Start again."))
    }

    fn write_table(&self, disk: &str, table: &NewTable, dos: Option<&DosTable>) -> Result<()> {
        let planned = self.planned(disk)?;
        let doing = || format!("writing the partition table of {disk} ({})", planned.target.handle());
        let file = OpenOptions::new().read(true).write(true).open(disk).or_stop(Code::Io, doing(), AGAIN)?;
        // Sector-sized pieces through a buffer would be quicker; a table is written once.
        let mut device = &file;
        match dos {
            Some(dos) => dos::write(&mut device, table, dos).or_stop(Code::Io, doing(), AGAIN)?,
            None => table::write(&mut device, planned.target.size.0, table).or_stop(Code::Io, doing(), AGAIN)?,
        }
        file.sync_all().or_stop(Code::Io, doing(), AGAIN)?;
        kernel::read_partitions_again(&file).or_stop(
            Code::Io,
            format!("telling the kernel of the new partitions of {disk}"),
            AGAIN,
        )?;
        drop(file);
        for partition in &table.partitions {
            wait_for(disk, partition.entry.number, table.size_of(partition))?;
        }
        Ok(())
    }

    fn mount(
        &mut self,
        device: &Device,
        path: &str,
        fstype: &str,
        options: &str,
        subvolume: Option<&str>,
    ) -> Result<()> {
        let target = below_target(path)?;
        let node = device.path();
        let doing = || format!("mounting {node} at {}", target.display());
        fs::create_dir_all(&target).or_stop(Code::Io, doing(), AGAIN)?;
        // What was restored underneath (an ESP's files, before the ESP was made) would only take up space unseen.
        // A subvolume is mounted before anything is restored, and what lies below its mount point may be other subvolumes.
        if subvolume.is_none() {
            empty(&target).or_stop(Code::Io, format!("emptying {}", target.display()), AGAIN)?;
        }
        match subvolume {
            Some(subvolume) => {
                let data = btrfs::options(options, subvolume, &btrfs::companions(self.plan, device));
                mount_with(&node, &target, fstype, &data).or_stop(Code::Io, doing(), AGAIN)?;
            }
            None => mount_as_captured(&node, &target, fstype, options).or_stop(Code::Io, doing(), AGAIN)?,
        }
        self.mounted.push(target);
        Ok(())
    }

    /// The last steps, after which nothing is written any more, and the end of all mounts.
    ///
    /// # Errors
    /// With the step and what went wrong.
    pub fn finish(&mut self) -> Result<()> {
        let plan = self.plan;
        // What is set on a dataset while it is mounted, zfs would mount again where it belongs on the restored system.
        let unmounted = |step: &&Step| matches!(step, Step::FinishPool { .. });
        plan.last.iter().filter(|step| !unmounted(step)).try_for_each(|step| self.step(step))?;
        self.unmount()?;
        let last = plan.last.iter().filter(unmounted).try_for_each(|step| self.step(step));
        // Whatever came before: a pool that was not exported is taken in by force only.
        let exported = zfs::export(plan).or_stop(
            Code::Io,
            "exporting the ZFS pools",
            "The files are on the disks. The restored system takes in its pools by `zpool import -f` only.",
        );
        last.and(exported)?;
        self.close_containers();
        Ok(())
    }

    /// Closes every container, and first what lies in them, so that no key stays in the kernel. Nothing depends on it: what is on the disks is
    /// written, and what cannot be closed ends with the machine.
    fn close_containers(&self) {
        let made = || self.plan.before.iter().chain(&self.plan.after).rev();
        if !made().any(|step| matches!(step, Step::MakeLuks { .. })) {
            return;
        }
        for step in made() {
            let closed = match step {
                Step::MakeVg { group, .. } => self.lvm(["vgchange", "-an", &group.name].map(str::to_owned).to_vec()),
                Step::MakeArray { array, .. } => run("mdadm", ["--stop".to_owned(), array.path()].to_vec()),
                Step::MakeLuks { luks, .. } => {
                    containers::close(luks).map_err(|e| Stop::new(Code::Io, e.to_string(), ""))
                }
                _ => continue,
            };
            if let Err(stop) = closed {
                self.screen.say(&format!("  left open until the machine ends: {stop}"));
            }
        }
    }

    /// Unmounts everything below the target root, last first.
    ///
    /// # Errors
    /// When something there is still in use.
    pub fn unmount(&mut self) -> Result<()> {
        rustix::fs::sync();
        while let Some(path) = self.mounted.pop() {
            unmount(&path, UnmountFlags::empty()).or_stop(
                Code::Io,
                format!("unmounting {}", path.display()),
                "The files are on the disk. Power off by the power button only if this does not end.",
            )?;
        }
        Ok(())
    }
}

impl Volumes for Applier<'_> {
    fn make(&self, volume: &LogicalVolume, size: Bytes, extent: Bytes) -> std::result::Result<PathBuf, String> {
        self.lvm(volume.lvcreate(size, extent)).map_err(|stop| stop.to_string())?;
        Ok(volume.path().into())
    }

    fn remove(&self, volume: &LogicalVolume) -> std::result::Result<(), String> {
        let name = format!("{}/{}", volume.group, volume.name);
        self.lvm(["lvremove", "--yes", "--force", &name].map(str::to_owned).to_vec()).map_err(|stop| stop.to_string())
    }
}

/// A path of the restored system below the target root; what would lead out of it is refused.
pub fn below_target(path: &str) -> Result<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    let inside = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !path.starts_with('/') || !inside {
        return Err(Stop::new(
            Code::Guard,
            format!("{path:?} is no path of a mount point"),
            "Choose another snapshot.",
        ));
    }
    Ok(Path::new(TARGET).join(relative))
}

/// Loads a driver that no device asks for. Where it is built in, or was never carried, the tool that needs it says more.
pub fn driver(name: &str) {
    let _ = exec::Command::new("/sbin/modprobe").args(["-q", "--", name]).run();
}

fn run(tool: &str, args: Vec<String>) -> Result<()> {
    // PID 1 starts without a PATH.
    let program = exec::find(tool).unwrap_or_else(|| tool.into());
    let command = exec::Command::new(program).args(args).limit(MAKE_LIMIT);
    command.run().map(drop).map_err(|error| Stop::new(Code::Io, error.to_string(), AGAIN))
}

/// With the options that decide how entries look (of vfat); without them where this kernel lacks a character set.
fn mount_as_captured(node: &str, target: &Path, fstype: &str, options: &str) -> io::Result<()> {
    let shapes = ["uid", "gid", "umask", "fmask", "dmask", "codepage", "iocharset", "shortname", "utf8"];
    let shaped = |word: &&str| shapes.contains(&word.split('=').next().unwrap_or_default());
    let words: Vec<&str> = if fstype == "vfat" { options.split(',').filter(shaped).collect() } else { Vec::new() };
    let with = |data: &str| mount_with(node, target, fstype, data);
    let sets = |word: &&&str| !word.starts_with("codepage") && !word.starts_with("iocharset");
    let fewer: Vec<&str> = words.iter().filter(sets).copied().collect();
    with(&words.join(",")).or_else(|error| if fewer.len() < words.len() { with(&fewer.join(",")) } else { Err(error) })
}

fn mount_with(node: &str, target: &Path, fstype: &str, data: &str) -> io::Result<()> {
    let data = std::ffi::CString::new(data).unwrap_or_default();
    mount(node, target, fstype, MountFlags::NOATIME, Some(data.as_c_str())).map_err(io::Error::from)
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn clear(disk: &str, starts: &[Bytes], ends: &[Bytes], whole: &[(Bytes, Bytes)]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(disk)?;
    let size = file.seek(SeekFrom::End(0))?;
    // Boot code and the primary table first: from here on nothing on this disk boots.
    zero(&mut file, 0, EDGE.0.min(size))?;
    zero(&mut file, size.saturating_sub(EDGE.0), EDGE.0.min(size))?;
    file.sync_all()?;
    for start in starts.iter().filter(|start| start.0 < size) {
        zero(&mut file, start.0, EDGE.0.min(size - start.0))?;
    }
    // Software RAID of version 0.90 and 1.0 has its metadata there.
    for end in ends.iter().map(|end| end.0.min(size)) {
        zero(&mut file, end.saturating_sub(EDGE.0), EDGE.0.min(end))?;
    }
    for (start, length) in whole.iter().filter(|(start, _)| start.0 < size) {
        zero(&mut file, start.0, length.0.min(size - start.0))?;
    }
    file.sync_all()
}

fn zero(file: &mut File, start: u64, length: u64) -> io::Result<()> {
    const PIECE: usize = 1 << 20;
    let zeroes = vec![0; PIECE];
    file.seek(SeekFrom::Start(start))?;
    let mut left = length;
    while left > 0 {
        let piece = left.min(PIECE as u64) as usize;
        file.write_all(&zeroes[..piece])?;
        left -= piece as u64;
    }
    Ok(())
}

/// Waits until a new partition's node is there with the size it should have: an old node may linger.
fn wait_for(disk: &str, number: u32, size: Bytes) -> Result<()> {
    let end = Instant::now() + NODES;
    let name = disk.trim_start_matches("/dev/");
    loop {
        let there = disks::partitions(name)
            .into_iter()
            .any(|partition| partition.number == number && partition.size == size && partition.path.exists());
        if there {
            return Ok(());
        }
        if Instant::now() >= end {
            let message =
                format!("the kernel does not show partition {number} after the new partition table of {disk}");
            return Err(Stop::new(Code::Io, message, AGAIN));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_cannot_lead_out_of_the_target() {
        assert_eq!(below_target("/").unwrap(), Path::new("/target"));
        assert_eq!(below_target("/boot/efi").unwrap(), Path::new("/target/boot/efi"));
        for bad in ["", "boot", "/../etc", "/a/../../b"] {
            assert!(below_target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn clearing_zeroes_edges_starts_and_boot_partitions_and_nothing_else() {
        let path = std::env::temp_dir().join(format!("lifeboat-clear-{}", std::process::id()));
        let mib = EDGE.0 as usize;
        fs::write(&path, vec![0xff; 8 * mib]).unwrap();
        let (far, near) = (Bytes(1 << 40), Bytes(3 * EDGE.0));
        clear(path.to_str().unwrap(), &[near, far], &[near, far], &[(Bytes(5 * EDGE.0), EDGE)]).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let zeroed: Vec<bool> = bytes.chunks(mib).map(|chunk| chunk.iter().all(|byte| *byte == 0)).collect();
        assert_eq!(zeroed, [true, false, true, true, false, true, false, true]);
        assert!(bytes.chunks(mib).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])));
    }
}
