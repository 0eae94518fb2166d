//! Where the dynamic linker finds a library: the rules of ld.so(8), read and not run.

use std::path::{Path, PathBuf};

use crate::elf::{self, Object};
use crate::error::Error;
use crate::sysroot::Sysroot;

/// Folders that the linkers of the common distributions search by themselves, without a cache.
const STANDARD: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
/// Files that ld.so.conf may pull in, at most so deep.
const INCLUDE_DEPTH: usize = 8;

/// The folders that libraries of a root folder are searched in.
#[derive(Clone, Debug)]
pub struct Libraries {
    configured: Vec<PathBuf>,
}

/// A library that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Path inside the root folder, links not followed.
    pub path: PathBuf,
    /// What it asks for in turn.
    pub object: Object,
    /// Only ld.so.cache leads there: the image needs the cache too.
    pub by_cache: bool,
}

impl Libraries {
    /// Reads ld.so.conf.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn of(sysroot: &Sysroot) -> Result<Self, Error> {
        let mut configured = Vec::new();
        read_conf(sysroot, Path::new("/etc/ld.so.conf"), 0, &mut configured)?;
        Ok(Self { configured })
    }

    /// Finds `name` for an object that lies in `origin`, whose own search folders are `own` (with `$ORIGIN` not yet replaced).
    /// A file of another word size or processor is passed over, as the linker does.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn find(
        &self,
        sysroot: &Sysroot,
        name: &str,
        own: &[PathBuf],
        kind: (u8, u16),
    ) -> Result<Option<Found>, Error> {
        let fitting = |path: PathBuf, by_cache| -> Result<Option<Found>, Error> {
            let Some(content) = sysroot.read(&path)? else { return Ok(None) };
            let object = if elf::is_elf(&content) { elf::parse(&content).ok() } else { None };
            Ok(object.filter(|object| object.kind == kind).map(|object| Found { path, object, by_cache }))
        };
        if name.contains('/') {
            return fitting(Path::new("/").join(name), false);
        }
        let own = own.iter().map(|folder| (folder.clone(), false));
        let standard = STANDARD.iter().map(|folder| (PathBuf::from(folder), false));
        let configured = self.configured.iter().map(|folder| (folder.clone(), true));
        // The cache goes before the standard folders; what is in both is found in the standard ones at run time, so no cache is needed.
        for (folder, by_cache) in own.chain(configured).chain(standard) {
            let by_cache = by_cache && !STANDARD.iter().any(|standard| Path::new(standard) == folder);
            if let Some(found) = fitting(folder.join(name), by_cache)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// The search folders that an object in `origin` names, with the dynamic linker's tokens replaced.
pub fn expand(folders: &[String], origin: &Path) -> Vec<PathBuf> {
    let origin = origin.to_string_lossy();
    let replace = |folder: &String| {
        let mut folder = folder.clone();
        for (token, value) in [("ORIGIN", origin.as_ref()), ("LIB", "lib/x86_64-linux-gnu"), ("PLATFORM", "x86_64")] {
            folder = folder.replace(&format!("${{{token}}}"), value).replace(&format!("${token}"), value);
        }
        PathBuf::from(folder)
    };
    folders.iter().map(replace).collect()
}

fn read_conf(sysroot: &Sysroot, path: &Path, depth: usize, folders: &mut Vec<PathBuf>) -> Result<(), Error> {
    let Some(content) = sysroot.read(path)? else { return Ok(()) };
    for line in String::from_utf8_lossy(&content).lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(pattern) = line.strip_prefix("include").filter(|rest| rest.starts_with(char::is_whitespace)) {
            let pattern = path.parent().unwrap_or(Path::new("/")).join(pattern.trim());
            if depth < INCLUDE_DEPTH {
                include(sysroot, &pattern, depth, folders)?;
            }
        } else if line.starts_with('/') {
            folders.push(PathBuf::from(line));
        }
    }
    Ok(())
}

/// The last component of an `include` may be a pattern (`ld.so.conf.d/*.conf`).
fn include(sysroot: &Sysroot, pattern: &Path, depth: usize, folders: &mut Vec<PathBuf>) -> Result<(), Error> {
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else { return Ok(()) };
    for candidate in sysroot.list(folder)? {
        if crate::modules::glob(&name.to_string_lossy(), &candidate.to_string_lossy()) {
            read_conf(sysroot, &folder.join(candidate), depth + 1, folders)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_configuration_and_what_it_includes_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("etc");
        fs::create_dir_all(etc.join("ld.so.conf.d")).unwrap();
        fs::write(etc.join("ld.so.conf"), "# comment\ninclude ld.so.conf.d/*.conf\n/opt/lib # own\n").unwrap();
        fs::write(etc.join("ld.so.conf.d/b.conf"), "/b\n").unwrap();
        fs::write(etc.join("ld.so.conf.d/a.conf"), "/a\ninclude /etc/ld.so.conf\n").unwrap();
        fs::write(etc.join("ld.so.conf.d/c.txt"), "/c\n").unwrap();
        let libraries = Libraries::of(&Sysroot::new(folder.path())).unwrap();
        assert_eq!(libraries.configured[0], Path::new("/a"));
        for wanted in ["/b", "/opt/lib"] {
            assert!(libraries.configured.iter().any(|folder| folder == Path::new(wanted)), "{wanted}");
        }
        assert!(!libraries.configured.contains(&PathBuf::from("/c")));
    }

    #[test]
    fn tokens_are_replaced() {
        let folders = expand(&["$ORIGIN/../lib".into(), "${ORIGIN}/x".into()], Path::new("/opt/app/bin"));
        assert_eq!(folders, [PathBuf::from("/opt/app/bin/../lib"), PathBuf::from("/opt/app/bin/x")]);
    }
}
