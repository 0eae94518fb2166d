//! Wake: drivers, devices, and the stick.

use std::fs;
use std::time::{Duration, Instant};

use manifest::TrustRoot;
use serde_json::json;

use crate::modules::{Loader, coldplug, keep_up};
use crate::screen::{Screen, Stage};
use crate::stick::Stick;
use crate::stop::{Code, OrStop, Result, Stop};
use crate::{disks, kernel, keyboard};

/// Where the builder puts the trust root.
const TRUST_ROOT: &str = "/etc/lifeboat/trust.json";
/// How long devices may take to appear. USB hubs and RAID controllers need most of it.
const DEADLINE: Duration = Duration::from_secs(90);
/// How long the set of disks must stay the same once the stick is there.
const SETTLED: Duration = Duration::from_millis(1500);
/// Between two looks.
const ROUND: Duration = Duration::from_millis(100);
/// Modules that no device asks for by itself, but that the rescue needs: the event port's console, disks behind plain SCSI, eMMC and SD cards. And those
/// that should be there before somebody plugs in a keyboard or a stick.
const ALWAYS: [&str; 9] =
    ["sd_mod", "sr_mod", "virtio_console", "efivarfs", "mmc_block", "usbhid", "hid_generic", "usb_storage", "uas"];

/// A machine that is awake.
pub struct Awake {
    /// What this rescue system believes.
    pub root: TrustRoot,
    /// The stick, its data partition mounted read-only at [`stick::DATA`](crate::stick::DATA).
    pub stick: Stick,
    /// Product UUID that the firmware reports, in lower case.
    pub product: Option<String>,
}

/// Loads drivers, waits for devices, finds and mounts the stick.
///
/// # Errors
/// When this initramfs has no trust root, or the stick does not appear.
pub fn wake(screen: &Screen) -> Result<Awake> {
    screen.stage(Stage::Wake);
    let root = trust_root()?;
    let mut loader =
        Loader::open().or_stop(Code::Failed, "reading the index of kernel modules", "Make the stick again.")?;
    if loader.is_empty() {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        screen.say(&format!("This stick carries no drivers for the kernel that runs, {release}."));
    }
    for name in ALWAYS {
        loader.load(name);
    }
    coldplug(&mut loader);
    screen.events().find_port();
    screen.event("wake", json!({"seconds": kernel::uptime()}));
    screen.say(&format!("Lifeboat rescue. This stick holds backups of {}.", root.host_name));
    keyboard::load(screen);
    let stick = find_stick(&root, &mut loader)?;
    if !loader.refused.is_empty() {
        screen.say(&format!("Drivers that did not start: {}", loader.refused.join("; ")));
    }
    keep_up(loader);
    let efivars = kernel::mount_efivars();
    let firmware = match (kernel::uefi(), efivars) {
        (true, true) if kernel::secure_boot() == Some(true) => "UEFI, Secure Boot enforced",
        (true, true) => "UEFI",
        (true, false) => "UEFI without access to its variables",
        (false, _) => "BIOS",
    };
    let product = kernel::sysfs("/sys/class/dmi/id/product_uuid").map(|uuid| uuid.to_lowercase());
    screen.say(&format!("Firmware: {firmware}. Machine: {}.", product.as_deref().unwrap_or("no product UUID")));
    stick.mount()?;
    screen.say(&format!("Stick: /dev/{}, disks: {}.", stick.disk, disks::names().join(", ")));
    Ok(Awake { root, stick, product })
}

fn trust_root() -> Result<TrustRoot> {
    let advice = "Make the stick again with `lifeboat create`.";
    let text = fs::read(TRUST_ROOT).or_stop(Code::NoMedium, format!("reading {TRUST_ROOT}"), advice)?;
    let root: TrustRoot =
        serde_json::from_slice(&text).or_stop(Code::NoMedium, format!("reading {TRUST_ROOT}"), advice)?;
    if root.format != manifest::FORMAT {
        let message = format!("{TRUST_ROOT} has format {}, this rescue reads {}", root.format, manifest::FORMAT);
        return Err(Stop::new(Code::Failed, message, advice));
    }
    Ok(root)
}

/// Waits for the stick, and then for the set of disks to stay as it is. Drivers for what appears meanwhile are loaded.
fn find_stick(root: &TrustRoot, loader: &mut Loader) -> Result<Stick> {
    let end = Instant::now() + DEADLINE;
    let mut seen = Vec::new();
    let mut since = Instant::now();
    let mut found = None;
    loop {
        // A disk that hangs when it is read may have eaten the time: what came meanwhile is looked at before it counts as missing.
        let last = Instant::now() >= end;
        let news = coldplug(loader);
        let names = disks::names();
        if news > 0 || names != seen {
            seen = names;
            since = Instant::now();
            found = Stick::find(&root.stick)?;
        } else if found.is_none() {
            found = Stick::find(&root.stick)?;
        }
        match found.take() {
            Some(stick) if last || since.elapsed() >= SETTLED => return Ok(stick),
            other => found = other,
        }
        if last {
            let message = format!("no disk with the GUID {} was found; disks here: {}", root.stick, seen.join(", "));
            return Err(Stop::new(
                Code::NoMedium,
                message,
                "Plug the stick in again, into another port, and start again.",
            ));
        }
        std::thread::sleep(ROUND);
    }
}
