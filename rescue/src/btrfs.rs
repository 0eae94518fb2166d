//! What btrfs needs beside `mkfs.btrfs`: its subvolumes made and, at the end, made read-only. Both happen through its top, mounted aside.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use layout::btrfs::Btrfs;
use layout::plan::{Device, Plan, Step};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Where the top of a filesystem is mounted for the time being.
const TOP: &str = "/run/btrfs-top";

/// The devices of the filesystem that `device` belongs to: none but itself, or all of several. There is no udev here that would tell
/// the kernel of the others.
pub fn companions(plan: &Plan, device: &Device) -> Vec<String> {
    let made = plan.before.iter().chain(&plan.after).find_map(|step| match step {
        Step::MakeBtrfs { devices, .. } if devices.contains(device) => Some(devices.iter().map(Device::path).collect()),
        _ => None,
    });
    made.unwrap_or_default()
}

/// Mount options for one subvolume: with the recorded compression, so that files take up what they took up.
pub fn options(recorded: &str, subvolume: &str, devices: &[String]) -> String {
    let mut words = vec![format!("subvol=/{subvolume}")];
    words.extend(recorded.split(',').filter(|word| word.starts_with("compress")).map(str::to_owned));
    if devices.len() > 1 {
        words.extend(devices.iter().map(|device| format!("device={device}")));
    }
    words.join(",")
}

/// Makes the subvolumes of a new filesystem, parents first, and sets its default.
pub fn make_subvolumes(btrfs: &Btrfs, devices: &[String]) -> io::Result<()> {
    if btrfs.subvolumes.is_empty() {
        return Ok(());
    }
    with_top(devices, |top| {
        for subvolume in &btrfs.subvolumes {
            let path = inside(top, &subvolume.path)?;
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            run(&["-q", "subvolume", "create"], &path)?;
        }
        if btrfs.default.is_empty() {
            Ok(())
        } else {
            run(&["subvolume", "set-default"], &inside(top, &btrfs.default)?)
        }
    })
}

/// Makes subvolumes read-only.
pub fn lock(devices: &[String], subvolumes: &[String]) -> io::Result<()> {
    with_top(devices, |top| {
        subvolumes.iter().try_for_each(|path| {
            let path = inside(top, path)?;
            let text = path.to_string_lossy();
            command(&["property", "set", "-ts", &text, "ro", "true"]).run().map(drop).map_err(io::Error::other)
        })
    })
}

fn with_top(devices: &[String], work: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let first = devices.first().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    fs::create_dir_all(TOP)?;
    let mut words = vec!["subvolid=5".to_owned()];
    if devices.len() > 1 {
        words.extend(devices.iter().map(|device| format!("device={device}")));
    }
    let options = CString::new(words.join(",")).unwrap_or_default();
    mount(first.as_str(), TOP, "btrfs", MountFlags::NOATIME, Some(options.as_c_str()))?;
    let worked = work(Path::new(TOP));
    let unmounted = unmount(TOP, UnmountFlags::empty()).map_err(io::Error::from);
    worked.and(unmounted)
}

/// A subvolume's path below `top`; what would lead out of it is refused.
fn inside(top: &Path, path: &str) -> io::Result<PathBuf> {
    let normal = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !normal {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{path:?} is no path of a subvolume")));
    }
    Ok(top.join(path))
}

fn run(args: &[&str], path: &Path) -> io::Result<()> {
    command(args).arg(path).run().map(drop).map_err(io::Error::other)
}

fn command(args: &[&str]) -> exec::Command {
    exec::Command::new(exec::find("btrfs").unwrap_or_else(|| "btrfs".into())).args(args.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_subvolume_compression_and_every_device() {
        let recorded = "rw,relatime,compress=zstd:3,space_cache=v2,subvolid=256,subvol=/@";
        assert_eq!(options(recorded, "@", &["/dev/vda1".to_owned()]), "subvol=/@,compress=zstd:3");
        let two = ["/dev/vda1", "/dev/vdb1"].map(str::to_owned);
        assert_eq!(options("rw", "", &two), "subvol=/,device=/dev/vda1,device=/dev/vdb1");
    }

    /// A loop device over an image, given back when dropped.
    struct Loop(String);

    impl Loop {
        fn over(image: &Path) -> Self {
            let command = exec::Command::new("losetup").args(["--find", "--show"]).arg(image);
            Self(command.read().unwrap().trim().to_owned())
        }
    }

    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = exec::Command::new("losetup").args(["--detach", &self.0]).run();
        }
    }

    /// On a real filesystem over two devices, judged by `btrfs` itself.
    #[test]
    fn subvolumes_come_back_nested_default_and_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let loops = ["a", "b"].map(|name| {
            let image = folder.path().join(name);
            fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
            Loop::over(&image)
        });
        let devices: Vec<String> = loops.iter().map(|one| one.0.clone()).collect();
        let bytes = include_bytes!("../../layout/fixtures/btrfs/second.superblock");
        let mut filesystem = Btrfs::parse(bytes).unwrap().0;
        (filesystem.uuid, filesystem.data, filesystem.metadata) =
            (format!("0a0b0c0d-5555-4000-8000-{:012}", std::process::id()), "raid1".to_owned(), "raid1".to_owned());
        filesystem.take_listing(
            include_str!("../../layout/fixtures/btrfs/top.all"),
            include_str!("../../layout/fixtures/btrfs/top.read-only"),
            include_str!("../../layout/fixtures/btrfs/plain.default"),
            "Data, RAID1: total=1, used=1\nMetadata, RAID1: total=1, used=1",
        );
        let program = exec::find("mkfs.btrfs").unwrap();
        exec::Command::new(program).args(filesystem.mkfs_btrfs(&devices)).run().unwrap();
        make_subvolumes(&filesystem, &devices).unwrap();
        let locked: Vec<String> =
            filesystem.subvolumes.iter().filter(|one| one.read_only).map(|one| one.path.clone()).collect();
        lock(&devices, &locked).unwrap();

        let mut found = Btrfs::parse(bytes).unwrap().0;
        with_top(&devices, |top| {
            use layout::btrfs::listing::{ALL, DEFAULT, READ_ONLY, USAGE};
            let read = |args: &[&str]| command(args).arg(top).read().map_err(io::Error::other);
            found.take_listing(&read(&ALL)?, &read(&READ_ONLY)?, &read(&DEFAULT)?, &read(&USAGE)?);
            Ok(())
        })
        .unwrap();
        let facts = |btrfs: &Btrfs| -> Vec<(String, bool)> {
            btrfs.subvolumes.iter().map(|one| (one.path.clone(), one.read_only)).collect()
        };
        assert_eq!(facts(&found), facts(&filesystem));
        assert_eq!(
            (&found.default, &found.data, &found.metadata),
            (&filesystem.default, &filesystem.data, &filesystem.metadata)
        );
    }

    #[test]
    fn subvolumes_cannot_lead_out_of_the_filesystem() {
        assert_eq!(inside(Path::new(TOP), "@/inner").unwrap(), Path::new(TOP).join("@/inner"));
        for bad in ["", "/etc", "../x", "@/../../x"] {
            assert!(inside(Path::new(TOP), bad).is_err(), "{bad}");
        }
    }
}
