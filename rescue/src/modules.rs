//! Kernel modules: which ones a device needs, in which order they are loaded. As `modprobe` does it, without `modprobe`.
//!
//! [`Index`] is pure: it reads depmod's text files. [`Loader`] puts modules into the kernel, with the parameters that the kernel's command line has
//! for them (`nvme_core.multipath=N`). Called as `/sbin/modprobe`, the rescue
//! program runs [`as_modprobe`], because the kernel itself asks for filesystems, character sets and ciphers that way.

mod glob;
mod index;

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use index::Index;

use crate::kernel;

/// The kernel's MODULE_INIT_COMPRESSED_FILE (linux/module.h): it opens the file's compression itself.
const COMPRESSED_FILE: i32 = 4;

/// Loads modules, each once.
pub struct Loader {
    folder: PathBuf,
    index: Index,
    tried: HashSet<String>,
    cmdline: String,
    /// Modules that the kernel refused, with its reason; for messages.
    pub refused: Vec<String>,
}

impl Loader {
    /// Reads the index of the running kernel's modules. A kernel without any gives an empty loader.
    pub fn open() -> io::Result<Self> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let folder = Path::new("/lib/modules").join(release);
        let read = |name: &str| match fs::read_to_string(folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            other => other,
        };
        let index = Index::parse(&read("modules.dep")?, &read("modules.alias")?, &read("modules.softdep")?);
        Ok(Self { folder, index, tried: HashSet::new(), cmdline: kernel::cmdline(), refused: Vec::new() })
    }

    /// Whether this stick has no modules for the running kernel: a kernel and an initramfs that do not belong together.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Loads what `name` (a module, or an alias such as a device's modalias) stands for. Gives how many modules were
    /// put in.
    pub fn load(&mut self, name: &str) -> usize {
        let order = self.index.resolve(name);
        order.iter().filter(|module| self.insert(module)).count()
    }

    /// Whether the index knows a module or an alias of this name.
    pub fn knows(&self, name: &str) -> bool {
        !self.index.resolve(name).is_empty()
    }

    fn insert(&mut self, module: &str) -> bool {
        if !self.tried.insert(module.to_owned()) {
            return false;
        }
        let Some(path) = self.index.path(module) else { return false };
        let flags = if path.ends_with(".ko") { 0 } else { COMPRESSED_FILE };
        let result = File::open(self.folder.join(path)).and_then(|file| {
            rustix::system::finit_module(&file, &CString::new(parameters(&self.cmdline, module))?, flags)?;
            Ok(())
        });
        match result {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            // A driver that finds no hardware of its own says ENODEV: not worth a line.
            Err(error) if error.raw_os_error() == Some(19) => false,
            Err(error) => {
                self.refused.push(format!("{module}: {error}"));
                false
            }
        }
    }
}

/// What the kernel's command line says for a module: it acts on that itself only for what is built in.
fn parameters(cmdline: &str, module: &str) -> String {
    let own = cmdline.split_ascii_whitespace().filter_map(|word| {
        let (name, parameter) = word.split_once('.')?;
        (name.replace('-', "_") == module.replace('-', "_")).then_some(parameter)
    });
    own.collect::<Vec<_>>().join(" ")
}

/// Has a module in the kernel.
///
/// # Errors
/// Why it is not: this stick does not have it, or the kernel refused it.
pub fn demand(name: &str) -> Result<(), String> {
    let is_there = || Path::new("/sys/module").join(name).exists();
    if is_there() {
        return Ok(());
    }
    let mut loader = Loader::open().map_err(|error| error.to_string())?;
    if !loader.knows(name) {
        return Err("this stick does not have it".to_owned());
    }
    loader.load(name);
    if is_there() { Ok(()) } else { Err(format!("the kernel refused it: {}", loader.refused.join("; "))) }
}

/// Between two looks for devices that came later.
const LATER: Duration = Duration::from_millis(500);

/// No more drivers are loaded.
static ENOUGH: AtomicBool = AtomicBool::new(false);

/// Ends what [`keep_up`] does: from here on no disk may come that the guard has not seen.
pub fn enough() {
    ENOUGH.store(true, Ordering::SeqCst);
}

/// Loads drivers for what is plugged in from now on: a keyboard, the medium with the key.
pub fn keep_up(mut loader: Loader) {
    // The kernel counts what it tells of devices that come and go.
    let count = || kernel::sysfs("/sys/kernel/uevent_seqnum");
    std::thread::spawn(move || {
        let mut known = None;
        while !ENOUGH.load(Ordering::SeqCst) {
            let now = count();
            if now != known {
                known = now;
                coldplug(&mut loader);
            }
            std::thread::sleep(LATER);
        }
    });
}

/// Loads drivers for every device that the kernel has found. Gives how many modules were put in; 0 means that nothing is new.
pub fn coldplug(loader: &mut Loader) -> usize {
    let mut aliases = HashSet::new();
    collect(Path::new("/sys/devices"), &mut aliases, 0);
    let mut aliases: Vec<String> = aliases.into_iter().collect();
    aliases.sort_unstable();
    aliases.iter().map(|alias| loader.load(alias)).sum()
}

/// Depth of the device tree that is walked: a bound against surprises, far above what hardware has.
const DEEPEST: usize = 32;

fn collect(folder: &Path, aliases: &mut HashSet<String>, depth: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < DEEPEST {
            collect(&entry.path(), aliases, depth + 1);
        } else if entry.file_name() == "modalias"
            && let Ok(alias) = fs::read_to_string(entry.path())
        {
            aliases.insert(alias.trim().to_owned());
        }
    }
}

/// `modprobe [-q] [--] NAME...`, as the kernel calls it. Gives the exit code.
pub fn as_modprobe(args: impl Iterator<Item = String>) -> u8 {
    let names: Vec<String> = args.filter(|arg| !arg.starts_with('-')).collect();
    let Ok(mut loader) = Loader::open() else { return 1 };
    let known = names.first().is_some_and(|name| loader.knows(name));
    if let Some(name) = names.first() {
        loader.load(name);
    }
    u8::from(!known || !loader.refused.is_empty())
}

#[cfg(test)]
mod tests {
    use super::parameters;

    #[test]
    fn a_module_gets_what_the_command_line_has_for_it_whatever_its_hyphens() {
        let cmdline =
            "quiet nvme_core.multipath=N usb-storage.quirks=0bc2:ab30:u root=/dev/sda1 usb_storage.delay_use=5 nvme.x";
        assert_eq!(parameters(cmdline, "nvme_core"), "multipath=N");
        assert_eq!(parameters(cmdline, "usb_storage"), "quirks=0bc2:ab30:u delay_use=5");
        assert_eq!(parameters(cmdline, "sd_mod"), "");
    }
}
