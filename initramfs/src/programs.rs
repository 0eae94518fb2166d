//! Programs with all they need to start: dynamic linker, libraries, a script's interpreter.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use crate::elf::{self, Object};
use crate::error::Error;
use crate::libraries::{Libraries, expand};
use crate::sysroot::Sysroot;
use crate::tree::{Group, Tree};

/// Whether a program was put into the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in the tree, with all it needs.
    Whole,
    /// The root folder has no such program.
    Absent,
}

/// Adds programs of a root folder to a tree.
#[derive(Clone, Debug)]
pub struct Programs {
    sysroot: Sysroot,
    libraries: Libraries,
}

/// An object whose libraries are still to be found.
struct Open {
    path: PathBuf,
    object: Object,
    /// RPATH folders of the objects that led here.
    inherited: Vec<PathBuf>,
}

impl Programs {
    /// Reads how the root folder's dynamic linker searches.
    ///
    /// # Errors
    /// When ld.so.conf is there and cannot be read.
    pub fn of(sysroot: &Sysroot) -> Result<Self, Error> {
        Ok(Self { sysroot: sysroot.clone(), libraries: Libraries::of(sysroot)? })
    }

    /// Adds `program` at its own path, with its libraries at theirs. The tree is unchanged when something is missing.
    ///
    /// # Errors
    /// [`Error::MissingLibrary`], or when a file cannot be read.
    pub fn add(&self, tree: &mut Tree, program: &Path) -> Result<Added, Error> {
        if self.sysroot.file(program)?.is_none() {
            return Ok(Added::Absent);
        }
        let closure = self.closure(program)?;
        for path in &closure.programs {
            tree.copy(&self.sysroot, path, Group::Programs)?;
        }
        for path in &closure.libraries {
            tree.copy(&self.sysroot, path, Group::Libraries)?;
        }
        if closure.needs_cache {
            tree.copy(&self.sysroot, Path::new("/etc/ld.so.cache"), Group::Libraries)?;
        }
        Ok(Added::Whole)
    }

    fn closure(&self, program: &Path) -> Result<Closure, Error> {
        let mut closure = Closure::default();
        let mut open = VecDeque::new();
        self.begin(program, &mut closure, &mut open)?;
        while let Some(next) = open.pop_front() {
            let folders = search_folders(&self.sysroot, &next)?;
            for name in &next.object.needed {
                let missing = || Error::MissingLibrary { library: name.clone(), needed_by: next.path.clone() };
                let found =
                    self.libraries.find(&self.sysroot, name, &folders, next.object.kind)?.ok_or_else(missing)?;
                closure.needs_cache |= found.by_cache;
                if closure.libraries.insert(found.path.clone()) {
                    let inherited = inherited_by(&self.sysroot, &next)?;
                    open.push_back(Open { path: found.path, object: found.object, inherited });
                }
            }
        }
        Ok(closure)
    }

    /// Takes in a program, or a script and the program that runs it.
    fn begin(&self, program: &Path, closure: &mut Closure, open: &mut VecDeque<Open>) -> Result<(), Error> {
        let Some(content) = self.sysroot.read(program)? else {
            let needed_by = closure.programs.last().cloned().unwrap_or_else(|| program.to_owned());
            return Err(Error::MissingLibrary { library: program.display().to_string(), needed_by });
        };
        closure.programs.push(program.to_owned());
        if let Some(interpreter) = script_interpreter(&content) {
            // One step only: the kernel allows chains, nobody writes them, and a circle would not end.
            if closure.programs.len() < 3 {
                self.begin(&interpreter, closure, open)?;
            }
            return Ok(());
        }
        if !elf::is_elf(&content) {
            return Ok(());
        }
        let object = elf::parse(&content).map_err(|what| Error::Elf { path: program.to_owned(), what })?;
        if let Some(interpreter) = &object.interpreter {
            closure.libraries.insert(PathBuf::from(interpreter));
        }
        open.push_back(Open { path: program.to_owned(), object, inherited: Vec::new() });
        Ok(())
    }
}

#[derive(Default)]
struct Closure {
    programs: Vec<PathBuf>,
    libraries: BTreeSet<PathBuf>,
    needs_cache: bool,
}

/// RUNPATH replaces RPATH and what was inherited (ld.so(8)).
fn search_folders(sysroot: &Sysroot, open: &Open) -> Result<Vec<PathBuf>, Error> {
    if open.object.run_path.is_empty() {
        inherited_by(sysroot, open)
    } else {
        Ok(expand(&open.object.run_path, &origin(sysroot, &open.path)?))
    }
}

fn inherited_by(sysroot: &Sysroot, open: &Open) -> Result<Vec<PathBuf>, Error> {
    let mut folders = if open.object.run_path.is_empty() {
        expand(&open.object.rpath, &origin(sysroot, &open.path)?)
    } else {
        Vec::new()
    };
    folders.extend(open.inherited.iter().cloned());
    Ok(folders)
}

/// The folder that `$ORIGIN` stands for: that of the file itself, links followed.
fn origin(sysroot: &Sysroot, path: &Path) -> Result<PathBuf, Error> {
    let real = sysroot.resolve(path)?.map_or_else(|| path.to_owned(), |resolved| resolved.real);
    Ok(real.parent().unwrap_or(Path::new("/")).to_owned())
}

fn script_interpreter(content: &[u8]) -> Option<PathBuf> {
    let line = content.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    Some(PathBuf::from(line.split_whitespace().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_brings_its_interpreter() {
        assert_eq!(script_interpreter(b"#! /bin/sh -e\nexit\n"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(script_interpreter(b"\x7fELF"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_absent_and_the_tree_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::of(&Sysroot::new(folder.path())).unwrap();
        let mut tree = Tree::new();
        assert_eq!(programs.add(&mut tree, Path::new("/sbin/none")).unwrap(), Added::Absent);
        assert_eq!(tree.entries().count(), 0);
    }

    #[test]
    fn a_missing_library_names_itself_and_who_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::copy("/bin/ls", folder.path().join("bin/ls")).unwrap();
        let programs = Programs::of(&Sysroot::new(folder.path())).unwrap();
        let mut tree = Tree::new();
        let error = programs.add(&mut tree, Path::new("/bin/ls")).unwrap_err().to_string();
        assert!(error.contains(".so") && error.contains("/bin/ls"), "{error}");
        assert_eq!(tree.entries().count(), 0);
    }
}
