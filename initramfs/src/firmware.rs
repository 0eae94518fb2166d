//! Firmware files that drivers ask the kernel for: which ones a module names, and their place in a tree.
//!
//! A module names them in its `.modinfo` section, as `modinfo -F firmware` prints them. The kernel looks in `/lib/firmware/updates`
//! and in `/lib/firmware`; what is compressed there is put into the image plain, for not every kernel opens it.

use std::path::Path;

use elf::ElfBytes;
use elf::endian::AnyEndian;

use crate::error::Error;
use crate::modules::{ModuleTree, decompress, glob};
use crate::sysroot::Sysroot;
use crate::tree::{Group, Tree};

/// Where the kernel looks, the first that has a file wins.
const FOLDERS: [&str; 2] = ["/lib/firmware/updates", "/lib/firmware"];
/// Endings that kernels open beside a plain file.
const ENDINGS: [&str; 3] = ["", ".xz", ".zst"];

/// What one module's firmware came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// The module.
    pub module: String,
    /// Files that are in the tree now, by the names that the module gives them.
    pub carried: Vec<String>,
    /// Files that it names and the root folder lacks.
    pub missing: Vec<String>,
}

impl ModuleTree {
    /// Puts the firmware that `module` names into the tree, as far as it is there.
    ///
    /// # Errors
    /// When the module or a file cannot be read.
    pub fn pack_firmware(&self, tree: &mut Tree, module: &str) -> Result<Firmware, Error> {
        let mut firmware = Firmware { module: module.to_owned(), ..Firmware::default() };
        for named in self.content(module)?.map(|content| named_by(&content)).unwrap_or_default() {
            let found = expand(self.sysroot(), &named)?;
            if found.is_empty() {
                firmware.missing.push(named);
            }
            for name in found {
                if add(self.sysroot(), tree, &name)? {
                    firmware.carried.push(name);
                }
            }
        }
        Ok(firmware)
    }
}

/// The files that a module's `.modinfo` names.
fn named_by(module: &[u8]) -> Vec<String> {
    let Ok(file) = ElfBytes::<AnyEndian>::minimal_parse(module) else { return Vec::new() };
    let Ok(Some(header)) = file.section_header_by_name(".modinfo") else { return Vec::new() };
    let Ok((bytes, _)) = file.section_data(&header) else { return Vec::new() };
    let lines = bytes.split(|byte| *byte == 0).filter_map(|line| line.strip_prefix(b"firmware="));
    let mut names: Vec<String> = lines.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    // What leads out of the firmware folder is no name of a firmware file.
    names.retain(|name| !name.is_empty() && !name.starts_with('/') && !name.split('/').any(|part| part == ".."));
    names.sort();
    names.dedup();
    names
}

/// The files that a name stands for: itself, or where its last part is a pattern, all that fit.
fn expand(sysroot: &Sysroot, name: &str) -> Result<Vec<String>, Error> {
    let (folder, pattern) = name.rsplit_once('/').map_or(("", name), |(folder, last)| (folder, last));
    let mut found = Vec::new();
    for place in FOLDERS {
        for file in sysroot.list(&Path::new(place).join(folder))? {
            let Some(file) = file.to_str() else { continue };
            let plain = file.strip_suffix(".xz").or_else(|| file.strip_suffix(".zst")).unwrap_or(file);
            if [file, plain].iter().any(|file| glob(pattern, file)) {
                let fitting = if glob(pattern, file) { file } else { plain };
                found.push(if folder.is_empty() { fitting.to_owned() } else { format!("{folder}/{fitting}") });
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn add(sysroot: &Sysroot, tree: &mut Tree, name: &str) -> Result<bool, Error> {
    for (folder, ending) in FOLDERS.iter().flat_map(|folder| ENDINGS.map(|ending| (folder, ending))) {
        let place = Path::new(folder).join(format!("{name}{ending}"));
        let Some(content) = sysroot.read(&place)? else { continue };
        let content = match ending {
            "" => content,
            _ => decompress(ending, content)
                .map_err(|source| Error::Decompress { path: sysroot.outside(&place), source })?,
        };
        tree.file(&Path::new("/lib/firmware").join(name), 0o644, content, Group::Modules)?;
        return Ok(true);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::tree::Node;

    /// A module as `ld` makes one: an object with a `.modinfo` section.
    fn module(folder: &Path, modinfo: &str) -> Vec<u8> {
        let (text, empty, object) = (folder.join("modinfo"), folder.join("empty.s"), folder.join("module.o"));
        fs::write(&text, modinfo.replace('\n', "\0")).unwrap();
        fs::write(&empty, "").unwrap();
        let run = |program: &str, args: &[&std::ffi::OsStr]| {
            assert!(Command::new(program).args(args).status().unwrap().success(), "{program}");
        };
        run("as", &["-o".as_ref(), object.as_ref(), empty.as_ref()]);
        let section = format!(".modinfo={}", text.display());
        run("objcopy", &["--add-section".as_ref(), section.as_ref(), object.as_ref()]);
        fs::read(object).unwrap()
    }

    fn sample() -> (tempfile::TempDir, ModuleTree) {
        let root = tempfile::tempdir().unwrap();
        let modules = root.path().join("lib/modules/1");
        fs::create_dir_all(modules.join("kernel")).unwrap();
        let names = "license=GPL\nfirmware=card/main.fw\nfirmware=card/opt-*.bin\nfirmware=gone.fw\nfirmware=../../etc/shadow\n";
        fs::write(modules.join("kernel/card.ko"), module(root.path(), names)).unwrap();
        fs::write(modules.join("modules.dep"), "kernel/card.ko:\n").unwrap();
        let firmware = root.path().join("lib/firmware/card");
        fs::create_dir_all(&firmware).unwrap();
        fs::write(firmware.join("main.fw.zst"), zstd::encode_all(&b"main"[..], 1).unwrap()).unwrap();
        fs::write(firmware.join("opt-1.bin"), "one").unwrap();
        fs::write(firmware.join("opt-2.bin"), "two").unwrap();
        fs::write(firmware.join("other.bin"), "other").unwrap();
        let tree = ModuleTree::read(&Sysroot::new(root.path()), "1").unwrap();
        (root, tree)
    }

    #[test]
    fn what_a_module_names_is_carried_plain_and_what_is_not_there_is_named() {
        let (_root, modules) = sample();
        let mut tree = Tree::new();
        let firmware = modules.pack_firmware(&mut tree, "card").unwrap();
        assert_eq!(firmware.carried, ["card/main.fw", "card/opt-1.bin", "card/opt-2.bin"]);
        assert_eq!(firmware.missing, ["gone.fw"]);
        let main = tree.get(Path::new("/lib/firmware/card/main.fw")).unwrap();
        assert_eq!(main.node, Node::File(b"main".to_vec()));
        assert!(tree.get(Path::new("/lib/firmware/card/other.bin")).is_none());
    }

    #[test]
    fn modinfo_names_the_same_files_for_a_real_module() {
        let Some(path) = real_module() else { panic!("this test needs a kernel's modules: install linux-image-amd64") };
        let said = Command::new("/sbin/modinfo").args(["-F", "firmware"]).arg(&path).output().unwrap();
        let mut wanted: Vec<String> = String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect();
        wanted.sort();
        wanted.dedup();
        assert!(!wanted.is_empty(), "{} names firmware", path.display());
        let content = decompress(path.to_str().unwrap(), fs::read(&path).unwrap()).unwrap();
        assert_eq!(named_by(&content), wanted);
    }

    /// The tg3 driver of any kernel that is installed; it has named its firmware for twenty years.
    fn real_module() -> Option<std::path::PathBuf> {
        let releases = fs::read_dir("/lib/modules").ok()?.flatten();
        let folders = releases.map(|entry| entry.path().join("kernel/drivers/net/ethernet/broadcom"));
        let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flat_map(|files| files.flatten());
        files.map(|file| file.path()).find(|path| path.file_name().unwrap().to_string_lossy().starts_with("tg3.ko"))
    }

    #[test]
    fn what_is_no_module_names_nothing() {
        assert!(named_by(b"").is_empty());
        assert!(named_by(b"\x7fELF and nothing more").is_empty());
    }
}
