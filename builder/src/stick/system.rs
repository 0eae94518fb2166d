//! The rescue system of a boot slot: kernel and initramfs, put together from the host's own kernel, modules and tools.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use initramfs::{
    Added, Archive, BUDGET, Compression, ESSENTIAL_MODULES, Firmware, Group, ModuleTree, Programs, RESCUE_MODULES,
    Selection, Sysroot, Tree,
};
use manifest::{Digest, TrustRoot};

use super::keyboard::{self, Keyboard};
use crate::exit::{Exit, refusal};
use crate::hardware;

/// Without these nothing can be restored; each with the package that has it.
pub const REQUIRED: &[(&str, &str)] = &[
    ("mke2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("tune2fs", "e2fsprogs"),
    ("resize2fs", "e2fsprogs"),
    ("mkfs.fat", "dosfstools"),
    ("fsck.fat", "dosfstools"),
    ("mkswap", "util-linux"),
    ("mount", "mount"),
];
/// For what lies between disks and filesystems. A host that has such storage has its tools, and the stick carries what the host has.
const STORAGE: &[&str] = &[
    "lvm",
    "dmsetup",
    "thin_check",
    "thin_repair",
    "thin_dump",
    "mdadm",
    "mkfs.xfs",
    "xfs_repair",
    "xfs_admin",
    "mkfs.btrfs",
    "btrfs",
    "zpool",
    "zfs",
];
/// For the boot chain, and for the person at the shell. Carried where the host has them.
const WELCOME: &[&str] = &[
    "efibootmgr",
    "loadkeys",
    "cryptsetup",
    "blkid",
    "blockdev",
    "lsblk",
    "findmnt",
    "umount",
    "fdisk",
    "sfdisk",
    "bash",
    "dash",
    "sh",
    "ls",
    "cat",
    "cp",
    "mv",
    "rm",
    "mkdir",
    "ln",
    "chmod",
    "chown",
    "sync",
    "dmesg",
    "less",
    "grep",
    "sed",
    "head",
    "tail",
    "find",
    "ps",
    "df",
    "du",
    "hexdump",
    "sha256sum",
    "tar",
    "zstd",
    "vi",
    "nano",
    "ip",
    "lsmod",
    "chroot",
    "date",
    "uname",
];
const FOLDERS: &[&str] = &["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
/// Settings that the tools read.
const SETTINGS: &[&str] = &[
    "/etc/mke2fs.conf",
    "/usr/share/terminfo/l/linux",
    "/lib/terminfo/l/linux",
    "/lib/terminfo/v/vt100",
    "/lib/terminfo/v/vt220",
];
/// Loaded by name while a program runs, so that no program's own list has it: a thread that ends (Argon2's in cryptsetup) needs it.
const LOADED: &[&str] = &["/lib/x86_64-linux-gnu/libgcc_s.so.1", "/lib64/libgcc_s.so.1", "/usr/lib/libgcc_s.so.1"];
const EMPTY_FOLDERS: &[&str] = &["/dev", "/proc", "/sys", "/run", "/tmp", "/mnt", "/target", "/etc", "/root", "/var"];

/// Where the parts come from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// Root folder of kernel, modules and tools.
    pub root: &'a Path,
    /// The rescue program.
    pub rescue: &'a Path,
}

/// A rescue system, not yet compressed.
pub struct System {
    /// Release of its kernel.
    pub release: String,
    /// The kernel.
    pub kernel: Vec<u8>,
    /// Digest over all that it was made of.
    pub inputs: Digest,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Firmware that this host's own drivers name.
    pub firmware: Vec<Firmware>,
    archive: Archive,
    /// The kernel's build configuration, where the host has it.
    configuration: Option<String>,
}

impl System {
    /// Collects the parts.
    ///
    /// # Errors
    /// When a kernel, its modules or a tool that is needed is missing; the error names the package.
    pub fn collect(sources: &Sources) -> anyhow::Result<Self> {
        let sysroot = Sysroot::new(sources.root);
        let mut notes = Vec::new();
        let release = kernel_release(sources.root, &mut notes)?;
        let image = Path::new("/boot").join(format!("vmlinuz-{release}"));
        let kernel = sysroot.read(&image)?.with_context(|| format!("{} vanished", image.display()))?;
        let mut tree = frame(sources.rescue)?;
        tools(&sysroot, &mut tree)?;
        let firmware = modules(&sysroot, &release, &mut tree, &mut notes)?;
        keyboard(sources.root, &mut tree, &mut notes)?;
        let archive = tree.archive();
        let configuration = sysroot.read(&Path::new("/boot").join(format!("config-{release}")))?;
        let configuration = configuration.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let parts: Vec<&[u8]> = archive.parts().iter().map(|(_, bytes)| bytes.as_slice()).collect();
        let inputs = digest(std::iter::once(kernel.as_slice()).chain(parts));
        Ok(Self { release, kernel, inputs, notes, firmware, archive, configuration })
    }

    /// A system of nothing but a kernel.
    #[cfg(test)]
    pub fn of_kernel(kernel: Vec<u8>) -> Self {
        Self {
            release: "1-test".into(),
            inputs: Digest::of(&kernel),
            kernel,
            notes: Vec::new(),
            firmware: Vec::new(),
            archive: Tree::new().archive(),
            configuration: None,
        }
    }

    /// Compresses the initramfs. The second value is a table of sizes, for people.
    ///
    /// # Errors
    /// When it is larger than its budget, or the kernel cannot unpack it.
    pub fn compress(&self, compression: Compression) -> anyhow::Result<(Vec<u8>, String)> {
        let option = format!("{}=y", compression.kernel_option());
        if self.configuration.as_ref().is_some_and(|text| !text.lines().any(|line| line == option)) {
            let message = format!(
                "the kernel {} cannot unpack {} ({option} is not set); choose another --compress",
                self.release,
                compression.name()
            );
            return Err(refusal(Exit::Usage, message));
        }
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
        let image = self.archive.compress(compression, threads)?;
        let table = format!(
            "{}\ncompressed by {}; at most {} kB\n",
            image.to_string().trim_end(),
            compression.name(),
            BUDGET / 1000
        );
        Ok((image.bytes, table))
    }
}

/// The initramfs file of one slot: what it trusts, in a small archive before the compressed one. The kernel unpacks one after the other, so the
/// large part is made once for both slots.
///
/// # Errors
/// When the trust root cannot be encoded.
pub fn with_trust(trust: &TrustRoot, compressed: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut tree = Tree::new();
    tree.file(Path::new("/etc/lifeboat/trust.json"), 0o644, serde_json::to_vec_pretty(trust)?, Group::Rescue)?;
    let mut bytes = tree.archive().bytes();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.write_all(compressed)?;
    Ok(bytes)
}

/// The running kernel if it can be carried, else the newest that can.
fn kernel_release(root: &Path, notes: &mut Vec<String>) -> anyhow::Result<String> {
    let complete = |release: &str| {
        root.join("boot").join(format!("vmlinuz-{release}")).is_file()
            && root.join("lib/modules").join(release).join("modules.dep").is_file()
    };
    let running = rustix::system::uname().release().to_string_lossy().into_owned();
    if root == Path::new("/") && complete(&running) {
        return Ok(running);
    }
    let mut releases: Vec<String> = std::fs::read_dir(root.join("lib/modules"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|release| complete(release))
        .collect();
    releases.sort_by_key(|release| version_key(release));
    let Some(newest) = releases.pop() else {
        let message = format!(
            "{} has no kernel with its modules (/boot/vmlinuz-RELEASE and /lib/modules/RELEASE): install linux-image-amd64 (sticks are made on Debian and its relatives); nothing was \
             changed",
            root.display()
        );
        return Err(refusal(Exit::Failed, message));
    };
    if root == Path::new("/") {
        notes
            .push(format!("the running kernel {running} is not in /boot with its modules; the stick carries {newest}"));
    }
    Ok(newest)
}

/// Numbers in a release compare as numbers: 6.10 is newer than 6.9.
fn version_key(release: &str) -> Vec<(u64, String)> {
    release.split(['.', '-', '+', '_']).map(|part| (part.parse().unwrap_or(0), part.to_owned())).collect()
}

fn frame(rescue: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::new();
    for folder in EMPTY_FOLDERS {
        tree.directory(Path::new(folder), 0o755)?;
    }
    tree.char_device(Path::new("/dev/console"), 0o600, 5, 1)?;
    let program = std::fs::read(rescue).with_context(|| {
        format!("reading the rescue program {}; name it with --rescue or LIFEBOAT_RESCUE", rescue.display())
    })?;
    tree.file(Path::new("/init"), 0o755, program, Group::Rescue)?;
    Ok(tree)
}

fn tools(sysroot: &Sysroot, tree: &mut Tree) -> anyhow::Result<()> {
    // A merged /usr first, so that programs and libraries land where their links lead.
    for link in ["/bin", "/sbin", "/lib", "/lib64"] {
        if let Ok(target) = std::fs::read_link(sysroot.outside(Path::new(link))) {
            tree.link(Path::new(link), &target)?;
            tree.directory(&Path::new("/").join(target), 0o755)?;
        }
    }
    // The kernel asks for modules by this name.
    tree.link(Path::new("/sbin/modprobe"), Path::new("/init"))?;
    let programs = Programs::of(sysroot)?;
    for (name, package) in REQUIRED {
        if !add(&programs, tree, name)? {
            let message = format!(
                "{name} is missing, and without it nothing can be restored: install {package}; nothing was changed"
            );
            return Err(refusal(Exit::Failed, message));
        }
    }
    for name in STORAGE.iter().chain(WELCOME) {
        add(&programs, tree, name)?;
    }
    for setting in SETTINGS.iter().chain(LOADED) {
        tree.copy(sysroot, Path::new(setting), Group::Programs)?;
    }
    Ok(())
}

/// The host's keyboard. Without it whoever types a key looks for its letters.
fn keyboard(root: &Path, tree: &mut Tree, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let lacks = |todo: &str| {
        format!("the stick's keyboard is \"us\", which this host's is not: {todo}, then make the stick anew")
    };
    match Keyboard::of(root) {
        Keyboard::Usual => {}
        Keyboard::Unknown => notes.push(lacks("install console-setup and run `setupcon --save-only`")),
        Keyboard::Map(_) if !has_tool(root, "loadkeys") => notes.push(lacks("install kbd")),
        Keyboard::Map(map) => tree.file(Path::new(keyboard::MAP), 0o644, map, Group::Rescue)?,
    }
    Ok(())
}

/// Whether a program is in one of the folders that a stick takes its tools from.
pub fn has_tool(root: &Path, name: &str) -> bool {
    let sysroot = Sysroot::new(root);
    FOLDERS.iter().any(|folder| sysroot.file(&Path::new(folder).join(name)).is_ok_and(|found| found.is_some()))
}

fn add(programs: &Programs, tree: &mut Tree, name: &str) -> anyhow::Result<bool> {
    for folder in FOLDERS {
        let path: PathBuf = Path::new(folder).join(name);
        if programs.add(tree, &path)? == Added::Whole {
            return Ok(true);
        }
    }
    Ok(false)
}

fn modules(
    sysroot: &Sysroot,
    release: &str,
    tree: &mut Tree,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Firmware>> {
    let index = ModuleTree::read(sysroot, release)?;
    let drivers = hardware::drivers(sysroot.root());
    let own = index.select(&[], &drivers.iter().map(String::as_str).collect::<Vec<_>>());
    if !own.missing.is_empty() {
        notes.push(format!(
            "the kernel {release} has no {}, which this host's own disks or network cards run with",
            own.missing.join(", ")
        ));
    }
    // It is not part of the kernel: it is carried where it was installed, and a host that has its tools uses it.
    let mut zfs = if has_tool(sysroot.root(), "zpool") { index.select(&[], &["zfs"]) } else { Selection::default() };
    if !zfs.missing.is_empty() {
        notes.push(format!("the kernel {release} has no module for ZFS: pools cannot be made again with this stick"));
    }
    zfs.missing.clear();
    let selection = index.select(RESCUE_MODULES, ESSENTIAL_MODULES).with(zfs);
    if !selection.missing.is_empty() {
        notes.push(format!(
            "the kernel {release} has no {}: machines that need them cannot be restored with this stick (a cloud kernel? linux-image-amd64 has them)",
            selection.missing.join(", ")
        ));
    }
    let firmware = own.names().map(|module| index.pack_firmware(tree, module)).collect::<Result<_, _>>()?;
    index.pack(tree, &selection.with(own))?;
    Ok(firmware)
}

fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Digest {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    Digest::from_hash(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_that_a_kind_of_storage_needs_is_carried() {
        use layout::ext::Ext;
        use layout::swap::Swap;
        use layout::vfat::Vfat;
        for tool in [Ext::TOOLS, Vfat::TOOLS, Swap::TOOLS].concat() {
            assert!(REQUIRED.iter().any(|(name, _)| *name == tool), "{tool}");
        }
    }

    #[test]
    fn every_tool_that_volumes_and_arrays_need_is_carried_where_the_host_has_it() {
        use layout::btrfs::Btrfs;
        use layout::lvm::{LogicalVolume, PhysicalVolume};
        use layout::md::Array;
        use layout::xfs::Xfs;
        let volumes = [PhysicalVolume::TOOLS, LogicalVolume::THIN_TOOLS, Array::TOOLS];
        for tool in volumes.into_iter().chain([Xfs::TOOLS, Btrfs::TOOLS]).flatten().copied().collect::<Vec<_>>() {
            assert!(STORAGE.contains(&tool), "{tool}");
        }
    }

    #[test]
    fn releases_compare_by_number() {
        let mut releases = ["6.9.0-1-amd64", "6.10.0-1-amd64", "6.1.0-56-amd64", "6.1.0-9-amd64"];
        releases.sort_by_key(|release| version_key(release));
        assert_eq!(releases, ["6.1.0-9-amd64", "6.1.0-56-amd64", "6.9.0-1-amd64", "6.10.0-1-amd64"]);
    }
}
