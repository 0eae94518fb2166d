//! The restored system's initramfs: made anew only where it lacks a driver for the disks of this machine. That takes minutes, and most
//! images hold the drivers of any machine.

mod copies;
mod listing;
mod touched;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use layout::plan::Plan;
use serde_json::json;

use self::touched::Marks;
use super::grub::esp_path;
use super::{Adaptation, Room};
use crate::apply::TARGET;
use crate::screen::Screen;

/// An emulated machine takes four minutes.
const LIMIT: Duration = Duration::from_secs(1800);
/// Where update-initramfs reads which modules an image holds beside those that it finds out by itself.
const MODULES_FILE: &str = "etc/initramfs-tools/modules";

/// A kernel of the restored system with its initramfs.
#[derive(Debug, PartialEq, Eq)]
struct Image {
    release: String,
    /// Below the root.
    path: PathBuf,
}

/// What is to be done about one image.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It holds every driver, or its kernel does.
    Complete,
    /// It lacks these, and the system has them.
    Lacks(Vec<String>),
    /// The kernel itself has no such modules: no image of it starts here.
    NoSuchModules(Vec<String>),
}

/// Looks at every initramfs of the restored system, and has its own tool make those anew that would not find their disk here. What cannot
/// be done is told; the files stay as they were restored.
pub fn renew(screen: &Screen, room: &Room, plan: &Plan, done: &mut Adaptation) {
    let disks = plan.disks.iter().map(|disk| disk.target.path.trim_start_matches("/dev/"));
    let drivers: BTreeSet<String> = disks.flat_map(|name| drivers_of(Path::new("/sys"), name)).collect();
    let root = Path::new(TARGET);
    let images = images(root);
    if images.is_empty() {
        done.not_adapted
            .push("no initramfs was found in /boot: whether the kernel has this machine's drivers is not known".into());
    }
    for image in images {
        let named = drivers.iter().cloned().collect::<Vec<_>>().join(", ");
        match judge(root, &image, &drivers) {
            Ok(Verdict::Complete) => {
                done.loaders
                    .push(format!("initramfs of {}: kept, it has the drivers of this disk ({named})", image.release));
            }
            Ok(Verdict::Lacks(missing)) => rebuild(screen, room, plan, &image, &missing, done),
            Ok(Verdict::NoSuchModules(missing)) => done.not_adapted.push(format!(
                "kernel {} has no module {}, which this machine's disk needs: it will not start here",
                image.release,
                missing.join(", ")
            )),
            Err(error) => done.not_adapted.push(format!(
                "initramfs of {}: it cannot be read ({error}), so whether it has the drivers {named} is not known",
                image.release
            )),
        }
    }
}

/// Modules that drive a disk and the buses above it, as the running kernel shows them.
fn drivers_of(sys: &Path, disk: &str) -> BTreeSet<String> {
    let Ok(device) = sys.join("class/block").join(disk).canonicalize() else { return BTreeSet::new() };
    // A namespace of NVMe with several paths lies below none of its controllers: they are named beside it.
    let beside = fs::read_dir(device.join("device")).into_iter().flatten().flatten();
    let beside = beside.filter(|entry| entry.file_name().to_string_lossy().starts_with("nvme"));
    let beside = beside.filter_map(|entry| entry.path().canonicalize().ok());
    let folders: Vec<PathBuf> = std::iter::once(device.clone()).chain(beside).collect();
    let above = folders.iter().flat_map(|folder| folder.ancestors());
    let links = above.filter_map(|folder| fs::read_link(folder.join("driver/module")).ok());
    links.filter_map(|link| Some(link.file_name()?.to_string_lossy().replace('-', "_"))).collect()
}

/// The images in /boot, by the names that Debian's and Fedora's families give them, of kernels that have modules.
fn images(root: &Path) -> Vec<Image> {
    let files = fs::read_dir(root.join("boot")).into_iter().flatten().flatten();
    let image = |name: String| {
        let release =
            name.strip_prefix("initrd.img-").or_else(|| name.strip_prefix("initramfs-")?.strip_suffix(".img"))?;
        let has_modules = root.join("lib/modules").join(release).join("modules.dep").is_file();
        has_modules.then(|| Image { release: release.to_owned(), path: Path::new("boot").join(&name) })
    };
    let mut images: Vec<Image> = files.filter_map(|file| image(file.file_name().into_string().ok()?)).collect();
    images.sort_by(|one, other| one.release.cmp(&other.release));
    images
}

fn judge(root: &Path, image: &Image, drivers: &BTreeSet<String>) -> std::io::Result<Verdict> {
    let held = listing::modules(fs::File::open(root.join(&image.path))?)?;
    let folder = root.join("lib/modules").join(&image.release);
    let names = |file: &str| -> BTreeSet<String> {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.lines().filter_map(|line| listing::module_name(line.split(':').next()?)).collect()
    };
    let (builtin, loadable) = (names("modules.builtin"), names("modules.dep"));
    let missing = drivers.iter().filter(|driver| !held.contains(*driver) && !builtin.contains(*driver)).cloned();
    let (there, absent): (Vec<String>, Vec<String>) = missing.partition(|driver| loadable.contains(driver));
    Ok(match (there.is_empty(), absent.is_empty()) {
        (_, false) => Verdict::NoSuchModules(absent),
        (true, true) => Verdict::Complete,
        (false, true) => Verdict::Lacks(there),
    })
}

/// Has it made anew, with the copies of it on the ESP, and reads it back. What the tools touched on the way differs on purpose.
fn rebuild(screen: &Screen, room: &Room, plan: &Plan, image: &Image, missing: &[String], done: &mut Adaptation) {
    let lacking = missing.join(", ");
    let lacks = format!("initramfs of {} lacks {lacking}", image.release);
    screen.say(&format!("  {lacks}: it is made anew, which takes minutes"));
    screen.event("initramfs", json!({"release": image.release, "lacks": missing}));
    let (root, file) = (Path::new(TARGET), Path::new(TARGET).join(&image.path));
    let esp = esp_path(plan).map(|esp| root.join(esp.trim_start_matches('/')));
    let copies = esp.as_ref().map(|esp| copies::of(&file, esp)).unwrap_or_default();
    let marks = Marks::of(root, watched(root, image, esp));
    let made = make(room, image, missing).and_then(|()| {
        let renew = |copy: &PathBuf| {
            copies::renew(&file, copy).map_err(|error| format!("its copy {} was not: {error}", copy.display()))
        };
        copies.iter().try_for_each(renew)
    });
    for path in marks.changed() {
        done.place(&path, "changed when the initramfs was made anew");
    }
    let wanted = missing.iter().cloned().collect();
    match made.map(|()| judge(root, image, &wanted)) {
        Ok(Ok(Verdict::Complete)) => {
            done.loaders.push(format!("initramfs of {}: made anew, it lacked {lacking}", image.release));
        }
        Ok(_) => done.not_adapted.push(format!("{lacks}, and does so after it was made anew: it will not start here")),
        Err(why) => done.not_adapted.push(format!("{lacks}, and could not be made anew as a whole: {why}")),
    }
}

/// The folders in which making an initramfs changes something, hooks for boot loaders and `depmod` included.
fn watched(root: &Path, image: &Image, esp: Option<PathBuf>) -> Vec<PathBuf> {
    let folders = ["boot", "etc/initramfs-tools", "var/lib/initramfs-tools", "var/tmp", "tmp"];
    let mut folders: Vec<PathBuf> = folders.map(|folder| root.join(folder)).into();
    // Where /lib is a link, the snapshot has the path behind it.
    let modules = root.join("lib/modules").join(&image.release).canonicalize();
    folders.extend(modules.ok().filter(|folder| folder.starts_with(root)));
    folders.extend(esp);
    folders
}

/// Runs the restored system's own tool; says why not, where it does not work.
fn make(room: &Room, image: &Image, missing: &[String]) -> Result<(), String> {
    let command = if room.has("update-initramfs") {
        demand(&Path::new(TARGET).join(MODULES_FILE), missing)
            .map_err(|error| format!("/{MODULES_FILE} cannot be written: {error}"))?;
        room.command("update-initramfs").args(["-u", "-k", &image.release])
    } else if room.has("dracut") {
        let (path, drivers) = (Path::new("/").join(&image.path), missing.join(" "));
        room.command("dracut").args(["--force", "--add-drivers", &drivers]).arg(path).arg(&image.release)
    } else {
        return Err("the restored system has neither update-initramfs nor dracut".to_owned());
    };
    command.limit(LIMIT).run().map(drop).map_err(|error| error.to_string())
}

/// Adds modules to the list that every image holds.
fn demand(file: &Path, modules: &[String]) -> std::io::Result<()> {
    let mut list = fs::OpenOptions::new().create(true).append(true).open(file)?;
    list.write_all(
        format!("# Drivers of the disks that this system was restored to.\n{}\n", modules.join("\n")).as_bytes(),
    )?;
    list.sync_all()
}

#[cfg(test)]
mod tests;
