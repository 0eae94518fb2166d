//! Kernel modules: which there are, which a selection needs, and their place in a tree.
//!
//! All is read from the indexes that `depmod` writes (modules.dep(5), modules.softdep, modules.alias, modules.builtin);
//! the modules themselves are only copied, decompressed, because the rescue loads them with `finit_module` as they are.

mod glob;
mod pack;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

pub(crate) use glob::glob;
pub(crate) use pack::decompress;

use crate::error::Error;
use crate::sysroot::Sysroot;

/// The modules of one kernel.
#[derive(Clone, Debug)]
pub struct ModuleTree {
    sysroot: Sysroot,
    folder: PathBuf,
    modules: BTreeMap<String, Module>,
    builtin: BTreeSet<String>,
    softdeps: Vec<(String, Vec<String>)>,
    aliases: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Module {
    /// Path below the modules' folder, with its suffix.
    path: String,
    /// Names of the modules that it uses.
    needs: Vec<String>,
}

/// Modules that go into an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    names: BTreeSet<String>,
    /// Essential names that this kernel has neither as a module nor built in.
    pub missing: Vec<String>,
}

impl Selection {
    /// Names, with `_` for `-`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Both together.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.missing.extend(other.missing);
        self
    }
}

impl ModuleTree {
    /// Reads the indexes of `release` in `/lib/modules`.
    ///
    /// # Errors
    /// [`Error::NoModulesDep`] when `depmod` has not run, and when a file cannot be read.
    pub fn read(sysroot: &Sysroot, release: &str) -> Result<Self, Error> {
        let folder = Path::new("/lib/modules").join(release);
        let text = |name: &str| -> Result<Option<String>, Error> {
            Ok(sysroot.read(&folder.join(name))?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        let Some(dep) = text("modules.dep")? else {
            let root = sysroot.root().to_owned();
            return Err(Error::NoModulesDep { folder: sysroot.outside(&folder), root, release: release.to_owned() });
        };
        Ok(Self {
            sysroot: sysroot.clone(),
            modules: parse_dep(&dep),
            builtin: text("modules.builtin")?.unwrap_or_default().lines().map(name_of).collect(),
            softdeps: parse_softdep(&text("modules.softdep")?.unwrap_or_default()),
            aliases: parse_alias(&text("modules.alias")?.unwrap_or_default()),
            folder,
        })
    }

    /// Every module that a pattern fits, with all that those need. A pattern is a path below `kernel/` without a suffix; `*` does not cross a
    /// slash, and a last `**` stands for everything below. `essential` are names; those that the kernel lacks are listed in the result.
    #[must_use]
    pub fn select(&self, patterns: &[&str], essential: &[&str]) -> Selection {
        let wanted = |module: &Module| {
            let path = stem(&module.path);
            let path = path.strip_prefix("kernel/").unwrap_or(path);
            patterns.iter().any(|pattern| fits(pattern, path))
        };
        let seeds = self.modules.iter().filter(|(_, module)| wanted(module)).map(|(name, _)| name.clone());
        let essential: Vec<String> = essential.iter().map(|name| underscores(name)).collect();
        let names = self.closure(seeds.chain(essential.iter().cloned()).collect());
        let missing =
            essential.into_iter().filter(|name| !names.contains(name) && !self.builtin.contains(name)).collect();
        Selection { names, missing }
    }

    /// Whether the module is in the kernel itself.
    #[must_use]
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&underscores(name))
    }

    pub(crate) fn sysroot(&self) -> &Sysroot {
        &self.sysroot
    }

    /// A module's file, decompressed; none where there is no such module.
    pub(crate) fn content(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(module) = self.modules.get(&underscores(name)) else { return Ok(None) };
        let inside = self.folder.join(&module.path);
        let Some(content) = self.sysroot.read(&inside)? else { return Ok(None) };
        let path = self.sysroot.outside(&inside);
        decompress(&module.path, content).map(Some).map_err(|source| Error::Decompress { path, source })
    }

    fn closure(&self, mut open: VecDeque<String>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        while let Some(name) = open.pop_front() {
            let Some(module) = self.modules.get(&name) else { continue };
            if !names.insert(name.clone()) {
                continue;
            }
            open.extend(module.needs.iter().cloned());
            let soft = self.softdeps.iter().filter(|(of, _)| *of == name).flat_map(|(_, wanted)| wanted);
            open.extend(soft.flat_map(|wanted| self.called(wanted)));
        }
        names
    }

    /// The modules that `modprobe NAME` would load: the one of that name, else those with such an alias.
    fn called(&self, name: &str) -> Vec<String> {
        let name = underscores(name);
        if self.modules.contains_key(&name) || self.builtin.contains(&name) {
            return vec![name];
        }
        let fitting = self.aliases.iter().filter(|(pattern, _)| glob(pattern, &name));
        fitting.map(|(_, module)| module.clone()).collect()
    }
}

/// `crc32c-intel.ko.xz` and `crc32c_intel` are one module.
fn name_of(path: &str) -> String {
    underscores(stem(path).rsplit('/').next().unwrap_or_default())
}

/// The path without `.ko` and what follows.
fn stem(path: &str) -> &str {
    path.rfind(".ko").map_or(path, |end| &path[..end])
}

/// As modprobe compares names: `-` is `_`, except inside brackets of a pattern.
fn underscores(name: &str) -> String {
    let mut in_brackets = false;
    let replace = |char| {
        match char {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            '-' if !in_brackets => return '_',
            _ => {}
        }
        char
    };
    name.chars().map(replace).collect()
}

fn fits(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("/**") {
        Some(folder) => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
        None => {
            let pattern: Vec<&str> = pattern.split('/').collect();
            let path: Vec<&str> = path.split('/').collect();
            pattern.len() == path.len() && pattern.iter().zip(&path).all(|(pattern, name)| glob(pattern, name))
        }
    }
}

fn parse_dep(text: &str) -> BTreeMap<String, Module> {
    let line = |line: &str| {
        let (path, needs) = line.split_once(':')?;
        let module = Module { path: path.to_owned(), needs: needs.split_whitespace().map(name_of).collect() };
        Some((name_of(path), module))
    };
    text.lines().filter_map(line).collect()
}

/// `softdep NAME pre: A B post: C`. Before or after makes no difference to what must be there.
fn parse_softdep(text: &str) -> Vec<(String, Vec<String>)> {
    let line = |line: &str| {
        let mut words = line.strip_prefix("softdep ")?.split_whitespace();
        let name = underscores(words.next()?);
        Some((name, words.filter(|word| !matches!(*word, "pre:" | "post:")).map(str::to_owned).collect()))
    };
    text.lines().filter_map(line).collect()
}

fn parse_alias(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let mut words = line.strip_prefix("alias ")?.split_whitespace();
        Some((underscores(words.next()?), underscores(words.next()?)))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ModuleTree {
        ModuleTree {
            sysroot: Sysroot::new("/none"),
            folder: "/lib/modules/1".into(),
            modules: parse_dep(
                "kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/fs/mbcache.ko\n\
                 kernel/fs/jbd2/jbd2.ko.xz:\nkernel/fs/mbcache.ko:\nkernel/crypto/crc32c_generic.ko:\n\
                 kernel/arch/x86/crypto/crc32c-intel.ko:\nkernel/drivers/net/ethernet/a/b.ko:\nkernel/drivers/net/c.ko:\n",
            ),
            builtin: BTreeSet::from(["loop".to_owned()]),
            softdeps: parse_softdep("# comment\nsoftdep ext4 pre: crypto-crc32c post: gone\n"),
            aliases: parse_alias(
                "alias crypto-crc32c crc32c_intel\nalias crypto-crc32c crc32c_generic\nalias pci:v* b\n",
            ),
        }
    }

    #[test]
    fn dependencies_and_soft_ones_by_alias_come_along() {
        let selection = sample().select(&["fs/ext4/*"], &[]);
        let names: Vec<&str> = selection.names().collect();
        assert_eq!(names, ["crc32c_generic", "crc32c_intel", "ext4", "jbd2", "mbcache"]);
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_go_down() {
        let tree = sample();
        let names = |pattern| tree.select(&[pattern], &[]).names.into_iter().collect::<Vec<_>>();
        assert_eq!(names("drivers/net/*"), ["c"]);
        assert_eq!(names("drivers/net/**"), ["b", "c"]);
        assert!(names("drivers/nothing/**").is_empty());
    }

    #[test]
    fn what_is_essential_and_missing_is_named_and_what_is_built_in_is_not_missing() {
        let selection = sample().select(&[], &["loop", "mbcache", "usb-storage"]);
        assert_eq!(selection.missing, ["usb_storage"]);
        assert_eq!(selection.names().collect::<Vec<_>>(), ["mbcache"]);
    }
}
